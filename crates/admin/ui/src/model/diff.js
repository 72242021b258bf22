// The difference of two texts by lines, with bounded work whatever the texts are.

/**
 * Lines that differ: `removed` lines from `before` on give way to `added` lines from `after` on.
 * @typedef {object} Change
 * @property {number} before
 * @property {number} removed
 * @property {number} after
 * @property {number} added
 */

/**
 * A line to show.
 * @typedef {object} DiffLine
 * @property {"same" | "removed" | "added" | "gap"} kind
 * @property {number | null} before the number of the line, from 1
 * @property {number | null} after
 * @property {string} text
 * @property {number} [hidden] of a gap: the lines that are left out
 */

/** Steps in all; texts that need more are compared coarsely. */
const STEPS_MAX = 4_000_000;
/** Changed lines that are looked for between two lines that surely belong together. */
const DISTANCE_MAX = 400;
/** Lines around a change that are shown. */
const CONTEXT = 3;

/**
 * @param {string} text
 * @returns {string[]}
 */
export const linesOf = (text) => (text === "" ? [] : (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n"));


/**
 * The changes from one list of lines to another, in order.
 * @param {string[]} before
 * @param {string[]} after
 * @returns {Change[]}
 */
export function changes(before, after) {
  /** @type {Map<string, number>} */
  const ids = new Map();
  /** @param {string[]} lines */
  const numbered = (lines) => Int32Array.from(lines, (line) => {
    const known = ids.get(line);
    if (known !== undefined) return known;
    ids.set(line, ids.size);
    return ids.size - 1;
  });
  const comparison = new Comparison(numbered(before), numbered(after));
  comparison.compare(0, before.length, 0, after.length);
  return comparison.found;
}

class Comparison {
  /**
   * @param {Int32Array} a
   * @param {Int32Array} b
   */
  constructor(a, b) {
    this.a = a;
    this.b = b;
    this.steps = 0;
    /** @type {Change[]} */
    this.found = [];
  }

  /**
   * @param {number} a0
   * @param {number} a1
   * @param {number} b0
   * @param {number} b1
   */
  compare(a0, a1, b0, b1) {
    const { a, b } = this;
    while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) { a0 += 1; b0 += 1; }
    while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) { a1 -= 1; b1 -= 1; }
    if (a0 === a1 || b0 === b1) {
      this.add(a0, a1 - a0, b0, b1 - b0);
      return;
    }
    this.steps += a1 - a0 + b1 - b0;
    const anchors = this.steps < STEPS_MAX ? this.anchors(a0, a1, b0, b1) : [];
    if (anchors.length > 0) {
      let [fromA, fromB] = [a0, b0];
      for (const [atA, atB] of anchors) {
        this.compare(fromA, atA, fromB, atB);
        [fromA, fromB] = [atA + 1, atB + 1];
      }
      this.compare(fromA, a1, fromB, b1);
      return;
    }
    if (!this.shortest(a0, a1, b0, b1)) this.add(a0, a1 - a0, b0, b1 - b0);
  }

  /**
   * Pairs of lines that are once in each part, in the longest run that keeps the order: they belong together, and the
   * result reads as a person would see it.
   * @param {number} a0
   * @param {number} a1
   * @param {number} b0
   * @param {number} b1
   * @returns {[number, number][]}
   */
  anchors(a0, a1, b0, b1) {
    const { a, b } = this;
    /** @type {Map<number, { inA: number, inB: number, atB: number }>} */
    const seen = new Map();
    for (let at = a0; at < a1; at += 1) {
      const known = seen.get(a[at]);
      if (known) known.inA += 1;
      else seen.set(a[at], { inA: 1, inB: 0, atB: -1 });
    }
    for (let at = b0; at < b1; at += 1) {
      const known = seen.get(b[at]);
      if (!known) continue;
      known.inB += 1;
      known.atB = at;
    }
    /** @type {{ atA: number, atB: number, before: number }[]} */
    const pairs = [];
    /** @type {number[]} the last pair of the best run of each length */
    const ends = [];
    for (let at = a0; at < a1; at += 1) {
      const line = seen.get(a[at]);
      if (!line || line.inA !== 1 || line.inB !== 1) continue;
      let [low, high] = [0, ends.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (pairs[ends[middle]].atB < line.atB) low = middle + 1;
        else high = middle;
      }
      pairs.push({ atA: at, atB: line.atB, before: low > 0 ? ends[low - 1] : -1 });
      ends[low] = pairs.length - 1;
    }
    /** @type {[number, number][]} */
    const run = [];
    for (let at = ends[ends.length - 1] ?? -1; at >= 0; at = pairs[at].before) run.push([pairs[at].atA, pairs[at].atB]);
    return run.reverse();
  }

  /**
   * The shortest list of changes (Myers 1986), unless it is too long to be looked for.
   * @param {number} a0
   * @param {number} a1
   * @param {number} b0
   * @param {number} b1
   * @returns {boolean}
   */
  shortest(a0, a1, b0, b1) {
    const { a, b } = this;
    const [n, m] = [a1 - a0, b1 - b0];
    const max = Math.min(n + m, DISTANCE_MAX);
    const middle = max + 1;
    let reached = new Int32Array(2 * max + 3);
    /** @type {Int32Array[]} */
    const trace = [];
    for (let d = 0; d <= max; d += 1) {
      this.steps += d + 1;
      if (this.steps > STEPS_MAX) return false;
      trace.push(reached.slice());
      for (let k = -d; k <= d; k += 2) {
        const isDown = k === -d || (k !== d && reached[middle + k - 1] < reached[middle + k + 1]);
        let x = isDown ? reached[middle + k + 1] : reached[middle + k - 1] + 1;
        let y = x - k;
        while (x < n && y < m && a[a0 + x] === b[b0 + y]) { x += 1; y += 1; this.steps += 1; }
        reached[middle + k] = x;
        if (x < n || y < m) continue;
        this.trail(trace, d, n, m, a0, b0, middle);
        return true;
      }
    }
    return false;
  }

  /**
   * @param {Int32Array[]} trace
   * @param {number} distance
   * @param {number} x
   * @param {number} y
   * @param {number} a0
   * @param {number} b0
   * @param {number} middle
   */
  trail(trace, distance, x, y, a0, b0, middle) {
    /** @type {Change[]} */
    const steps = [];
    for (let d = distance; d > 0; d -= 1) {
      const reached = trace[d];
      const k = x - y;
      const isDown = k === -d || (k !== d && reached[middle + k - 1] < reached[middle + k + 1]);
      const from = isDown ? k + 1 : k - 1;
      const fromX = reached[middle + from];
      const fromY = fromX - from;
      steps.push(isDown
        ? { before: a0 + fromX, removed: 0, after: b0 + fromY, added: 1 }
        : { before: a0 + fromX, removed: 1, after: b0 + fromY, added: 0 });
      [x, y] = [fromX, fromY];
    }
    for (const step of steps.reverse()) this.add(step.before, step.removed, step.after, step.added);
  }

  /**
   * @param {number} before
   * @param {number} removed
   * @param {number} after
   * @param {number} added
   */
  add(before, removed, after, added) {
    if (removed === 0 && added === 0) return;
    const last = this.found[this.found.length - 1];
    if (last && last.before + last.removed === before && last.after + last.added === after) {
      last.removed += removed;
      last.added += added;
    } else {
      this.found.push({ before, removed, after, added });
    }
  }
}

