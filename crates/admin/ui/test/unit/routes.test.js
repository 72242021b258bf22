import assert from "node:assert/strict";
import { test } from "node:test";

import { begun, complete, has, toggled } from "../../src/model/filter.js";
import { moved, part, scrolled } from "../../src/model/windows.js";

test("a word of a search is put in and taken out", () => {
  assert.equal(toggled("", "failing"), "failing");
  assert.equal(toggled("host:a  failing", "failing"), "host:a");
  assert.equal(toggled("host:a", "dialed"), "host:a dialed");
  assert.ok(has(" failing ", "failing"));
  assert.ok(!has("failing-route", "failing"));
});

test("a word that is begun is not searched for before it has a part", () => {
  assert.equal(begun("failing", "host"), "failing host:");
  assert.equal(begun("failing host:", "host"), "failing host:");
  assert.equal(complete("failing host:"), "failing");
  assert.equal(complete("host:a path:/x"), "host:a path:/x");
});

test("the part of a list that is asked for has the rows in sight, and stays while one scrolls a little", () => {
  assert.deepEqual(part(0, 30), { offset: 0, limit: 50 });
  assert.deepEqual(part(12, 48), { offset: 0, limit: 50 });
  assert.deepEqual(part(40, 70), { offset: 0, limit: 100 });
  assert.deepEqual(part(99_980, 100_000), { offset: 99_950, limit: 50 });
  assert.deepEqual(part(0, 0), { offset: 0, limit: 50 });
});

test("a row is scrolled into sight, and no further", () => {
  assert.equal(scrolled(3, 40, 0, 400), 0);
  assert.equal(scrolled(10, 40, 0, 400), 40);
  assert.equal(scrolled(2, 40, 200, 400), 80);
});

test("keys lead to rows, and not beyond the ends", () => {
  assert.equal(moved("ArrowDown", 4, 10, 5), 5);
  assert.equal(moved("ArrowUp", 0, 10, 5), 0);
  assert.equal(moved("PageDown", 7, 10, 5), 9);
  assert.equal(moved("End", 0, 100_000, 5), 99_999);
  assert.equal(moved("x", 0, 10, 5), null);
});
