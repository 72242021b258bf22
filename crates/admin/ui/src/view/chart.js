// Figures over time: lines on a canvas, changes as marks across them, and the same as text and as a table.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { clock } from "../model/format.js";
import { inFront, summary } from "../model/series.js";
import { options } from "./chart-options.js";
import { Marks } from "./marks.js";
import { FiguresTable } from "./figures-table.js";
import { later } from "./later.js";
import { plotting } from "./plotting.js";

/** @typedef {import("../../vendor/uplot.js").default} uPlot */

/**
 * @typedef {object} Line
 * @property {string} label such as `p99`
 * @property {(number | null)[]} values
 * @property {string} colour the name of a token, such as `--chart-1`
 * @property {boolean} [isFilled]
 * @property {boolean} [isDashed] tells lines apart without colour
 */

/** @typedef {(value: number | null | undefined, isLabel?: boolean) => string} Format isLabel: on an axis */

/** @typedef {{ at: number, text: string, label?: string, tone?: string }} ChartMark at: seconds since the epoch */

/**
 * @typedef {object} ChartProps
 * @property {string} label of the whole, such as `Requests per second`
 * @property {number[]} times seconds since the epoch, ascending
 * @property {Line[]} lines
 * @property {ChartMark[]} [marks]
 * @property {Format} format of a figure, with its unit
 * @property {number} begin the left edge, in seconds since the epoch
 * @property {number} end the right edge
 * @property {number} [height] pixels
 * @property {string} [group] charts of one group share the cursor
 * @property {number} [floor] the top of the scale is at least this
 */

/** @param {ChartProps} props */
export function Chart(props) {
  const { label, times, lines, marks = [], format, begin, end, height = 160, group, floor } = props;
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  // The scale reads them when it is drawn, so a change of them needs no other plot.
  const edges = useRef({ begin, end });
  edges.current = { begin, end };
  const [cursor, setCursor] = useState(/** @type {number | null} */ (null));
  const [area, setArea] = useState({ left: 0, width: 0 });
  const [scheme, setScheme] = useState(0);

  // What a plot is made of. Values come later, without a new one.
  const shape = JSON.stringify([lines.map(({ label, colour, isFilled, isDashed }) => [label, colour, isFilled, isDashed]), height, group, floor, scheme]);
  const data = useMemo(() => /** @type {uPlot.AlignedData} */ ([times, ...lines.map((line) => line.values)]), [times, lines]);

  // A plot that is made later begins with the data of then.
  const latest = useRef(data);
  latest.current = data;

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const watcher = new ResizeObserver(() => {
      if (element.clientWidth > 0) plot.current?.setSize({ width: element.clientWidth, height });
    });
    let isOver = false;
    let cancel = () => {};
    void plotting().then((uPlot) => {
      if (isOver || uPlot === null) return;
      cancel = later(() => {
        plot.current = new uPlot(options({ element, lines, format, height, group, floor, edges, onCursor: setCursor, onArea: setArea }), latest.current, element);
        watcher.observe(element);
      });
    });
    return () => {
      isOver = true;
      cancel();
      watcher.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useLayoutEffect(() => plot.current?.setData(data), [data, begin, end]);

  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const change = () => setScheme((count) => count + 1);
    dark.addEventListener("change", change);
    return () => dark.removeEventListener("change", change);
  }, []);

  const at = cursor !== null && cursor < times.length ? cursor : null;
  const figures = lines.map((line) => ({ line, value: at === null ? inFront(line.values) : line.values[at] }));
  return html`<figure class="chart">
    <figcaption class="legend">
      ${figures.map(({ line, value }) => html`<span key=${line.label} class="legend-item">
        <${Swatch} colour=${line.colour} isDashed=${line.isDashed} /><span class="cut" title=${line.label}>${line.label}</span> <b>${format(value)}</b></span>`)}
      ${at === null ? null : html`<span class="legend-time">${clock(times[at] * 1000)}</span>`}
    </figcaption>
    <div class="plot" style=${{ height: `${height}px` }}>
      <div ref=${box} class="plot-canvas" role="img" aria-label=${`${label}: ${summary(times, lines, format)}`}></div>
      <${Marks} marks=${marks} begin=${begin} end=${end} area=${area} />
    </div>
    <${FiguresTable} label=${label} times=${times} lines=${lines} marks=${marks} format=${format} />
  </figure>`;
}

/**
 * A piece of a line, as the chart draws it.
 * @param {object} props
 * @param {string} props.colour
 * @param {boolean} [props.isDashed]
 */
export function Swatch({ colour, isDashed }) {
  return html`<svg class="swatch" width="14" height="8" aria-hidden="true"><line x1="0" x2="14" y1="4" y2="4"
    style=${{ stroke: `var(${colour})` }} stroke-width="2" stroke-dasharray=${isDashed ? "4 2" : undefined} /></svg>`;
}
