// A line of a few pixels: the course of a figure beside its present value.

import { html } from "../html.js";

const WIDTH = 96;
const HEIGHT = 20;

/**
 * @param {object} props
 * @param {(number | null)[]} props.values
 * @param {string} props.label such as `Requests of the last 10 minutes`
 * @param {string} [props.tone] a class with a colour
 * @param {number} [props.max] the top; by default the highest value
 */
export function Sparkline({ values, label, tone = "", max }) {
  const top = Math.max(max ?? 0, ...values.map((value) => value ?? 0), Number.MIN_VALUE);
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  let path = "";
  let isOpen = false;
  values.forEach((value, at) => {
    if (value === null) {
      isOpen = false;
      return;
    }
    const y = HEIGHT - 1 - (value / top) * (HEIGHT - 2);
    path += `${isOpen ? "L" : "M"}${(at * step).toFixed(1)} ${y.toFixed(1)}`;
    // A lone value is a dot.
    if (!isOpen && (values[at + 1] ?? null) === null) path += "h.01";
    isOpen = true;
  });
  return html`<svg class=${`sparkline ${tone}`} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} width=${WIDTH} height=${HEIGHT}
    role="img" aria-label=${label} preserveAspectRatio="none"><path d=${path} /></svg>`;
}
