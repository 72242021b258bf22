// A rollout in words.

import { count, duration, ms, percent } from "./format.js";

/** @typedef {import("../api/route-types.js").Rollout} Rollout */
/** @typedef {import("../api/route-types.js").Metric} Metric */
/** @typedef {"pause" | "resume" | "promote" | "approve" | "abort" | "finish"} Action */

/** The evidence from which on luck is spoken of. */
const SUSPICION = 2;

/**
 * @typedef {object} Standing
 * @property {string} word
 * @property {"good" | "warn" | "bad" | "info" | "none"} tone
 */

/**
 * @param {Rollout} rollout
 * @returns {Standing}
 */
export function standing(rollout) {
  switch (rollout.state) {
    case "waiting": return { word: "Before the first step", tone: "info" };
    case "running": return isSuspected(rollout) ? { word: "Under suspicion", tone: "warn" } : { word: "Under way", tone: "info" };
    case "paused": return { word: "Paused", tone: "warn" };
    case "finished": return { word: "Finished", tone: "good" };
    case "rolled_back": return { word: "Rolled back", tone: "bad" };
    default: return { word: "Aborted", tone: "none" };
  }
}

/** @param {Rollout} rollout */
const isSuspected = (rollout) => rollout.evidence >= SUSPICION;

/** Names of metrics, as the command line has them.
 * @type {Record<string, string>} */
const NAMES = { errors: "Failures", "errors.max": "Limit", client_errors: "4xx", abandoned: "Clients left", p50: "p50", p90: "p90", p99: "p99" };

/**
 * @typedef {object} MetricRow
 * @property {string} metric
 * @property {string} name
 * @property {string} canary
 * @property {string} baseline
 * @property {string} tolerated
 * @property {Standing} verdict
 */

/**
 * @param {Metric} metric
 * @returns {MetricRow}
 */
export function metricRow(metric) {
  const { step } = metric;
  const isLatency = metric.metric.startsWith("p");
  const share = (/** @type {number} */ bad, /** @type {number} */ all) => (all === 0 ? "none so far" : `${percent(bad / all)} of ${count(all)}`);
  return {
    metric: metric.metric,
    name: NAMES[metric.metric] ?? metric.metric,
    canary: isLatency ? ms(metric.canary_ms) : share(step.canary_bad, step.canary_requests),
    baseline: isLatency ? ms(metric.baseline_ms) : share(step.baseline_bad, step.baseline_requests),
    tolerated: isLatency ? (metric.canary_over_ms === null ? "–" : ms(metric.canary_over_ms)) : percent(metric.tolerated),
    verdict: verdict(metric, isLatency),
  };
}

/**
 * @param {Metric} metric
 * @param {boolean} isLatency
 * @returns {Standing}
 */
function verdict(metric, isLatency) {
  if (metric.proved) return { word: "proved", tone: "good" };
  if (metric.evidence >= SUSPICION) return { word: "looks worse", tone: "bad" };
  if (isLatency && metric.canary_over_ms === null) return { word: "not judged", tone: "none" };
  if (metric.step.canary_requests === 0) return { word: "no requests", tone: "none" };
  return { word: "open", tone: "none" };
}

/**
 * What the evidence says, in a sentence.
 * @param {Rollout} rollout
 */
export function luck(rollout) {
  if (rollout.metrics.length === 0) return "Nothing is judged: the steps go by time and requests alone.";
  if (rollout.evidence < SUSPICION) return `Nothing speaks against ${rollout.canary} so far.`;
  return `Luck alone makes a good version look this bad in 1 of ${count(rounded(rollout.evidence))} rollouts; it is rolled back at 1 of ${count(rounded(rollout.rollback_at))}.`;
}

/** A number rounded down to 1, 2 or 5 and zeros.
 * @param {number} value */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return ([5, 2, 1].find((digit) => digit * power <= value) ?? 1) * power;
}

/**
 * The evidence as a part of that for a rollback, from 0 to 1. It grows by factors.
 * @param {Rollout} rollout
 */
export function evidenceShare(rollout) {
  if (!(rollout.rollback_at > 1) || rollout.evidence <= 1) return 0;
  return Math.min(1, Math.log(rollout.evidence) / Math.log(rollout.rollback_at));
}

/**
 * The steps as a track.
 * @param {Rollout} rollout
 * @returns {{ number: number, label: string, state: "done" | "now" | "next" }[]}
 */
export function track(rollout) {
  const isOver = rollout.state === "finished";
  const shares = rollout.shares ?? [];
  return Array.from({ length: rollout.steps }, (_, at) => {
    const number = at + 1;
    const state = isOver || number < rollout.step ? "done" : number === rollout.step ? "now" : "next";
    const share = shares[at] ?? (state === "now" && rollout.ended === null ? rollout.percent : number === rollout.step + 1 ? rollout.next_percent : null);
    return { number, label: share === null || share === undefined ? String(number) : `${share} %`, state };
  });
}

