// Parts of a long list.

/** Rows of a part; the gateway is asked for one or more of them. */
const PART = 50;
/** Rows that are asked for at once, at most. */
const ROWS_MAX = 300;

/**
 * The part of a list that has the rows in sight: its borders are multiples, so that a turn of the wheel asks for no other.
 * @param {number} from
 * @param {number} to
 */
export function part(from, to) {
  const offset = Math.max(0, Math.floor(from / PART) * PART);
  const end = Math.max(offset + PART, Math.ceil(to / PART) * PART);
  return { offset, limit: Math.min(ROWS_MAX, end - offset) };
}

/**
 * The place of a row that is to be seen: the offset of the box that shows it, moved no further than needed.
 * @param {number} row
 * @param {number} rowHeight
 * @param {number} top the present offset of the box
 * @param {number} height the height of the box, without its head
 */
export function scrolled(row, rowHeight, top, height) {
  if (row * rowHeight < top) return row * rowHeight;
  return Math.max(top, (row + 1) * rowHeight - height);
}

/**
 * The row that a key leads to; `null` for a key that leads to none.
 * @param {string} key as in `KeyboardEvent.key`
 * @param {number} row
 * @param {number} total
 * @param {number} page rows in sight
 */
export function moved(key, row, total, page) {
  /** @type {Record<string, number>} */
  const to = { ArrowDown: row + 1, ArrowUp: row - 1, PageDown: row + page, PageUp: row - page, Home: 0, End: total - 1 };
  return key in to ? Math.max(0, Math.min(total - 1, to[key])) : null;
}
