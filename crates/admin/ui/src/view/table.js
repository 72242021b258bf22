// A table of rows. On a phone, it scrolls within itself.

import { html } from "../html.js";

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row, isActive?: boolean) => import("../html.js").Children} cell isActive: its link is in the tab order
 * @property {boolean} [isNumber] right-aligned
 * @property {boolean} [isWide] takes the room that is left, and is cut if it is too long
 * @property {boolean} [isExtra] left out on a phone
 * @property {string} [hint] what the column means
 */

/**
 * @template Row
 * @param {object} props
 * @param {string} props.label
 * @param {Column<Row>[]} props.columns
 * @param {Row[]} props.rows
 * @param {(row: Row) => string} props.id
 * @param {boolean} [props.isStacked] on a phone, the cells of a row lie below each other, with the titles of their columns
 */
export function Table({ label, columns, rows, id, isStacked = false }) {
  // A table that is laid out as something else is none for a reader of the screen, unless it says so.
  return html`<div class=${isStacked ? "table-box stacked" : "table-box"} tabindex="0" role="region" aria-label=${label}><table class="table" role="table">
    <caption class="hidden">${label}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map((column) => html`<th key=${column.title} role="columnheader" scope="col" class=${classes(column)} title=${column.hint}>${column.title}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<tr key=${id(row)} role="row">${columns.map((column) => html`<td key=${column.title} role="cell" class=${classes(column)} data-title=${column.title}>${column.cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** @param {Column<any>} column any: the class does not depend on the row */
export function classes(column) {
  const all = [column.isNumber && "number", column.isWide && "wide", column.isExtra && "extra"];
  return all.filter(Boolean).join(" ") || undefined;
}
