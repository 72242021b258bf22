import assert from "node:assert/strict";
import { test } from "node:test";

import { orderOf, standing } from "../../src/model/certificates.js";

const DIRECTORY = "https://acme.test/dir";

/** @param {Partial<import("../../src/api/types.js").CertificateView>} of */
const view = (of) => ({ listener: "public", names: ["a.test", "b.test"], not_after: "2026-12-31T00:00:00Z", days: 30, ends_soon: false, self_signed: false, ...of });

/** @param {Partial<import("../../src/api/types.js").OrderReport>} of */
const order = (of) => ({ hosts: ["b.test", "a.test"], directory: DIRECTORY, state: /** @type {const} */ ("waiting"), error: null, next: null, ...of });

const failing = order({ state: "failing", error: "no connection" });
const title = "The last order failed: no connection";

test("a certificate tells the days that are left of it", () => {
  /** @type {[number, boolean, string, string][]} */
  const cases = [[90, false, "good", "90 days"], [9, true, "warn", "9 days"], [1, true, "warn", "1 day"], [0, true, "bad", "< 1 day"], [-1, true, "bad", "ended"], [3, false, "good", "3 days"]];
  for (const [days, ends_soon, tone, text] of cases) assert.deepEqual(standing(view({ file: "a.crt", days, ends_soon }), undefined), { tone, text });
});

test("a certificate that stands in for another one tells how its order comes along", () => {
  const placeholder = view({ directory: DIRECTORY, self_signed: true, days: 2_900_000 });
  assert.deepEqual(standing(placeholder, undefined), { tone: "warn", text: "not issued yet" });
  assert.deepEqual(standing(placeholder, order({ state: "waiting" })), { tone: "warn", text: "not issued yet" });
  assert.deepEqual(standing(placeholder, order({ state: "ordering" })), { tone: "info", text: "being ordered" });
  assert.deepEqual(standing(placeholder, failing), { tone: "bad", text: "order failed", title });
  assert.deepEqual(standing(placeholder, { ...failing, state: "ordering" }), { tone: "info", text: "being ordered", title });
  // One in files is served as it is meant.
  assert.equal(standing(view({ file: "a.crt", self_signed: true }), undefined).text, "30 days");
});

test("a renewal that fails is told beside the days that are left", () => {
  const issued = view({ directory: DIRECTORY });
  assert.deepEqual(standing(issued, order({ state: "valid" })), { tone: "good", text: "30 days" });
  assert.deepEqual(standing(issued, failing), { tone: "warn", text: "30 days", title });
  assert.deepEqual(standing({ ...issued, days: 0, ends_soon: true }, failing), { tone: "bad", text: "< 1 day", title });
});

test("orders are found by the authority and by all hosts", () => {
  const issued = view({ directory: DIRECTORY });
  const others = [order({ hosts: ["a.test"] }), order({ hosts: ["a.test", "c.test"] }), order({ directory: "https://other.test/" })];
  assert.equal(orderOf(issued, others), undefined);
  assert.equal(orderOf(issued, [...others, failing]), failing);
  assert.equal(orderOf(view({ file: "a.crt" }), [failing]), undefined);
});
