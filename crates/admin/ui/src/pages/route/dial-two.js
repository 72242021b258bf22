// The dial of two arms: one slider between them, and the shares as numbers.

import { html, useId, useState } from "../../html.js";
import * as dial from "../../model/dial.js";
import { percent } from "../../model/format.js";
import { letter } from "../../model/weights.js";
import { ArmName } from "../../view/arm.js";
import { Button } from "../../view/button.js";

/**
 * @typedef {object} EditorProps
 * @property {import("../../api/route-types.js").ArmView[]} arms
 * @property {number[]} weights
 * @property {(weights: number[] | null, error?: string | null) => void} onChange
 * @property {(at: number) => void} onAll
 * @property {string | null} reason why it may not be turned
 * @property {boolean} isDrafted
 */

/** @param {EditorProps} props */
export function DialTwo({ arms, weights, onChange, onAll, reason, isDrafted }) {
  const id = useId();
  const shares = dial.shares(weights);
  const before = dial.shares(arms.map((arm) => arm.live));
  const isOff = reason !== null;
  const first = Math.round(shares[0] * 10_000) / 100;
  return html`<div class="dial-two">
    <div class="dial-sides">${arms.map((arm, at) => html`<div key=${arm.service} class="dial-side">
      <${ArmName} letter=${letter(at)} service=${arm.service} />
      <${Share} arm=${arm.service} share=${shares[at]} isDrafted=${isDrafted} isOff=${isOff} reason=${reason} onShare=${(/** @type {number} */ share) => onChange(dial.withShare(arms, at, share))} onError=${(/** @type {string} */ error) => onChange(null, error)} />
      <span class="dial-before muted">${before[at] === shares[at] ? "live now" : `now ${percent(before[at])}`}</span>
    </div>`)}</div>
    <label for=${id} class="hidden">Share of ${arms[0].service}, in percent; the rest is for ${arms[1].service}</label>
    <input id=${id} class="dial-slider" type="range" min="0" max="100" step="1" value=${Math.round(first)} disabled=${isOff} title=${reason ?? undefined}
      aria-valuetext=${`${arms[0].service} ${percent(shares[0])}, ${arms[1].service} ${percent(shares[1])}`} style=${{ "--at": `${first}%` }}
      onInput=${(/** @type {Event & { currentTarget: HTMLInputElement }} */ event) => onChange(dial.withShare(arms, 0, Number(event.currentTarget.value)))} />
    <div class="dial-sides">${arms.map((arm, at) => html`<div key=${arm.service} class="dial-side">
      <${Button} onPress=${() => onAll(at)} reason=${reason ?? (before[at] === 1 ? `${arm.service} has all requests already.` : null)} label=${`All to ${letter(at)}… (${arm.service})`}>All to ${letter(at)}…<//></div>`)}</div>
  </div>`;
}

/**
 * A share as a number to type.
 * @param {object} props
 * @param {string} props.arm
 * @param {number} props.share
 * @param {boolean} props.isDrafted
 * @param {boolean} props.isOff
 * @param {string | null} props.reason
 * @param {(share: number) => void} props.onShare
 * @param {(error: string) => void} props.onError
 */
function Share({ arm, share, isDrafted, isOff, reason, onShare, onError }) {
  // What is typed stays as it is while one types, such as `0.`.
  const [text, setText] = useState(/** @type {string | null} */ (null));
  /** @param {string} next */
  const type = (next) => {
    setText(next);
    const { value, error } = dial.parsedShare(next);
    if (value === null) onError(error ?? "");
    else onShare(value);
  };
  const shown = text !== null && isDrafted ? text : dial.typed(share);
  return html`<span class="dial-number"><input type="text" inputmode="decimal" size="5" value=${shown} disabled=${isOff} title=${reason ?? undefined} autocomplete="off"
    aria-label=${`Share of ${arm} in percent`} aria-invalid=${dial.parsedShare(shown).value === null ? "true" : undefined}
    onInput=${(/** @type {Event & { currentTarget: HTMLInputElement }} */ event) => type(event.currentTarget.value)} onBlur=${() => dial.parsedShare(shown).value !== null && setText(null)} /> %</span>`;
}
