// A table of any length: only the rows in sight are in the page, and the page of data that they need is asked for.

import { html, useEffect, useRef, useState } from "../html.js";
import { classes } from "./table.js";

/** Rows drawn above and below those in sight, so that a turn of the wheel shows no gap. */
const MARGIN = 12;

/**
 * @template Row
 * @param {object} props
 * @param {string} props.label
 * @param {import("./table.js").Column<Row>[]} props.columns
 * @param {number} props.total rows in all
 * @param {(at: number) => Row | null} props.row the row at a position; `null` while it is not known
 * @param {(row: Row) => string} props.id
 * @param {(from: number, to: number) => void} [props.onWindow] rows from here to there are in sight
 * @param {number} [props.rowHeight] pixels; rows are all alike
 */
export function WindowedTable({ label, columns, total, row, id, onWindow, rowHeight = 36 }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [sight, setSight] = useState({ from: 0, to: 40 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => {
      const from = Math.max(0, Math.floor(element.scrollTop / rowHeight) - MARGIN);
      const to = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + MARGIN;
      setSight((before) => (before.from === from && before.to === to ? before : { from, to }));
    };
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      watcher.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, [rowHeight]);
  const from = Math.min(sight.from, Math.max(0, total - 1));
  const to = Math.min(sight.to, total);
  useEffect(() => onWindow?.(from, to), [from, to, onWindow]);
  const positions = Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
  const height = { height: `${rowHeight}px` };
  return html`<div ref=${box} class="table-box windowed" tabindex="0" role="region" aria-label=${label}>
    <table class="table" aria-rowcount=${total + 1}><caption class="hidden">${label}</caption>
    <thead><tr aria-rowindex="1">${columns.map((column) => html`<th key=${column.title} scope="col" class=${classes(column)} title=${column.hint}>${column.title}</th>`)}</tr></thead>
    <tbody>
      ${from > 0 ? html`<tr key="above" aria-hidden="true" class="gap"><td colspan=${columns.length} style=${{ height: `${from * rowHeight}px` }}></td></tr>` : null}
      ${positions.map((at) => {
        const data = row(at);
        return html`<tr key=${data === null ? at : id(data)} aria-rowindex=${at + 2} style=${height}>${data === null
          ? html`<td colspan=${columns.length}><span class="skeleton"></span></td>`
          : columns.map((column) => html`<td key=${column.title} class=${classes(column)}>${column.cell(data)}</td>`)}</tr>`;
      })}
      ${to < total ? html`<tr key="below" aria-hidden="true" class="gap"><td colspan=${columns.length} style=${{ height: `${(total - to) * rowHeight}px` }}></td></tr>` : null}
    </tbody></table></div>`;
}
