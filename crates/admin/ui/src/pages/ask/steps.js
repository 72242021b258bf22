// The steps in which every request is judged, up to the one that it stops at.

import { html } from "../../html.js";

/** The steps by number, as the docs have them. @type {[number, string][]} */
const STEPS = [[1, "head"], [2, "host"], [3, "listener redirect"], [4, "route"], [5, "access"], [6, "cors"], [7, "auth"], [8, "rate"], [9, "body limit"], [10, "action"], [12, "rewrite"], [13, "balance"]];

/** @param {{ stopped: { step: string, number: number } | null }} props */
export function Steps({ stopped }) {
  const known = stopped === null || STEPS.some(([number]) => number === stopped.number);
  /** @type {[number, string][]} */
  const steps = known ? STEPS : [...STEPS, /** @type {[number, string]} */ ([stopped.number, stopped.step.replaceAll("_", " ")])].sort((a, b) => a[0] - b[0]);
  return html`<ol class="steps" aria-label="Steps">${steps.map(([number, name]) => {
    const state = stopped === null || number < stopped.number ? "passed" : number === stopped.number ? "stopped" : "open";
    return html`<li key=${number} class=${state}><span aria-hidden="true">${{ passed: "✓", stopped: "■", open: "·" }[state]}</span> ${name}<span class="hidden">${{ passed: ": passed", stopped: ": stopped here", open: ": not reached" }[state]}</span></li>`;
  })}</ol>`;
}
