// Arms side by side: what their figures say about each other.

import { percent } from "./format.js";

/** @typedef {import("../api/route-types.js").ArmStats} ArmStats */
/** @typedef {import("../api/types.js").Timeline} Timeline */

/** Requests of an arm below which nothing is said about it; more where many are compared, as one of them is always the worst. */
const REQUESTS_MIN = 5;
const REQUESTS_MIN_OF_MANY = 50;
const MANY = 5;

/**
 * @typedef {object} Verdict
 * @property {"bad" | "good" | "none" | "unknown"} tone
 * @property {string} text
 * @property {string[]} worse the services that fail more
 */

/**
 * Which arms fail more than the best one, by intervals that do not meet.
 * @param {ArmStats[]} arms
 * @returns {Verdict}
 */
export function verdict(arms) {
  const own = arms.filter((arm) => arm.service !== "");
  const least = own.length < MANY ? REQUESTS_MIN : REQUESTS_MIN_OF_MANY;
  const judged = own.filter((arm) => arm.requests >= least);
  if (judged.length < 2) return { tone: "unknown", text: "Too few requests of two sides to compare them.", worse: [] };
  const best = judged.reduce((best, arm) => (arm.error_interval[1] < best.error_interval[1] ? arm : best));
  const worse = judged.filter((arm) => arm.error_interval[0] > best.error_interval[1]);
  if (worse.length > 0) {
    const [worst] = [...worse].sort((one, other) => other.error_share - one.error_share);
    const more = worse.length > 1 ? ` So do ${worse.length - 1} more.` : "";
    return { tone: "bad", text: `${worst.service} fails more than chance explains: ${percent(worst.error_share)} against ${percent(best.error_share)} of ${best.service}.${more}`, worse: worse.map((arm) => arm.service) };
  }
  if (judged.every((arm) => arm.errors === 0)) return { tone: "good", text: "No request has failed.", worse: [] };
  return { tone: "none", text: "The sides fail alike, as far as so many requests can tell: the intervals meet.", worse: [] };
}

/**
 * The top of a scale for shares of failures, from 0 to 1.
 * @param {ArmStats[]} arms
 */
export function scaleOfShares(arms) {
  const top = Math.max(0.01, ...arms.filter((arm) => arm.requests > 0).map((arm) => arm.error_interval[1]));
  return [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find((step) => step >= top) ?? 1;
}

/**
 * The arms whose lines are drawn, at most `max`: those that were picked, or those with most requests.
 * @param {{ service: string }[]} arms
 * @param {string[]} picked
 * @param {ArmStats[]} stats
 * @param {number} max
 * @returns {string[]} in the order of the arms
 */
export function drawn(arms, picked, stats, max) {
  const names = arms.map((arm) => arm.service);
  const known = picked.filter((service) => names.includes(service));
  if (known.length > 0) return names.filter((service) => known.includes(service)).slice(0, max);
  const requests = new Map(stats.map((arm) => [arm.service, arm.requests]));
  const busiest = [...names].sort((one, other) => (requests.get(other) ?? 0) - (requests.get(one) ?? 0)).slice(0, max);
  return names.filter((service) => busiest.includes(service));
}

/**
 * The figures of an arm over time, of which `every` parts are put together. Quantiles cannot be added up: of the medians it is
 * the middle one, of the p99 the highest.
 * @param {Timeline} timeline
 * @param {string | null} service `null` for the whole route
 * @param {number} every
 */
export function lines(timeline, service, every) {
  const series = timeline.series.find((one) => (one.service ?? null) === service);
  const step = timeline.step_seconds;
  /** @type {(number | null)[]} */
  const rate = [];
  /** @type {(number | null)[]} */
  const failures = [];
  const length = series?.requests.length ?? 0;
  for (let at = 0; at < length; at += every) {
    let [requests, failed, known] = [0, 0, 0];
    for (let part = at; part < Math.min(length, at + every); part += 1) {
      const count = series?.requests[part] ?? null;
      if (count === null) continue;
      requests += count;
      failed += series?.failures[part] ?? 0;
      known += 1;
    }
    rate.push(known === 0 ? null : requests / (known * step));
    failures.push(requests === 0 ? null : failed / requests);
  }
  return { rate, failures, p50: groups(series?.p50_ms ?? [], every, middle), p99: groups(series?.p99_ms ?? [], every, highest) };
}

/**
 * @param {(number | null)[]} values
 * @param {number} every
 * @param {(known: number[]) => number} one
 */
function groups(values, every, one) {
  /** @type {(number | null)[]} */
  const all = [];
  for (let at = 0; at < values.length; at += every) {
    const known = values.slice(at, at + every).filter((value) => value !== null);
    all.push(known.length === 0 ? null : one(known));
  }
  return all;
}

/** @param {number[]} values */
const highest = (values) => Math.max(...values);

/** @param {number[]} values */
const middle = (values) => [...values].sort((one, other) => one - other)[Math.floor((values.length - 1) / 2)];

/**
 * The parts that are put together, at most `every`: fewer as long as little is known, so that there is a line to see.
 * @param {Timeline} timeline
 * @param {number} every
 */
export const together = (timeline, every) => Math.max(1, Math.min(every, Math.floor((timeline.series[0]?.requests.length ?? 0) / 30)));

/**
 * The beginnings of parts, of which `every` are put together. They begin at multiples, so that lines do not dance.
 * @param {Timeline} timeline
 * @param {number} every
 * @returns {Timeline} with whole groups of parts only
 */
export function aligned(timeline, every) {
  const step = timeline.step_seconds * every;
  const length = timeline.series[0]?.requests.length ?? 0;
  const skipped = Math.round(((Math.ceil(timeline.begin / step) * step - timeline.begin) / timeline.step_seconds));
  // Parts from `next` on are not over yet, and would look like a fall.
  const over = Math.min(length, Math.floor((timeline.next - timeline.begin) / timeline.step_seconds));
  const kept = Math.max(0, Math.floor((over - skipped) / every) * every);
  /** @param {(number | null)[]} values */
  const cut = (values) => values.slice(skipped, skipped + kept);
  const series = timeline.series.map((one) => ({ service: one.service, requests: cut(one.requests), failures: cut(one.failures), refused: cut(one.refused), p50_ms: cut(one.p50_ms), p99_ms: cut(one.p99_ms) }));
  return { ...timeline, begin: timeline.begin + skipped * timeline.step_seconds, series };
}

/** The words of statuses that are none. */
const CLASSES = /** @type {Record<string, string>} */ ({ none: "no response", "0": "no response" });

/**
 * Statuses of arms as rows, in order: exact ones where the gateway has them, else their classes.
 * @param {ArmStats[]} arms
 * @returns {{ status: string, label: string, isFailure: boolean, counts: number[] }[]}
 */
export function statuses(arms) {
  const of = (/** @type {ArmStats} */ arm) => arm.statuses ?? arm.classes;
  const all = [...new Set(arms.flatMap((arm) => Object.keys(of(arm))))].sort();
  return all.map((status) => ({ status, label: CLASSES[status] ?? status, isFailure: status.startsWith("5"), counts: arms.map((arm) => of(arm)[status] ?? 0) }));
}
