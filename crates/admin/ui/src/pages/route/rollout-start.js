// The start of a rollout: which service, and in which steps.

import { html, useId, useState } from "../../html.js";
import { post } from "../../api/client.js";
import { parsedSteps } from "../../model/rollout.js";
import { useRights } from "../../state/session.js";
import { Button } from "../../view/button.js";
import { Confirm } from "../../view/dialog.js";
import { Field } from "../../view/field.js";
import { toast } from "../../view/toast.js";
import { pathOf, refreshRoute } from "./data.js";

/** Steps that are proposed to a route without a plan. */
const STEPS = "1, 5, 25, 50, 100";

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 * @param {import("../../api/route-types.js").Rollout | null} props.last
 */
export function RolloutStart({ route, last }) {
  const id = useId();
  const { reason } = useRights();
  const [isAsked, setAsked] = useState(false);
  const plan = route.plan ?? null;
  const [isByPlan, setByPlan] = useState(true);
  const [text, setText] = useState(plan ? plan.steps.map((step) => step.replace(/\s*%.*$/, "")).join(", ") : STEPS);
  const least = [...route.arms].sort((one, other) => one.live - other.live)[0].service;
  const [to, setTo] = useState((least === route.arms[0].service && route.arms[0].live === route.arms[route.arms.length - 1].live ? route.arms[route.arms.length - 1].service : least));
  const { steps, error } = parsedSteps(text);
  const usesPlan = plan !== null && isByPlan;
  const baseline = route.arms.filter((arm) => arm.service !== to).sort((one, other) => other.live - one.live)[0]?.service ?? "";

  async function start() {
    // One that somebody else has started and ended meanwhile is to be seen first.
    const ifMatch = last ? `"${last.version}"` : null;
    await post(`${pathOf(route.name)}/rollout`, { ifMatch, body: { to, ...(usesPlan ? {} : { steps }) } });
    toast(`${route.name}: the rollout of ${to} has begun`);
    refreshRoute(route.name);
  }
  const course = usesPlan ? `the steps of ${plan.name ? `the plan ${plan.name}` : "the route's plan"}: ${plan.steps.join(", ")}` : `steps of ${(steps ?? []).join(", ")} %`;
  return html`<div class="rollout-start">
    ${last === null ? html`<p class="muted">A rollout gives a new version its requests step by step, compares it with the old one, and takes it back by itself if it is worse.</p>` : null}
    <div class="rollout-form">
      <div class="field"><label for=${id}>New version</label>
        <select id=${id} value=${to} onChange=${(/** @type {Event & { currentTarget: HTMLSelectElement }} */ event) => setTo(event.currentTarget.value)}>
          ${route.arms.map((arm) => html`<option key=${arm.service} value=${arm.service} selected=${arm.service === to}>${arm.service}</option>`)}</select></div>
      ${plan ? html`<div class="field"><label for=${`${id}-plan`}>By</label><select id=${`${id}-plan`} onChange=${(/** @type {Event & { currentTarget: HTMLSelectElement }} */ event) => setByPlan(event.currentTarget.value === "plan")}>
        <option value="plan" selected=${isByPlan}>${plan.name ? `the plan ${plan.name}` : "the route's plan"}</option><option value="steps" selected=${!isByPlan}>other steps</option></select></div>` : null}
      ${usesPlan ? null : html`<${Field} label="Steps, in percent" value=${text} onInput=${setText} error=${error} />`}
      <${Button} reason=${reason ?? (usesPlan ? null : error)} onPress=${() => setAsked(true)}>Start a rollout…<//>
    </div>
    ${isAsked ? html`<${Confirm} title=${`Start the rollout of ${to}?`} action="Start" undo="abort it: the weights of now are live again at once." onConfirm=${start} onClose=${() => setAsked(false)}>
      <p>${to} gets more requests by ${course}, each as soon as it is proved to be no worse than ${baseline}. If it is worse, it is taken back by itself.</p>
      ${route.deal ? html`<p>All routes of the deal ${route.deal} go with it.</p>` : null}
      <p class="muted">The same in a terminal: <code>${`waypost rollout start ${route.name} --to ${to}${usesPlan ? "" : ` --steps ${(steps ?? []).join(",")}`}`}</code></p><//>` : null}
  </div>`;
}
