// Server-sent events by fetch: an EventSource cannot send a token.

import { eventParser } from "../model/sse.js";
import { answered, lost } from "../state/connection.js";
import { ApiError, credentials, problem } from "./client.js";

/** Milliseconds before the first attempt to connect again, doubled with each, and at most. */
const BACKOFF = 500;
const BACKOFF_MAX = 8000;

/**
 * @typedef {object} Listener
 * @property {(event: import("../model/sse.js").ServerEvent) => void} onEvent
 * @property {(state: "connecting" | "open" | "waiting") => void} [onState]
 * @property {(error: ApiError) => void} [onError] the gateway refuses; there is no further attempt
 */

/**
 * Listens to a path of the API until the returned function is called. A hidden tab does not listen: a browser has few
 * connections to one address for all tabs together.
 * @param {string} path
 * @param {Listener} listener
 * @returns {() => void}
 */
export function listen(path, listener) {
  let attempt = 0;
  let isOver = false;
  /** @type {AbortController | null} */
  let connection = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  async function connect() {
    if (isOver || connection || document.hidden) return;
    const own = new AbortController();
    connection = own;
    listener.onState?.("connecting");
    try {
      const response = await fetch(path, { headers: credentials(), signal: own.signal, cache: "no-store" });
      answered();
      if (!response.ok || !response.body) {
        listener.onError?.(problem(response, await response.text()));
        return;
      }
      attempt = 0;
      listener.onState?.("open");
      const feed = eventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const event of feed(value)) listener.onEvent(event);
      }
    } catch (error) {
      if (own.signal.aborted) return;
      if (error instanceof TypeError) lost();
    }
    if (connection !== own) return;
    connection = null;
    listener.onState?.("waiting");
    timer = setTimeout(connect, Math.min(BACKOFF * 2 ** attempt++, BACKOFF_MAX));
  }

  function stop() {
    clearTimeout(timer);
    connection?.abort();
    connection = null;
  }

  function changed() {
    if (document.hidden) stop();
    else void connect();
  }

  document.addEventListener("visibilitychange", changed);
  void connect();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", changed);
    stop();
  };
}
