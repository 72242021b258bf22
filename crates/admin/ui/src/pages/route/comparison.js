// The arms of a route side by side, over the same minutes.

import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { useTimeline } from "../../api/timeline.js";
import { usePoll } from "../../api/poll.js";
import { wayOut } from "../../model/dial.js";
import { covered } from "../../model/fleet.js";
import { drawn, scaleOfShares, verdict } from "../../model/comparison.js";
import { count, duration, ms, percent, rate } from "../../model/format.js";
import { letter } from "../../model/weights.js";
import { go, link } from "../../router.js";
import { useHealth } from "../../state/health.js";
import { useRights } from "../../state/session.js";
import { ArmName } from "../../view/arm.js";
import { Badge } from "../../view/badge.js";
import { Button } from "../../view/button.js";
import { Empty } from "../../view/empty.js";
import { Interval } from "../../view/interval.js";
import { Panel } from "../../view/panel.js";
import { Table } from "../../view/table.js";
import { Swatch } from "../../view/chart.js";
import { ArmCharts } from "./charts.js";
import { DialConfirm } from "./dial-confirm.js";

/** @typedef {import("../../api/route-types.js").ArmStats} ArmStats */
/** @typedef {import("../../api/route-types.js").Stats} Stats */

/** Arms whose lines are drawn, at most: more could not be told apart. */
const DRAWN_MAX = 4;

/**
 * @typedef {object} Window
 * @property {string} id
 * @property {string} title
 * @property {number} seconds of the lines
 * @property {"1s" | "1m"} step
 * @property {number} every parts that are put together
 * @property {string} compared the time over which the sides are compared: an hour at most
 */

/** @type {Window[]} */
const WINDOWS = [
  { id: "1m", title: "1 min", seconds: 60, step: "1s", every: 1, compared: "1m" },
  { id: "10m", title: "10 min", seconds: 600, step: "1s", every: 5, compared: "10m" },
  { id: "1h", title: "1 h", seconds: 3600, step: "1m", every: 1, compared: "1h" },
  { id: "24h", title: "24 h", seconds: 86_400, step: "1m", every: 10, compared: "1h" },
];

/**
 * The verdict of the comparison in a sentence: the first thing that one wants to know.
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 * @param {Record<string, string>} props.query
 * @param {string | null} props.version
 * @param {import("../../api/route-types.js").Rollout | null} props.rollout
 */
