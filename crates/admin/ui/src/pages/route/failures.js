// Failed requests of a route, as far as the gateway keeps samples, with the reason of each.

import { html, useState } from "../../html.js";
import { usePoll } from "../../api/poll.js";
import { ms } from "../../model/format.js";
import { reason } from "../../model/failure.js";
import { Button } from "../../view/button.js";
import { Empty } from "../../view/empty.js";
import { OfInstance } from "../../view/instance.js";
import { Panel } from "../../view/panel.js";
import { Time } from "../../view/time.js";
import { pathOf } from "./data.js";

/** @typedef {import("../../api/route-types.js").Failure} Failure */

/** Failures that are shown at first. */
const SHOWN = 10;

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 */
export function Failures({ route }) {
  const [isAll, setAll] = useState(false);
  const polled = usePoll(`${pathOf(route.name)}/failures`, 5000);
  const data = /** @type {{ failures: Failure[], failures_max: number } | null} */ (polled.data);
  const failures = data?.failures ?? [];
  const shown = isAll ? failures : failures.slice(0, SHOWN);
  const aside = data && failures.length > 0 ? html`<span class="muted" title="Some of them, of each kind at least one. Bodies, queries and secrets are not kept.">the latest ${failures.length} samples <${OfInstance} /></span>` : null;
  return html`<${Panel} title="Failed requests" aside=${aside} polled=${polled} isEmpty=${data !== null && failures.length === 0} lines=${6}
    empty=${html`<${Empty} title="No request has failed">Samples of those that do are kept here, with the reason.<//>`}>
    <ul class="failures">${shown.map((failure) => html`<${Sample} key=${`${failure.time} ${failure.endpoint} ${failure.path}`} failure=${failure} />`)}</ul>
    ${failures.length > SHOWN ? html`<p class="more"><${Button} look="quiet" onPress=${() => setAll(!isAll)}>${isAll ? "Fewer" : `All ${failures.length}`}<//></p>` : null}
  <//>`;
}

/**
 * @param {object} props
 * @param {Failure} props.failure
 */
function Sample({ failure }) {
  const request = `${failure.method} ${failure.host}${failure.path}`;
  return html`<li><details><summary>
    <span class="failure-head"><${Time} at=${failure.time} /> <span class="failing">${failure.status === 0 ? "no status" : failure.status}</span> <code class="cut" title=${request}>${request}</code></span>
    <span class="failure-why">${failure.service ? html`<b class="cut" title=${failure.service}>${failure.service}</b>` : null}<span class="cut" title=${reason(failure)}>${reason(failure)}</span></span></summary>
    <${Facts} failure=${failure} request=${request} /></details></li>`;
}

/**
 * @param {object} props
 * @param {Failure} props.failure
 * @param {string} props.request
 */
function Facts({ failure, request }) {
  /** @type {[string, string | null][]} */
  const facts = [
    ["Request", request],
    ["Reason", `${reason(failure)}; ended by the ${failure.ended_by}`],
    ["In the log", failure.reason],
    ["Service", failure.service],
    ["Endpoint", failure.endpoint],
    ["grpc-status", failure.grpc_status === null ? null : String(failure.grpc_status)],
    ["Duration", ms(failure.duration_ms)],
    ["Revision", String(failure.revision)],
    ["Request id", failure.request_id],
  ];
  return html`<dl class="pairs">${facts.filter(([, value]) => value !== null).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    <div><dt>Headers</dt><dd>${failure.headers === null ? html`<span class="muted">gone by then</span>` : html`<ul class="headers">${failure.headers.map(([name, value], at) => html`<li key=${at}><code>${name}: ${value === null
      ? html`<span class="muted" title="Values are shown of the headers that show_headers of admin names.">hidden</span>` : value}</code></li>`)}</ul>`}</dd></div></dl>`;
}
