import assert from "node:assert/strict";
import { test } from "node:test";

import { health, inShort, toneOf } from "../../src/model/health.js";
import { availability, sinceLook, withLook } from "../../src/model/services.js";

test("the word is the gateway's, and its tone that of what fails", () => {
  const shown = (word, ...severities) => { const { word: said, tone } = health({ word, reasons: severities.map((severity) => ({ severity, kind: "config", message: "it is so" })) }); return [said, tone]; };
  assert.deepEqual(shown("healthy"), ["Healthy", "good"]);
  assert.deepEqual(shown("attention", "warning"), ["Attention", "warn"]);
  assert.deepEqual(shown("attention", "error"), ["Attention", "bad"]);
  assert.deepEqual(shown("degraded", "warning"), ["Degraded", "warn"]);
  assert.deepEqual(shown("failing", "error"), ["Failing", "bad"]);
});

test("a route is marked by the gateway's reason, and not for what is past", () => {
  assert.equal(toneOf(undefined), "");
  assert.equal(toneOf({ severity: "warning", kind: "route", message: "" }), "doubtful");
  assert.equal(toneOf({ severity: "error", kind: "route", message: "" }), "failing");
  assert.equal(toneOf({ severity: "warning", kind: "route", message: "", past: true }), "");
});

test("a reason is a sentence and leads to its page", () => {
  const { reasons } = health({ reasons: [{ severity: "error", kind: "service", name: "a/b", message: "no endpoint of `a/b` is available" }] });
  assert.deepEqual(reasons, [{ tone: "bad", kind: "service", text: "No endpoint of `a/b` is available.", page: ["services", "a/b"] }]);
});

test("no kind of reason hides another one", () => {
  const all = ["service", "service", "service", "route", "service", "route"].map((kind, at) => ({ kind, text: String(at), tone: /** @type {"bad"} */ ("bad"), page: null }));
  assert.deepEqual(inShort(all, 2).map(({ text }) => text), ["0", "1", "3", "5"]);
  assert.deepEqual(inShort(all, 4), all);
});

const service = (name, ...states) => ({
  name, routes: ["r"], mirrors: [],
  endpoints: states.map((state, at) => ({ endpoint: `${name}.test:${at}`, weight: 1, backup: false, addresses: [{ address: `10.0.0.${at}:80`, state, requests: 10, failures: 1 }] })),
});

test("a service is as good as its addresses", () => {
  const tone = (...states) => availability(service("a", ...states)).tone;
  assert.deepEqual([tone("up"), tone("up", "down"), tone("drained"), tone("unknown")], ["good", "warn", "bad", "none"]);
  assert.deepEqual(availability(service("b", "up", "down")), { available: 1, all: 2, tone: "warn" });
});

test("rates need two looks at the same counters", () => {
  const address = "10.0.0.0:80";
  const counted = (requests, failures) => {
    const one = service("a", "up");
    Object.assign(one.endpoints[0].addresses[0], { requests, failures });
    return [one];
  };
  let looks = withLook([], counted(10, 1), 0);
  assert.equal(sinceLook(looks, "a", address), null);
  looks = withLook(looks, counted(30, 6), 4000);
  assert.deepEqual(sinceLook(looks, "a", address), { seconds: 4, requests: 20, failures: 5 });
  assert.equal(sinceLook(withLook(looks, counted(3, 0), 8000), "a", address), null);
  assert.equal(withLook(looks, counted(40, 6), 100_000).length, 1);
});
