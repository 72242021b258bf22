// The rows of a long table that are in sight, so that only those are in the page.

import { useEffect, useState } from "../html.js";

/** Rows drawn above and below those in sight, so that a turn of the wheel shows no gap. */
const MARGIN = 10;

/** @typedef {{ from: number, to: number }} Sight */

/**
 * The rows in sight, with a margin, and a function that sets them. They may lie behind the end of the table.
 * @param {{ current: HTMLElement | null }} box that scrolls
 * @param {number} rowHeight pixels; rows are all alike
 * @param {(top: number) => void} [onScroll] gets the offset of the box; it has to stay the same
 * @returns {[Sight, (change: (before: Sight) => Sight) => void]}
 */
export function useSight(box, rowHeight, onScroll) {
  const [sight, setSight] = useState({ from: 0, to: 40 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => {
      onScroll?.(element.scrollTop);
      const from = Math.max(0, Math.floor(element.scrollTop / rowHeight) - MARGIN);
      const to = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + MARGIN;
      setSight((before) => (before.from === from && before.to === to ? before : { from, to }));
    };
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      onScroll?.(0);
      watcher.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, [rowHeight, onScroll]);
  return [sight, setSight];
}
