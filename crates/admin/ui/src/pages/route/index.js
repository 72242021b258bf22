// A route: its dial, its arms side by side, its rollout, and what has failed.

import { html } from "../../html.js";
import { link } from "../../router.js";
import { Badge } from "../../view/badge.js";
import { Empty } from "../../view/empty.js";
import { Loading } from "../../view/panel.js";
import { Problem } from "../../view/problem.js";
import { Action } from "./action.js";
import { Comparison, Verdict } from "./comparison.js";
import { isUnderWay, useRollout, useRoute } from "./data.js";
import { Dial } from "./dial.js";
import { Failures } from "./failures.js";
import { History } from "./history.js";
import { Policies } from "./policies.js";
import { RolloutPanel } from "./rollout.js";

/**
 * @param {object} props
 * @param {string} props.name
 * @param {Record<string, string>} props.query
 */
export function RoutePage({ name, query }) {
  const polled = useRoute(name);
  const rolled = useRollout(polled.data && polled.data.route.arms.length > 1 ? name : null);
  const isGone = polled.error?.status === 404;
  const back = html`<p class="crumb"><a href=${link(["routes"])}>Routes</a></p>`;
  if (isGone) {
    return html`${back}<h1 class="cut" title=${name}>${name}</h1>
      <section class="panel"><div class="body gone"><${Empty} title=${polled.data ? "This route has gone" : "There is no such route"}>
        ${polled.data ? "A change of the config has taken it away or renamed it." : "The config in force has no route of this name."} <a href=${link(["routes"], { search: name })}>Search for it</a><//></div></section>`;
  }
  if (polled.data === null) {
    return html`${back}<h1 class="cut" title=${name}>${name}</h1>
      <section class="panel"><div class="body">${polled.error ? html`<${Problem} error=${polled.error} onRetry=${polled.refresh} />` : html`<${Loading} lines=${6} />`}</div></section>`;
  }
  const { route, version } = polled.data;
  const rollout = rolled.data?.rollout ?? null;
  const hasSplit = route.arms.length > 1;
  const isDialed = route.arms.some((arm) => arm.live !== arm.declared);
  return html`${back}
    <header class="route-head"><h1 class="cut" title=${route.name}>${route.name}</h1>
      ${isUnderWay(rollout) ? html`<${Badge} tone="info">rollout<//>` : isDialed ? html`<${Badge} tone="info">dialed<//>` : null}
      <ul class="matches">${route.matches.map((text) => html`<li key=${text}><code class="cut" title=${text}>${text}</code></li>`)}</ul>
      <${Verdict} route=${route} query=${query} version=${version} rollout=${rollout} /></header>
    <div class="route-grid">
      ${hasSplit ? html`<${Dial} route=${route} version=${version} rollout=${rollout} query=${query} />
        <${RolloutPanel} route=${route} rolled=${rolled} />` : html`<${Action} route=${route} /><${Policies} route=${route} />`}
    </div>
    <${Comparison} route=${route} query=${query} />
    ${hasSplit ? html`<div class="route-grid"><${Failures} route=${route} />
      <div class="route-column"><${History} route=${route} version=${version} rollout=${rollout} /><${Policies} route=${route} /></div></div>` : html`<${Failures} route=${route} />`}`;
}