/**
 * The lines to show: those that differ, with some around them, and gaps.
 * @param {string[]} before
 * @param {string[]} after
 * @param {Change[]} found
 * @returns {DiffLine[]}
 */
export function shown(before, after, found) {
  /** @type {DiffLine[]} */
  const lines = [];
  let at = 0;
  /** The lines of `after` are ahead of those of `before` by this many. */
  let shift = 0;
  /** @param {number} to */
  const same = (to) => {
    for (; at < to; at += 1) lines.push({ kind: "same", before: at + 1, after: at + 1 + shift, text: before[at] });
  };
  /** @param {number} to */
  const gap = (to) => {
    if (to > at) lines.push({ kind: "gap", before: null, after: null, text: "", hidden: to - at });
    at = Math.max(at, to);
  };
  for (const [index, change] of found.entries()) {
    // A gap of a line or two is no shorter than the lines.
    if (change.before - CONTEXT - at > 1) gap(change.before - CONTEXT);
    same(change.before);
    for (let of = 0; of < change.removed; of += 1) lines.push({ kind: "removed", before: at + of + 1, after: null, text: before[at + of] });
    for (let of = 0; of < change.added; of += 1) lines.push({ kind: "added", before: null, after: change.after + of + 1, text: after[change.after + of] });
    at += change.removed;
    shift = change.after + change.added - at;
    const next = found[index + 1]?.before ?? before.length;
    same(Math.min(at + CONTEXT, next));
  }
  if (found.length > 0) {
    if (before.length - at > 1) gap(before.length);
    else same(before.length);
  }
  return lines;
}

/**
 * The changes from one text to another, with the lines to show. An end without a line feed is a difference too.
 * @param {string} before
 * @param {string} after
 */
export function difference(before, after) {
  const [a, b] = [linesOf(before), linesOf(after)];
  const found = changes(a, b);
  const sum = (/** @type {"removed" | "added"} */ key) => found.reduce((sum, change) => sum + change[key], 0);
  const lines = shown(a, b, found);
  const endsAlike = before === "" || after === "" || before.endsWith("\n") === after.endsWith("\n");
  return { lines, added: sum("added"), removed: sum("removed"), note: endsAlike ? null : after.endsWith("\n") ? "A line feed was added at the end." : "The line feed at the end was removed." };
}
