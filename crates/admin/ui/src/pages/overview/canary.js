// A config that some instances of the fleet try, and the way to take it back.

import { del } from "../../api/client.js";
import { refresh } from "../../api/poll.js";
import { html, useState } from "../../html.js";
import { canaryWords, ids } from "../../model/fleet.js";
import { useHealth } from "../../state/health.js";
import { useRights } from "../../state/session.js";
import { Button } from "../../view/button.js";
import { Confirm } from "../../view/dialog.js";
import { Since } from "../../view/time.js";
import { toast } from "../../view/toast.js";

export function CanaryCard() {
  const fleet = useHealth().status?.fleet;
  return fleet?.canary ? html`<${UnderWay} key=${fleet.canary.id} canary=${fleet.canary} instances=${fleet.instances} />` : null;
}

/** @param {{ canary: import("../../api/types.js").Canary, instances: number }} props */
function UnderWay({ canary, instances }) {
  const { reason } = useRights();
  const [isAsked, setAsked] = useState(false);
  const [few, course] = canaryWords(canary, instances);

  async function takeBack() {
    await del("/api/v1/fleet/canary", { ifMatch: `"${canary.id}"` });
    toast("The config is taken back.");
    refresh("/api/v1/status");
    refresh("config");
  }

  return html`<section class="health-card warn canary" aria-label="Config that is tried">
    <p class="canary-text"><b>${few}</b> <span>${course}</span>${" "}
      <span class="muted">${canary.summary}, ${canary.by ? `by ${canary.by}, ` : ""}<${Since} at=${canary.time} /></span></p>
    <div><${Button} reason=${reason} onPress=${() => setAsked(true)}>Take back<//></div>
    ${isAsked ? html`<${Confirm} title="Take the config back?" action="Take back" isDanger onConfirm=${takeBack} onClose=${() => setAsked(false)}
      undo="apply it again.">
      <p>${ids(canary.instances.map(({ id }) => id))} ${canary.instances.length === 1 ? "goes" : "go"} back to the config of the others at once: ${canary.summary}.</p><//>` : null}</section>`;
}
