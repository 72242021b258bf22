// The routes with the most failures, and the slowest ones.

import { html } from "../../html.js";
import { usePoll } from "../../api/poll.js";
import { useHealth } from "../../state/health.js";
import { count, ms, percent, rate } from "../../model/format.js";
import { sentence, toneOf } from "../../model/health.js";
import { Empty } from "../../view/empty.js";
import { OfInstances } from "../../view/instance.js";
import { RouteName } from "../../view/names.js";
import { Panel } from "../../view/panel.js";
import { Sparkline } from "../../view/sparkline.js";
import { Table } from "../../view/table.js";
import { link } from "../../router.js";

/** @typedef {import("../../api/types.js").RouteRow} RouteRow */
/** @typedef {import("../../api/types.js").RoutesPage} RoutesPage */

/** Milliseconds between two looks. */
const INTERVAL = 3000;
const SHOWN = 6;

/** @param {string} order */
const path = (order) => `/api/v1/routes?sort=${order}&limit=${SHOWN}&figures=true&window=1m`;

/** @param {{ route: RouteRow, what: "requests" | "failures" }} props */
function Course({ route, what }) {
  const sparkline = route.figures?.sparkline;
  if (!sparkline) return html`<span class="muted" title="The gateway keeps the course of the busiest and of failing routes.">–</span>`;
  return html`<${Sparkline} values=${sparkline[what]} tone=${what === "failures" ? "bad" : ""}
    label=${what === "failures" ? "Failures of the last ten minutes" : "Requests of the last ten minutes"} />`;
}

/** @type {import("../../view/table.js").Column<RouteRow>} */
const NAME = { title: "Route", isWide: true, cell: (row) => html`<${RouteName} name=${row.name} />` };

export function MostFailures() {
  const polled = /** @type {import("../../api/poll.js").Polled<RoutesPage>} */ (usePoll(path("failures"), INTERVAL));
  const rows = (polled.data?.routes ?? []).filter((row) => (row.figures?.failures ?? 0) > 0);
  const empty = html`<${Empty} title="No request has failed in the last minute" />`;
  return html`<${Panel} title="Most failures" polled=${polled} lines=${SHOWN} isEmpty=${rows.length === 0} empty=${empty}
    aside=${html`<${OfInstances} figures=${polled.data} /><a href=${link(["routes"], { search: "failing", sort: "failures" })}>All failing routes</a>`}>
    <${Table} label="Routes with the most failures in the last minute" rows=${rows} id=${(/** @type {RouteRow} */ row) => row.name} columns=${[
      NAME,
      { title: "Failed", isNumber: true, hint: "Failed requests of the last minute", cell: (/** @type {RouteRow} */ row) => count(row.figures?.failures) },
      { title: "Share", isNumber: true, hint: "Share of the requests of the last minute that failed", cell: (/** @type {RouteRow} */ row) => html`<b class=${toneOf(row.health)} title=${row.health ? sentence(row.health.message) : undefined}>${percent(row.figures?.failure_share)}</b>` },
      { title: "10 minutes", isExtra: true, cell: (/** @type {RouteRow} */ row) => html`<${Course} route=${row} what="failures" />` },
    ]} /><//>`;
}

export function Slowest() {
  const polled = /** @type {import("../../api/poll.js").Polled<RoutesPage>} */ (usePoll(path("p99"), INTERVAL));
  const rows = (polled.data?.routes ?? []).filter((row) => (row.figures?.p99_ms ?? null) !== null);
  const listener = useHealth().status?.listeners.find((one) => one.address !== null);
  const empty = html`<${Empty} title="No request in the last minute" command=${listener ? `curl ${listener.scheme}://${listener.address}/` : undefined}>A request to one of the listeners brings its route here.<//>`;
  return html`<${Panel} title="Slowest" polled=${polled} lines=${SHOWN} isEmpty=${rows.length === 0} empty=${empty}
    aside=${html`<${OfInstances} figures=${polled.data} /><a href=${link(["routes"], { sort: "p99" })}>All routes</a>`}>
    <${Table} label="Routes with the longest durations in the last minute" rows=${rows} id=${(/** @type {RouteRow} */ row) => row.name} columns=${[
      NAME,
      { title: "p99", isNumber: true, hint: "99 % of the requests of the last minute took at most this long", cell: (/** @type {RouteRow} */ row) => html`<b>${ms(row.figures?.p99_ms)}</b>` },
      { title: "Requests", isNumber: true, hint: "Requests per second, over the last minute", cell: (/** @type {RouteRow} */ row) => rate(row.figures?.rate) },
      { title: "10 minutes", isExtra: true, cell: (/** @type {RouteRow} */ row) => html`<${Course} route=${row} what="requests" />` },
    ]} /><//>`;
}