/**
 * The step in words.
 * @param {Rollout} rollout
 */
export function stepText(rollout) {
  if (rollout.step === 0) return `Before the first of ${rollout.steps} steps.`;
  return `Step ${rollout.step} of ${rollout.steps}: ${rollout.canary} has ${rollout.percent} %, for ${duration(rollout.step_seconds)} (at least ${duration(rollout.at_least_seconds)}), with ${count(rollout.step_requests)} requests.`;
}

/**
 * Where a rollout stands, in a sentence, for one who has seen it otherwise.
 * @param {Rollout} rollout
 */
export function whereabouts(rollout) {
  const { word } = standing(rollout);
  if (rollout.ended !== null) return `It is over: ${word.toLowerCase()}, with ${rollout.percent} % for ${rollout.canary}.`;
  return rollout.state === "paused" ? `It is paused. ${stepText(rollout)}` : stepText(rollout);
}

/** True if the next step waits for an operator.
 * @param {Rollout} rollout */
export const waitsForApproval = (rollout) => rollout.approve !== false && rollout.lacks.some((text) => text.includes("rollout approve"));

/**
 * The actions that make sense now, the likeliest first.
 * @param {Rollout} rollout
 * @returns {Action[]}
 */
export function actions(rollout) {
  if (rollout.ended !== null) return [];
  /** @type {Action[]} */
  const all = ["abort"];
  if (waitsForApproval(rollout)) all.push("approve");
  all.push(rollout.state === "paused" ? "resume" : "pause");
  if (rollout.next_percent !== null) all.push("promote");
  all.push("finish");
  return all;
}

/**
 * @typedef {object} Asked
 * @property {string} word on the button
 * @property {string} title a question
 * @property {string} text what will be different
 * @property {string} undo
 * @property {boolean} isDanger
 * @property {string} command
 */

/**
 * The question before an action.
 * @param {Rollout} rollout
 * @param {Action} action
 * @returns {Asked}
 */
export function question(rollout, action) {
  const { canary, baseline, route } = rollout;
  const next = rollout.next_percent;
  const also = rollout.routes.length > 1 ? ` So do the routes of its deal: ${rollout.routes.filter((other) => other !== route).join(", ")}.` : "";
  /** @type {Record<Action, Omit<Asked, "command">>} */
  const questions = {
    abort: { word: "Abort", title: `Abort the rollout of ${canary}?`, text: `The weights of its start are live again at once: ${canary} gives its ${rollout.percent} % back to ${baseline}.${also}`, undo: "the rollout can be started again, from its first step.", isDanger: true },
    approve: { word: "Approve", title: `Approve of the next step of ${canary}?`, text: `It goes to ${next} % as soon as its other conditions hold.${also}`, undo: "pause or abort the rollout.", isDanger: false },
    pause: { word: "Pause", title: `Pause the rollout of ${canary}?`, text: `It stays at ${rollout.percent} % and takes no further step. The judge goes on: it still rolls back a version that is worse.${also}`, undo: "resume it.", isDanger: false },
    resume: { word: "Resume", title: `Resume the rollout of ${canary}?`, text: `It takes further steps again, the next to ${next ?? 100} %.${also}`, undo: "pause it.", isDanger: false },
    promote: { word: "Promote", title: `Take the next step of ${canary} now?`, text: `${canary} gets ${next} % at once instead of ${rollout.percent} %, without waiting for the proof.${also}`, undo: "abort the rollout: there is no step back.", isDanger: false },
    finish: { word: "Finish", title: `Finish the rollout of ${canary}?`, text: `${canary} gets all requests at once instead of ${rollout.percent} %, without waiting for the proof. The judge stops.${also}`, undo: "turn the dial back.", isDanger: true },
  };
  return { ...questions[action], command: `waypost rollout ${action} ${route}` };
}

/**
 * Steps as they are typed, such as `1, 5, 25, 100`.
 * @param {string} text
 * @returns {{ steps: number[] | null, error: string | null }}
 */
export function parsedSteps(text) {
  const words = text.split(/[\s,;]+/).map((word) => word.replace(/%$/, "")).filter((word) => word !== "");
  const steps = words.map(Number);
  if (steps.length === 0) return { steps: null, error: "Write the shares in percent, such as 1, 5, 25, 50, 100." };
  if (steps.some((step) => !(step > 0 && step <= 100))) return { steps: null, error: "A step is a share over 0 and up to 100 percent." };
  if (steps.some((step, at) => at > 0 && step <= steps[at - 1])) return { steps: null, error: "Each step has to be above the one before." };
  return { steps, error: null };
}

/** What was done, in a word.
 * @type {Record<Action, string>} */
export const DONE = { abort: "aborted", approve: "approved of", pause: "paused", resume: "resumed", promote: "taken to its next step", finish: "finished" };

/** A change of a rollout as a word.
 * @param {string} change */
export const changeWord = (change) => change.replaceAll("_", " ");
