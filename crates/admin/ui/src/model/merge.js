// Two changes of one text, put together.

import { changes, linesOf } from "./diff.js";

/**
 * The text with both changes; `null` if they are at the same place.
 * @param {string} base
 * @param {string} mine
 * @param {string} theirs
 * @returns {string | null}
 */
export function merged(base, mine, theirs) {
  if (mine === base || mine === theirs) return theirs;
  if (theirs === base) return mine;
  const [baseLines, myLines, theirLines] = [linesOf(base), linesOf(mine), linesOf(theirs)];
  const [own, other] = [changes(baseLines, myLines), changes(baseLines, theirLines)];
  /** @type {string[]} */
  let lines = [];
  let at = 0;
  let [next, nextOther] = [0, 0];
  while (next < own.length || nextOther < other.length) {
    const [a, b] = [own[next], other[nextOther]];
    // Changes that touch are about the same thing.
    if (a && b && a.before <= b.before + b.removed && b.before <= a.before + a.removed) {
      const isAlike = a.before === b.before && a.removed === b.removed && a.added === b.added
        && myLines.slice(a.after, a.after + a.added).every((line, of) => line === theirLines[b.after + of]);
      if (!isAlike) return null;
      nextOther += 1;
    }
    const isOwn = a !== undefined && (b === undefined || a.before <= b.before);
    const change = isOwn ? a : b;
    const from = isOwn ? myLines : theirLines;
    lines = lines.concat(baseLines.slice(at, change.before), from.slice(change.after, change.after + change.added));
    at = change.before + change.removed;
    if (isOwn) next += 1;
    else nextOther += 1;
  }
  lines = lines.concat(baseLines.slice(at));
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
