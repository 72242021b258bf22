// The look of a chart, in the terms of uPlot.

import { clockShort } from "../model/format.js";
import { lone, nice } from "../model/series.js";

/** @typedef {import("../../vendor/uplot.js").default} uPlot */

/** @typedef {import("./chart.js").Format} Format */

/** Seconds between two labels below a chart. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
/** Pixels of the labels left of a chart. */
const AXIS_WIDTH = 56;

/**
 * @typedef {object} Shape
 * @property {HTMLElement} element
 * @property {import("./chart.js").Line[]} lines
 * @property {Format} format
 * @property {number} height
 * @property {string} [group]
 * @property {number} [floor]
 * @property {{ current: { begin: number, end: number } }} edges
 * @property {(at: number | null) => void} onCursor
 * @property {(area: { left: number, width: number }) => void} onArea
 */

/**
 * @param {Shape} shape
 * @returns {uPlot.Options}
 */
export function options({ element, lines, format, height, group, floor = 0, edges, onCursor, onArea }) {
  const style = getComputedStyle(element);
  /** @param {string} token */
  const colour = (token) => style.getPropertyValue(token).trim();
  const font = `11px ${style.fontFamily}`;
  /** @type {uPlot.Axis} */
  const axis = { stroke: colour("--muted"), font, ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  return {
    width: Math.max(element.clientWidth, 120),
    height,
    padding: [8, 26, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false, setScale: false },
      points: { size: 6, width: 1 },
      ...(group ? { sync: { key: group } } : {}),
    },
    scales: {
      x: { time: true, range: () => [edges.current.begin, edges.current.end] },
      y: { range: (_, _low, high) => [0, nice(Math.max(high ?? 0, floor))] },
    },
    axes: [
      { ...axis, size: 24, gap: 6, space: 56, incrs: TIME_STEPS, grid: { show: false }, values: (_, splits) => splits.map(clockShort) },
      { ...axis, size: AXIS_WIDTH, gap: 6, space: 32, values: (_, splits) => splits.map((value) => format(value, true)) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 1.5,
        spanGaps: false,
        dash: line.isDashed ? [5, 3] : undefined,
        fill: line.isFilled ? faint(colour(line.colour)) : undefined,
        points: { show: true, size: 3, filter: (/** @type {uPlot} */ plot, /** @type {number} */ at) => lone(plot.data[at]) },
      })),
    ],
    hooks: {
      setCursor: [(plot) => onCursor(plot.cursor.left !== undefined && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null)],
      ready: [(plot) => onArea(areaOf(plot))],
      setSize: [(plot) => onArea(areaOf(plot))],
    },
  };
}

/** @param {uPlot} plot */
function areaOf(plot) {
  return { left: plot.bbox.left / devicePixelRatio, width: plot.bbox.width / devicePixelRatio };
}

/** The colour, of which the ground shines through.
 * @param {string} colour `#rrggbb` */
const faint = (colour) => `${colour}22`;
