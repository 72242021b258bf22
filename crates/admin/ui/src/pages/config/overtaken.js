// Another change came into force since the draft began: what it was, and what becomes of the draft.

import { usePoll } from "../../api/poll.js";
import { html, useMemo, useState } from "../../html.js";
import { changedFiles, moved } from "../../model/draft.js";
import { sentence } from "../../model/summary.js";
import { draft as store } from "../../state/draft.js";
import { Button } from "../../view/button.js";
import { Diffs } from "../../view/diff.js";
import { Age } from "../../view/time.js";
import { toast } from "../../view/toast.js";

/**
 * @param {object} props
 * @param {import("../../model/draft.js").Draft} props.draft
 * @param {import("../../model/draft.js").Base} props.base in force now
 */
export function Overtaken({ draft, base }) {
  const [isShown, setShown] = useState(false);
  const revisions = /** @type {import("../../api/config.js").Revision[] | null} */ (usePoll("/api/v1/revisions", 30_000).data);
  const theirs = useMemo(() => changedFiles(draft.base.files, base.files), [draft.base, base]);
  const latest = revisions?.find((one) => one.number === base.revision);
  const origin = latest?.by ? `by ${latest.by}` : latest ? `from the ${latest.origin}` : "";
  function takeOver() {
    const { draft: next, conflicts } = moved(draft, base);
    store.set(next);
    toast(conflicts.length === 0 ? "Your edits are on top of the other change." : `Both changed the same lines of ${conflicts.join(", ")}: your text stands there, and the difference shows what it takes back.`);
  }
  return html`<section class="overtaken" role="alert">
    <p><b>Revision ${base.revision} ${origin} came while you were editing revision ${draft.base.revision}.</b> ${latest ? html`<${Age} at=${latest.time} />: ${sentence(latest.summary)}` : null}</p>
    <div class="overtaken-actions">
      <${Button} onPress=${() => setShown(!isShown)}>${isShown ? "Hide their change" : "Show their change"}<//>
      <${Button} onPress=${takeOver}>Put my edits on top<//>
      <${Button} onPress=${() => store.set({ base, texts: {} })}>Drop my edits<//></div>
    ${isShown ? html`<${Diffs} files=${theirs} label="Their changes of" />` : null}</section>`;
}
