// What the gateway says about the draft, asked anew as one types.

import { send } from "../api/config.js";
import { ApiError } from "../api/client.js";
import { useEffect, useRef, useState } from "../html.js";
import { findings } from "../model/findings.js";
import { onReturn } from "./connection.js";

/** @typedef {import("../model/draft.js").Draft} Draft */

/**
 * @typedef {object} Check
 * @property {boolean} isCurrent it is about the draft as it is now
 * @property {"none" | "good" | "refused" | "unknown"} state
 * @property {import("../model/findings.js").Finding[]} findings
 * @property {import("../api/config.js").Applied | null} applied what applying it would do
 * @property {ApiError | null} error
 */

/** Milliseconds after the last key. */
const TYPED = 350;

/** @type {Check} */
const NONE = { isCurrent: false, state: "none", findings: [], applied: null, error: null };

/**
 * One check at a time: a large config takes the gateway longer than a key takes the writer.
 * @param {Draft | null} draft
 * @param {boolean} mayAsk
 * @returns {Check}
 */
export function useCheck(draft, mayAsk) {
  const [told, setTold] = useState(/** @type {{ check: Check, of: Draft | null }} */ ({ check: NONE, of: null }));
  const state = useRef(/** @type {{ isBusy: boolean, isAlive: boolean, wanted: Draft | null }} */ ({ isBusy: false, isAlive: true, wanted: null }));
  useEffect(() => {
    const own = state.current;
    own.isAlive = true;
    return () => {
      own.isAlive = false;
    };
  }, []);
  useEffect(() => {
    const own = state.current;
    own.wanted = mayAsk ? draft : null;
    if (own.wanted === null) return;
    const ask = async () => {
      const asked = own.wanted;
      if (own.isBusy || asked === null || !own.isAlive) return;
      own.isBusy = true;
      const check = await checkOf(asked);
      own.isBusy = false;
      if (!own.isAlive) return;
      setTold({ check, of: asked });
      if (own.wanted !== asked) void ask();
    };
    const timer = setTimeout(ask, TYPED);
    const stop = onReturn(ask);
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [draft, mayAsk]);
  return { ...told.check, isCurrent: told.of === draft };
}

/**
 * @param {Draft} draft
 * @returns {Promise<Check>}
 */
async function checkOf(draft) {
  try {
    const { applied } = await send(draft, "?dry_run=true", "*");
    return { ...NONE, state: "good", applied, findings: findings(applied.warnings) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const isRefused = error.status === 422 || error.diagnostics.length > 0;
    return { ...NONE, state: isRefused ? "refused" : "unknown", error, findings: findings(error.diagnostics) };
  }
}
