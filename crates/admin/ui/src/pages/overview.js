// The first page: whether all is well, and what has changed.

import { html } from "../html.js";

export function Overview() {
  return html`<h1>Overview</h1>`;
}
