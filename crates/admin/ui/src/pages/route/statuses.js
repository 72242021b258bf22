// The statuses of arms beside each other.

import { html } from "../../html.js";
import { statuses } from "../../model/comparison.js";
import { count, percent } from "../../model/format.js";
import { ArmSign } from "../../view/arm.js";

/** @typedef {import("../../api/route-types.js").ArmStats} ArmStats */

/**
 * @param {object} props
 * @param {{ service: string, letter: string, stats: ArmStats }[]} props.arms
 */
export function Statuses({ arms }) {
  const rows = statuses(arms.map((arm) => arm.stats));
  if (rows.length === 0) return html`<p class="note">No requests.</p>`;
  return html`<div class="table-box" tabindex="0" role="region" aria-label="Status codes"><table class="table statuses"><caption class="hidden">Status codes by service</caption>
    <thead><tr><th scope="col">Status</th>${arms.map((arm) => html`<th key=${arm.service} scope="col" title=${arm.service}>${arm.service === "" ? html`<span class="muted">the gateway itself</span>` : arm.letter === "" ? "Requests" : html`<${ArmSign} letter=${arm.letter} /> <span class="hidden">${arm.service}</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.status}><th scope="row" class=${row.isFailure ? "failing" : undefined}>${row.label}</th>
      ${arms.map((arm, at) => html`<td key=${arm.service} title=${`${count(row.counts[at])} of ${count(arm.stats.requests)}`}><${Share} count=${row.counts[at]} of=${arm.stats.requests} isFailure=${row.isFailure} /></td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/**
 * @param {object} props
 * @param {number} props.count
 * @param {number} props.of
 * @param {boolean} props.isFailure
 */
function Share({ count: own, of, isFailure }) {
  if (own === 0) return html`<span class="muted">0</span>`;
  const share = of === 0 ? 0 : own / of;
  return html`<span class="status-share"><span class=${`status-bar${isFailure ? " bad" : ""}`} style=${{ width: `${Math.max(2, share * 100)}%` }}></span><span class="status-text">${percent(share)}</span></span>`;
}
