// The question before a dial is turned: what will be different, for how many requests, and how to undo it.

import { html, useState } from "../../html.js";
import { ApiError, del, put } from "../../api/client.js";
import { usePoll } from "../../api/poll.js";
import * as dial from "../../model/dial.js";
import { rate } from "../../model/format.js";
import { ArmSign } from "../../view/arm.js";
import { Confirm } from "../../view/dialog.js";
import { Age } from "../../view/time.js";
import { toast } from "../../view/toast.js";
import { isUnderWay, pathOf, read, refreshRoute } from "./data.js";

/** @typedef {import("../../api/route-types.js").RouteDetail} RouteDetail */

/** Arms that are told one by one. */
const TOLD_MAX = 6;

/**
 * @param {object} props
 * @param {RouteDetail} props.route as it was shown when the change was made
 * @param {string | null} props.version
 * @param {import("../../api/route-types.js").Rollout | null} props.rollout
 * @param {number[]} props.weights
 * @param {() => void} props.onDone
 * @param {() => void} props.onClose
 */
export function DialConfirm({ route, version, rollout, weights, onDone, onClose }) {
  // The picture that the question is about: it changes only when the gateway has refused it.
  const [seen, setSeen] = useState({ route, version, isStale: false });
  const [isForced, setForced] = useState(isUnderWay(rollout));
  const { data } = usePoll(`/api/v1/stats?route=${encodeURIComponent(route.name)}&window=1m`, 5000);
  const stats = /** @type {import("../../api/route-types.js").Stats | null} */ (data);
  const arms = seen.route.arms;
  const declared = arms.map((arm) => arm.declared);
  const isReset = dial.isSame(weights, declared);
  const changes = dial.changes(arms, weights);
  const all = (stats?.routes[0]?.arms ?? []).reduce((sum, arm) => sum + arm.rate, 0);
  const live = arms.map((arm) => arm.live);
  const first = changes.find((change) => change.after > 0);

  async function confirm() {
    const path = `${pathOf(route.name)}/split${isForced ? "?force=true" : ""}`;
    try {
      if (isReset) await del(path, { ifMatch: seen.version });
      else await put(path, { body: dial.body(arms, weights), ifMatch: seen.version });
    } catch (error) {
      if (error instanceof ApiError && error.status === 412) setSeen({ ...(await read(route.name)), isStale: true });
      if (error instanceof ApiError && error.status === 409) setForced(true);
      throw error;
    }
    toast(`${route.name}: ${isReset ? "the declared weights are live again" : changes[0]?.text ?? "the dial is turned"}`);
    onDone();
    refreshRoute(route.name);
  }

  const action = isForced ? "Abort the rollout and turn" : seen.isStale ? "Turn it all the same" : "Turn the dial";
  const undo = html`<span>${isForced ? "The rollout does not go on by itself; it can be started again. The dial is " : "The dial is "}turned back by <b>Undo</b> on this page, or in a terminal:</span>
    <code class="undo-command">${dial.command(route.name, arms, live)}</code>`;
  return html`<${Confirm} title=${`Turn the dial of ${route.name}${isReset ? " to its declared weights" : ""}?`} action=${action} undo=${undo} isDanger=${isForced} onConfirm=${confirm} onClose=${onClose}>
    ${seen.isStale ? html`<${Meanwhile} route=${seen.route} />` : null}
    ${isForced ? html`<p class="notice">A rollout is under way. It is aborted first; then the dial is turned.</p>` : null}
    <ul class="dial-changes">${changes.slice(0, TOLD_MAX).map((change) => html`<li key=${change.service}><${ArmSign} letter=${change.letter} /><span>${change.text}</span></li>`)}</ul>
    ${changes.length > TOLD_MAX ? html`<p class="muted">So are the shares of ${changes.length - TOLD_MAX} more services changed.</p>` : null}
    ${changes.length === 0 ? html`<p>The shares are as they should be already.</p>` : null}
    <p class="muted">It is in force for every request that begins from then on${all > 0 && first ? `: about ${rate(first.after * all)} for ${first.service} of the present ${rate(all)}` : ""}. Requests under way end where they are.</p>
    ${route.sticky ? html`<p class="muted">Clients stay with their side (${route.sticky}), but for those that move as a side shrinks.</p>` : null}
    ${route.deal ? html`<p class="muted">The route is one of the deal ${route.deal}; the others keep their weights.</p>` : null}
  <//>`;
}

/**
 * What somebody else has done.
 * @param {object} props
 * @param {RouteDetail} props.route
 */
function Meanwhile({ route }) {
  const turn = route.turns[0];
  return html`<p class="notice">The split has changed meanwhile${turn ? html`: ${turn.by} has turned it <${Age} at=${turn.time} />, ${dial.summary(turn.before)} → ${dial.summary(turn.after)}` : ""}. Nothing is done yet. From how it is now, yours would change this:</p>`;
}
