// Names that lead to their pages. A long one is cut, and told in full on hover.

import { html } from "../html.js";
import { cut } from "../model/format.js";
import { link } from "../router.js";

/** Characters of a name before it is cut in the middle. The column may cut it further at its end. */
const SHOWN = 64;

/** @param {{ name: string }} props */
export function RouteName({ name }) {
  if (name === "") return html`<span class="muted" title="Requests that no route takes">no route</span>`;
  return html`<a class="cut" href=${link(["routes", name])} title=${name}>${cut(name, SHOWN)}</a>`;
}

/** @param {{ name: string }} props */
export function ServiceName({ name }) {
  return html`<a class="cut" href=${link(["services", name])} title=${name}>${cut(name, SHOWN)}</a>`;
}
