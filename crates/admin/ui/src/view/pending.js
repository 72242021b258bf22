// A change that waits to be confirmed: on every page, with the time that is left, and the two ways out.

import { ApiError, get, post } from "../api/client.js";
import { refresh } from "../api/poll.js";
import { html, useState } from "../html.js";
import { link } from "../router.js";
import { useNow } from "../state/clock.js";
import { usePending } from "../state/pending.js";
import { useRights } from "../state/session.js";
import { Button } from "./button.js";
import { Problem } from "./problem.js";
import { toast } from "./toast.js";

export function PendingBanner() {
  const pending = usePending();
  return pending ? html`<${Waiting} key=${pending.revision} pending=${pending} />` : null;
}

/** @param {{ pending: import("../state/pending.js").Pending }} props */
function Waiting({ pending }) {
  const now = useNow();
  const { name, reason } = useRights();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const { revision, revertsTo, by } = pending;
  const seconds = Math.max(0, Math.ceil((pending.revertsAt - now) / 1000));

  /**
   * @param {(ifMatch: string | null) => Promise<unknown>} change
   * @param {string} done
   */
  async function act(change, done) {
    if (isBusy) return;
    setBusy(true);
    setError(null);
    try {
      const { etag } = await get("/api/v1/config");
      const { data } = await get("/api/v1/status");
      const { pending: found } = /** @type {import("../api/types.js").Status} */ (data);
      // Another change than the one that is seen is neither kept nor taken back.
      if (found?.revision !== revision) throw new ApiError(412, "Changed meanwhile", found ? `revision ${found.revision} by ${found.by} waits now` : `revision ${revision} waits no more`);
      await change(etag);
      toast(done);
    } catch (cause) {
      setError(cause instanceof Error ? cause : new Error(String(cause)));
    }
    setBusy(false);
    refresh("/api/v1/status");
    refresh("config");
    refresh("/api/v1/revisions");
  }

  return html`<section class="pending" aria-label="Change to confirm">
    <p class="pending-text"><b>Revision ${revision}${by === name ? "" : ` by ${by}`} is in force until it is confirmed.</b>${" "}
      <span>It reverts to revision ${revertsTo} in <span class="pending-left" role="timer">${left(seconds)}</span>.</span></p>
    <div class="pending-actions">
      <a class="button" href=${link(["config", "history"], { from: String(revertsTo), to: String(revision) })}>What changed</a>
      <${Button} reason=${reason} isBusy=${isBusy} onPress=${() => act((ifMatch) => post("/api/v1/config/revert", { ifMatch }), `Reverted to the text of revision ${revertsTo}.`)}>Revert now<//>
      <${Button} look="main" reason=${reason} isBusy=${isBusy} onPress=${() => act((ifMatch) => post("/api/v1/config/confirm", { ifMatch }), `Revision ${revision} is kept.`)}>Keep<//></div>
    ${error ? html`<${Problem} error=${error} />` : null}</section>`;
}

/** @param {number} seconds */
function left(seconds) {
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
