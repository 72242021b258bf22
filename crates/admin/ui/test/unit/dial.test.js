import assert from "node:assert/strict";
import { test } from "node:test";

import * as dial from "../../src/model/dial.js";

/** @param {[string, number, number][]} arms */
const arms = (...all) => all.map(([service, declared, live]) => ({ service, declared, live }));
const two = arms(["v1", 95, 95], ["v2", 5, 5]);

test("a share becomes the smallest whole weights that make it", () => {
  assert.deepEqual(dial.withShare(two, 1, 25), [75, 25]);
  assert.deepEqual(dial.withShare(two, 0, 25), [25, 75]);
  assert.deepEqual(dial.withShare(two, 1, 0.5), [995, 5]);
  assert.deepEqual(dial.withShare(two, 1, 0.01), [9999, 1]);
  assert.deepEqual(dial.withShare(two, 1, 0), [100, 0]);
  for (let hundredths = 0; hundredths <= 10_000; hundredths += 1) {
    const [a, b] = dial.withShare(two, 1, hundredths / 100);
    assert.ok(Number.isInteger(a) && Number.isInteger(b) && b * 10_000 === hundredths * (a + b), `${hundredths}`);
  }
});

test("a dial that comes back to the declared shares has the declared weights", () => {
  assert.deepEqual(dial.withShare(arms(["v1", 3, 1], ["v2", 1, 1]), 1, 25), [3, 1]);
  assert.deepEqual(dial.allTo(arms(["v1", 1, 0], ["v2", 0, 1]), 0), [1, 0]);
  assert.deepEqual(dial.withShare(arms(["v1", 100, 7], ["v2", 0, 7]), 1, 50), [7, 7]);
});

test("another weight leaves the proportion of the others", () => {
  const three = arms(["a", 90, 90], ["b", 5, 5], ["c", 5, 5]);
  assert.deepEqual(dial.withWeight(three, [90, 5, 5], 2, 0), [90, 5, 0]);
  assert.deepEqual(dial.shares([90, 5, 0]).map((share) => Math.round(share * 1000)), [947, 53, 0]);
  assert.deepEqual(dial.allTo(three, 1), [0, 100, 0]);
});

test("what is typed is a number or an error", () => {
  for (const [text, value] of /** @type {[string, number][]} */ ([["25", 25], [" 0.5 % ", 0.5], ["0,25", 0.25], ["100", 100], ["7.", 7], [".5", 0.5]])) {
    assert.equal(dial.parsedShare(text).value, value, text);
  }
  for (const text of ["", "x", "101", "-1", "1e2", "0.001", "Infinity"]) assert.equal(dial.parsedShare(text).value, null, text);
  assert.equal(dial.parsedWeight("40").value, 40);
  for (const text of ["", "1.5", "-1", "1000001"]) assert.ok(dial.parsedWeight(text).error, text);
});

test("weights that change nothing, or serve nobody, are refused", () => {
  assert.match(dial.refusal(two, [0, 0]) ?? "", /at least/);
  assert.match(dial.refusal(two, [190, 10]) ?? "", /Nothing would change/);
  assert.equal(dial.refusal(two, [50, 50]), null);
});

test("the changes say what is different, the greatest first", () => {
  const texts = (/** @type {any[]} */ of, /** @type {number[]} */ weights) => dial.changes(of, weights).map((change) => change.text);
  assert.deepEqual(texts(two, [75, 25]), ["v1 gets 75.0 % of the requests instead of 95.0 %.", "v2 gets 25.0 % of the requests instead of 5.00 %."]);
  assert.deepEqual(texts(two, [1, 0]), ["v1 gets all requests, instead of 95.0 %.", "v2 gets no further requests, instead of 5.00 %."]);
  assert.deepEqual(texts(arms(["v1", 1, 1], ["v2", 0, 0]), [9, 1])[1], "v2 gets 10.0 % of the requests instead of none.");
  assert.deepEqual(texts(two, [19, 1]), []);
});

test("the command undoes what is done, in a terminal", () => {
  assert.equal(dial.command("users", two, [95, 5]), "waypost dial users --reset");
  assert.equal(dial.command("users", arms(["v1", 95, 50], ["v2", 5, 50]), [50, 50]), "waypost dial users v1=50 v2=50");
  assert.equal(dial.command("users", two, [0, 100]), "waypost dial users v2=100");
});

test("weights of another split are not set", () => {
  assert.deepEqual(dial.weightsOf(two, [{ service: "v2", weight: 3 }, { service: "v1", weight: 1 }]), [1, 3]);
  assert.equal(dial.weightsOf(two, [{ service: "v1", weight: 1 }, { service: "old", weight: 1 }]), null);
  assert.equal(dial.weightsOf(two, [{ service: "v1", weight: 1 }]), null);
});

test("weights in a few words", () => {
  assert.equal(dial.summary([{ service: "a", weight: 3 }, { service: "b", weight: 0 }]), "a\u00a03");
  assert.equal(dial.summary([]), "no service");
  assert.equal(dial.summary(["a", "b", "c", "d"].map((service) => ({ service, weight: 1 }))), "a\u00a01, b\u00a01, c\u00a01 and 1 more");
});

test("the way out of a bad side gives it nothing, and leaves the others as they are", () => {
  assert.deepEqual(dial.wayOut(two, ["v2"]), { weights: [100, 0], text: "All to v1…" });
  const three = arms(["a", 90, 90], ["b", 5, 5], ["c", 5, 5]);
  assert.deepEqual(dial.wayOut(three, ["b"]), { weights: [90, 0, 5], text: "Nothing to b…" });
  assert.deepEqual(dial.wayOut(three, ["b", "c"])?.text, "All to a…");
  assert.deepEqual(dial.wayOut(arms(["a", 1, 1], ["b", 1, 1], ["c", 1, 1], ["d", 1, 1]), ["c", "d"])?.text, "Nothing to 2 services…");
  // There must be another one, and something to take away.
  assert.equal(dial.wayOut(arms(["v1", 1, 0], ["v2", 1, 1]), ["v2"]), null);
  assert.equal(dial.wayOut(arms(["v1", 1, 1], ["v2", 1, 0]), ["v2"]), null);
  assert.equal(dial.wayOut(two, []), null);
});
