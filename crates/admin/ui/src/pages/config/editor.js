// The texts of the config in an editor, checked by the gateway as one types.

import { useConfig } from "../../api/config.js";
import { usePoll } from "../../api/poll.js";
import { html, useEffect, useMemo, useState } from "../../html.js";
import { bytes } from "../../model/format.js";
import { changes, linesOf } from "../../model/diff.js";
import { changedFiles, edited, filesOf, isEdited, textIn } from "../../model/draft.js";
import { useCheck } from "../../state/check.js";
import { draft, isKept } from "../../state/draft.js";
import { useRights } from "../../state/session.js";
import { useStore } from "../../state/store.js";
import { Button } from "../../view/button.js";
import { Diffs } from "../../view/diff.js";
import { Confirm } from "../../view/dialog.js";
import { Editor } from "../../view/editor.js";
import { Empty } from "../../view/empty.js";
import { Lines } from "../../view/lines.js";
import { Loading } from "../../view/panel.js";
import { Problem } from "../../view/problem.js";
import { Apply } from "./apply.js";
import { Effect, Findings } from "./check.js";
import { FileBar } from "./files.js";
import { Overtaken } from "./overtaken.js";

/** @typedef {import("../../model/draft.js").Draft} Draft */
/** @typedef {import("../../model/findings.js").Spot} Spot */

/** Milliseconds after the last key until lines are compared. */
const COMPARED = 300;
/** Letters of a text that a browser edits without a halt. */
const LETTERS_MAX = 2_000_000;

