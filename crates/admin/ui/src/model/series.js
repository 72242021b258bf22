// Figures over time.

import { NONE } from "./format.js";

/** @typedef {(number | null)[]} Values */

/**
 * The latest value that is known.
 * @param {Values} values
 * @returns {number | null}
 */
export function inFront(values) {
  for (let at = values.length - 1; at >= 0; at -= 1) {
    const value = values[at];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/**
 * The sum of what is known; `null` if nothing is.
 * @param {Values} values
 * @returns {number | null}
 */
export function sum(values) {
  let total = null;
  for (const value of values) if (value !== null) total = (total ?? 0) + value;
  return total;
}

/**
 * Positions of values without a neighbour, which a line would not show.
 * @param {ArrayLike<number | null | undefined>} values
 * @returns {number[]}
 */
export function lone(values) {
  const all = [];
  for (let at = 0; at < values.length; at += 1) {
    const before = at > 0 ? values[at - 1] : null;
    if (values[at] != null && before == null && values[at + 1] == null) all.push(at);
  }
  return all;
}

/**
 * A round top for a scale that shows a value.
 * @param {number} value
 */
export function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value) ?? 10;
  return step * power;
}

/**
 * The lines in words, for those who do not see the chart.
 * @param {number[]} times
 * @param {{ label: string, values: Values }[]} lines
 * @param {(value: number | null) => string} format
 */
export function summary(times, lines, format) {
  if (times.length === 0) return "no figures";
  return lines.map(({ label, values }) => {
    const known = values.filter((value) => value !== null);
    if (known.length === 0) return `${label} ${NONE}`;
    const high = known.reduce((high, value) => Math.max(high, value), -Infinity);
    return `${label} now ${format(inFront(values))}, highest ${format(high)}`;
  }).join("; ");
}

/**
 * Figures of a minute each, followed by those of a second each from where they begin. Rates are per second.
 * @param {{ times: number[], columns: Values[] }} coarse
 * @param {{ times: number[], columns: Values[] }} fine
 */
export function joined(coarse, fine) {
  const first = fine.times[0] ?? Infinity;
  // A minute that has begun before the seconds do, and ends behind their beginning, would be shown twice.
  const kept = coarse.times.filter((time) => time + 60 <= first).length;
  return {
    times: [...coarse.times.slice(0, kept), ...fine.times],
    columns: fine.columns.map((column, at) => [...(coarse.columns[at] ?? []).slice(0, kept), ...column]),
  };
}
