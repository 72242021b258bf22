// The health of the gateway, the same on every page.

import { usePoll } from "../api/poll.js";
import { useTimeline } from "../api/timeline.js";
import { health } from "../model/health.js";
import { lately } from "../model/timeline.js";

/** Milliseconds between two looks. */
const INTERVAL = 5000;

/** The path of all services with the state of their endpoints. */
export const SERVICES = "/api/v1/services?detail=true";

/**
 * The status, and the health that follows from all that is known; `null` before the first answer.
 * @returns {{ status: import("../api/types.js").Status | null, verdict: import("../model/health.js").Health | null, error: Error | null, refresh: () => Promise<void> }}
 */
export function useHealth() {
  const { data: status, error, refresh } = /** @type {import("../api/poll.js").Polled<import("../api/types.js").Status>} */ (usePoll("/api/v1/status", INTERVAL));
  const { data: services } = /** @type {import("../api/poll.js").Polled<import("../api/types.js").ServiceView[]>} */ (usePoll(SERVICES, INTERVAL));
  const { data: timeline } = useTimeline({ step: "1s", window: 600, interval: INTERVAL });
  const verdict = status && services && timeline ? health({ status, services, lately: lately(timeline, 60) }) : null;
  return { status, verdict, error, refresh };
}
