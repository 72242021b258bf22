// The access log as it happens: the gateway filters, the page keeps the last rows.

import { listen } from "../api/stream.js";
import { html, useCallback, useEffect, useRef, useState } from "../html.js";
import { count, counted } from "../model/format.js";
import { commandOf, filterOf, isFilter, queryOf, ROWS_MAX, withFresh } from "../model/tail.js";
import { go, link } from "../router.js";
import { isReady, session } from "../state/session.js";
import { useStore } from "../state/store.js";
import { Badge } from "../view/badge.js";
import { Button } from "../view/button.js";
import { Empty } from "../view/empty.js";
import { OfInstance } from "../view/instance.js";
import { Problem } from "../view/problem.js";
import { LogDetails } from "./live/details.js";
import { LiveFilter } from "./live/filter.js";
import { LogRows } from "./live/rows.js";

/** @typedef {import("../model/tail.js").Row} Row */
/** @typedef {import("../model/tail.js").LogLine} LogLine */
/** @typedef {import("../api/client.js").ApiError} ApiError */

/** Milliseconds between two pictures. */
const DRAWN = 250;

/** @typedef {{ matched: number, not_looked_at: number }} LeftOut */

/** @param {{ query: Record<string, string> }} props */
export function Live({ query }) {
  const filter = filterOf(query);
  const path = new URLSearchParams(queryOf(filter)).toString();
  const { state: rights } = useStore(session);
  const [rows, setRows] = useState(/** @type {Row[]} */ ([]));
  const [waiting, setWaiting] = useState(0);
  const [isPaused, setPaused] = useState(false);
  const [leftOut, setLeftOut] = useState(/** @type {LeftOut} */ ({ matched: 0, not_looked_at: 0 }));
  const [connection, setConnection] = useState("connecting");
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  const [attempt, setAttempt] = useState(0);
  const [selected, setSelected] = useState(/** @type {LogLine | null} */ (null));
  const buffer = useRef(/** @type {{ fresh: Row[], last: number, leftOut: LeftOut }} */ ({ fresh: [], last: 0, leftOut: { matched: 0, not_looked_at: 0 } }));
  // Rows that are being read do not move: paused, or scrolled away from the newest.
  const held = useRef({ isPaused: false, isScrolled: false });
  held.current.isPaused = isPaused;

  const draw = useCallback((/** @type {boolean} */ isForced) => {
    const { fresh } = buffer.current;
    if (!isForced && (held.current.isPaused || held.current.isScrolled)) {
      setWaiting(fresh.length);
      return;
    }
    buffer.current.fresh = [];
    setWaiting(0);
    if (fresh.length > 0) setRows((rows) => withFresh(rows, fresh));
  }, []);

  const clear = useCallback(() => {
    buffer.current.fresh = [];
    buffer.current.leftOut = { matched: 0, not_looked_at: 0 };
    setRows([]);
    setWaiting(0);
    setLeftOut(buffer.current.leftOut);
  }, []);

  useEffect(() => {
    clear();
    setError(null);
    if (!isReady()) return;
    const stop = listen(`/api/v1/tail${path === "" ? "" : `?${path}`}`, {
      onEvent({ event, data }) {
        const own = buffer.current;
        if (event === "request") {
          own.fresh.push({ id: ++own.last, line: JSON.parse(data) });
          if (own.fresh.length > 2 * ROWS_MAX) own.fresh = own.fresh.slice(-ROWS_MAX);
        } else if (event === "left_out") {
          const news = /** @type {LeftOut} */ (JSON.parse(data));
          own.leftOut = { matched: own.leftOut.matched + news.matched, not_looked_at: own.leftOut.not_looked_at + news.not_looked_at };
          setLeftOut(own.leftOut);
        }
      },
      onState: setConnection,
      onError: setError,
    });
    const timer = setInterval(() => draw(false), DRAWN);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [path, rights, attempt, clear, draw]);

  const onScrolled = useCallback((/** @type {boolean} */ isScrolled) => {
    held.current.isScrolled = isScrolled;
    if (!isScrolled) draw(false);
  }, [draw]);

  /** @param {import("../model/tail.js").Filter} next */
  const change = (next) => go(link(["live"], queryOf(next)), { replace: true });
  const state = error ? { tone: "bad", word: "Stopped" }
    : isPaused ? { tone: "warn", word: "Paused" }
    : connection === "open" ? { tone: "good", word: "Live" } : { tone: "none", word: "Connecting" };

  return html`<div class="title-row"><h1>Live</h1>
      <${Badge} tone=${state.tone}>${state.word}<//><${OfInstance} what="requests of this instance" />
      <span class="title-actions">
        <${Button} onPress=${() => { setPaused(!isPaused); if (isPaused) draw(true); }}>${isPaused ? "Resume" : "Pause"}<//>
        <${Button} onPress=${clear} reason=${rows.length + waiting === 0 ? "There is nothing to clear." : null}>Clear<//>
      </span></div>
    <${LiveFilter} filter=${filter} onChange=${change} />
    <section class="panel live" aria-label="Requests">
      ${error ? html`<div class="body"><${Problem} error=${error} onRetry=${() => setAttempt(attempt + 1)} /></div>` : null}
      ${error && rows.length === 0 ? null : html`<p class="live-note">${noteOf(rows.length, leftOut)}
        ${waiting > 0 ? html`<${Button} look="quiet" onPress=${() => { setPaused(false); draw(true); }}>${counted(Math.min(waiting, ROWS_MAX), "newer request")}: show<//>` : null}</p>`}
      ${rows.length > 0
        ? html`<${LogRows} rows=${rows} onSelect=${setSelected} onScrolled=${onScrolled} />`
        : error ? null : html`<div class="body"><${Nothing} filter=${filter} isOpen=${connection === "open"} /></div>`}
    </section>
    ${selected ? html`<${LogDetails} line=${selected} onClose=${() => setSelected(null)} />` : null}`;
}

/**
 * @param {number} rows
 * @param {LeftOut} leftOut
 */
function noteOf(rows, leftOut) {
  const shown = rows >= ROWS_MAX ? `The last ${counted(ROWS_MAX, "request")}, newest first.` : `${counted(rows, "request")}, newest first.`;
  const parts = [];
  if (leftOut.matched > 0) parts.push(`${count(leftOut.matched)} more came than are shown (100 a second)`);
  if (leftOut.not_looked_at > 0) parts.push(`${count(leftOut.not_looked_at)} were too many to be looked at`);
  return parts.length === 0 ? shown : html`${shown} <b>Left out:</b> ${parts.join("; ")}. A narrower filter shows more of what you look for.`;
}

/** @param {{ filter: import("../model/tail.js").Filter, isOpen: boolean }} props */
function Nothing({ filter, isOpen }) {
  if (!isOpen) return html`<${Empty} title="Connecting">The gateway is asked for its requests.<//>`;
  return isFilter(filter)
    ? html`<${Empty} title="No request has passed the filter yet" command=${commandOf(filter)}>Requests appear when they end. The same in a terminal:<//>`
    : html`<${Empty} title="No request has ended yet" command=${commandOf(filter)}>Requests appear when they end. The same in a terminal:<//>`;
}
