// The health of the gateway, or of all instances of its fleet, the same on every page.

import { usePoll } from "../api/poll.js";
import { health } from "../model/health.js";

/** Milliseconds between two looks. */
const INTERVAL = 3000;

/**
 * The status, and the health that it tells; `null` before the first answer.
 * @returns {{ status: import("../api/types.js").Status | null, verdict: import("../model/health.js").Health | null, error: Error | null, at: number | null, refresh: () => Promise<void> }}
 */
export function useHealth() {
  const { data: status, error, at, refresh } = /** @type {import("../api/poll.js").Polled<import("../api/types.js").Status>} */ (usePoll("/api/v1/status", INTERVAL));
  const all = /** @type {import("../api/poll.js").Polled<import("../api/types.js").FleetHealth>} */ (usePoll(status?.fleet ? "/api/v1/fleet/health" : null, INTERVAL));
  // While the fleet cannot be asked, the health is that of this instance.
  const told = !status?.fleet || (all.data === null && all.error !== null) ? status : all.data;
  return { status, verdict: told && health(told), error, at, refresh };
}
