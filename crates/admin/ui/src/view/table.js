// A table of rows. On a phone, it scrolls within itself.

import { html } from "../html.js";

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => import("../html.js").Children} cell
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
 */
export function Table({ label, columns, rows, id }) {
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${label}><table class="table">
    <caption class="hidden">${label}</caption>
    <thead><tr>${columns.map((column) => html`<th key=${column.title} scope="col" class=${classes(column)} title=${column.hint}>${column.title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${id(row)}>${columns.map((column) => html`<td key=${column.title} class=${classes(column)}>${column.cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** @param {Column<any>} column any: the class does not depend on the row */
export function classes(column) {
  const all = [column.isNumber && "number", column.isWide && "wide", column.isExtra && "extra"];
  return all.filter(Boolean).join(" ") || undefined;
}
