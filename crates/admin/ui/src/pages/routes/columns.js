// The columns of the table of routes, for wide windows and for phones.

import { html } from "../../html.js";
import { count, ms, percent, rate } from "../../model/format.js";
import { sentence, toneOf } from "../../model/health.js";
import { letter } from "../../model/weights.js";
import { link } from "../../router.js";
import { Badge } from "../../view/badge.js";
import { SplitBar } from "../../view/split.js";
import { Sparkline } from "../../view/sparkline.js";

/** @typedef {import("../../api/route-types.js").RouteRow} RouteRow */
/** @typedef {import("../../view/windowed.js").SortableColumn<RouteRow>} RouteColumn */

/** The reason why a figure is missing. */
const UNKNOWN = "The gateway keeps figures of the busiest and of failing routes; of this one there are none for the last minute.";
/** The share of refused requests from which it is told. */
const REFUSED_MIN = 0.01;

/**
 * @param {RouteRow} row
 * @param {boolean} [isActive]
 */
const name = (row, isActive) => html`<a class="cut route-name" href=${link(["routes", row.name])} title=${row.name} tabindex=${isActive ? 0 : -1}>${row.name}</a>`;

/** @param {RouteRow} row */
const match = (row) => html`<span class="cut mono" title=${row.matches.join("\n")}>${row.matches[0] ?? "no match"}${row.matches.length > 1 ? html` <span class="muted">and ${row.matches.length - 1} more</span>` : null}</span>`;

/** @param {RouteRow} row */
const figure = (row) => row.figures ?? null;

/** @param {string} text */
const cell = (text) => (text === "–" ? html`<span class="muted" title=${UNKNOWN}>–</span>` : text);

/** @param {RouteRow} row */
function failures(row) {
  const figures = figure(row);
  if (!figures || figures.requests === 0) return cell("–");
  if (figures.failures === 0) return html`<span class="muted">0 %</span>`;
  const tone = toneOf(row.health);
  return html`<span class=${tone} title=${row.health ? sentence(row.health.message) : `${figures.failures} of ${figures.requests} requests`}>${tone === "" ? null : html`<span class="sign" aria-hidden="true">${tone === "failing" ? "■" : "▲"} </span>`}${percent(figures.failure_share)}</span>`;
}

/** @param {RouteRow} row */
function sparkline(row) {
  const line = row.figures?.sparkline;
  if (!line) return html`<span class="muted" title="Too few requests to be kept by the second.">–</span>`;
  return html`<${Sparkline} values=${line.requests} label=${`Requests of the last ${Math.round((line.requests.length * line.step_seconds) / 60)} minutes`} />`;
}

/** The mark of a route that needs a look; the side of its split is named by the letter that its bar has.
 * @param {{ row: RouteRow }} props */
function Failing({ row }) {
  const reason = row.health;
  if (!reason) return null;
  const at = row.arms.length > 1 ? row.arms.findIndex((arm) => arm.service === reason.service) : -1;
  const who = at < 0 ? "" : `${letter(at)} `;
  return html`<${Badge} tone=${reason.past ? "none" : reason.severity === "error" ? "bad" : "warn"} title=${sentence(reason.message)}>${who}${reason.past ? "failed" : "fails"}<//>`;
}

/** Requests that rules refuse, if they are not few: no failures, but perhaps a mistake in a rule.
 * @param {{ row: RouteRow }} props */
function Refused({ row }) {
  const figures = figure(row);
  if (figures === null || figures.requests === 0 || figures.refused / figures.requests < REFUSED_MIN) return null;
  const { refused, requests } = figures;
  return html`<${Badge} tone="none" title=${`Rules such as auth and rate refused ${count(refused)} of ${count(requests)} requests in the last minute.`}>${percent(refused / requests)} refused<//>`;
}

/** @param {RouteRow} row */
const states = (row) => html`<${Failing} row=${row} /><${Refused} row=${row} />${row.rollout ? html`<${Badge} tone="info" title=${`Rollout: ${row.rollout}`}>rollout<//>` : row.dialed ? html`<${Badge} tone="info" title="Live weights differ from the declared ones.">dialed<//>` : null}`;

/** @type {RouteColumn[]} */
export const wideColumns = [
  { title: "Route", order: "name", cell: (row, isActive) => html`<span class="route-cell">${name(row, isActive)}${states(row)}</span>` },
  { title: "Match", cell: match },
  { title: "Services", hint: "Live weights; the thin bar has the declared ones where they differ", cell: (row) => html`<${SplitBar} route=${row} />` },
  { title: "Rate", order: "rate", isNumber: true, hint: "Requests per second in the last minute", cell: (row) => cell(rate(figure(row)?.rate)) },
  { title: "Failures", order: "failures", isNumber: true, hint: "Share of failed requests in the last minute; sorted by their number", cell: failures },
  { title: "p99", order: "p99", isNumber: true, hint: "99 of 100 requests were faster, in the last minute", cell: (row) => cell(ms(figure(row)?.p99_ms)) },
  { title: "10 minutes", hint: "Requests of the last ten minutes", cell: sparkline },
];

/** @type {RouteColumn[]} */
export const narrowColumns = [
  {
    title: "Route",
    cell: (row, isActive) => html`<span class="route-card"><span class="route-cell">${name(row, isActive)}${states(row)}</span>
      <span class="route-second">${row.arms.length > 1 ? html`<${SplitBar} route=${row} isShort=${true} />` : null}${match(row)}</span></span>`,
  },
  {
    title: "Now",
    isNumber: true,
    cell: (row) => html`<span class="route-card">${html`<span>${failures(row)}</span>`}<span class="muted">${cell(rate(figure(row)?.rate))}</span></span>`,
  },
];