export function ConfigEditor() {
  const config = useConfig();
  const status = /** @type {import("../../api/types.js").Status | null} */ (usePoll("/api/v1/status", 5000).data);
  const base = config.data;
  const now = useStore(draft);
  const keeps = useStore(isKept);
  const { canWrite, reason } = useRights();
  const [chosen, setChosen] = useState(/** @type {string | null} */ (null));
  const [reveal, setReveal] = useState(/** @type {{ spot: Spot } | null} */ (null));
  const [dialog, setDialog] = useState(/** @type {"apply" | "discard" | null} */ (null));
  const [isForced, setForced] = useState(false);
  const settled = useSettled(now);
  const isWorthIt = now !== null && (isEdited(now) || filesOf(now).every(({ text }) => text.length <= LETTERS_MAX));
  const check = useCheck(now, canWrite && isWorthIt);

  // A revision that came into force otherwise is asked for at once.
  useEffect(() => {
    if (base && status && status.revision !== base.revision) void config.refresh();
  }, [status?.revision]);

  // A draft that has no edits follows the config in force.
  useEffect(() => {
    if (!base) return;
    const own = draft.get();
    if (own === null || (!isEdited(own) && own.base.etag !== base.etag)) draft.set({ base, texts: {} });
    else if (own.base.etag === base.etag && own.base.revision !== base.revision) draft.set({ ...own, base });
  }, [base]);

  const different = useMemo(() => (base && settled && isEdited(settled) ? changedFiles(base.files, filesOf(settled)) : []), [base, settled]);
  if (!now) {
    return html`<section class="panel" aria-label="Text"><div class="body">${config.error ? html`<${Problem} error=${config.error} onRetry=${config.refresh} />` : html`<${Loading} lines=${16} />`}</div></section>`;
  }
  const files = filesOf(now);
  const file = files.find((one) => one.name === chosen) ?? files[0];
  const hasEdits = isEdited(now);
  const isLarge = (file?.text.length ?? 0) > LETTERS_MAX && !isForced;
  const isOvertaken = base !== null && hasEdits && base.etag !== now.base.etag;
  const marks = check.findings.flatMap((one) => one.spots.slice(0, 1).filter((spot) => spot.file === file?.name).map((spot) => ({ ...spot, severity: one.severity, message: one.message })));
  const applyReason = reason ?? (!hasEdits ? "There is nothing to apply: the text is the one in force."
    : isOvertaken ? "Another change came into force meanwhile: decide on that first."
    : check.state === "refused" && check.isCurrent ? "The config has errors." : null);

  /** @param {Spot} spot */
  function goTo(spot) {
    setChosen(spot.file);
    setReveal({ spot });
  }

  return html`
    ${canWrite ? null : html`<p class="notice">${reason} The text can be read; it cannot be edited, checked or applied.</p>`}
    ${isLarge ? html`<p class="notice large-text"><span>A text of ${bytes(file?.text.length)} is more than browsers edit at ease. Edit the file itself: the gateway takes it over when it changes.</span>
      ${canWrite ? html`<${Button} onPress=${() => setForced(true)}>Edit it here all the same<//>` : null}</p>` : null}
    ${keeps ? null : html`<p class="notice">The draft is too large to be kept by the browser: a reload of this page would lose it.</p>`}
    ${isOvertaken && base ? html`<${Overtaken} draft=${now} base=${base} />` : null}
    ${config.error && config.error.status !== 0 ? html`<${Problem} error=${config.error} onRetry=${config.refresh} />` : null}
    <div class="config-columns">
      <section class="panel config-text" aria-label="Text">
        <${FileBar} draft=${now} file=${file?.name ?? null} findings=${check.findings} canEdit=${canWrite} onChoose=${(/** @type {string} */ name) => { setChosen(name); setReveal(null); }}>
          <${Button} onPress=${() => setDialog("discard")} reason=${hasEdits ? null : "There are no edits."}>Discard<//>
          <${Button} look="main" onPress=${() => setDialog("apply")} reason=${applyReason}>Apply…<//><//>
        ${file && isLarge ? html`<${Lines} label=${`Text of ${file.name}`} text=${file.text} />` : file ? html`<${Editor} key=${file.name} label=${`Text of ${file.name}`} text=${file.text} isReadOnly=${!canWrite} marks=${marks} describedBy="config-check" reveal=${reveal && reveal.spot.file === file.name ? reveal : null}
            changed=${changedLines(now, settled, file.name)} onInput=${(/** @type {string} */ text) => draft.set(edited(now, file.name, text))} />`
          : html`<div class="body"><${Empty} title="No file">The config is an empty directory.<//></div>`}
      </section>
      <div class="config-side">
        <${Findings} check=${check} mayCheck=${canWrite} onGo=${goTo} />
        <${Effect} check=${check} hasEdits=${hasEdits} />
      </div></div>
    ${different.length > 0 ? html`<section class="panel"><header class="panel-head"><h2>Changes against what is in force</h2></header><div class="body"><${Diffs} files=${different} /></div></section>` : null}
    ${dialog === "apply" && base ? html`<${Apply} draft=${now} base=${base} check=${check} onClose=${() => setDialog(null)} />` : null}
    ${dialog === "discard" && base ? html`<${Confirm} title="Discard the edits?" action="Discard" isDanger=${true} onClose=${() => setDialog(null)} onConfirm=${async () => draft.set({ base, texts: {} })}>
      <p>The editor goes back to the text in force, revision ${base.revision}. The edits cannot be brought back.</p><//>` : null}`;
}

/**
 * The draft a moment after the last key.
 * @param {Draft | null} now
 * @returns {Draft | null}
 */
function useSettled(now) {
  const [settled, setSettled] = useState(now);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(now), COMPARED);
    return () => clearTimeout(timer);
  }, [now]);
  return settled;
}

/** @type {{ text: string, base: string, lines: { from: number, to: number }[] }} the last comparison */
let compared = { text: "", base: "", lines: [] };

/**
 * The lines that are not as in force. They are compared a moment after the last key.
 * @param {Draft} now
 * @param {Draft | null} settled
 * @param {string} name
 */
function changedLines(now, settled, name) {
  const text = settled?.texts[name];
  if (now.texts[name] === undefined || typeof text !== "string") return [];
  const base = textIn(now.base, name);
  if (compared.text !== text || compared.base !== base) {
    compared = { text, base, lines: changes(linesOf(base), linesOf(text)).map((change) => ({ from: change.after, to: change.after + change.added })) };
  }
  return compared.lines;
}
