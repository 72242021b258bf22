// The dial of a route: shares that are drawn or typed, and set after a confirmation.

import { html, useEffect, useState } from "../../html.js";
import * as dial from "../../model/dial.js";
import { percent } from "../../model/format.js";
import { useRights } from "../../state/session.js";
import { Button } from "../../view/button.js";
import { Panel } from "../../view/panel.js";
import { Age } from "../../view/time.js";
import { isUnderWay } from "./data.js";
import { DialConfirm } from "./dial-confirm.js";
import { DialMany } from "./dial-many.js";
import { DialTwo } from "./dial-two.js";

/** @typedef {import("../../api/route-types.js").RouteDetail} RouteDetail */
/** @typedef {import("../../api/route-types.js").Rollout} Rollout */

/**
 * @param {object} props
 * @param {RouteDetail} props.route
 * @param {string | null} props.version
 * @param {Rollout | null} props.rollout
 */
export function Dial({ route, version, rollout }) {
  const arms = route.arms;
  const live = arms.map((arm) => arm.live);
  const services = arms.map((arm) => arm.service).join(" ");
  const [draft, setDraft] = useState(/** @type {number[] | null} */ (null));
  const [asked, setAsked] = useState(/** @type {number[] | null} */ (null));
  // Weights that are not complete, such as an empty field.
  const [error, setError] = useState(/** @type {string | null} */ (null));
  const { reason } = useRights();
  useEffect(() => setDraft(null), [services]);
  const weights = draft !== null && draft.length === arms.length ? draft : live;
  const isDrafted = weights !== live && !dial.isSame(weights, live);
  const declared = arms.map((arm) => arm.declared);
  const isDialed = !dial.isSame(live, declared);
  const change = (/** @type {number[] | null} */ next, /** @type {string | null} */ fault = null) => {
    if (next !== null) setDraft(next);
    setError(fault);
  };
  /** @param {number[]} next */
  const ask = (next) => {
    setError(null);
    setAsked(next);
  };
  const discard = () => {
    setDraft(null);
    setError(null);
  };
  const own = error ?? dial.refusal(arms, weights);
  /** In a field or a slider, Enter asks and Escape discards.
   * @param {KeyboardEvent} event */
  const press = (event) => {
    if (!(event.target instanceof HTMLInputElement) || event.isComposing) return;
    if (event.key === "Enter" && reason === null && own === null) ask(weights);
    else if (event.key === "Escape" && (isDrafted || error !== null)) discard();
    else return;
    event.preventDefault();
  };
  const aside = html`<span class="muted">${isDialed ? `declared ${declaredText(declared)}` : "as declared"}</span>`;
  const Editor = arms.length === 2 ? DialTwo : DialMany;
  return html`<${Panel} title="Dial" aside=${aside} class="dial">
    <div class="body" onKeyDown=${press}>
      ${isUnderWay(rollout) ? html`<p class="notice">A rollout turns this dial: step ${rollout?.step} of ${rollout?.steps}. To turn it by hand aborts the rollout.</p>` : null}
      ${reason ? html`<p class="note">${reason}</p>` : null}
      <${Editor} arms=${arms} weights=${weights} onChange=${change} onAll=${(/** @type {number} */ at) => ask(dial.allTo(arms, at))} reason=${reason} isDrafted=${isDrafted || error !== null} />
      <p class="note error" role="alert">${error}</p>
      <div class="dial-actions">
        <${Button} look="main" onPress=${() => ask(weights)} reason=${reason ?? own}>Turn the dial…<//>
        ${isDrafted || error !== null ? html`<${Button} onPress=${discard}>Discard<//>` : null}
        <span class="spring"></span>
        <${Button} onPress=${() => ask(declared)} reason=${reason ?? (isDialed ? null : "The live weights are the declared ones.")}>Reset…<//>
      </div>
      <${LastTurn} route=${route} reason=${reason} onAsk=${ask} />
    </div>
    ${asked ? html`<${DialConfirm} route=${route} version=${version} rollout=${rollout} weights=${asked}
      onDone=${discard} onClose=${() => setAsked(null)} />` : null}
  <//>`;
}

/** @param {number[]} declared */
function declaredText(declared) {
  const shares = dial.shares(declared);
  return shares.length > 4 ? "otherwise" : shares.map((share) => percent(share)).join(" / ");
}

/**
 * The latest turn, and the way back.
 * @param {object} props
 * @param {RouteDetail} props.route
 * @param {string | null} props.reason
 * @param {(weights: number[]) => void} props.onAsk
 */
function LastTurn({ route, reason, onAsk }) {
  const turn = route.turns[0];
  if (!turn) return null;
  const before = dial.weightsOf(route.arms, turn.before);
  const live = route.arms.map((arm) => arm.live);
  const canUndo = before !== null && dial.refusal(route.arms, before) === null && dial.isSame(dial.weightsOf(route.arms, turn.after) ?? [], live);
  return html`<p class="last-turn"><span class="muted">Last turned <${Age} at=${turn.time} /> by ${turn.by}: ${dial.summary(turn.before)} → ${dial.summary(turn.after)}</span>
    ${canUndo ? html`<${Button} reason=${reason} onPress=${() => onAsk(/** @type {number[]} */ (before))}>Undo…<//>` : null}</p>`;
}
