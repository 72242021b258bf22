import assert from "node:assert/strict";
import { test } from "node:test";

import { aligned, drawn, lines, scaleOfShares, statuses, together, verdict } from "../../src/model/comparison.js";
import { kinds, reason } from "../../src/model/failure.js";
import { grid, ticks } from "../../src/model/histogram.js";
import * as rollout from "../../src/model/rollout.js";

/** @returns {any} */
const arm = (/** @type {string} */ service, /** @type {number} */ requests, /** @type {number} */ errors, /** @type {[number, number]} */ interval) => ({ service, requests, errors, error_share: requests ? errors / requests : 0, error_interval: interval, classes: { "2xx": requests - errors, "5xx": errors } });

test("a side is worse when the intervals do not meet, and only then", () => {
  const old = arm("v1", 1000, 5, [0.002, 0.012]);
  assert.deepEqual(verdict([old, arm("v2", 100, 20, [0.13, 0.29])]).worse, ["v2"]);
  assert.equal(verdict([old, arm("v2", 100, 1, [0.001, 0.05])]).tone, "none");
  assert.equal(verdict([arm("v1", 1000, 0, [0, 0.004]), arm("v2", 100, 0, [0, 0.04])]).tone, "good");
  assert.match(verdict([old, arm("v2", 3, 3, [0.4, 1])]).text, /Too few/);
  // Responses of the gateway itself are no side.
  assert.match(verdict([old, arm("", 900, 900, [0.99, 1])]).text, /Too few/);
});

test("the scale of intervals has a round end", () => {
  assert.equal(scaleOfShares([arm("v1", 1000, 5, [0.002, 0.012])]), 0.02);
  assert.equal(scaleOfShares([arm("v1", 2, 2, [0.3, 1])]), 1);
  assert.equal(scaleOfShares([arm("v1", 0, 0, [0, 1])]), 0.01);
});

test("lines are those that were picked, or those of the busiest", () => {
  const arms = ["a", "b", "c"].map((service) => ({ service }));
  const stats = [arm("a", 1, 0, [0, 1]), arm("b", 9, 0, [0, 1]), arm("c", 5, 0, [0, 1])];
  assert.deepEqual(drawn(arms, [], stats, 2), ["b", "c"]);
  assert.deepEqual(drawn(arms, ["c", "a", "gone"], stats, 2), ["a", "c"]);
});

test("parts are put together from multiples on, and unknown ones stay unknown", () => {
  /** @type {any} */
  const timeline = { begin: 103, step_seconds: 1, next: 116, series: [{ service: "v1", requests: [9, 9, 1, 2, 3, 4, 5, null, null, null, null, null, 7], failures: [9, 9, 0, 0, 1, 0, 0, null, null, null, null, null, 0], refused: [9, 9, 0, 0, 1, 0, 0, null, null, null, null, null, 0], p50_ms: [1, 1, 3, 1, 2, 9, 8, null, null, null, null, null, 1], p99_ms: [1, 1, 3, 1, 2, 9, 8, null, null, null, null, null, 1] }] };
  const whole = aligned(timeline, 5);
  assert.equal(whole.begin, 105);
  assert.equal(aligned({ ...timeline, next: 114 }, 5).series[0].requests.length, 5);
  const figures = lines(whole, "v1", 5);
  assert.deepEqual(figures, { rate: [3, null], failures: [1 / 15, null], p50: [3, null], p99: [9, null] });
  assert.deepEqual(lines(timeline, "gone", 5).rate, []);
});

test("a young gateway has lines of finer parts", () => {
  const of = (/** @type {number} */ length) => /** @type {any} */ ({ series: [{ requests: new Array(length).fill(1) }] });
  assert.deepEqual([together(of(9), 10), together(of(120), 10), together(of(1440), 10), together(/** @type {any} */ ({ series: [] }), 5)], [1, 4, 10, 1]);
});

test("statuses of all sides stand beside each other", () => {
  const rows = statuses([arm("v1", 10, 0, [0, 1]), { ...arm("v2", 4, 1, [0, 1]), statuses: { 200: 3, 503: 1 } }]);
  assert.deepEqual(rows.map((row) => [row.label, ...row.counts]), [["200", 0, 3], ["2xx", 10, 0], ["503", 0, 1], ["5xx", 0, 0]]);
});

