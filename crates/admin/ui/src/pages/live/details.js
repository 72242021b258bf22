// A request of the live log with all that the log has about it.

import { html } from "../../html.js";
import { printable } from "../../model/explained.js";
import { reason } from "../../model/failure.js";
import { bytes, count, cut, ms } from "../../model/format.js";
import { targetOf } from "../../model/tail.js";
import { toQuery, BLANK } from "../../model/question.js";
import { link } from "../../router.js";
import { Button } from "../../view/button.js";
import { Dialog } from "../../view/dialog.js";
import { Time } from "../../view/time.js";

/** @typedef {import("../../model/tail.js").LogLine} LogLine */

/**
 * @param {object} props
 * @param {LogLine} props.line
 * @param {() => void} props.onClose
 */
export function LogDetails({ line, onClose }) {
  const target = targetOf(line);
  const ask = toQuery({ ...BLANK, method: line.method, url: `http://${line.host}${target}`, client: line.client ?? "" }).query;
  /** @type {[string, import("../../html.js").Children][]} */
  const facts = [
    ["Time", html`<${Time} at=${line.time} />`],
    ["Status", line.status === 0 ? "none: no response was sent" : String(line.status)],
    ["gRPC status", line.grpc_status === null ? null : String(line.grpc_status)],
    ["Result", line.failed ? `failed: ${reason(line)}; ended by the ${line.ended_by}` : `${line.refused_by ? "refused, which is no failure" : "succeeded"}; ended by the ${line.ended_by}`],
    ["Detail", line.failed ? null : line.detail],
    ["In the log", line.reason],
    ["Refused by", line.refused_by ?? null],
    ["Identity", line.identity ?? null],
    ["Host", line.host],
    ["Client", line.client ?? "none: a unix socket"],
    ["Route", line.route === null ? "none" : html`<a href=${link(["routes", line.route])}>${line.route}</a>`],
    ["Service", line.service ?? "none: the gateway responded itself"],
    ["Endpoint", line.endpoint ?? "none"],
    ["Took", `${ms(line.duration_ms)}${line.upstream_ms === null ? "" : `, of which ${ms(line.upstream_ms)} at the service`}`],
    ["Retries", count(line.retries)],
    ["Body sent", bytes(line.bytes)],
    ["Revision", String(line.revision)],
    ["Request id", html`<code>${line.request_id}</code>`],
  ];
  const short = cut(printable(target), 64);
  return html`<${Dialog} title=${`${line.method} ${short}`} onClose=${onClose}>
    ${short === target ? null : html`<p class="live-target"><code>${printable(target)}</code></p>`}
    <dl class="facts">${facts.filter(([, value]) => value !== null).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${typeof value === "string" ? printable(value) : value}</dd>`)}</dl>
    <div class="dialog-actions"><a class="button" href=${link(["ask"], ask)}>Ask about it</a>
      <${Button} look="main" onPress=${onClose}>Close<//></div><//>`;
}
