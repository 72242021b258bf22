// Nothing to show: what would be here, and how it comes.

import { html } from "../html.js";

/**
 * @param {object} props
 * @param {string} props.title such as `No requests yet`
 * @param {string} [props.command] a command that fills it
 * @param {import("../html.js").Children} [props.children]
 */
export function Empty({ title, command, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>
    ${children ? html`<p>${children}</p>` : null}
    ${command ? html`<pre><code>${command}</code></pre>` : null}</div>`;
}