test("histograms on one grid keep all requests", () => {
  const drawn = grid([[{ from_ms: 1, to_ms: 1.1, count: 5 }, { from_ms: 9, to_ms: 12, count: 5 }], [{ from_ms: 90, to_ms: 100, count: 2 }, { from_ms: 10_000_000, to_ms: null, count: 0 }]]);
  assert.ok(drawn);
  for (const shares of drawn.shares) assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
  assert.equal(grid([[], []]), null);
  assert.deepEqual(ticks(drawn, 8).map((tick) => tick.ms), [1, 2, 5, 10, 20, 50, 100]);
});

/** @returns {any} */
const under = (/** @type {object} */ more = {}) => ({ route: "users", routes: ["users"], canary: "v2", baseline: "v1", state: "running", step: 2, steps: 4, percent: 25, next_percent: 50, step_seconds: 60, at_least_seconds: 30, step_requests: 120, lacks: [], evidence: 1, rollback_at: 100, metrics: [{}], ended: null, ...more });

test("a rollout stands in a word, and its steps in a row", () => {
  assert.equal(rollout.standing(under()).word, "Under way");
  assert.equal(rollout.standing(under({ evidence: 20 })).tone, "warn");
  assert.equal(rollout.standing(under({ state: "rolled_back" })).tone, "bad");
  assert.deepEqual(rollout.track(under()).map((step) => [step.label, step.state]), [["1", "done"], ["25 %", "now"], ["50 %", "next"], ["4", "next"]]);
  assert.deepEqual(rollout.track(under({ shares: [5, 25, 50, 100] })).map((step) => step.label), ["5 %", "25 %", "50 %", "100 %"]);
});

test("the evidence is told as luck, on a scale of factors", () => {
  assert.match(rollout.luck(under()), /Nothing speaks against v2/);
  assert.match(rollout.luck(under({ evidence: 24 })), /1 of 20 rollouts; it is rolled back at 1 of 100/);
  assert.equal(rollout.evidenceShare(under({ evidence: 10 })), 0.5);
  assert.equal(rollout.evidenceShare(under({ evidence: 0.2 })), 0);
});

test("the actions are those that make sense, and each asks with a way back", () => {
  assert.deepEqual(rollout.actions(under()), ["abort", "pause", "promote", "finish"]);
  assert.deepEqual(rollout.actions(under({ state: "paused", next_percent: null })), ["abort", "resume", "finish"]);
  assert.deepEqual(rollout.actions(under({ lacks: ["the next step needs `waypost rollout approve`"] })).slice(0, 2), ["abort", "approve"]);
  assert.deepEqual(rollout.actions(under({ ended: "2026-01-01T00:00:00Z" })), []);
  assert.match(rollout.whereabouts(under()), /^Step 2 of 4/);
  assert.match(rollout.whereabouts(under({ state: "paused" })), /^It is paused\. Step 2/);
  assert.match(rollout.whereabouts(under({ state: "aborted", ended: "2026-01-01T00:00:00Z" })), /^It is over: aborted/);
  for (const action of /** @type {const} */ (["abort", "approve", "pause", "resume", "promote", "finish"])) {
    const question = rollout.question(under(), action);
    assert.ok(question.title.endsWith("?") && question.text && question.undo && question.command.startsWith("waypost rollout "), action);
  }
});

test("steps are typed as on the command line", () => {
  assert.deepEqual(rollout.parsedSteps("1, 5,25").steps, [1, 5, 25]);
  for (const text of ["", "5, 1", "0, 5", "50, 120", "a"]) assert.ok(rollout.parsedSteps(text).error, text);
});

test("a failure has its reason in words", () => {
  /** @type {any} */
  const failure = { reason: "complete", ended_by: "service", status: 503, grpc_status: null, detail: null, service: "v2" };
  assert.equal(reason(failure), "the service responded with 503");
  assert.equal(reason({ ...failure, grpc_status: 14 }), "the service responded with grpc-status 14");
  assert.equal(reason({ ...failure, reason: "connection_refused" }), "the endpoint refused the connection");
  assert.equal(reason({ ...failure, reason: "some_new_word", detail: "here" }), "some new word (here)");
  assert.deepEqual(kinds([failure, { ...failure, reason: "route_timeout" }, failure])[0], { text: "v2: the service responded with 503", count: 2 });
});
