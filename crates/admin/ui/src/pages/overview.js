// The first page: whether all is well, how requests fare, and what has changed.

import { html, useState } from "../html.js";
import { useTimeline } from "../api/timeline.js";
import { covered } from "../model/fleet.js";
import { counted, percent, rate } from "../model/format.js";
import { lately, marksOf } from "../model/timeline.js";
import { useHealth } from "../state/health.js";
import { inShort } from "../model/health.js";
import { Badge } from "../view/badge.js";
import { Button } from "../view/button.js";
import { Empty } from "../view/empty.js";
import { Loading } from "../view/panel.js";
import { Prose } from "../view/prose.js";
import { Problem } from "../view/problem.js";
import { link } from "../router.js";
import { CanaryCard } from "./overview/canary.js";
import { Certificates } from "./overview/certificates.js";
import { Changes } from "./overview/changes.js";
import { Charts } from "./overview/charts.js";
import { MostFailures, Slowest } from "./overview/ranking.js";

/** Seconds of the finest figures that the gateway keeps, and of all. */
const FINE = 600;
const DAY = 86_400;
/** Reasons of one kind that are told at first. */
const REASONS_EACH = 3;

/** @param {{ query: Record<string, string> }} props */
export function Overview({ query }) {
  const fine = useTimeline({ step: "1s", window: FINE });
  const coarse = useTimeline({ step: "1m", window: DAY });
  const marks = marksOf([coarse.data, fine.data]);
  return html`<h1 class="hidden">Overview</h1>
    <${CanaryCard} />
    <${HealthCard} timeline=${fine.data} />
    <${Charts} fine=${fine} coarse=${coarse} marks=${marks} window=${query.window ?? "hour"} />
    <div class="columns"><${MostFailures} /><${Slowest} /></div>
    <div class="columns"><${Changes} polled=${coarse} marks=${marks} /><${Certificates} /></div>`;
}

/** The health in one word, and the reasons for it.
 * @param {{ timeline: import("../api/types.js").Timeline | null }} props */
function HealthCard({ timeline }) {
  const { status, verdict, error, refresh } = useHealth();
  const [isLong, setLong] = useState(false);
  if (!verdict || !status) {
    return html`<section class="health-card" aria-label="Health">${error ? html`<${Problem} error=${error} onRetry=${refresh} />` : html`<${Loading} lines=${2} />`}</section>`;
  }
  const reasons = isLong ? verdict.reasons : inShort(verdict.reasons, REASONS_EACH);
  const figures = covered(status.fleet, timeline);
  const isCut = inShort(verdict.reasons, REASONS_EACH).length < verdict.reasons.length;
  return html`<section class=${`health-card ${verdict.tone}`} aria-label="Health">
    <p class="health-word" aria-live="polite"><${Badge} tone=${verdict.tone}>${verdict.word}<//></p>
    <ul class="reasons">${reasons.map((reason) => html`<li key=${keyOf(reason)} class=${reason.tone}>
        <span class="sign" aria-hidden="true">${reason.tone === "bad" ? "■" : "▲"}</span>
        <span><${Prose} text=${reason.text} />${reason.page ? html` <a href=${link(reason.page)} aria-label=${`${opening(reason.page)}: ${reason.text}`}>${opening(reason.page)}</a>` : null}</span></li>`)}
      ${isCut ? html`<li><${Button} look="quiet" onPress=${() => setLong(!isLong)}>${isLong ? "Fewer" : `All ${verdict.reasons.length} reasons`}<//></li>` : null}
      ${figures?.leftOut ? html`<li class="warn"><span class="sign" aria-hidden="true">▲</span><span>${figures.leftOut}</span></li>` : null}
      <li class="fact">${facts(status, timeline)}</li></ul>
    ${status.routes === 0 ? html`<${Empty} title="There are no routes yet" command=${`waypost check ${status.config}`}>Write one into ${status.config}; the gateway takes it over when the file changes.<//>` : null}
  </section>`;
}

/** What stays of a reason while its figures change, so that the focus stays as well.
 * @param {import("../model/health.js").Reason} reason */
const keyOf = ({ kind, page, text }) => (page === null || page.length < 2 ? text : `${kind} ${page.join("/")}`);

/** @type {Record<string, string>} */
const PLACES = { routes: "route", services: "service" };

/** @param {string[]} page */
const opening = ([place, name]) => `Open the ${name === undefined ? place : (PLACES[place] ?? place)}`;

/**
 * The size of all, in a line.
 * @param {import("../api/types.js").Status} status
 * @param {import("../api/types.js").Timeline | null} timeline
 */
function facts(status, timeline) {
  const recent = timeline && lately(timeline, 60);
  const parts = recent === null || recent.requests === 0
    ? ["No requests in the last minute"]
    : [`${rate(recent.requests / recent.seconds)} requests in the last minute`, `${percent(recent.failures / recent.requests)} failed`];
  if (recent !== null && recent.refused > 0) parts.push(`${percent(recent.refused / recent.requests)} refused by rules`);
  const figures = covered(status.fleet, timeline);
  if (figures !== null) parts.push(figures.of);
  parts.push(counted(status.routes, "route"), counted(status.services, "service"), `${counted(status.connections, "connection")}${status.fleet ? ` at ${status.fleet.instance}` : ""}`);
  return parts.map((part, at) => html`<span key=${part} class="part">${part}${at < parts.length - 1 ? " · " : ""}</span>`);
}
