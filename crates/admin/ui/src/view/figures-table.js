// A chart as a table, for the keyboard and for those who do not see it. It is made when it is asked for.

import { html, useState } from "../html.js";
import { Time } from "./time.js";

/** Rows at most; a longer course is shown in steps. */
const ROWS_MAX = 60;

/**
 * @param {object} props
 * @param {string} props.label
 * @param {number[]} props.times
 * @param {import("./chart.js").Line[]} props.lines
 * @param {import("./chart.js").ChartMark[]} props.marks
 * @param {(value: number | null | undefined) => string} props.format
 */
export function FiguresTable({ label, times, lines, marks, format }) {
  const [isOpen, setOpen] = useState(false);
  const step = Math.max(1, Math.ceil(times.length / ROWS_MAX));
  const positions = [];
  for (let at = times.length - 1; isOpen && at >= 0; at -= step) positions.push(at);
  return html`<details class="figures" onToggle=${(/** @type {Event & { currentTarget: HTMLDetailsElement }} */ event) => setOpen(event.currentTarget.open)}>
    <summary>Figures<span class="hidden"> of ${label}</span></summary>
    ${isOpen ? html`<div class="table-box figures-box" tabindex="0" role="region" aria-label=${`Figures of ${label}`}><table class="table">
      <thead><tr><th scope="col">Time</th>${lines.map((line) => html`<th scope="col" class="number">${line.label}</th>`)}<th scope="col">Changes</th></tr></thead>
      <tbody>${positions.map((at) => html`<tr key=${times[at]}><td><${Time} at=${times[at] * 1000} /></td>
        ${lines.map((line) => html`<td class="number">${format(line.values[at])}</td>`)}
        <td>${marks.filter((mark) => mark.at >= times[at] && (at + step >= times.length || mark.at < times[at + step])).map((mark) => mark.text).join("; ")}</td></tr>`)}</tbody>
    </table></div>` : null}</details>`;
}
