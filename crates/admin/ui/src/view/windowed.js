// A table of any length: only the rows in sight are in the page, and the part of the data that they need is asked for.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { moved, scrolled } from "../model/windows.js";
import { useSight } from "./sight.js";
import { classes } from "./table.js";

/** Pixels of the head, which stays in sight. */
const HEAD = 32;

/**
 * @template Row
 * @typedef {import("./table.js").Column<Row> & { order?: string }} SortableColumn order: as `onSort` gets it
 */

/**
 * @template Row
 * @param {object} props
 * @param {string} props.label
 * @param {SortableColumn<Row>[]} props.columns a link in the first one leads to the row
 * @param {number} props.total rows in all
 * @param {(at: number) => Row | null} props.row the row at a position; `null` while it is not known
 * @param {(row: Row) => string} props.id
 * @param {(from: number, to: number) => void} [props.onWindow] rows from here to there are in sight
 * @param {number} [props.rowHeight] pixels; rows are all alike
 * @param {{ order: string, isReversed: boolean }} [props.sorted]
 * @param {(order: string) => void} [props.onSort]
 * @param {{ focus: (() => void) | null }} [props.handle] gets a function that focuses the first row in sight
 * @param {string} [props.class]
 */
export function WindowedTable({ label, columns, total, row, id, onWindow, rowHeight = 36, sorted, onSort, handle, class: name = "" }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [sight, setSight] = useSight(box, rowHeight);
  const [active, setActive] = useState(0);
  // The row whose link gets the focus once it is drawn.
  const wanted = useRef(/** @type {number | null} */ (null));

  const to = Math.min(sight.to, total);
  const from = Math.max(0, Math.min(sight.from, to - 1));
  useEffect(() => onWindow?.(from, to), [from, to, onWindow]);

  useLayoutEffect(() => {
    if (wanted.current === null) return;
    const link = box.current?.querySelector(`[data-at="${wanted.current}"] a`);
    if (!(link instanceof HTMLElement)) return;
    link.focus({ preventScroll: true });
    wanted.current = null;
  });

  /** @param {number} at */
  function focusRow(at) {
    const element = box.current;
    if (!element || total === 0) return;
    element.scrollTop = scrolled(at, rowHeight, element.scrollTop, element.clientHeight - HEAD);
    wanted.current = at;
    setActive(at);
    // Drawn again even if it is the row that was active before.
    setSight((before) => ({ ...before }));
  }
  if (handle) handle.focus = () => focusRow(Math.min(total - 1, Math.ceil((box.current?.scrollTop ?? 0) / rowHeight)));

  /** @param {KeyboardEvent} event */
  function press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || total === 0) return;
    const element = /** @type {HTMLElement} */ (event.target);
    if (element.closest("thead")) return;
    const isIn = element.closest("tr") !== null;
    const page = Math.max(1, Math.floor(((box.current?.clientHeight ?? 0) - HEAD) / rowHeight) - 1);
    const next = isIn ? moved(event.key, active, total, page) : event.key === "ArrowDown" ? Math.min(total - 1, Math.ceil((box.current?.scrollTop ?? 0) / rowHeight)) : null;
    if (next === null) return;
    event.preventDefault();
    focusRow(next);
  }

  const drawn = useRef(/** @type {Map<number, { data: Row | null, isActive: boolean, columns: unknown, node: unknown }>} */ (new Map()));
  for (const at of drawn.current.keys()) if (at < from || at >= to) drawn.current.delete(at);
  /** A press anywhere in a row leads where its link leads, unless it is for something else.
   * @param {MouseEvent & { currentTarget: HTMLElement }} event */
  function open(event) {
    const element = /** @type {HTMLElement} */ (event.target);
    if (element.closest("a, button, input") || String(getSelection()) !== "") return;
    event.currentTarget.querySelector("a")?.click();
  }

  const positions = Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
  // One row is in the tab order; the arrows lead to the others.
  const reachable = active >= from && active < to ? active : from;
  const height = { height: `${rowHeight}px` };
  return html`<div ref=${box} class=${`table-box windowed ${name}`} tabindex="0" role="region" aria-label=${label} onKeyDown=${press}>
    <table class="table" aria-rowcount=${total + 1}><caption class="hidden">${label}</caption>
    <thead><tr aria-rowindex="1">${columns.map((column) => html`<${Head} key=${column.title} column=${column} sorted=${sorted} onSort=${onSort} />`)}</tr></thead>
    <tbody>
      ${from > 0 ? html`<tr key="above" aria-hidden="true" class="gap"><td colspan=${columns.length} style=${{ height: `${from * rowHeight}px` }}></td></tr>` : null}
      ${positions.map((at) => {
        const data = row(at);
        const isActive = at === reachable;
        const known = drawn.current.get(at);
        // The same node again is not looked at: scrolling draws new rows alone.
        if (known && known.data === data && known.isActive === isActive && known.columns === columns) return known.node;
        const node = html`<tr key=${data === null ? at : id(data)} data-at=${at} aria-rowindex=${at + 2} style=${height} class=${isActive ? "active" : undefined}
          onFocusIn=${() => setActive(at)} onClick=${open}>${data === null
          ? html`<td colspan=${columns.length}><span class="skeleton"></span></td>`
          : columns.map((column) => html`<td key=${column.title} class=${classes(column)}>${column.cell(data, isActive)}</td>`)}</tr>`;
        drawn.current.set(at, { data, isActive, columns, node });
        return node;
      })}
      ${to < total ? html`<tr key="below" aria-hidden="true" class="gap"><td colspan=${columns.length} style=${{ height: `${(total - to) * rowHeight}px` }}></td></tr>` : null}
    </tbody></table></div>`;
}

/**
 * The head of a column, with a button if rows can be sorted by it.
 * @param {object} props
 * @param {SortableColumn<any>} props.column any: a head does not depend on rows
 * @param {{ order: string, isReversed: boolean }} [props.sorted]
 * @param {(order: string) => void} [props.onSort]
 */
function Head({ column, sorted, onSort }) {
  const { order } = column;
  if (!order || !onSort) return html`<th scope="col" class=${classes(column)} title=${column.hint}>${column.title}</th>`;
  const isOwn = sorted?.order === order;
  // Names go up by themselves, figures down.
  const isUp = isOwn && (sorted?.isReversed ?? false) !== (order === "name");
  const direction = isOwn ? (isUp ? "ascending" : "descending") : undefined;
  return html`<th scope="col" class=${classes(column)} aria-sort=${direction} title=${column.hint}>
    <button type="button" class="sort" onClick=${() => onSort(order)}>${column.title}<span class="sort-sign" aria-hidden="true">${isOwn ? (isUp ? "↑" : "↓") : ""}</span></button></th>`;
}
