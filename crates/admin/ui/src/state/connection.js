// The connection to the gateway: there, or lost since a time.

import { store } from "./store.js";

/** Milliseconds between two attempts to reach a gateway that is lost. */
const PROBE_INTERVAL = 1000;

/** The time at which the gateway was lost, in milliseconds; `null` while it is there. */
export const lostSince = store(/** @type {number | null} */ (null));

/** @type {Set<() => void>} */
const returns = new Set();

/**
 * Calls back when a lost gateway is there again.
 * @param {() => void} listener
 * @returns {() => void}
 */
export function onReturn(listener) {
  returns.add(listener);
  return () => returns.delete(listener);
}

/** The gateway has answered. */
export function answered() {
  if (lostSince.get() === null) return;
  lostSince.set(null);
  for (const listener of [...returns]) listener();
}

/** The gateway has not answered. */
export function lost() {
  if (lostSince.get() !== null) return;
  lostSince.set(Date.now());
  setTimeout(probe, PROBE_INTERVAL);
}

async function probe() {
  if (lostSince.get() === null) return;
  try {
    await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(3000) });
    answered();
  } catch {
    setTimeout(probe, PROBE_INTERVAL);
  }
}
