// The difference of two texts, line by line.

import { html, useMemo } from "../html.js";
import { count } from "../model/format.js";
import { difference } from "../model/diff.js";

/** Lines that are drawn. */
const LINES_MAX = 2000;

const SIGNS = { same: " ", added: "+", removed: "−", gap: "" };
const WORDS = { same: "", added: "added: ", removed: "removed: ", gap: "" };

/**
 * @param {object} props
 * @param {string} props.name of the file
 * @param {string} props.before
 * @param {string} props.after
 * @param {string} [props.label]
 */
export function Diff({ name, before, after, label = "Changes of" }) {
  const { lines, added, removed, note } = useMemo(() => difference(before, after), [before, after]);
  return html`<figure class="diff"><figcaption><code class="cut" title=${name}>${name}</code> <${DiffCount} added=${added} removed=${removed} /></figcaption>
    <div class="diff-box" tabindex="0" role="region" aria-label=${`${label} ${name}`}><table><tbody>
      ${lines.slice(0, LINES_MAX).map((line, at) => (line.kind === "gap"
        ? html`<tr key=${at} class="gap"><td colspan="4">${count(line.hidden)} ${line.hidden === 1 ? "line" : "lines"} alike</td></tr>`
        : html`<tr key=${at} class=${line.kind}><td class="diff-number">${line.before ?? ""}</td><td class="diff-number">${line.after ?? ""}</td><td class="diff-sign" aria-hidden="true">${SIGNS[line.kind]}</td><td class="diff-text"><span class="hidden">${WORDS[line.kind]}</span>${line.text}</td></tr>`))}
    </tbody></table></div>
    ${lines.length > LINES_MAX ? html`<p class="note">${count(lines.length - LINES_MAX)} more lines are not shown.</p>` : null}
    ${note ? html`<p class="note">${note}</p>` : null}</figure>`;
}

/** @param {{ added: number, removed: number }} props */
export const DiffCount = ({ added, removed }) => html`<span class="diff-count number"><span class="plus">+${count(added)}</span> <span class="minus">−${count(removed)}</span></span>`;

/**
 * @param {object} props
 * @param {{ name: string, before: string, after: string }[]} props.files
 * @param {string} [props.label]
 */
export const Diffs = ({ files, label }) => html`<div class="diffs">${files.map((file) => html`<${Diff} key=${file.name} name=${file.name} before=${file.before} after=${file.after} label=${label} />`)}</div>`;
