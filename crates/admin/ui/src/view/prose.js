// A sentence of the gateway, with its literals as such.

import { html } from "../html.js";

/** @param {{ text: string }} props literals are in backticks */
export function Prose({ text }) {
  return html`<span>${text.split("`").map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))}</span>`;
}
