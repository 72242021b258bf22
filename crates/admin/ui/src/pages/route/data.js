// The data of the page of a route.

import { useMemo } from "../../html.js";
import { refresh, usePoll, usePoller } from "../../api/poll.js";
import { get } from "../../api/client.js";
import { segment } from "../../model/address.js";

/** @typedef {import("../../api/route-types.js").RouteDetail} RouteDetail */
/** @typedef {import("../../api/route-types.js").Rollout} Rollout */

/** Milliseconds between two looks at a route and its rollout. */
const INTERVAL = 3000;

/** @param {string} name */
export const pathOf = (name) => `/api/v1/routes/${segment(name)}`;

/**
 * The route with the version of its split.
 * @param {string} name
 * @param {AbortSignal} [signal]
 * @returns {Promise<{ route: RouteDetail, version: string | null }>}
 */
export async function read(name, signal) {
  const { data, etag } = await get(pathOf(name), { signal });
  return { route: /** @type {RouteDetail} */ (data), version: etag };
}

/**
 * @param {string} name
 * @returns {import("../../api/poll.js").Polled<{ route: RouteDetail, version: string | null }>}
 */
export const useRoute = (name) => usePoller(pathOf(name), (_, signal) => read(name, signal), INTERVAL);

/**
 * The rollout of a route; `data.rollout` is `null` if there was none so far.
 * @param {string | null} name `null` asks for nothing
 * @returns {import("../../api/poll.js").Polled<{ rollout: Rollout | null }>}
 */
export function useRollout(name) {
  // Of all routes: that of this one alone would be a 404 for most of them.
  const polled = usePoll(name === null ? null : "/api/v1/rollouts", INTERVAL);
  const all = /** @type {Rollout[] | null} */ (polled.data);
  const rollout = useMemo(() => newest((all ?? []).filter((one) => name !== null && one.routes.includes(name))), [all, name]);
  return { ...polled, data: all === null ? null : { rollout } };
}

/**
 * @param {Rollout[]} rollouts
 * @returns {Rollout | null}
 */
const newest = (rollouts) => [...rollouts].sort((one, other) => (one.started < other.started ? 1 : -1))[0] ?? null;

/** Looks at a route and its rollout now, after a change of them.
 * @param {string} name */
export function refreshRoute(name) {
  refresh(pathOf(name));
  refresh("/api/v1/rollouts");
}

/** @param {Rollout | null | undefined} rollout */
export const isUnderWay = (rollout) => rollout !== null && rollout !== undefined && rollout.ended === null;
