// An arm by its letter and the name of its service.

import { html } from "../html.js";

/**
 * @param {object} props
 * @param {string} props.letter
 */
export function ArmSign({ letter }) {
  return html`<span class=${`arm-sign arm-${letter.toLowerCase()}`} aria-hidden="true">${letter}</span>`;
}

/**
 * @param {object} props
 * @param {string} props.letter
 * @param {string} props.service
 */
export function ArmName({ letter, service }) {
  return html`<span class="arm-name"><${ArmSign} letter=${letter} /><span class="hidden">Arm ${letter}: </span><span class="cut" title=${service}>${service}</span></span>`;
}
