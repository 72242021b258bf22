// An editor for texts of lines: a plain text field, with numbers beside it and marks behind it. The tabulator leaves it.

import { html, useEffect, useLayoutEffect, useMemo, useRef } from "../html.js";
import { range } from "../model/findings.js";

/** @typedef {import("../model/findings.js").Spot & { severity: "error" | "warning", message: string }} EditorMark */

/** Pixels of a line, as in the style. */
const LINE = 20;
/** Marks that are drawn; more are in the list beside the editor. */
const MARKS_MAX = 200;

/**
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.text
 * @param {(text: string) => void} props.onInput
 * @param {EditorMark[]} props.marks
 * @param {{ from: number, to: number }[]} props.changed lines that are not as in force, from 0
 * @param {boolean} props.isReadOnly
 * @param {{ spot: import("../model/findings.js").Spot } | null} props.reveal a place to go to, anew for each new object
 * @param {string} [props.describedBy]
 */
export function Editor({ label, text, onInput, marks, changed, isReadOnly, reveal, describedBy }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const gutter = useRef(/** @type {HTMLDivElement | null} */ (null));
  const overlay = useRef(/** @type {HTMLDivElement | null} */ (null));
  const lines = useMemo(() => countLines(text), [text]);
  const numbers = useMemo(() => Array.from({ length: lines }, (_, at) => at + 1).join("\n"), [lines]);

  function follow() {
    const { scrollTop = 0, scrollLeft = 0 } = field.current ?? {};
    if (gutter.current) gutter.current.style.transform = `translateY(${-scrollTop}px)`;
    if (overlay.current) overlay.current.style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
  }
  useLayoutEffect(follow);

  useEffect(() => {
    const element = field.current;
    if (!reveal || !element) return;
    const [begin, end] = range(element.value, reveal.spot);
    element.focus({ preventScroll: true });
    element.setSelectionRange(begin, end);
    element.scrollTop = Math.max(0, (reveal.spot.line - 1) * LINE - element.clientHeight / 3);
    element.scrollLeft = 0;
    element.scrollIntoView({ block: "nearest" });
    follow();
  }, [reveal]);

  /** @param {KeyboardEvent} event */
  function indent(event) {
    const element = field.current;
    if (event.key !== "Enter" || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || !element || isReadOnly) return;
    const before = element.value.slice(0, element.selectionStart);
    const space = /^ */.exec(before.slice(before.lastIndexOf("\n") + 1))?.[0] ?? "";
    // The browser's own way of typing keeps the history for undo.
    if (space !== "" && document.execCommand("insertText", false, `\n${space}`)) event.preventDefault();
  }

  const drawn = useMemo(() => placed(text, marks.slice(0, MARKS_MAX)), [text, marks]);
  return html`<div class="editor">
    <div class="editor-gutter" aria-hidden="true"><div ref=${gutter}>
      ${changed.map((lines) => html`<span key=${`c${lines.from}`} class="editor-changed" style=${{ top: `${lines.from * LINE}px`, height: `${Math.max(lines.to - lines.from, 0) * LINE || 3}px` }}></span>`)}
      ${drawn.map((mark, at) => html`<span key=${at} class=${`editor-sign ${mark.severity}`} style=${{ top: `${(mark.line - 1) * LINE}px` }}>${mark.severity === "error" ? "■" : "▲"}</span>`)}
      <pre>${numbers}</pre></div></div>
    <div class="editor-body">
      <div class="editor-marks" aria-hidden="true"><div ref=${overlay}>${drawn.map((mark, at) => html`<div key=${at} class=${`editor-mark ${mark.severity}`} style=${{ top: `${(mark.line - 1) * LINE}px` }}>
        <span class="editor-lead">${mark.lead}</span><span class="editor-word">${mark.word}</span><span class="editor-lead">${mark.rest}</span>${mark.isFirst ? html`<span class="editor-message">${mark.message}</span>` : null}</div>`)}</div></div>
      <textarea ref=${field} value=${text} wrap="off" spellcheck=${false} autocapitalize="off" autocomplete="off" readOnly=${isReadOnly} aria-label=${label} aria-describedby=${describedBy}
        onScroll=${follow} onKeyDown=${indent} onInput=${(/** @type {InputEvent & { currentTarget: HTMLTextAreaElement }} */ event) => onInput(event.currentTarget.value)}></textarea>
    </div></div>`;
}

/** @param {string} text */
function countLines(text) {
  let lines = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}

/**
 * The marks with the words that they are about, each in its first line.
 * @param {string} text
 * @param {EditorMark[]} marks
 */
function placed(text, marks) {
  const seen = new Set();
  return marks.map((mark) => {
    const [begin, end] = range(text, mark);
    const from = text.lastIndexOf("\n", begin - 1) + 1;
    const next = text.indexOf("\n", begin);
    const stop = next < 0 ? text.length : next;
    const isFirst = !seen.has(mark.line);
    seen.add(mark.line);
    const to = Math.min(Math.max(end, begin + 1), Math.max(stop, begin));
    return { ...mark, isFirst, lead: text.slice(from, begin), word: text.slice(begin, to) || "\u00a0", rest: text.slice(to, stop) };
  });
}
