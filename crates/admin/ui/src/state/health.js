// The health of the gateway, the same on every page.

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
  return { status, verdict: status && health(status), error, at, refresh };
}
