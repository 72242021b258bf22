// The question: a form, into which a line for curl can be pasted.

import { html, useId, useState } from "../../html.js";
import { fromCurl, headersOf, isCurl, toQuery } from "../../model/question.js";
import { Button } from "../../view/button.js";
import { Field } from "../../view/field.js";

/** @typedef {import("../../model/question.js").Question} Question */

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/**
 * @param {object} props
 * @param {Question} props.question
 * @param {(question: Question) => void} props.onChange
 * @param {(question: Question) => void} props.onAsk
 * @param {boolean} props.isBusy
 */
export function AskForm({ question, onChange, onAsk, isBusy }) {
  const id = useId();
  const [fault, setFault] = useState(/** @type {string | null} */ (null));
  const { headers, fault: headerFault } = headersOf(question.headers);
  const { left } = toQuery(question);
  const methods = METHODS.includes(question.method) ? METHODS : [question.method, ...METHODS];

  /** @param {string} line */
  function takeCurl(line) {
    const next = fromCurl(question, line);
    if ("fault" in next) {
      setFault(next.fault);
      onChange({ ...question, url: line });
      return null;
    }
    setFault(null);
    onChange(next);
    return next;
  }

  /** @param {ClipboardEvent} event */
  function paste(event) {
    const text = event.clipboardData?.getData("text") ?? "";
    if (!isCurl(text)) return;
    event.preventDefault();
    takeCurl(text);
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    const next = isCurl(question.url) ? takeCurl(question.url) : question;
    if (next === null) return;
    if (next.url.trim() === "") setFault("Type a URL such as http://api.example.com/users/7, or paste a curl line.");
    else if (headersOf(next.headers).fault === null) onAsk(next);
  }

  /** @param {Partial<Question>} part */
  const set = (part) => onChange({ ...question, ...part });
  /** @typedef {Event & { currentTarget: HTMLInputElement & HTMLTextAreaElement & HTMLSelectElement }} Input */
  return html`<form class="panel ask-form" onSubmit=${submit} aria-label="Question">
    <div class="ask-line">
      <div class="field"><label for=${`${id}-method`}>Method</label>
        <select id=${`${id}-method`} value=${question.method} onChange=${(/** @type {Input} */ event) => set({ method: event.currentTarget.value })}>
          ${methods.map((method) => html`<option key=${method} value=${method}>${method}</option>`)}</select></div>
      <div class="field ask-url"><label for=${`${id}-url`}>URL, or a curl line</label>
        <input id=${`${id}-url`} type="text" value=${question.url} placeholder="http://api.example.com/users/7" autocomplete="off" autocapitalize="off" spellcheck=${false}
          aria-invalid=${fault ? "true" : undefined} aria-describedby=${fault ? `${id}-fault` : undefined} onPaste=${paste}
          onInput=${(/** @type {Input} */ event) => { setFault(null); set({ url: event.currentTarget.value }); }} /></div>
      <${Button} type="submit" look="main" isBusy=${isBusy}>Ask<//>
    </div>
    ${fault ? html`<p id=${`${id}-fault`} class="note error" role="alert">${fault}</p>` : null}
    <div class="ask-more">
      <div class="field ask-headers"><label for=${`${id}-headers`}>Headers, one a line</label>
        <textarea id=${`${id}-headers`} rows=${Math.min(8, Math.max(2, headers.length + 1))} value=${question.headers} placeholder="x-api-version: 2" spellcheck=${false} autocapitalize="off"
          aria-invalid=${headerFault ? "true" : undefined} aria-describedby=${`${id}-header-note`}
          onInput=${(/** @type {Input} */ event) => set({ headers: event.currentTarget.value })}></textarea>
        <p id=${`${id}-header-note`} class=${headerFault ? "note error" : "note"}>${headerFault
          ? `“${headerFault}” is no header: write name: value.`
          : left.length > 0 ? `Left out of this page’s address, as it may be secret: ${[...new Set(left)].join(", ")}.` : "The question is in this page’s address, to be shared; what may be a secret is left out."}</p></div>
      <div class="ask-rest">
        <${Field} label="Client address" value=${question.client} placeholder="127.0.0.1" onInput=${(/** @type {string} */ client) => set({ client })} />
        <${Field} label="Listener" value=${question.listener} placeholder="the first that fits" onInput=${(/** @type {string} */ listener) => set({ listener })} />
        <label class="check"><input type="checkbox" checked=${question.all} onChange=${(/** @type {Input} */ event) => set({ all: event.currentTarget.checked })} />Rules of other hosts too</label>
      </div>
    </div></form>`;
}
