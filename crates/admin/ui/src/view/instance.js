// Says which instances figures are of, where there are several.

import { html } from "../html.js";
import { covered, ids } from "../model/fleet.js";
import { useHealth } from "../state/health.js";

/** @param {{ what?: string }} props */
export function OfInstance({ what = "of this instance" }) {
  const fleet = useHealth().status?.fleet;
  if (!fleet) return null;
  return html`<span class="muted" title=${`Other instances of the fleet have their own; this one is ${fleet.instance}.`}>${what}</span>`;
}

/**
 * Names the instances that figures are without.
 * @param {object} props
 * @param {{ instances?: number, missing?: string[] } | null} props.figures
 * @param {boolean} [props.isLong] says of how many they are, too
 */
export function OfInstances({ figures, isLong = false }) {
  const fleet = useHealth().status?.fleet;
  const of = figures?.instances === undefined ? null : covered(fleet, figures);
  if (of === null) return null;
  const missing = figures?.missing ?? [];
  if (isLong) return html`<span class="muted" title=${of.leftOut ?? undefined}>· ${of.of}${missing.length > 0 ? `, without ${ids(missing)}` : ""}</span>`;
  return missing.length > 0 ? html`<span class="muted" title=${of.leftOut ?? undefined}>without ${ids(missing)}</span>` : null;
}
