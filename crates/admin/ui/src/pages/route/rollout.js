// The rollout of a route: where it stands, what speaks for and against the new version, and what one may do.

import { html, useState } from "../../html.js";
import { post } from "../../api/client.js";
import { usePoll } from "../../api/poll.js";
import * as model from "../../model/rollout.js";
import { useRights } from "../../state/session.js";
import { Badge } from "../../view/badge.js";
import { Button } from "../../view/button.js";
import { Confirm } from "../../view/dialog.js";
import { Panel } from "../../view/panel.js";
import { Age, Time } from "../../view/time.js";
import { toast } from "../../view/toast.js";
import { isUnderWay, pathOf, refreshRoute } from "./data.js";
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
      ${isUnderWay(rollout) ? null : html`<${RolloutStart} route=${route} isFirst=${rollout === null} />`}</div>
  <//>`;
}

/**
 * @param {object} props
 * @param {Rollout} props.rollout
 * @param {RouteDetail} props.route
 */
function Course({ rollout, route }) {
  const [asked, setAsked] = useState(/** @type {model.Action | null} */ (null));
  const [isWritten, setWritten] = useState(false);
  const { reason } = useRights();
  const isOver = rollout.ended !== null;
  const share = model.evidenceShare(rollout);
  const question = asked ? model.question(rollout, asked) : null;
  /** @param {model.Action} action */
  async function act(action) {
    await post(`${pathOf(route.name)}/rollout/${action}${action === "finish" && isWritten ? "?write=true" : ""}`);
    toast(`${route.name}: the rollout is ${model.DONE[action]}`);
    refreshRoute(route.name);
  }
  return html`
    <p class="rollout-sides"><b>${rollout.canary}</b> against ${rollout.baseline}${rollout.plan ? `, by the plan ${rollout.plan}` : ""}<span class="muted"> · started <${Age} at=${rollout.started} /> by ${rollout.by}</span></p>
    <ol class="track" aria-label="Steps">${model.track(rollout).map((step) => html`<li key=${step.number} class=${step.state} aria-current=${step.state === "now" ? "step" : undefined}>
      <span class="track-dot" aria-hidden="true">${step.state === "done" ? "✓" : step.state === "now" ? (isOver ? "×" : "●") : ""}</span><span>${step.label}</span></li>`)}</ol>
    <p role="status">${isOver ? html`${rollout.summary} <span class="muted"><${Time} at=${/** @type {string} */ (rollout.ended)} /></span>` : model.stepText(rollout)}</p>
    ${isOver ? null : html`<p>${rollout.next ? html`<b>Next</b> ${rollout.next}` : rollout.summary}</p>
      <div class="evidence"><span class="evidence-bar" role="img" aria-label=${`Evidence against the new version: ${Math.round(share * 100)} % of what a rollback takes`}><span class=${share > 0.15 ? "bad" : ""} style=${{ width: `${share * 100}%` }}></span></span>
        <p class="note">${model.luck(rollout)}</p></div>
      <div class="dial-actions">${model.actions(rollout).map((action) => html`<${Button} key=${action} look=${action === "abort" ? "danger" : action === "approve" ? "main" : "plain"} reason=${reason} onPress=${() => setAsked(action)}>${model.question(rollout, action).word}…<//>`)}</div>`}
    ${rollout.metrics.length > 0 ? html`<${RolloutMetrics} rollout=${rollout} />` : null}
    <${Changes} route=${route.name} />
    ${question && asked ? html`<${Confirm} title=${question.title} action=${question.word} isDanger=${question.isDanger} undo=${html`${question.undo}`} onConfirm=${() => act(asked)} onClose=${() => setAsked(null)}>
      <p>${question.text}</p>
      ${asked === "finish" ? html`<label class="check"><input type="checkbox" checked=${isWritten} onChange=${() => setWritten(!isWritten)} /> Put the weights into the config, as a revision</label>` : null}<p class="muted">The same in a terminal: <code>${question.command}${asked === "finish" && isWritten ? " --write" : ""}</code></p><//>` : null}`;
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
