// The rows of the live log: a table, or cards on a phone. Only those in sight are in the page.

import { html, useCallback, useRef } from "../../html.js";
import { clock, ms } from "../../model/format.js";
import { printable } from "../../model/explained.js";
import { targetOf, toneOf, wayOf } from "../../model/tail.js";
import { useNarrow } from "../../state/media.js";
import { useSight } from "../../view/sight.js";

/** @typedef {import("../../model/tail.js").Row} Row */

/** Pixels of a row, and of a card. */
const ROW = 32;
const CARD = 58;

const SIGNS = { bad: "■", warn: "▲", none: "" };

/**
 * @param {object} props
 * @param {Row[]} props.rows newest first
 * @param {(line: import("../../model/tail.js").LogLine) => void} props.onSelect
 * @param {(isScrolled: boolean) => void} props.onScrolled
 */
export function LogRows({ rows, onSelect, onScrolled }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const isNarrow = useNarrow();
  const height = isNarrow ? CARD : ROW;
  const onScroll = useCallback((/** @type {number} */ top) => onScrolled(top > 0), [onScrolled]);
  const [sight] = useSight(box, height, onScroll);
  const from = Math.min(sight.from, rows.length);
  const to = Math.min(sight.to, rows.length);
  /** @param {number} of */
  const gap = (of) => html`<tr class="gap" aria-hidden="true"><td colspan="7" style=${{ height: `${of * height}px` }}></td></tr>`;
  return html`<div ref=${box} class="table-box windowed live-rows" tabindex="0" role="region" aria-label="Requests, newest first">
    <table class="table" aria-rowcount=${rows.length + 1}><caption class="hidden">Requests, newest first</caption>
    <thead><tr><th scope="col">Time</th><th scope="col">Status</th><th scope="col">Method</th><th scope="col">Path</th><th scope="col">Host</th><th scope="col">Route, service</th><th scope="col" class="number">Took</th></tr></thead>
    <tbody>
      ${from > 0 ? gap(from) : null}
      ${rows.slice(from, to).map((row, at) => html`<${LogRow} key=${row.id} row=${row} at=${from + at} height=${height} onSelect=${onSelect} />`)}
      ${to < rows.length ? gap(rows.length - to) : null}
    </tbody></table></div>`;
}

/** @param {{ row: Row, at: number, height: number, onSelect: (line: import("../../model/tail.js").LogLine) => void }} props */
function LogRow({ row: { line }, at, height, onSelect }) {
  const tone = toneOf(line);
  const time = Date.parse(line.time);
  const target = printable(targetOf(line));
  const way = wayOf(line);
  return html`<tr aria-rowindex=${at + 2} style=${{ height: `${height}px` }}>
    <td class="live-time"><time datetime=${line.time} title=${line.time}>${clock(time)}</time></td>
    <td class="live-status"><span class=${`status ${tone}`} title=${line.failed ? `failed: ${line.reason}` : line.reason}>${SIGNS[tone] ? html`<span aria-hidden="true">${SIGNS[tone]} </span>` : null}${line.status === 0 ? "–" : line.status}${line.failed ? html`<span class="hidden"> failed</span>` : null}</span></td>
    <td class="live-method"><code>${line.method}</code></td>
    <td class="live-path"><button type="button" class="live-open" title=${target} onClick=${() => onSelect(line)}><code>${target}</code></button></td>
    <td class="live-host"><span class="cut" title=${line.host}>${line.host || "–"}</span></td>
    <td class="live-way"><span class="cut" title=${way}>${way}</span></td>
    <td class="live-took number">${ms(line.duration_ms)}</td></tr>`;
}
