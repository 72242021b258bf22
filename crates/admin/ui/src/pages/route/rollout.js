// The rollout of a route: where it stands, what speaks for and against the new version, and what one may do.

import { html, useState } from "../../html.js";
import { usePoll } from "../../api/poll.js";
import * as model from "../../model/rollout.js";
import { useRights } from "../../state/session.js";
import { Badge } from "../../view/badge.js";
import { Button } from "../../view/button.js";
import { Panel } from "../../view/panel.js";
import { Age, Time } from "../../view/time.js";
import { isUnderWay, pathOf } from "./data.js";
import { RolloutConfirm } from "./rollout-confirm.js";
import { RolloutMetrics } from "./rollout-metrics.js";
import { RolloutStart } from "./rollout-start.js";

/** @typedef {import("../../api/route-types.js").Rollout} Rollout */
/** @typedef {import("../../api/route-types.js").RouteDetail} RouteDetail */

/**
 * @param {object} props
 * @param {RouteDetail} props.route
 * @param {import("../../api/poll.js").Polled<{ rollout: Rollout | null }>} props.rolled
 */
export function RolloutPanel({ route, rolled }) {
  const rollout = rolled.data?.rollout ?? null;
  const standing = rollout ? model.standing(rollout) : null;
  const aside = standing ? html`<${Badge} tone=${standing.tone}>${standing.word}<//>` : null;
  return html`<${Panel} title="Rollout" aside=${aside} polled=${rolled} lines=${5} class="rollout">
    <div class="body">${rollout ? html`<${Course} rollout=${rollout} route=${route} />` : null}
      ${isUnderWay(rollout) ? null : html`<${RolloutStart} route=${route} last=${rollout} />`}</div>
  <//>`;
}

/**
 * @param {object} props
 * @param {Rollout} props.rollout
 * @param {RouteDetail} props.route
 */
function Course({ rollout, route }) {
  const [asked, setAsked] = useState(/** @type {{ action: model.Action, rollout: Rollout } | null} */ (null));
  const { reason } = useRights();
  const isOver = rollout.ended !== null;
  const share = model.evidenceShare(rollout);
  return html`
    <p class="rollout-sides"><b>${rollout.canary}</b> against ${rollout.baseline}${rollout.plan ? `, by the plan ${rollout.plan}` : ""}<span class="muted"> · started <${Age} at=${rollout.started} /> by ${rollout.by}</span></p>
    <ol class="track" aria-label="Steps">${model.track(rollout).map((step) => html`<li key=${step.number} class=${step.state} aria-current=${step.state === "now" ? "step" : undefined}>
      <span class="track-dot" aria-hidden="true">${step.state === "done" ? "✓" : step.state === "now" ? (isOver ? "×" : "●") : ""}</span><span>${step.label}</span></li>`)}</ol>
    <p role="status">${isOver ? html`${rollout.summary} <span class="muted"><${Time} at=${/** @type {string} */ (rollout.ended)} /></span>` : model.stepText(rollout)}</p>
    ${isOver ? null : html`<p>${rollout.next ? html`<b>Next</b> ${rollout.next}` : rollout.summary}</p>
      <div class="evidence"><span class="evidence-bar" role="img" aria-label=${`Evidence against the new version: ${Math.round(share * 100)} % of what a rollback takes`}><span class=${share > 0.15 ? "bad" : ""} style=${{ width: `${share * 100}%` }}></span></span>
        <p class="note">${model.luck(rollout)}</p></div>
      <div class="dial-actions">${model.actions(rollout).map((action) => html`<${Button} key=${action} look=${action === "abort" ? "danger" : action === "approve" ? "main" : "plain"} reason=${reason} onPress=${() => setAsked({ action, rollout })}>${model.question(rollout, action).word}…<//>`)}</div>`}
    ${rollout.metrics.length > 0 ? html`<${RolloutMetrics} rollout=${rollout} />` : null}
    <${Changes} route=${route.name} />
    ${asked ? html`<${RolloutConfirm} route=${route.name} rollout=${asked.rollout} action=${asked.action} onClose=${() => setAsked(null)} />` : null}`;
}

/**
 * The changes of the rollout, with the reason of each.
 * @param {object} props
 * @param {string} props.route
 */
function Changes({ route }) {
  const [isOpen, setOpen] = useState(false);
  const polled = usePoll(isOpen ? `${pathOf(route)}/rollout/history` : null, 3000);
  const changes = /** @type {import("../../api/route-types.js").RolloutChange[]} */ (polled.data ?? []);
  return html`<details class="figures" onToggle=${(/** @type {Event & { currentTarget: HTMLDetailsElement }} */ event) => setOpen(event.currentTarget.open)}><summary>Changes of rollouts, with their reasons</summary>
    <ul class="turns">${changes.map((change, at) => html`<li key=${`${change.time} ${at}`}><div class="turn"><span class="turn-head"><${Time} at=${change.time} /> <b>${model.changeWord(change.change)}</b> ${change.percent} <span class="muted">by ${change.by}</span></span>
      <span>${change.summary}</span></div></li>`)}</ul></details>`;
}
