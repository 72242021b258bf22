// The course of requests, failures and durations, with changes as marks.

import { html, useMemo } from "../../html.js";
import { NONE, ms, percent, rate } from "../../model/format.js";
import { chartMarks } from "../../model/marks.js";
import { joined } from "../../model/series.js";
import { lastMinute, lately, ofWhole } from "../../model/timeline.js";
import { go, link } from "../../router.js";
import { Chart } from "../../view/chart.js";
import { Panel } from "../../view/panel.js";
import { Segments } from "../../view/segments.js";

/** @typedef {import("../../api/types.js").Timeline} Timeline */
/** @typedef {import("../../api/poll.js").Polled<Timeline>} Polled */

/** Seconds that a chart shows at least, however short the past. */
const SECONDS_MIN = 60;

/** @type {Record<string, { title: string, name: string, seconds: number }>} */
const WINDOWS = {
  minutes: { title: "10 min", name: "Last 10 minutes", seconds: 600 },
  hour: { title: "1 h", name: "Last hour", seconds: 3600 },
  day: { title: "24 h", name: "Last 24 hours", seconds: 86_400 },
};

/**
 * @param {object} props
 * @param {Polled} props.fine by the second
 * @param {Polled} props.coarse by the minute
 * @param {import("../../api/types.js").Mark[]} props.marks
 * @param {string} props.window
 */
export function Charts({ fine, coarse, marks, window }) {
  const { name, seconds } = WINDOWS[window] ?? WINDOWS.hour;
  const whole = useMemo(() => {
    const bySecond = ofWhole(fine.data);
    if (window === "minutes") return bySecond;
    const byMinute = ofWhole(coarse.data);
    // Over a day, a second is less than a pixel.
    return window === "day" ? byMinute : joined(byMinute, bySecond);
  }, [fine.data, coarse.data, window]);
  const shown = useMemo(() => chartMarks(marks), [marks.length, marks[0]?.time]);
  const step = window === "day" ? 60 : 1;
  const last = whole.times[whole.times.length - 1];
  const end = (last ?? Math.floor((fine.at ?? Date.now()) / 1000)) + step;
  // A gateway that has just begun has no past to show.
  const first = whole.times[whole.columns[0].findIndex((value) => value !== null)] ?? end;
  const begin = Math.max(end - seconds, Math.min(first, end - SECONDS_MIN));
  const { times, columns: [requests, failures, refused, p50, p99] } = useMemo(() => from(whole, begin), [whole, begin]);
  const recent = fine.data ? lately(fine.data, 60) : null;
  const polled = window === "minutes" || fine.data === null ? fine : coarse;
  const common = { times, begin, end, marks: shown, group: "overview", height: 168 };
  const choices = Object.entries(WINDOWS).map(([id, { title }]) => ({ id, title }));
  return html`<div class="charts-head"><h2>${name}</h2>
      <${Segments} label="Time" choices=${choices} value=${window in WINDOWS ? window : "hour"}
        onChoose=${(/** @type {string} */ id) => go(link([], id === "hour" ? {} : { window: id }), { replace: true })} /></div>
    <div class="charts">
      <${Panel} title="Requests" polled=${polled} lines=${8} class="chart-panel" aside=${html`<${Figure} text=${rate(recent && recent.requests / recent.seconds)} note="of the last minute" />`}>
        <${Chart} ...${common} label="Requests per second" format=${rate} lines=${[{ label: "requests", values: requests, colour: "--chart-1", isFilled: true }]} /><//>
      <${Panel} title="Failures" polled=${polled} lines=${8} class="chart-panel" aside=${html`<${Figure} text=${share(recent)} note="of the last minute" />`}>
        <${Chart} ...${common} label="Failed and refused requests per second" format=${rate} floor=${1} lines=${[
          { label: "failed", values: failures, colour: "--chart-bad", isFilled: true },
          { label: "refused", values: refused, colour: "--chart-4", isDashed: true },
        ]} /><//>
      <${Panel} title="Durations" polled=${polled} lines=${8} class="chart-panel" aside=${html`<${Figure} text=${ms(coarse.data && lastMinute(coarse.data))} note="p99 of the last minute" />`}>
        <${Chart} ...${common} label="Duration of requests" format=${ms} lines=${[
          { label: "p99", values: p99, colour: "--chart-2" },
          { label: "p50", values: p50, colour: "--chart-3", isDashed: true },
        ]} /><//>
    </div>`;
}

/**
 * @param {object} props
 * @param {string} props.text
 * @param {string} props.note
 */
function Figure({ text, note }) {
  return html`<span class="figure" title=${text === NONE ? "There were no requests." : undefined}><b>${text}</b> <span class="muted">${note}</span></span>`;
}

/** @param {{ requests: number, failures: number } | null} recent */
const share = (recent) => percent(recent === null || recent.requests === 0 ? null : recent.failures / recent.requests);

/**
 * The figures from a time on.
 * @param {{ times: number[], columns: (number | null)[][] }} whole
 * @param {number} begin
 */
function from(whole, begin) {
  const first = whole.times.findIndex((time) => time >= begin);
  if (first <= 0) return whole;
  return { times: whole.times.slice(first), columns: whole.columns.map((column) => column.slice(first)) };
}
