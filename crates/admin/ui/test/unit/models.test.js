import assert from "node:assert/strict";
import { test } from "node:test";

import { formatted, parsed, segment } from "../../src/model/address.js";
import { canaryWords, covered, ids } from "../../src/model/fleet.js";
import * as format from "../../src/model/format.js";
import { chartMarks, clusters } from "../../src/model/marks.js";
import { joined, lone, nice } from "../../src/model/series.js";
import { eventParser } from "../../src/model/sse.js";
import { merged, times } from "../../src/model/timeline.js";
import { arms, letter } from "../../src/model/weights.js";

test("a missing figure is a dash, and never 0", () => {
  for (const write of [format.count, format.compact, format.rate, format.percent, format.ms, format.bytes, format.duration]) {
    for (const missing of [null, undefined, NaN]) assert.equal(write(missing), "–");
    assert.notEqual(write(0), "–");
  }
});

test("shares near an end are not rounded to it", () => {
  assert.equal(format.percent(0), "0 %");
  assert.equal(format.percent(0.00001), "<0.01 %");
  assert.equal(format.percent(0.999999), ">99.99 %");
  assert.equal(format.percent(0.1234), "12.3 %");
});

test("durations have a unit or two", () => {
  const cases = { 0: "0 s", 59: "59 s", 60: "1 min", 200: "3 min 20 s", 11_400: "3 h 10 min", 187_200: "2 d 4 h" };
  for (const [seconds, text] of Object.entries(cases)) assert.equal(format.duration(Number(seconds)), text);
  assert.equal(format.ms(0.25), "0.25 ms");
  assert.equal(format.ms(9.97), "10 ms");
  assert.equal(format.ms(12_340), "12.3 s");
});

test("a long name keeps both ends", () => {
  assert.equal(format.cut("abc", 3), "abc");
  assert.equal(format.cut("abcdefghij", 7), "abcd…ij");
  assert.equal([...format.cut("é".repeat(120), 40)].length, 40);
});

test("no name is taken out of the path of a request", () => {
  for (const [name, expected] of [[".", "~."], ["..", "~.."], ["...", "..."], ["a/b", "a%2Fb"], ["a.b", "a.b"]]) {
    assert.equal(segment(name), expected);
    assert.equal(new URL(`http://a/api/v1/routes/${segment(name)}/split`).pathname, `/api/v1/routes/${expected}/split`);
  }
});

test("an address is read as it was written", () => {
  for (const name of ["users", "a/b", "100%", "<img onerror>", "ü ?#&="]) {
    const address = parsed(formatted(["routes", name], { filter: name, empty: "" }));
    assert.deepEqual(address, { path: ["routes", name], query: { filter: name } });
  }
  assert.deepEqual(parsed("#/routes/%"), { path: ["routes", "%"], query: {} });
  assert.deepEqual(parsed(""), { path: [], query: {} });
});

test("events are read in whatever pieces they come", () => {
  const text = ": hello\r\n\r\nevent: request\ndata: {\"a\":1}\ndata: 2\n\ndata:x\n\n";
  for (const size of [1, 3, 1000]) {
    const feed = eventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...feed(text.slice(at, at + size)));
    assert.deepEqual(events, [{ event: "request", data: '{"a":1}\n2' }, { event: "message", data: "x" }]);
  }
});

/** @param {number} begin @param {(number | null)[]} requests */
const timeline = (begin, requests, marks = []) => ({
  route: null, step_seconds: 1, begin, next: begin + requests.length, marks, kept: {},
  series: [{ service: null, requests, failures: requests, refused: requests, p50_ms: requests, p99_ms: requests }],
});

test("new figures replace those that were not over, and the window moves", () => {
  const first = timeline(100, [1, 2, 3]);
  const second = merged(first, timeline(102, [30, 4]), 3);
  assert.deepEqual(times(second), [101, 102, 103]);
  assert.deepEqual(second.series[0].requests, [2, 30, 4]);
  const gap = merged(first, timeline(110, [9]), 100);
  assert.deepEqual(gap.series[0].requests, [9]);
  assert.deepEqual(merged(first, timeline(103, []), 3).series[0].requests, [1, 2, 3]);
});

