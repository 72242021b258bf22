// Applying a draft: what changes, how it is undone, and the time within which it must be confirmed.

import { ApiError } from "../../api/client.js";
import { send } from "../../api/config.js";
import { refresh } from "../../api/poll.js";
import { html, useId, useState } from "../../html.js";
import { difference } from "../../model/diff.js";
import { changedFiles, filesOf } from "../../model/draft.js";
import { sentence } from "../../model/summary.js";
import { draft as store } from "../../state/draft.js";
import { Confirm } from "../../view/dialog.js";
import { DiffCount } from "../../view/diff.js";
import { toast } from "../../view/toast.js";

/** Times to confirm, each with its words; the empty one needs none. @type {[string, string][]} */
const WAITS = [["60s", "60 seconds"], ["5m", "5 minutes"], ["30m", "30 minutes"], ["", "at once, without a confirmation"]];

/**
 * @param {object} props
 * @param {import("../../model/draft.js").Draft} props.draft
 * @param {import("../../model/draft.js").Base} props.base
 * @param {import("../../state/check.js").Check} props.check
 * @param {() => void} props.onClose
 */
export function Apply({ draft, base, check, onClose }) {
  const id = useId();
  const [wait, setWait] = useState("60s");
  const files = changedFiles(base.files, filesOf(draft));
  async function apply() {
    try {
      const { applied, etag } = await send(draft, wait === "" ? "" : `?confirm=${wait}`, draft.base.etag);
      store.set({ base: { ...draft.base, etag, revision: applied.revision, files: filesOf(draft) }, texts: {} });
      toast(applied.reverts_at ? `Revision ${applied.revision} is in force. Keep it, or it reverts.` : `Revision ${applied.revision} is in force.`);
    } catch (error) {
      // Another change was faster: the page shows it.
      if (!(error instanceof ApiError) || error.status !== 412) throw error;
      toast("Nothing was applied: the config has changed meanwhile.");
    }
    refresh("config");
    refresh("/api/v1/status");
    refresh("/api/v1/revisions");
  }
  const warnings = check.findings.filter((one) => one.severity === "warning").length;
  const dropped = check.applied?.dials_dropped ?? [];
  return html`<${Confirm} title="Apply the draft?" action="Apply" onClose=${onClose} onConfirm=${apply}
    undo=${wait === "" ? `roll back to revision ${base.revision} in the history.` : "“Revert now”, or wait: without “Keep”, it reverts by itself."}>
    <ul class="apply-files">${files.map((file) => html`<li key=${file.name}><code class="cut" title=${file.name}>${file.name}</code> <${FileCount} file=${file} /></li>`)}</ul>
    ${check.isCurrent && check.applied ? html`<p>${sentence(check.applied.summary)}</p>` : html`<p class="muted">The gateway has not checked this text yet; it does before it applies it.</p>`}
    ${warnings > 0 ? html`<p class="caution">It has ${warnings} ${warnings === 1 ? "warning" : "warnings"}.</p>` : null}
    ${dropped.length > 0 ? html`<p class="caution">Dials of these routes are dropped: ${dropped.slice(0, 10).join(", ")}${dropped.length > 10 ? ", …" : ""}.</p>` : null}
    <div class="field"><label for=${id}>Reverts unless it is kept within</label>
      <select id=${id} value=${wait} onChange=${(/** @type {Event & { currentTarget: HTMLSelectElement }} */ event) => setWait(event.currentTarget.value)}>
        ${WAITS.map(([value, words]) => html`<option key=${value} value=${value}>${words}</option>`)}</select></div>
    <//>`;
}

/** @param {{ file: { before: string, after: string } }} props */
function FileCount({ file }) {
  const { added, removed } = difference(file.before, file.after);
  return html`<${DiffCount} added=${added} removed=${removed} />`;
}
