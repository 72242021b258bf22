// The dial of three arms or more: a weight for each. The share that it makes stands beside it, as the others keep their weights.

import { html, useState } from "../../html.js";
import * as dial from "../../model/dial.js";
import { percent } from "../../model/format.js";
import { letter } from "../../model/weights.js";
import { ArmName } from "../../view/arm.js";
import { WeightBar } from "../../view/bar.js";
import { Button } from "../../view/button.js";

/** @param {import("./dial-two.js").EditorProps} props */
export function DialMany({ arms, weights, onChange, onAll, reason, isDrafted }) {
  const shares = dial.shares(weights);
  const before = dial.shares(arms.map((arm) => arm.live));
  const isOff = reason !== null;
  // The sliders have one scale, which stays while they are drawn.
  const top = Math.max(100, ...arms.map((arm) => Math.max(arm.live, arm.declared)), ...weights);
  const bar = arms.map((arm, at) => ({ service: arm.service, live: weights[at], declared: weights[at] }));
  return html`<div class="dial-many">
    <${WeightBar} weights=${bar} />
    <p class="note">Weights, and the shares that they make. The others keep their weights.</p>
    <ul class="dial-rows">${arms.map((arm, at) => html`<li key=${arm.service} class="dial-row">
      <${ArmName} letter=${letter(at)} service=${arm.service} />
      <input class="dial-weight" type="range" min="0" max=${top} step="1" value=${weights[at]} disabled=${isOff} title=${reason ?? undefined} aria-label=${`Weight of ${arm.service}`}
        aria-valuetext=${`weight ${weights[at]}, ${percent(shares[at])}`} style=${{ "--at": `${(weights[at] / top) * 100}%` }}
        onInput=${(/** @type {Event & { currentTarget: HTMLInputElement }} */ event) => onChange(dial.withWeight(arms, weights, at, Number(event.currentTarget.value)))} />
      <${Weight} arm=${arm.service} weight=${weights[at]} isDrafted=${isDrafted} isOff=${isOff} reason=${reason}
        onWeight=${(/** @type {number} */ weight) => onChange(dial.withWeight(arms, weights, at, weight))} onError=${(/** @type {string} */ error) => onChange(null, error)} />
      <span class="dial-share number">${percent(shares[at])}${before[at] === shares[at] ? null : html`<span class="muted"> now ${percent(before[at])}</span>`}</span>
      <${Button} look="quiet" onPress=${() => onAll(at)} reason=${reason ?? (before[at] === 1 ? `${arm.service} has all requests already.` : null)} label=${`All… to ${arm.service}`}>All…<//>
    </li>`)}</ul></div>`;
}

/**
 * @param {object} props
 * @param {string} props.arm
 * @param {number} props.weight
 * @param {boolean} props.isDrafted
 * @param {boolean} props.isOff
 * @param {string | null} props.reason
 * @param {(weight: number) => void} props.onWeight
 * @param {(error: string) => void} props.onError
 */
function Weight({ arm, weight, isDrafted, isOff, reason, onWeight, onError }) {
  const [text, setText] = useState(/** @type {string | null} */ (null));
  /** @param {string} next */
  const type = (next) => {
    setText(next);
    const { value, error } = dial.parsedWeight(next);
    if (value === null) onError(error ?? "");
    else onWeight(value);
  };
  const shown = text !== null && isDrafted ? text : String(weight);
  return html`<span class="dial-number"><input type="text" inputmode="numeric" size="5" value=${shown} disabled=${isOff} title=${reason ?? undefined} autocomplete="off"
    aria-label=${`Weight of ${arm}, as a number`} aria-invalid=${dial.parsedWeight(shown).value === null ? "true" : undefined}
    onInput=${(/** @type {Event & { currentTarget: HTMLInputElement }} */ event) => type(event.currentTarget.value)} onBlur=${() => dial.parsedWeight(shown).value !== null && setText(null)} /></span>`;
}
