// Says of what is this instance's alone that it is, where there are others.

import { html } from "../html.js";
import { useHealth } from "../state/health.js";

/** @param {{ what?: string }} props */
export function OfInstance({ what = "of this instance" }) {
  const fleet = useHealth().status?.fleet;
  if (!fleet) return null;
  return html`<span class="muted" title=${`Other instances of the fleet have their own; this one is ${fleet.instance}.`}>${what}</span>`;
}
