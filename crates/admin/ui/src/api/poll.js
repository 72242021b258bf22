// Data that is asked for again and again, once for all components that show it.

import { useEffect, useState } from "../html.js";
import { onReturn } from "../state/connection.js";
import { isReady, onReady } from "../state/session.js";
import { ApiError, get } from "./client.js";

/** Milliseconds for which data that nobody shows is kept, so that a page is there at once when one comes back to it. */
const KEPT = 120_000;

/**
 * @template T
 * @typedef {object} Polled
 * @property {T | null} data the last picture; `null` before the first
 * @property {ApiError | null} error the reason why there is none, or no newer one
 * @property {number | null} at the time of the picture, in milliseconds
 * @property {number | null} age the seconds since then
 * @property {() => Promise<void>} refresh asks now
 */

/** @template T */
class Poller {
  /** @param {(previous: T | null, signal: AbortSignal) => Promise<T>} load */
  constructor(load) {
    this.load = load;
    /** @type {T | null} */
    this.data = null;
    /** @type {ApiError | null} */
    this.error = null;
    /** @type {number | null} */
    this.at = null;
    /** @type {Map<() => void, number>} the watchers, each with its interval */
    this.watchers = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {Promise<void> | null} */
    this.loading = null;
    this.again = false;
    this.left = 0;
  }

  interval() {
    return Math.min(...this.watchers.values());
  }

  /**
   * @param {() => void} listener
   * @param {number} interval
   */
  watch(listener, interval) {
    this.watchers.set(listener, interval);
    this.schedule();
    return () => {
      this.watchers.delete(listener);
      if (this.watchers.size === 0) {
        clearTimeout(this.timer);
        this.left = Date.now();
      }
    };
  }

  /** Asks when the picture is as old as the interval. */
  schedule() {
    clearTimeout(this.timer);
    if (this.watchers.size === 0 || document.hidden || this.loading || !isReady()) return;
    const last = Math.max(this.at ?? 0, this.tried ?? 0);
    const wait = Math.max(0, last + this.interval() - Date.now());
    this.timer = setTimeout(() => void this.refresh(), wait);
  }

  /** Asks now. A change that came while a request was under way is asked for once more.
   * @returns {Promise<void>} */
  refresh() {
    if (this.loading) {
      this.again = true;
      return this.loading;
    }
    clearTimeout(this.timer);
    this.loading = this.once().finally(() => {
      this.loading = null;
      for (const listener of [...this.watchers.keys()]) listener();
      if (this.again) {
        this.again = false;
        void this.refresh();
      } else {
        this.schedule();
      }
    });
    return this.loading;
  }

  async once() {
    this.tried = Date.now();
    try {
      this.data = await this.load(this.data, new AbortController().signal);
      this.error = null;
      this.at = Date.now();
    } catch (error) {
      this.error = error instanceof ApiError ? error : new ApiError(-1, "Fault of the dashboard", String(error));
    }
  }
}

/** @type {Map<string, Poller<any>>} any: pollers of all kinds of data are here */
const pollers = new Map();

/** Asks for all that is shown. */
function refreshShown() {
  for (const poller of pollers.values()) {
    if (poller.watchers.size > 0 && !document.hidden && isReady()) void poller.refresh();
  }
}

onReturn(refreshShown);
onReady(refreshShown);
document.addEventListener("visibilitychange", () => {
  for (const poller of pollers.values()) poller.schedule();
});

/**
 * Asks now for all that is shown and whose path begins so; to be called after a change.
 * @param {string} prefix
 */
export function refresh(prefix) {
  for (const [key, poller] of pollers) {
    if (key.startsWith(prefix) && poller.watchers.size > 0) void poller.refresh();
  }
}

/**
 * The last picture of a poller, if there is one.
 * @param {string} key
 * @returns {unknown}
 */
export const known = (key) => pollers.get(key)?.data ?? null;

/**
 * Data by a function of one's own, which gets the previous data. Components with the same key share it.
 * @template T
 * @param {string | null} key `null` asks for nothing
 * @param {(previous: T | null, signal: AbortSignal) => Promise<T>} load
 * @param {number} interval milliseconds
 * @returns {Polled<T>}
 */
export function usePoller(key, load, interval) {
  const [, draw] = useState(0);
  /** @type {Poller<T> | null} */
  const poller = key === null ? null : pollerOf(key, load);
  useEffect(() => poller?.watch(() => draw((count) => count + 1), interval), [poller, interval]);
  const at = poller?.at ?? null;
  return {
    data: poller?.data ?? null,
    error: poller?.error ?? null,
    at,
    age: at === null ? null : Math.max(0, Math.round((Date.now() - at) / 1000)),
    refresh: () => poller?.refresh() ?? Promise.resolve(),
  };
}

/**
 * The body at a path of the API.
 * @template [T=unknown]
 * @param {string | null} path `null` asks for nothing
 * @param {number} interval milliseconds
 * @returns {Polled<T>}
 */
export function usePoll(path, interval) {
  return usePoller(path, async (_, signal) => /** @type {T} */ ((await get(path ?? "", { signal })).data), interval);
}

/**
 * @template T
 * @param {string} key
 * @param {(previous: T | null, signal: AbortSignal) => Promise<T>} load
 * @returns {Poller<T>}
 */
function pollerOf(key, load) {
  const known = pollers.get(key);
  if (known) return known;
  for (const [other, poller] of pollers) {
    if (poller.watchers.size === 0 && poller.left !== 0 && Date.now() - poller.left > KEPT) pollers.delete(other);
  }
  const poller = new Poller(load);
  pollers.set(key, poller);
  return poller;
}
