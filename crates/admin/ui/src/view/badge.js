// A state in a word or two, with a sign of its own beside its colour.

import { html } from "../html.js";

/** @typedef {"good" | "warn" | "bad" | "info" | "none"} Tone */

/** @type {Record<Tone, string>} */
const SIGNS = { good: "●", warn: "▲", bad: "■", info: "◆", none: "○" };

/**
 * @param {object} props
 * @param {Tone} props.tone
 * @param {string} [props.title]
 * @param {import("../html.js").Children} props.children
 */
export function Badge({ tone, title, children }) {
  return html`<span class=${`badge ${tone}`} title=${title}><span class="sign" aria-hidden="true">${SIGNS[tone]}</span>${children}</span>`;
}
