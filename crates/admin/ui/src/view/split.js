// The services of a route in a cell: a bar for several, a name for one, a word for a route without any.

import { html } from "../html.js";
import { arms } from "../model/weights.js";
import { WeightBar } from "./bar.js";

/** The word for an action that has no service. */
const WORDS = /** @type {Record<string, string>} */ ({ redirect: "redirects", respond: "responds itself" });

/**
 * @param {object} props
 * @param {{ action: string, arms: { service: string, live: number, declared: number }[] }} props.route
 * @param {boolean} [props.isShort] the bar alone
 */
export function SplitBar({ route, isShort }) {
  const weights = route.arms;
  if (weights.length === 0) return html`<span class="muted">${WORDS[route.action] ?? route.action}</span>`;
  if (weights.length === 1) return html`<span class="cut" title=${weights[0].service}>${weights[0].service}</span>`;
  const parts = arms(weights);
  const isDialed = parts.some((part) => part.isDialed);
  const text = parts.filter((part) => part.share > 0).map((part) => `${part.service} ${part.text}`).join(" · ");
  return html`<span class="split">
    <span class="split-bars"><${WeightBar} weights=${weights} />
      ${isDialed ? html`<span class="bar declared" aria-hidden="true">${parts.filter((part) => part.declaredShare > 0).map((part) => html`<span key=${part.service} class=${`arm arm-${part.letter.toLowerCase()}`} style=${{ flexGrow: part.declaredShare * 1000 }}></span>`)}</span>` : null}</span>
    ${isShort ? null : html`<span class="cut split-text" title=${text}>${text}</span>`}</span>`;
}
