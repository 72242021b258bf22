// The turns of a dial, and the way back to each of them.

import { html, useState } from "../../html.js";
import * as dial from "../../model/dial.js";
import { useRights } from "../../state/session.js";
import { Button } from "../../view/button.js";
import { Empty } from "../../view/empty.js";
import { Panel } from "../../view/panel.js";
import { Time } from "../../view/time.js";
import { DialConfirm } from "./dial-confirm.js";

/** Turns that are shown at first. */
const SHOWN = 6;

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 * @param {string | null} props.version
 * @param {import("../../api/route-types.js").Rollout | null} props.rollout
 */
export function History({ route, version, rollout }) {
  const [asked, setAsked] = useState(/** @type {number[] | null} */ (null));
  const [isAll, setAll] = useState(false);
  const { reason } = useRights();
  const turns = isAll ? route.turns : route.turns.slice(0, SHOWN);
  return html`<${Panel} title="History of the dial" isEmpty=${route.turns.length === 0}
    empty=${html`<${Empty} title="The dial was not turned so far" command=${`waypost dial ${route.name} ${route.arms[route.arms.length - 1].service}=10`}>Each turn is kept here, with who did it.<//>`}>
    <ul class="turns">${turns.map((turn, at) => {
      const weights = dial.weightsOf(route.arms, turn.after);
      const own = weights === null ? "The services of the route are others now." : dial.isSame(weights, route.arms.map((arm) => arm.live)) ? "These weights are live." : null;
      return html`<li key=${turn.time}><div class="turn"><span class="turn-head"><${Time} at=${turn.time} /> <span class="muted">by ${turn.by}</span></span>
        <span class="turn-weights">${dial.summary(turn.before)} → <b>${dial.summary(turn.after)}</b></span></div>
        <${Button} look="quiet" reason=${reason ?? own} onPress=${() => setAsked(weights)} label=${`Set again… ${dial.summary(turn.after)}`}>Set again…<//></li>`;
    })}</ul>
    ${route.turns.length > SHOWN ? html`<p class="more"><${Button} look="quiet" onPress=${() => setAll(!isAll)}>${isAll ? "Fewer" : `All ${route.turns.length}`}<//></p>` : null}
    ${asked ? html`<${DialConfirm} route=${route} version=${version} rollout=${rollout} weights=${asked} onDone=${() => {}} onClose=${() => setAsked(null)} />` : null}
  <//>`;
}
