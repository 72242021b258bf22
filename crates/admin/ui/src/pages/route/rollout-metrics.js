// The metrics of a rollout: both versions over the same seconds of the step, and what is said about them.

import { html } from "../../html.js";
import { metricRow } from "../../model/rollout.js";
import { Badge } from "../../view/badge.js";
import { Table } from "../../view/table.js";

/** @typedef {import("../../model/rollout.js").MetricRow} MetricRow */

/** A share, with the requests that it is of, for which a phone has a line of their own.
 * @param {string} text */
function counted(text) {
  const [share, of] = text.split(" of ");
  return of === undefined ? share : html`${share} <span class="metric-of">of ${of}</span>`;
}

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").Rollout} props.rollout
 */
export function RolloutMetrics({ rollout }) {
  const rows = rollout.metrics.map(metricRow);
  /** @type {import("../../view/table.js").Column<MetricRow>[]} */
  const columns = [
    { title: "Metric", cell: (row) => row.name },
    { title: "New", hint: rollout.canary, isNumber: true, cell: (row) => counted(row.canary) },
    { title: "Old", hint: rollout.baseline, isNumber: true, cell: (row) => counted(row.baseline) },
    { title: "Tolerated", isNumber: true, isExtra: true, hint: "The share of failures, or the time over which a response is slow", cell: (row) => row.tolerated },
    { title: "Verdict", hint: "proved: not worse than tolerated; open: not proved so far; not judged: too few responses of the old version", cell: (row) => html`<${Badge} tone=${row.verdict.tone}>${row.verdict.word}<//>` },
  ];
  return html`<div class="rollout-metrics"><${Table} label=${`${rollout.canary} against ${rollout.baseline} in this step`} columns=${columns} rows=${rows} id=${(/** @type {MetricRow} */ row) => row.metric} /></div>`;
}
