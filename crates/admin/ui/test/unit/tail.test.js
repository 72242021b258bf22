import assert from "node:assert/strict";
import { test } from "node:test";

import { commandOf, filterOf, isFilter, queryOf, quoted, ROWS_MAX, targetOf, toneOf, wayOf, withFresh } from "../../src/model/tail.js";

test("a filter is in an address as the gateway takes it", () => {
  const filter = filterOf({ path: "/a b", method: "get", failing: "true", other: "x", status: "" });
  assert.deepEqual(queryOf(filter), { path: "/a b", method: "GET", failing: "true" });
  assert.ok(isFilter(filter) && !isFilter({ host: "  " }));
});

test("a filter is a command too", () => {
  assert.equal(commandOf({}), "waypost tail");
  assert.equal(commandOf({ route: "users", status: "5xx", path: "/a b", failing: true }), "waypost tail users --path '/a b' --status 5xx --failing");
  assert.equal(quoted("it's"), "'it'\\''s'");
});

test("the newest rows are kept", () => {
  const row = (/** @type {number} */ id) => ({ id });
  assert.deepEqual(withFresh([row(2), row(1)], [row(3), row(4)]).map(({ id }) => id), [4, 3, 2, 1]);
  const many = Array.from({ length: 2 * ROWS_MAX }, (_, at) => row(at));
  const kept = withFresh([row(-1)], many);
  assert.equal(kept.length, ROWS_MAX);
  assert.equal(kept[0].id, 2 * ROWS_MAX - 1);
  assert.equal(withFresh(kept, [row(9000)]).length, ROWS_MAX);
});

test("a row tells a failure from a mistake of the client", () => {
  const line = (/** @type {number} */ status, /** @type {boolean} */ failed) => toneOf({ status, failed });
  assert.deepEqual([line(200, false), line(404, false), line(503, true), line(0, false)], ["none", "warn", "bad", "warn"]);
  assert.equal(targetOf({ path: "/a", query: "b=1" }), "/a?b=1");
  assert.equal(targetOf({ path: "/a", query: null }), "/a");
});

test("a refusal is told as such, and is no failure", () => {
  const line = /** @type {any} */ ({ route: "users", service: null, status: 401, failed: false });
  assert.equal(wayOf({ ...line, refused_by: "auth" }), "users, refused by auth");
  assert.equal(wayOf({ ...line, route: null, refused_by: "limit" }), "no route, refused by limit");
  assert.equal(toneOf({ ...line, refused_by: "auth" }), "warn");
  assert.equal(wayOf({ ...line, refused_by: null }), "users");
  assert.equal(wayOf({ ...line, service: "v1" }), "users → v1");
});
