// The client: its token, its name and its rights.

import { ApiError, get, onForbidden, onUnauthorized, setToken } from "../api/client.js";
import { store, useStore } from "./store.js";

/** Where the token is kept until the tab is closed. */
const KEY = "waypost-token";

/**
 * @typedef {object} Session
 * @property {"asking" | "locked" | "ready"} state `locked` needs a token
 * @property {boolean} isRefused the token that was given is not known
 * @property {ApiError | null} error why the gateway has not told who the client is
 * @property {string} name
 * @property {"read" | "write"} role
 */

export const session = store(/** @type {Session} */ ({ state: "asking", isRefused: false, error: null, name: "", role: "read" }));

/** @type {Set<() => void>} */
const readies = new Set();

/** Returns true once the gateway has told who the client is. */
export const isReady = () => session.get().state === "ready";

/**
 * Calls back when the client is known, and so each time that it has given a token.
 * @param {() => void} listener
 */
export function onReady(listener) {
  readies.add(listener);
}

/** Learns who the client is, with the token of this tab if there is one. */
export async function begin() {
  setToken(sessionStorage.getItem(KEY));
  await learn();
}

/**
 * Uses another token.
 * @param {string} token
 */
export async function unlock(token) {
  // A field's value has no other characters; a token that has them is not known anyway.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    session.set({ ...session.get(), state: "locked", isRefused: true });
    return;
  }
  sessionStorage.setItem(KEY, token);
  setToken(token);
  await learn();
}

/** Forgets the token. */
export function leave() {
  sessionStorage.removeItem(KEY);
  setToken(null);
  void learn();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Asks again who the client is. */
export const retry = () => void learn();

async function learn() {
  clearTimeout(timer);
  try {
    const { data } = await get("/api/v1/whoami");
    const { name, role } = /** @type {import("../api/types.js").ClientView} */ (data);
    session.set({ state: "ready", isRefused: false, error: null, name, role });
    for (const listener of readies) listener();
  } catch (error) {
    // 401 has locked it already.
    if (!(error instanceof ApiError) || error.status === 401) return;
    session.set({ ...session.get(), error });
    timer = setTimeout(learn, 2000);
  }
}

onUnauthorized(() => {
  const isRefused = sessionStorage.getItem(KEY) !== null;
  sessionStorage.removeItem(KEY);
  setToken(null);
  const { state } = session.get();
  // Several requests may be refused at once; the first one tells why.
  if (state !== "locked" || isRefused) session.set({ ...session.get(), state: "locked", isRefused, error: null });
});

onForbidden(() => void learn());

/**
 * @typedef {object} Rights
 * @property {string} name
 * @property {boolean} canWrite
 * @property {string | null} reason why it cannot
 */

/** The rights of the client.
 * @returns {Rights} */
export function useRights() {
  const { name, role, state } = useStore(session);
  if (state !== "ready") return { name, canWrite: false, reason: "The gateway has not told your rights yet." };
  if (role === "read") return { name, canWrite: false, reason: `The token of “${name}” is for reading only.` };
  return { name, canWrite: true, reason: null };
}
