// The rows of the table that are in sight, as the gateway has them.

import { useCallback, useEffect, useMemo, useRef, useState } from "../../html.js";
import { usePoll } from "../../api/poll.js";
import { part } from "../../model/windows.js";

/** @typedef {import("../../api/route-types.js").RouteRow} RouteRow */
/** @typedef {import("../../api/route-types.js").RoutesPage} RoutesPage */

/** Milliseconds between two looks at the rows in sight. */
const INTERVAL = 2000;
/** Milliseconds for which scrolling has to stop before other rows are asked for. */
const CALM = 80;

/**
 * @typedef {object} Rows
 * @property {(at: number) => RouteRow | null} row
 * @property {number} total those that the search finds
 * @property {number} all
 * @property {boolean} isReady something is known
 * @property {boolean} isBusy the rows are still those of the search before
 * @property {import("../../api/client.js").ApiError | null} error
 * @property {{ instances?: number, missing?: string[] } | null} figures the instances that they are of
 * @property {() => Promise<void>} refresh
 * @property {(from: number, to: number) => void} onWindow
 */

/**
 * @param {string} search
 * @param {string} sort
 * @returns {Rows}
 */
export function useRows(search, sort) {
  const [asked, setAsked] = useState(part(0, 50));
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const onWindow = useCallback((/** @type {number} */ from, /** @type {number} */ to) => {
    const next = part(from, to);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setAsked((now) => (now.offset === next.offset && now.limit === next.limit ? now : next)), CALM);
  }, []);
  useEffect(() => () => clearTimeout(timer.current), []);

  const query = new URLSearchParams({ search, sort, figures: "true" });
  const list = query.toString();
  const polled = usePoll(`/api/v1/routes?${query}&limit=${asked.limit}&offset=${asked.offset}`, INTERVAL);
  const page = /** @type {RoutesPage | null} */ (polled.data);

  // Rows that were in sight stay, also while others are asked for; those of another search stay until the first of this one.
  const known = useRef({ list, rows: /** @type {Map<number, RouteRow>} */ (new Map()), total: 0, all: 0, isReady: false });
  const seen = useRef(/** @type {RoutesPage | null} */ (null));
  if (page !== null && page !== seen.current) {
    seen.current = page;
    if (known.current.list !== list || known.current.total !== page.matching) known.current = { ...known.current, list, rows: new Map() };
    page.routes.forEach((row, at) => known.current.rows.set(page.offset + at, row));
    Object.assign(known.current, { total: page.matching, all: page.all, isReady: true });
  }
  const { rows, total, all, isReady } = known.current;
  const row = useMemo(() => (/** @type {number} */ at) => rows.get(at) ?? null, [rows, page]);
  return { row, total, all, isReady, isBusy: known.current.list !== list, figures: page, error: polled.error, refresh: polled.refresh, onWindow };
}
