// Latencies of arms as histograms that lie over each other, on a logarithmic scale.

import { html } from "../html.js";
import { ms, percent } from "../model/format.js";
import { grid, ticks } from "../model/histogram.js";
import { useNarrow } from "../state/media.js";
import { Swatch } from "./chart.js";

const WIDTH = 400;
const HEIGHT = 118;

/**
 * @param {object} props
 * @param {{ service: string, letter: string, buckets: import("../api/route-types.js").Bucket[], p50: number | null, p99: number | null }[]} props.arms
 */
export function Histogram({ arms }) {
  const isNarrow = useNarrow();
  const drawn = grid(arms.map((arm) => arm.buckets));
  if (drawn === null) return html`<p class="note">No requests.</p>`;
  const x = (/** @type {number} */ step) => (step / drawn.length) * WIDTH;
  const y = (/** @type {number} */ share) => HEIGHT - (share / drawn.top) * (HEIGHT - 6);
  const text = arms.map((arm) => `${arm.service}: median ${ms(arm.p50)}, p99 ${ms(arm.p99)}`).join("; ");
  const labels = ticks(drawn, isNarrow ? 5 : 8);
  return html`<figure class="histogram">
    <figcaption class="legend">${arms.map((arm, at) => html`<span key=${arm.service} class="legend-item"><${Swatch} colour=${`--chart-${at + 1}`} isDashed=${at % 2 === 1} /><span class="cut" title=${arm.service}>${arm.letter} ${arm.service}</span> <b>${ms(arm.p50)}</b></span>`)}</figcaption>
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`Histogram of latencies. ${text}`}>
      ${labels.map(({ ms, step }) => html`<line key=${ms} class="histogram-grid" x1=${x(step)} x2=${x(step)} y1="0" y2=${HEIGHT} />`)}
      ${arms.map((arm, at) => {
        const steps = drawn.shares[at].map((share, step) => `L${x(step).toFixed(1)} ${y(share).toFixed(1)}H${x(step + 1).toFixed(1)}`).join("");
        return html`<path key=${arm.service} d=${`M0 ${HEIGHT}${steps}L${WIDTH} ${HEIGHT}Z`} style=${{ stroke: `var(--chart-${at + 1})`, fill: `var(--chart-${at + 1})` }} stroke-dasharray=${at % 2 === 1 ? "4 2" : undefined} />`;
      })}
    </svg>
    <div class="histogram-axis" aria-hidden="true">${labels.map(({ ms: at, step }) => html`<span key=${at} style=${{ left: `${(step / drawn.length) * 100}%` }}>${ms(at, true)}</span>`)}</div>
    <p class="note">Share of the requests of each service, up to ${percent(drawn.top)} a step.</p>
  </figure>`;
}
