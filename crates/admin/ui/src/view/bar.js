// Weights as a bar: one part for each arm, with its letter and a pattern of its own, as colours alone are not for all.

import { html } from "../html.js";
import { arms } from "../model/weights.js";

/**
 * @param {object} props
 * @param {{ service: string, live: number, declared: number }[]} props.weights in the order of the config
 */
export function WeightBar({ weights }) {
  const parts = arms(weights);
  const text = parts.map((part) => `${part.letter} ${part.service}: ${part.text}`).join(", ");
  return html`<span class="bar" role="img" aria-label=${text} title=${text}>
    ${parts.filter((part) => part.share > 0).map((part) => html`<span key=${part.service} class=${`arm arm-${part.letter.toLowerCase()}`}
      style=${{ flexGrow: part.share * 1000 }}>${part.share >= 0.12 ? part.letter : ""}</span>`)}
  </span>`;
}
