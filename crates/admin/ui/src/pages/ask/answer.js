// The answer: the verdict, what is forwarded, the policies, and the rules.

import { html } from "../../html.js";
import { destination, printable, rateText, sharesOf, targetOf, verdict } from "../../model/explained.js";
import { percent } from "../../model/format.js";
import { letter } from "../../model/weights.js";
import { link } from "../../router.js";
import { Badge } from "../../view/badge.js";
import { WeightBar } from "../../view/bar.js";
import { Rules } from "./rules.js";
import { Steps } from "./steps.js";

/** @typedef {import("../../model/explained.js").Explanation} Explanation */

/**
 * @param {object} props
 * @param {Explanation} props.answer
 * @param {import("../../model/question.js").Question} props.question
 */
export function Answer({ answer, question }) {
  const { tone, word, text } = verdict(answer);
  const isForwarded = answer.outcome === "forward";
  return html`<section class="panel" aria-label="Answer">
      <div class="body ask-verdict">
        <p class="verdict-asked" title=${question.url}><code>${question.method} ${printable(question.url)}</code></p>
        <p class="verdict-line"><${Badge} tone=${tone}>${word}<//> <span>${answer.route === null ? null : html`by the route <a href=${link(["routes", answer.route])}>${answer.route}</a>, `}${printable(text)}</span></p>
        ${answer.stopped ? html`<p><b>Stopped at ${answer.stopped.step.replaceAll("_", " ")}:</b> ${printable(answer.stopped.because)}${answer.stopped.from ? html` <span class="muted">by the ${answer.stopped.from}</span>` : null}</p>`
          : answer.reason ? html`<p>${printable(answer.reason)}</p>` : null}
        ${answer.listener ? html`<p class="muted">by the listener ${answer.listener}</p>` : null}
        ${answer.rate?.map((limit, at) => html`<p key=${at} class="muted">rate limit: ${printable(rateText(limit))}</p>`)}
        <${Steps} stopped=${answer.stopped ?? null} />
      </div></section>
    <div class="answer-columns">
      <${Rules} answer=${answer} />
      <div class="answer-side">
        ${isForwarded ? html`<${Forwarded} answer=${answer} />` : null}
        <${Headers} answer=${answer} title=${isForwarded ? "Headers for the service" : "Headers for the client"} />
        <${Policies} answer=${answer} />
      </div></div>`;
}

/** @param {{ answer: Explanation }} props */
function Forwarded({ answer }) {
  const arms = sharesOf(answer);
  const { rollout, retry } = answer;
  /** @type {[string, import("../../html.js").Children][]} */
  const facts = [
    ["Service", arms.length === 0 ? destination(answer) : html`<div class="arms"><${WeightBar} weights=${arms.map((arm) => ({ service: arm.service, live: arm.weight, declared: arm.weight }))} />
      <ul>${arms.map((arm, at) => html`<li key=${arm.service}><b>${letter(at)}</b> <span class="cut" title=${arm.service}>${arm.service}</span> <span class="number">${percent(arm.share)}</span></li>`)}</ul></div>`],
    ["Cohort", answer.cohort ?? null],
    ["Host", answer.host ?? "none"],
    ["Path", html`<code>${printable(targetOf(answer))}</code>`],
    ["Timeout", answer.timeout ? `${answer.timeout} for the whole exchange` : null],
    ["Retries", retry ? `up to ${retry.attempts} more on ${retry.on.join(", ")}, of ${retry.methods.join(", ")}${retry.timeout ? `, each within ${retry.timeout}` : ""}; at most ${retry.budget} % of the service’s requests` : null],
    ["Hedge", answer.hedge ? `at another endpoint after ${answer.hedge}` : null],
    ["Rollout", rollout ? rolloutText(rollout) : null],
  ];
  return html`<section class="panel"><header class="panel-head"><h2>Forwarded</h2></header>
    <div class="body"><dl class="facts">${facts.filter(([, value]) => value !== null).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${typeof value === "string" ? printable(value) : value}</dd>`)}</dl></div></section>`;
}

/** @param {NonNullable<Explanation["rollout"]>} rollout */
function rolloutText(rollout) {
  const plan = rollout.plan ? `the plan ${rollout.plan}` : "its own plan";
  if (rollout.canary === undefined) return `by ${plan} of ${rollout.steps} steps, once it is started`;
  return `${rollout.canary} by ${plan}: step ${rollout.step ?? 0} of ${rollout.steps}, ${percent((rollout.percent ?? 0) / 100)}`;
}

/** @param {{ answer: Explanation, title: string }} props */
function Headers({ answer, title }) {
  if (answer.headers.length === 0) return null;
  return html`<section class="panel"><header class="panel-head"><h2>${title}</h2></header>
    <div class="body"><dl class="facts header-list">${answer.headers.map(([name, value], at) => html`<dt key=${at}><code>${printable(name)}</code></dt><dd><code>${printable(value)}</code></dd>`)}</dl></div></section>`;
}

/** @param {{ answer: Explanation }} props */
function Policies({ answer }) {
  const policies = Object.entries(answer.policies ?? {});
  return html`<section class="panel"><header class="panel-head"><h2>Policies in force</h2></header>
    <div class="body">${policies.length === 0 ? html`<p class="muted">None: neither the route, its listener nor a policy sets any.</p>`
      : html`<dl class="facts">${policies.map(([key, { from, used_by: usedBy }]) => html`<dt key=${key}><code>${key}</code></dt><dd>${from}${usedBy ? html` <span class="muted">used by the ${usedBy}</span>` : null}</dd>`)}</dl>`}</div></section>`;
}
