// An error as the command line says it: the message, the places in the config, the hints.

import { html } from "../html.js";
import { ApiError } from "../api/client.js";
import { Button } from "./button.js";

/** @typedef {import("../api/types.js").Diagnostic} Diagnostic */

/**
 * @param {object} props
 * @param {Error} props.error
 * @param {() => void} [props.onRetry]
 */
export function Problem({ error, onRetry }) {
  const known = error instanceof ApiError ? error : null;
  const title = known && known.status > 0 ? `${known.status} ${known.title}` : (known?.title ?? "Fault of the dashboard");
  return html`<div class="problem" role="alert">
    <p class="problem-title"><span aria-hidden="true">■ </span>${title}</p>
    ${error.message && error.message !== known?.title ? html`<p>${error.message}</p>` : null}
    ${known && known.diagnostics.length > 0 ? html`<${Diagnostics} list=${known.diagnostics} />` : null}
    ${onRetry ? html`<p><${Button} onPress=${onRetry}>Try again<//></p>` : null}
  </div>`;
}

/**
 * @param {object} props
 * @param {Diagnostic[]} props.list
 */
export function Diagnostics({ list }) {
  return html`<ul class="diagnostics">${list.map((one) => html`<li class=${one.severity}>
    <b>${one.severity}${one.code ? ` [${one.code}]` : ""}</b>: ${one.message}
    ${(one.labels ?? []).map((label) => html`<div class="place"><code>${label.file}:${label.line}:${label.column}</code> ${label.text}</div>`)}
    ${one.help ? html`<div class="hint">hint: ${one.help}</div>` : null}
  </li>`)}</ul>`;
}
