// A choice of one among a few.

import { html } from "../html.js";

/**
 * @param {object} props
 * @param {string} props.label
 * @param {{ id: string, title: string }[]} props.choices
 * @param {string} props.value
 * @param {(id: string) => void} props.onChoose
 */
export function Segments({ label, choices, value, onChoose }) {
  return html`<div class="segments" role="group" aria-label=${label}>${choices.map(({ id, title }) => html`<button key=${id}
    type="button" aria-pressed=${id === value ? "true" : "false"} onClick=${() => onChoose(id)}>${title}</button>`)}</div>`;
}
