// The course of the figures of arms, their latencies as histograms, and their statuses.

import { html, useMemo } from "../../html.js";
import { aligned, lines, together } from "../../model/comparison.js";
import { duration, ms, percent, rate } from "../../model/format.js";
import { chartMarks } from "../../model/marks.js";
import { times } from "../../model/timeline.js";
import { Chart } from "../../view/chart.js";
import { Histogram } from "../../view/histogram.js";
import { Loading } from "../../view/panel.js";
import { Problem } from "../../view/problem.js";
import { Statuses } from "./statuses.js";

/** @typedef {import("../../api/types.js").Timeline} Timeline */
/** @typedef {import("../../api/route-types.js").ArmStats} ArmStats */

/** Seconds that a chart shows at least. */
const SECONDS_MIN = 60;

/**
 * @param {object} props
 * @param {import("../../api/poll.js").Polled<Timeline>} props.timeline
 * @param {ArmStats[]} props.stats
 * @param {string[]} props.shown
 * @param {Map<string, string>} props.names letters by service
 * @param {number} props.every
 * @param {number} props.seconds
 */
export function ArmCharts({ timeline, stats, shown, names, every, seconds }) {
  const data = timeline.data;
  const shownKey = shown.join(" ");
  const drawn = useMemo(() => (data === null || data.series.length === 0 ? null : linesOf(data, shown, names, every)), [data, shownKey, every]);
  const arms = shown.length > 0
    ? shown.map((service) => ({ service, letter: names.get(service) ?? "", stats: stats.find((arm) => arm.service === service) ?? null }))
    : stats.slice(0, 1).map((arm) => ({ service: "all", letter: "", stats: arm }));
  const known = arms.filter((arm) => arm.stats !== null);
  // What the gateway responds itself, refusals among it, is of no side.
  const own = shown.length > 0 ? stats.filter((arm) => arm.service === "" && arm.requests > 0).map((arm) => ({ service: "", letter: "", stats: arm })) : [];
  return html`<div class="route-charts">
    ${data === null ? html`<div class="chart-cell">${timeline.error ? html`<${Problem} error=${timeline.error} onRetry=${timeline.refresh} />` : html`<${Loading} lines=${6} />`}</div>`
      : drawn === null ? html`<p class="chart-cell note">The gateway keeps no course of this route: others are busier.</p>` : html`
    ${drawn.charts.map((chart) => html`<div key=${chart.title} class="chart-cell"><h3>${chart.title}</h3>
      <${Chart} label=${chart.title} times=${chart.times} lines=${chart.lines} marks=${drawn.marks} format=${chart.format} begin=${beginning(drawn, seconds)} end=${drawn.end} group="route" floor=${chart.floor} height=${150} /></div>`)}`}
    ${known.some((arm) => (arm.stats?.latency ?? []).length > 0) ? html`<div class="chart-cell"><h3>Latency</h3>
      <${Histogram} arms=${known.map((arm) => ({ service: arm.service, letter: arm.letter, buckets: arm.stats?.latency ?? [], p50: arm.stats?.p50_ms ?? null, p99: arm.stats?.p99_ms ?? null }))} /></div>` : null}
    ${known.length > 0 ? html`<div class="chart-cell"><h3>Status codes</h3><${Statuses} arms=${[...known.map((arm) => ({ service: arm.service, letter: arm.letter, stats: /** @type {ArmStats} */ (arm.stats) })), ...own]} /></div>` : null}
  </div>`;
}

/**
 * The left edge: a route whose past is short has no empty chart in front of it.
 * @param {{ first: number, end: number }} drawn
 * @param {number} seconds
 */
const beginning = ({ first, end }, seconds) => Math.max(end - seconds, Math.min(first, end - SECONDS_MIN));

/**
 * @param {(number | null)[]} values
 * @param {number} none
 */
function firstKnown(values, none) {
  const at = values.findIndex((value) => value !== null);
  return at < 0 ? none : at;
}

/**
 * @param {Timeline} timeline
 * @param {string[]} shown
 * @param {Map<string, string>} names
 * @param {number} most parts that are put together
 */
function linesOf(timeline, shown, names, most) {
  const every = together(timeline, most);
  const whole = aligned(timeline, every);
  const coarse = times(whole).filter((_, at) => at % every === 0);
  // A route without arms has its own figures alone.
  const subjects = shown.length > 0 ? shown : [null];
  const arms = subjects.map((service, at) => ({
    label: service === null ? "all" : `${names.get(service)} ${service}`,
    colour: `--chart-${at + 1}`,
    isDashed: at % 2 === 1,
    of: lines(whole, service, every),
  }));
  /** @param {(arm: typeof arms[number]) => (number | null)[]} values */
  const of = (values) => arms.map((arm) => ({ label: arm.label, colour: arm.colour, isDashed: arm.isDashed, values: values(arm) }));
  const end = timeline.begin + times(timeline).length * timeline.step_seconds;
  const last = coarse.length;
  const first = Math.min(...arms.map((arm) => firstKnown(arm.of.rate, last)));
  return {
    end,
    first: coarse[first] ?? end,
    marks: chartMarks(timeline.marks),
    charts: [
      { title: "Requests per second", times: coarse, lines: of((arm) => arm.of.rate), format: rate, floor: 0.1 },
      { title: "Share of failed requests", times: coarse, lines: of((arm) => arm.of.failures), format: percent, floor: 0.01 },
      { title: "Median latency (p50)", times: coarse, lines: of((arm) => arm.of.p50), format: ms, floor: 1 },
      { title: `Slowest of 100 (p99)${every > 1 ? `, highest of ${duration(every * timeline.step_seconds)}` : ""}`, times: coarse, lines: of((arm) => arm.of.p99), format: ms, floor: 1 },
    ],
  };
}
