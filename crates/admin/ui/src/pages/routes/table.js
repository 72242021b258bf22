// The table of routes.

import { html, useMemo, useRef } from "../../html.js";
import { counted, count } from "../../model/format.js";
import { complete } from "../../model/filter.js";
import { go, link } from "../../router.js";
import { useNarrow } from "../../state/media.js";
import { Button } from "../../view/button.js";
import { Empty } from "../../view/empty.js";
import { OfInstances } from "../../view/instance.js";
import { Loading } from "../../view/panel.js";
import { Problem } from "../../view/problem.js";
import { useCalm } from "../../view/calm.js";
import { WindowedTable } from "../../view/windowed.js";
import { narrowColumns, wideColumns } from "./columns.js";
import { useRows } from "./rows.js";
import { Search } from "./search.js";

/** Milliseconds after a key until the gateway is asked. */
const TYPING = 150;
/** Pixels of a row, and of one with two lines. */
const ROW = 48;
const ROW_TWO = 64;

/**
 * @param {object} props
 * @param {Record<string, string>} props.query
 */
export function RoutesTable({ query }) {
  const text = query.search ?? "";
  const sort = query.sort ?? "config";
  const isNarrow = useNarrow();
  const search = useCalm(complete(text), TYPING);
  const rows = useRows(search, sort);
  const handle = useRef(/** @type {{ focus: (() => void) | null }} */ ({ focus: null }));
  const sorted = { order: sort.replace(/^-/, ""), isReversed: sort.startsWith("-") };

  /** @param {Record<string, string | null>} changed */
  const change = (changed) => go(link(["routes"], { ...query, ...changed }), { replace: true });
  /** The first press sorts, the second the other way around, and the third as in the config.
   * @param {string} order */
  const onSort = (order) => change({ sort: sorted.order !== order ? order : sorted.isReversed ? null : `-${order}` });
  const columns = useMemo(() => (isNarrow ? narrowColumns : wideColumns), [isNarrow]);
  // A wrong word is told beside the field; what was found before stays.
  const isRefused = rows.error !== null && (rows.error.status === 422 || rows.error.status === 400);
  const isBusy = rows.isBusy && rows.error === null;

  return html`<div class="routes-page">
    <div class="page-head"><h1>Routes</h1>
      <p class="muted" role="status">${!rows.isReady ? "" : search === "" ? counted(rows.all, "route") : `${count(rows.total)} of ${counted(rows.all, "route")}`} <${OfInstances} figures=${rows.figures} isLong /></p></div>
    <${Search} text=${text} onText=${(/** @type {string} */ search) => change({ search })} error=${isRefused ? rows.error?.message : null}
      sort=${sort} onSort=${(/** @type {string} */ sort) => change({ sort: sort === "config" ? null : sort })} onDown=${() => handle.current.focus?.()} />
    <section class=${`panel routes-panel${isBusy ? " busy" : ""}`} aria-busy=${isBusy ? "true" : undefined}>
      ${body()}
    </section></div>`;

  function body() {
    if (!rows.isReady) return rows.error && !isRefused ? html`<${Problem} error=${rows.error} onRetry=${rows.refresh} />` : html`<${Loading} lines=${8} />`;
    const own = rows.error && !isRefused && rows.error.status !== 0 ? html`<${Problem} error=${rows.error} onRetry=${rows.refresh} />` : null;
    if (rows.all === 0) return html`<${Empty} title="The config has no routes" command="waypost apply waypost.yaml">Without a route, every request is responded to with 404.<//>`;
    if (rows.total === 0) return html`${own}<${Empty} title="No route is found">${search === "failing" ? "No request of the last minute has failed." : "All words of the search have to hold for a route."}
      <span class="empty-action"><${Button} onPress=${() => change({ search: null })}>Show all routes<//></span><//>`;
    return html`${own}<${WindowedTable} label="Routes" columns=${columns} total=${rows.total} row=${rows.row} id=${nameOf} onWindow=${rows.onWindow}
      rowHeight=${isNarrow ? ROW_TWO : ROW} sorted=${sorted} onSort=${isNarrow ? undefined : onSort} handle=${handle.current} class="routes-table" />`;
  }
}

/** @param {import("../../api/route-types.js").RouteRow} row */
const nameOf = (row) => row.name;