export function Verdict({ route, query, version, rollout }) {
  const { reason } = useRights();
  const [asked, setAsked] = useState(/** @type {number[] | null} */ (null));
  // The button has gone once its dial is turned: the focus stays with the sentence, which says so.
  const line = useRef(/** @type {HTMLElement | null} */ (null));
  const isTurned = useRef(false);
  useEffect(() => {
    if (!isTurned.current || asked !== null || !line.current || line.current.querySelector("button")) return;
    isTurned.current = false;
    if (document.activeElement === document.body) line.current.focus();
  });
  const window = windowOf(query);
  const stats = /** @type {Stats | null} */ (useStats(route.name, window.compared).data);
  const arms = stats?.routes[0]?.arms ?? [];
  if (route.arms.length < 2 || arms.every((arm) => arm.requests === 0)) return null;
  const { tone, text, worse } = verdict(arms);
  const live = new Map(route.arms.map((arm) => [arm.service, arm.live]));
  // The past stays in the window for a while after it was mended.
  const isOver = worse.length > 0 && worse.every((service) => (live.get(service) ?? 0) === 0);
  const word = isOver ? "Taken back" : WORDS[tone];
  const way = isOver ? null : wayOut(route.arms, worse);
  return html`<p ref=${line} class="route-verdict" role="status" tabindex="-1"><${Badge} tone=${isOver ? "info" : tone === "unknown" ? "none" : tone}>${word}<//> <span>${text}${isOver ? " It gets no requests now." : ""} <span class="muted">In the last ${duration(Math.min(window.seconds, 3600))}.</span></span>
    ${way === null ? null : html`<${Button} reason=${reason} onPress=${() => setAsked(way.weights)}>${way.text}<//>`}</p>
    ${asked ? html`<${DialConfirm} route=${route} version=${version} rollout=${rollout} weights=${asked} onDone=${() => { isTurned.current = true; }} onClose=${() => setAsked(null)} />` : null}`;
}

/** @type {import("../../view/table.js").Column<ArmStats>} */
const refusedColumn = { title: "Refused", isNumber: true, isExtra: true, hint: "Requests that rules such as auth and rate refused: no failures", cell: (arm) => (arm.refused === 0 ? html`<span class="muted">0</span>` : count(arm.refused)) };

const WORDS = { bad: "Worse", good: "Good", none: "Even", unknown: "Open" };

/** @param {Record<string, string>} query */
const windowOf = (query) => WINDOWS.find((one) => one.id === query.window) ?? WINDOWS[1];

/**
 * @param {string} route
 * @param {string} window
 */
const useStats = (route, window) => usePoll(`/api/v1/stats?${new URLSearchParams({ route, window, detail: "true" })}`, 5000);

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 * @param {Record<string, string>} props.query
 */
export function Comparison({ route, query }) {
  const window = windowOf(query);
  const polled = useStats(route.name, window.compared);
  const timeline = useTimeline({ route: route.name, step: window.step, window: window.seconds, interval: window.id === "1m" ? 1000 : window.step === "1s" ? 3000 : undefined });
  const [picked, setPicked] = useState(/** @type {string[]} */ ([]));
  const stats = /** @type {Stats | null} */ (polled.data);
  const arms = stats?.routes[0]?.arms ?? [];
  const shown = useMemo(() => drawn(route.arms, picked, arms, DRAWN_MAX), [route.arms, picked, arms]);
  const names = useMemo(() => new Map(route.arms.map((arm, at) => [arm.service, letter(at)])), [route.arms]);
  const fleet = useHealth().status?.fleet;
  const leftOut = covered(fleet, timeline.data)?.leftOut ?? covered(fleet, stats)?.leftOut ?? null;
  const isEmpty = arms.every((arm) => arm.requests === 0);
  const hasArms = route.arms.length > 1;
  const judged = hasArms && !isEmpty ? verdict(arms) : null;

  /** @param {string} service */
  const toggle = (service) => {
    const now = shown.includes(service) ? shown.filter((other) => other !== service) : [...shown.slice(Math.max(0, shown.length + 1 - DRAWN_MAX)), service];
    setPicked(now);
  };
  const aside = html`<div class="segments" role="group" aria-label="Time">${WINDOWS.map((one) => html`<button key=${one.id} type="button" aria-pressed=${one === window ? "true" : "false"}
    onClick=${() => go(link(["routes", route.name], { ...query, window: one.id === "10m" ? null : one.id }), { replace: true })}>${one.title}</button>`)}</div>`;
  const empty = html`<${Empty} title=${`No requests in the last ${duration(Math.min(window.seconds, 3600))}`}>Requests that match the route are counted here, each second.<//>`;
  const table = rowsOf(arms, hasArms);
  return html`<${Panel} title=${hasArms ? "Side by side" : "Figures"} aside=${aside} polled=${polled} isEmpty=${stats !== null && isEmpty} empty=${empty} lines=${8} class="comparison">
    <div class=${arms.length > 12 ? "arms-many" : undefined}><${Table} label=${`Figures of the last ${duration(stats?.window_seconds ?? window.seconds)}`} columns=${table.columns} rows=${arms} id=${(/** @type {ArmStats} */ arm) => arm.service} /></div>
    ${hasArms && route.arms.length > DRAWN_MAX ? html`<p class="body note">Lines are drawn of ${DRAWN_MAX} services at most: a press on “line” changes which.</p>` : null}
    ${window.id === "24h" ? html`<p class="body note">The lines are of 24 hours, all else of the last one.</p>` : null}
    ${leftOut ? html`<p class="body note">${leftOut}</p>` : null}
    <${ArmCharts} timeline=${timeline} stats=${arms} shown=${shown} names=${names} every=${window.every} seconds=${window.seconds} />
  <//>`;

  /**
   * @param {ArmStats[]} all
   * @param {boolean} hasArms
   */
  function rowsOf(all, hasArms) {
    const scale = scaleOfShares(all);
    const worse = new Set(judged?.worse ?? []);
    const canPick = route.arms.length > DRAWN_MAX;
    /** @param {ArmStats} arm */
    const who = (arm) => {
      const sign = names.get(arm.service);
      if (sign === undefined) return html`<span class="muted">${arm.service === "" ? "the gateway itself" : arm.service}</span>`;
      const at = shown.indexOf(arm.service);
      const line = at >= 0 ? html`<${Swatch} colour=${`--chart-${at + 1}`} isDashed=${at % 2 === 1} />` : null;
      return html`<span class="arm-cell"><${ArmName} letter=${sign} service=${arm.service} />${canPick
        ? html`<button type="button" class="chip draw" aria-pressed=${at >= 0 ? "true" : "false"} aria-label=${`line of ${arm.service}`} onClick=${() => toggle(arm.service)}>line</button>` : null}${line}</span>`;
    };
    /** @type {import("../../view/table.js").Column<ArmStats>[]} */
    const columns = [
      { title: "Service", cell: who },
      { title: "Share", isNumber: true, isExtra: true, hint: "Share of the requests of this time", cell: (arm) => percent(all.reduce((sum, one) => sum + one.requests, 0) > 0 ? arm.requests / all.reduce((sum, one) => sum + one.requests, 0) : null) },
      { title: "Requests", isNumber: true, isExtra: true, cell: (arm) => count(arm.requests) },
      { title: "Rate", isNumber: true, isExtra: true, cell: (arm) => rate(arm.rate) },
      { title: "Failures", isNumber: true, hint: "Share of failed requests", cell: (arm) => (arm.requests === 0 ? "–" : html`<span class=${worse.has(arm.service) ? "failing" : undefined} title=${`${count(arm.errors)} of ${count(arm.requests)}`}>${worse.has(arm.service) ? html`<span class="sign" aria-hidden="true">■ </span>` : null}${percent(arm.error_share)}</span><span class="interval-text phone">${percent(arm.error_interval[0])} to ${percent(arm.error_interval[1])}</span>`) },
      { title: "95 % interval", isExtra: true, hint: "The true share of failures lies here, in 19 of 20 cases", cell: (arm) => (arm.requests === 0 ? html`<span class="muted">–</span>` : html`<${Interval} low=${arm.error_interval[0]} high=${arm.error_interval[1]} at=${arm.error_share} top=${scale} />`) },
      ...(all.some((arm) => arm.refused > 0) ? [refusedColumn] : []),
      { title: "p50", isNumber: true, isExtra: true, cell: (arm) => ms(arm.p50_ms) },
      { title: "p90", isNumber: true, isExtra: true, cell: (arm) => ms(arm.p90_ms) },
      { title: "p99", isNumber: true, cell: (arm) => ms(arm.p99_ms) },
    ];
    return { columns: hasArms ? columns : columns.filter((column) => column.title !== "Share") };
  }
}

