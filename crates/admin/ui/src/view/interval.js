// An interval on a scale from 0, so that those of several rows can be compared by eye.

import { html } from "../html.js";
import { percent } from "../model/format.js";

const WIDTH = 100;

/**
 * @param {object} props
 * @param {number} props.low a share, from 0 to 1
 * @param {number} props.high
 * @param {number} props.at the share that was seen
 * @param {number} props.top the end of the scale
 */
export function Interval({ low, high, at, top }) {
  const place = (/** @type {number} */ share) => Math.min(WIDTH, (share / top) * WIDTH);
  const text = `${percent(low)} to ${percent(high)}`;
  return html`<span class="interval"><svg viewBox=${`0 0 ${WIDTH} 12`} preserveAspectRatio="none" aria-hidden="true">
    <line class="interval-ground" x1="0" x2=${WIDTH} y1="6" y2="6" /><line class="interval-range" x1=${place(low)} x2=${Math.max(place(high), place(low) + 1)} y1="6" y2="6" />
    <line class="interval-point" x1=${place(at)} x2=${place(at)} y1="1" y2="11" /></svg><span class="interval-text">${text}</span></span>`;
}
