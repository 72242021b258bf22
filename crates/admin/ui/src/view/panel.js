// A part of a page with its four states: loading, empty, an error, or data. What is known stays when news fail.

import { html } from "../html.js";
import { Problem } from "./problem.js";

/**
 * @param {object} props
 * @param {string} props.title
 * @param {import("../html.js").Children} [props.aside] beside the title
 * @param {{ data: unknown, error: Error | null, refresh?: () => unknown }} [props.polled]
 * @param {boolean} [props.isEmpty]
 * @param {import("../html.js").Children} [props.empty]
 * @param {number} [props.lines] the lines that the panel will have, so that nothing jumps when they come
 * @param {string} [props.class]
 * @param {import("../html.js").Children} [props.children]
 */
export function Panel({ title, aside, polled, isEmpty, empty, lines = 3, class: name = "", children }) {
  let body = children;
  if (polled && polled.data === null) {
    body = polled.error
      ? html`<${Problem} error=${polled.error} onRetry=${polled.refresh} />`
      : html`<${Loading} lines=${lines} />`;
  } else if (isEmpty) {
    body = empty;
  }
  // A lost gateway has a banner for the whole page.
  const error = polled && polled.data !== null ? polled.error : null;
  const isOwn = error !== null && !("status" in error && error.status === 0);
  return html`<section class=${`panel ${name}`}>
    <header class="panel-head"><h2>${title}</h2>${aside}</header>
    ${isOwn ? html`<${Problem} error=${error} onRetry=${polled?.refresh} />` : null}
    ${body}</section>`;
}

/**
 * @param {object} props
 * @param {number} [props.lines]
 */
export function Loading({ lines = 3 }) {
  const bars = Array.from({ length: lines }, (_, at) => html`<span key=${at} class="skeleton"></span>`);
  return html`<div class="loading" aria-busy="true"><span class="hidden">Loading…</span>${bars}</div>`;
}
