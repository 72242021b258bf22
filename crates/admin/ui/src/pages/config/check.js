// What the gateway says about the draft: what is wrong with it, and what applying it would do.

import { html } from "../../html.js";
import { printable } from "../../model/explained.js";
import { counted } from "../../model/format.js";
import { counts } from "../../model/findings.js";
import { sentence, wayOf } from "../../model/summary.js";
import { link } from "../../router.js";
import { Badge } from "../../view/badge.js";
import { Problem } from "../../view/problem.js";

/** @typedef {import("../../state/check.js").Check} Check */
/** @typedef {import("../../model/findings.js").Spot} Spot */

/** Findings that are listed. */
const LISTED_MAX = 200;
/** Names that are listed. */
const NAMES_MAX = 20;

/**
 * @param {object} props
 * @param {Check} props.check
 * @param {boolean} props.mayCheck
 * @param {(spot: Spot) => void} props.onGo
 */
export function Findings({ check, mayCheck, onGo }) {
  const { state, findings, error } = check;
  const verdict = !mayCheck ? { tone: "none", word: "not checked" }
    : !check.isCurrent ? { tone: "none", word: "checking…" }
    : state === "refused" ? { tone: "bad", word: counts(findings) || "refused" }
    : state === "unknown" ? { tone: "warn", word: "not checked" }
    : findings.length > 0 ? { tone: "warn", word: counts(findings) } : { tone: "good", word: "valid" };
  return html`<section class="panel"><header class="panel-head"><h2>Check</h2><span><${Badge} tone=${verdict.tone}>${verdict.word}<//><span id="config-check" class="hidden" role="status">${check.isCurrent ? verdict.word : ""}</span></span></header>
    ${findings.length > 0 ? html`<ul class=${check.isCurrent ? "findings" : "findings old"}>${findings.slice(0, LISTED_MAX).map((one, at) => html`<${FindingItem} key=${at} finding=${one} onGo=${onGo} />`)}</ul>`
      : html`<div class="body">${error && check.isCurrent ? html`<${Problem} error=${error} />` : html`<p class="muted">${!mayCheck ? "A check needs a token that may write, since a config can name files and variables." : state === "good" ? "No errors and no warnings." : "The gateway checks the text as you type."}</p>`}</div>`}
    ${findings.length > LISTED_MAX ? html`<p class="body note">${counted(findings.length - LISTED_MAX, "more finding")}, not listed.</p>` : null}
  </section>`;
}

/** @param {{ finding: import("../../model/findings.js").Finding, onGo: (spot: Spot) => void }} props */
function FindingItem({ finding, onGo }) {
  const [first, ...others] = finding.spots;
  const body = html`<span class="finding-sign" aria-hidden="true">${finding.severity === "error" ? "■" : "▲"}</span>
    <span class="finding-body"><span><span class="hidden">${finding.severity}: </span>${finding.message}</span>
      <span class="finding-place">${first ? html`<code>${first.file}:${first.line}:${first.column}</code> ` : null}${finding.code ? `[${finding.code}]` : ""}${first?.text ? ` ${first.text}` : ""}</span>
      ${finding.hint ? html`<span class="finding-hint">hint: ${finding.hint}</span>` : null}</span>`;
  return html`<li class=${finding.severity}>${first ? html`<button type="button" class="finding" onClick=${() => onGo(first)}>${body}</button>` : html`<div class="finding">${body}</div>`}
    ${others.map((spot, at) => html`<button key=${at} type="button" class="finding-other" onClick=${() => onGo(spot)}><code>${spot.file}:${spot.line}:${spot.column}</code> ${spot.text}</button>`)}</li>`;
}

/**
 * @param {object} props
 * @param {Check} props.check
 * @param {boolean} props.hasEdits
 */
export function Effect({ check, hasEdits }) {
  const { applied } = check;
  if (!hasEdits || !applied) return null;
  const { dials_dropped: dropped, tests, moves } = applied;
  return html`<section class="panel"><header class="panel-head"><h2>If it is applied</h2></header>
    <div class=${check.isCurrent ? "body effect" : "body effect old"}>
      <p>${sentence(applied.summary)}</p>
      <p>${tests ? `${counted(tests.passed, "test")} of the config pass.` : "All tests of the config pass."}</p>
      ${dropped.length > 0 ? html`<div class="caution"><p><b>${counted(dropped.length, "dial")} will be dropped</b>, as their splits change: the weights of the config hold again.</p>${names(dropped)}</div>` : null}
      ${moves && moves.length > 0 ? html`<div><p><b>${counted(applied.moves_total ?? moves.length, "request")} would go elsewhere</b>, of those of the tests and one for each match of the routes that change:</p><ul class="moves">${moves.slice(0, NAMES_MAX).map((move) => html`<li key=${move.request}><code>${printable(move.request)}</code>
          <span class="muted">now: ${printable(wayOf(move.before))}</span><span>then: <b>${printable(wayOf(move.after))}</b></span></li>`)}</ul></div>`
        : moves ? html`<p>No request would go elsewhere, of those of the tests and one for each match of the routes that change.</p>` : null}
      <p><a href=${link(["ask"])}>Ask where a request would go</a></p>
    </div></section>`;
}

/** @param {string[]} all */
const names = (all) => html`<ul>${all.slice(0, NAMES_MAX).map((name) => html`<li key=${name} class="cut" title=${name}>${name}</li>`)}${all.length > NAMES_MAX ? html`<li class="muted">and ${all.length - NAMES_MAX} more</li>` : null}</ul>`;
