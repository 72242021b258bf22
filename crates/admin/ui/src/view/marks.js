// Changes across a chart: a line for each, or one for several that are near each other.

import { html } from "../html.js";
import { moment } from "../model/format.js";
import { clusters } from "../model/marks.js";

/** Pixels between two marks that are told apart. */
const APART = 10;
/** Pixels that a label takes. */
const LABEL_WIDTH = 64;

/**
 * @param {object} props
 * @param {import("./chart.js").ChartMark[]} props.marks
 * @param {number} props.begin
 * @param {number} props.end
 * @param {{ left: number, width: number }} props.area
 */
export function Marks({ marks, begin, end, area }) {
  if (area.width === 0 || end <= begin) return null;
  let free = 0;
  const placed = clusters(marks, begin, end, area.width, APART).map((cluster) => {
    const isAtEnd = cluster.x > area.width - LABEL_WIDTH;
    const from = isAtEnd ? cluster.x - LABEL_WIDTH : cluster.x;
    // A label that would lie on the one before is left out; its line remains.
    const isLabelled = from >= free;
    if (isLabelled) free = from + LABEL_WIDTH;
    return { ...cluster, isLabelled, isAtEnd };
  });
  return html`<ol class="marks" aria-label="Changes" style=${{ left: `${area.left}px`, width: `${area.width}px` }}>
    ${placed.map(({ x, marks: near, isLabelled, isAtEnd }) => {
      const texts = near.map((mark) => `${moment(mark.at * 1000)} ${mark.text}`);
      const label = near.length > 1 ? `${near.length} changes` : (near[0].label ?? "change");
      return html`<li key=${near[0].at} class=${`mark ${near[near.length - 1].tone ?? ""}${isAtEnd ? " at-end" : ""}`} style=${{ left: `${x}px` }} title=${texts.join("\n")}>
        <span class=${isLabelled ? "mark-label" : "hidden"}>${label}</span><span class="hidden">${texts.join("; ")}</span></li>`;
    })}</ol>`;
}
