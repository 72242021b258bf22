// A sentence of the gateway, with its literals as such.

import { html } from "../html.js";
import { cut } from "../model/format.js";

/** Characters of a literal before it is cut in the middle. */
const SHOWN = 48;

/** @param {{ text: string }} props literals are in backticks */
export function Prose({ text }) {
  return html`<span>${text.split("`").map((part, at) => (at % 2 === 1 ? html`<code title=${part}>${cut(part, SHOWN)}</code>` : part))}</span>`;
}
