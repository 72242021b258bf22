import assert from "node:assert/strict";
import { test } from "node:test";

import { changes, difference, linesOf } from "../../src/model/diff.js";
import { changedFiles, edited, filesOf, isEdited, moved, nameFault, read } from "../../src/model/draft.js";
import { counts, findings, range } from "../../src/model/findings.js";
import { merged } from "../../src/model/merge.js";
import { sentence, wayOf } from "../../src/model/summary.js";

/** The lines after the changes are made to those before. */
function applied(before, after, found) {
  const lines = [];
  let at = 0;
  for (const change of found) {
    lines.push(...before.slice(at, change.before), ...after.slice(change.after, change.after + change.added));
    at = change.before + change.removed;
  }
  return lines.concat(before.slice(at));
}

test("changes lead from one text to the other", () => {
  let seed = 7;
  const roll = (/** @type {number} */ of) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor(seed / 65536) % of;
  };
  for (let round = 0; round < 400; round += 1) {
    const words = 1 + roll(12);
    const before = Array.from({ length: roll(30) }, () => String(roll(words)));
    const after = before.flatMap((line) => (roll(5) === 0 ? [] : roll(6) === 0 ? [line, String(roll(words))] : [line]));
    const found = changes(before, after);
    assert.deepEqual(applied(before, after, found), after, `${before} / ${after}`);
  }
});

test("changes are few", () => {
  const check = (/** @type {string} */ before, /** @type {string} */ after, /** @type {number} */ expected) => {
    const found = changes([...before], [...after]);
    assert.equal(found.reduce((sum, change) => sum + change.added + change.removed, 0), expected, `${before} ${after}`);
  };
  check("abc", "abc", 0);
  check("", "abc", 3);
  check("abcabba", "cbabac", 5);
  check("abcdef", "abXdef", 2);
});

test("texts without likeness take bounded work", () => {
  const before = Array.from({ length: 20_000 }, (_, at) => String(at % 7));
  const after = Array.from({ length: 20_000 }, (_, at) => String((at * at) % 11));
  assert.deepEqual(applied(before, after, changes(before, after)), after);
});

test("a difference is shown with lines around it", () => {
  const before = Array.from({ length: 20 }, (_, at) => `line ${at + 1}`);
  const after = before.with(9, "other");
  const { lines, added, removed } = difference(`${before.join("\n")}\n`, `${after.join("\n")}\n`);
  assert.deepEqual([added, removed], [1, 1]);
  assert.deepEqual(lines.map((line) => [line.kind, line.before, line.after, line.hidden]), [
    ["gap", null, null, 6],
    ["same", 7, 7, undefined], ["same", 8, 8, undefined], ["same", 9, 9, undefined],
    ["removed", 10, null, undefined], ["added", null, 10, undefined],
    ["same", 11, 11, undefined], ["same", 12, 12, undefined], ["same", 13, 13, undefined],
    ["gap", null, null, 7],
  ]);
  assert.equal(difference("a\n", "a").note, "The line feed at the end was removed.");
  assert.deepEqual(difference("", "a\n").lines.map((line) => line.kind), ["added"]);
  assert.deepEqual(linesOf("a\n\n"), ["a", ""]);
});

