// The present, for ages that grow while nothing else changes.

import { useEffect, useState } from "../html.js";
import { store, useStore } from "./store.js";

/** Milliseconds by which two clocks differ without a word: an answer takes a while. */
const TOLERATED = 5000;

/** Milliseconds by which this machine's clock is ahead of the gateway's. */
const ahead = store(0);

/**
 * Learns the time of the gateway from what it says of itself.
 * @param {{ started: string, uptime_seconds: number }} status
 * @param {number} at milliseconds, when it was received
 */
export function learnClock({ started, uptime_seconds: uptime }, at) {
  const difference = at - (Date.parse(started) + uptime * 1000);
  ahead.set(Math.abs(difference) > TOLERATED ? Math.round(difference / 1000) * 1000 : 0);
}

/** Milliseconds by which this machine's clock is ahead of the gateway's. */
export const useAhead = () => useStore(ahead);

/**
 * The time by the gateway's clock, for the ages of what it has dated.
 * @returns {number}
 */
export function useGatewayNow() {
  return useNow() - useAhead();
}

/**
 * The time in milliseconds, anew each `interval`.
 * @param {number} [interval]
 * @returns {number}
 */
export function useNow(interval = 1000) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}