test("instances that figures are of stay known while there are no newer ones", () => {
  const first = { ...timeline(100, [1, 2, 3]), instances: 3, missing: [] };
  const news = { ...timeline(103, []), instances: 2, missing: ["gw-3"] };
  const { instances, missing, series } = merged(first, news, 10);
  assert.deepEqual([instances, missing, series[0].requests], [2, ["gw-3"], [1, 2, 3]]);
});

test("figures of a fleet say of how many instances, and without which", () => {
  const fleet = { instance: "gw-1", instances: 3, leader: null };
  assert.equal(covered(null, { instances: 1 }), null);
  assert.deepEqual(covered(fleet, { instances: 3 }), { of: "figures of 3 instances", leftOut: null });
  assert.deepEqual(covered(fleet, { instances: 2, missing: ["gw-3"] }), { of: "figures of 2 of 3 instances", leftOut: "The figures are without gw-3, which does not answer in time." });
  assert.equal(covered(fleet, { instances: 1, missing: ["a", "b"] })?.leftOut, "The figures are without a and b, which do not answer in time.");
  assert.equal(ids(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
});

test("a config that is tried says where, and how it fares", () => {
  const canary = { id: "c", hold_ms: 60_000, time: "", by: null, summary: "", instances: [{ id: "a", state: "healthy" }, { id: "b", state: "waiting" }] };
  assert.deepEqual(canaryWords(canary, 5), ["2 of 5 instances try a config: a and b.", "b has not taken it yet."]);
  const [a, b] = canary.instances;
  assert.equal(canaryWords({ ...canary, instances: [a] }, 5)[1], "All take it once it has been healthy for 1 min.");
  assert.equal(canaryWords({ ...canary, instances: [a, { ...b, state: "failed", why: "a port is taken" }] }, 5)[1], "b does not fare well: a port is taken.");
});

test("a mark is shown once", () => {
  const mark = { time: "1970-01-01T00:01:42Z", event: "dial", route: "r", service: null, text: "a 1" };
  const both = merged(timeline(100, [1, 2, 3], [mark]), timeline(102, [3], [mark]), 10);
  assert.equal(both.marks.length, 1);
  const [shown] = chartMarks(both.marks);
  assert.deepEqual([shown.at, shown.text], [102, "r: a 1"]);
});

test("marks near each other are one", () => {
  const at = (seconds) => ({ at: seconds, text: "t" });
  const all = clusters([at(50), at(0), at(51), at(99), at(101)], 0, 100, 100, 10);
  assert.deepEqual(all.map(({ x, marks }) => [x, marks.length]), [[0, 1], [50, 2], [99, 1]]);
});

test("minutes end where seconds begin", () => {
  const coarse = { times: [0, 60, 120], columns: [[1, 2, 3]] };
  const both = joined(coarse, { times: [130, 131], columns: [[4, 5]] });
  assert.deepEqual(both, { times: [0, 60, 130, 131], columns: [[1, 2, 4, 5]] });
});

test("scales end at round numbers", () => {
  assert.deepEqual([0, 0.7, 11, 23, 99, 101].map(nice), [1, 0.8, 15, 25, 100, 150]);
  assert.deepEqual(lone([1, null, 2, 3, null, 4]), [0, 5]);
});

test("arms have letters and shares", () => {
  const [a, b] = arms([{ service: "x", live: 3, declared: 1 }, { service: "y", live: 1, declared: 1 }]);
  assert.deepEqual([a.letter, a.share, a.isDialed, b.letter, b.share, b.isDialed], ["A", 0.75, true, "B", 0.25, false]);
  assert.deepEqual([letter(25), letter(26), letter(52)], ["Z", "AA", "BA"]);
  assert.equal(arms([{ service: "x", live: 0, declared: 0 }])[0].share, 0);
});