test("two changes of a text are put together unless they touch", () => {
  const base = "a\nb\nc\nd\ne\n";
  assert.equal(merged(base, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n"), "A\nb\nc\nd\nE\n");
  assert.equal(merged(base, "a\nX\nc\nd\ne\n", "a\nY\nc\nd\ne\n"), null);
  assert.equal(merged(base, "a\nX\nc\nd\ne\n", "a\nX\nc\nd\ne\n"), "a\nX\nc\nd\ne\n");
  assert.equal(merged(base, base, "x\n"), "x\n");
  assert.equal(merged(base, "x\n", base), "x\n");
  assert.equal(merged(base, "a\nX\nc\nd\ne\n", "a\nX\nc\nD\ne\n"), "a\nX\nc\nD\ne\n");
});

const BASE = { etag: '"1"', revision: 3, isDirectory: true, files: [{ name: "a.yaml", text: "a" }, { name: "b.yaml", text: "b" }] };

test("a draft knows what was edited", () => {
  const draft = edited({ base: BASE, texts: {} }, "b.yaml", "B");
  assert.ok(isEdited(draft) && !isEdited(edited(draft, "b.yaml", "b")));
  assert.deepEqual(filesOf(edited(draft, "aa.yaml", "n")).map((file) => file.name + file.text), ["a.yamla", "aa.yamln", "b.yamlB"]);
  assert.deepEqual(changedFiles(BASE.files, filesOf(draft)), [{ name: "b.yaml", before: "b", after: "B" }]);
  assert.equal(nameFault(draft, "c.yaml"), null);
  for (const name of ["a.yaml", ".x.yaml", "x.txt", "x/y.yaml", ""]) assert.notEqual(nameFault(draft, name), null, name);
});

test("a draft that is kept is read again, and nothing else is", () => {
  const draft = { base: BASE, texts: { "a.yaml": "A" } };
  assert.deepEqual(read(JSON.stringify(draft)), draft);
  for (const kept of [null, "", "{}", "[]", "null", '{"base":{},"texts":{}}']) assert.equal(read(kept), null);
});

test("findings have a place in the text", () => {
  const text = "a: 1\nbé😀: 2\nc";
  const spot = (line, column, endLine, endColumn) => ({ file: "", line, column, endLine, endColumn, text: "" });
  assert.equal(text.slice(...range(text, spot(2, 1, 2, 4))), "bé😀");
  assert.equal(text.slice(...range(text, spot(2, 6, 2, 7))), "2");
  assert.equal(text.slice(...range(text, spot(3, 1, 9, 9))), "c");
  const [found] = findings([{ severity: "error", code: "x", message: "m", help: "h", labels: [{ file: "/etc/w/a.yaml", line: 1, column: 2, text: "t" }] }]);
  assert.deepEqual(found.spots[0], { file: "a.yaml", line: 1, column: 2, endLine: 1, endColumn: 3, text: "t" });
  assert.equal(counts([found, { ...found, severity: "warning" }]), "1 error, 1 warning");
});

test("a summary is a sentence", () => {
  assert.equal(sentence("routes ~users ~b +orders -old; tests changed"), "Routes: changed users, b; added orders; removed old. Tests changed.");
  assert.equal(sentence("services ~a ~3 more"), "Services: changed a, 3 more.");
  assert.equal(sentence("1 listener, 2 routes, no tests"), "1 listener, 2 routes, no tests.");
  assert.equal(sentence(""), "No change of meaning.");
});

test("edits are put on top of another change", () => {
  const base = { ...BASE, files: [{ name: "a.yaml", text: "1\n2\n3\n4\n" }, { name: "b.yaml", text: "b\n" }] };
  const next = { ...base, etag: '"2"', files: [{ name: "a.yaml", text: "1\n2\n3\nfour\n" }, { name: "b.yaml", text: "theirs\n" }] };
  const { draft, conflicts } = moved({ base, texts: { "a.yaml": "one\n2\n3\n4\n", "b.yaml": "mine\n" } }, next);
  assert.deepEqual(draft.texts, { "a.yaml": "one\n2\n3\nfour\n", "b.yaml": "mine\n" });
  assert.deepEqual(conflicts, ["b.yaml"]);
  assert.deepEqual(moved({ base, texts: { "b.yaml": null } }, { ...next, files: [next.files[0], base.files[1]] }).draft.texts, { "b.yaml": null });
});

test("the way of a request is told in short", () => {
  assert.equal(wayOf({ outcome: "forward", route: "a", services: ["b", "c"] }), "a → b, c");
  assert.equal(wayOf({ outcome: "redirect", route: "a", services: [], status: 308 }), "a → 308");
  assert.equal(wayOf({ outcome: "not_found", route: null }), "not found");
});
