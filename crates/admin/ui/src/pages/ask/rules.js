// The rules and what each says to the request: the one that takes it, then the others by rank.

import { html, useEffect, useMemo, useState } from "../../html.js";
import { printable, rules } from "../../model/explained.js";
import { count, counted } from "../../model/format.js";
import { link } from "../../router.js";
import { Button } from "../../view/button.js";

/** Rules that are shown at first, and more of them each time. */
const SHOWN = 100;

/** @param {{ answer: import("../../model/explained.js").Explanation }} props */
export function Rules({ answer }) {
  const all = useMemo(() => rules(answer), [answer]);
  const [shown, setShown] = useState(SHOWN);
  useEffect(() => setShown(SHOWN), [answer]);
  const total = answer.considered_total ?? all.length;
  const isReached = answer.considered.length > 0;
  return html`<section class="panel"><header class="panel-head"><h2>Rules</h2>${isReached ? html`<span class="muted">${counted(total, "rule")}, by rank</span>` : null}</header>
    ${isReached ? html`<ol class="rules">${all.slice(0, shown).map((rule) => html`<${RuleItem} key=${rule.rank} rule=${rule} />`)}</ol>`
      : html`<div class="body"><p class="muted">${answer.stopped && answer.stopped.number < 4 ? "The request stops before the rules are asked." : "No rule is for this host. “Rules of other hosts too” shows them all."}</p></div>`}
    ${all.length > shown ? html`<p class="body rules-more"><${Button} onPress=${() => setShown(shown + 5 * SHOWN)}>Show more<//> <span class="muted">${count(shown)} of ${count(total)}</span></p>`
      : total > all.length ? html`<p class="body muted">${counted(total - all.length, "more rule")} of lower rank. In a terminal, <code>waypost explain --all</code> has them.</p>` : null}
  </section>`;
}

const SIGNS = { takes: "✓", later: "○", no: "✕" };

/** @param {{ rule: import("../../model/explained.js").Rule }} props */
function RuleItem({ rule }) {
  const { because } = rule;
  return html`<li class=${`rule ${rule.state}`}>
    <span class="rule-rank number" title="rank">${count(rule.rank)}</span>
    <span class="rule-sign" aria-hidden="true">${SIGNS[rule.state]}</span>
    <div class="rule-body"><a class="cut" title=${rule.name} href=${link(["routes", rule.route])}>${rule.name}</a>
      ${rule.state === "takes" ? html`<p class="rule-word">takes it</p>` : null}
      ${rule.state === "later" ? html`<p class="muted">would match, but comes later</p>` : null}
      ${because ? html`<p class="muted"><b>${because.condition}</b> wants <code>${printable(because.wants)}</code>, saw ${because.saw === null || because.saw === undefined ? "none" : html`<code>${printable(because.saw)}</code>`}</p>` : null}
      ${because?.hint ? html`<p class="rule-hint">${printable(because.hint)}</p>` : null}</div></li>`;
}
