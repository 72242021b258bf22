// The question before an action on a rollout. It is about the rollout as it was seen, and asked again if that has changed.

import { html, useState } from "../../html.js";
import { ApiError, get, post } from "../../api/client.js";
import * as model from "../../model/rollout.js";
import { Confirm, Dialog } from "../../view/dialog.js";
import { Button } from "../../view/button.js";
import { toast } from "../../view/toast.js";
import { pathOf, refreshRoute } from "./data.js";

/** @typedef {import("../../api/route-types.js").Rollout} Rollout */

/**
 * @param {object} props
 * @param {string} props.route
 * @param {Rollout} props.rollout as it was shown when the action was chosen
 * @param {model.Action} props.action
 * @param {() => void} props.onClose
 */
export function RolloutConfirm({ route, rollout, action, onClose }) {
  const [seen, setSeen] = useState({ rollout, isStale: false });
  const [isWritten, setWritten] = useState(false);
  const writes = action === "finish" && isWritten;
  const asked = model.question(seen.rollout, action);

  async function act() {
    const path = `${pathOf(route)}/rollout`;
    try {
      await post(`${path}/${action}${writes ? "?write=true" : ""}`, { ifMatch: `"${seen.rollout.version}"` });
    } catch (error) {
      if (error instanceof ApiError && error.status === 412) {
        setSeen({ rollout: /** @type {Rollout} */ ((await get(path)).data), isStale: true });
        refreshRoute(route);
      }
      throw error;
    }
    toast(`${route}: the rollout is ${model.DONE[action]}`);
    refreshRoute(route);
  }

  const meanwhile = seen.isStale ? html`<p class="notice">The rollout has changed meanwhile, and nothing is done yet. ${model.whereabouts(seen.rollout)}</p>` : null;
  if (seen.isStale && !model.actions(seen.rollout).includes(action)) {
    return html`<${Dialog} title=${asked.title} onClose=${onClose}>
      <div class="dialog-body">${meanwhile}<p>There is nothing left to ${asked.word.toLowerCase()}.</p></div>
      <div class="dialog-actions"><${Button} look="main" autofocus onPress=${onClose}>Close<//></div><//>`;
  }
  return html`<${Confirm} title=${asked.title} action=${seen.isStale ? `${asked.word} all the same` : asked.word} isDanger=${asked.isDanger} undo=${html`${asked.undo}`} onConfirm=${act} onClose=${onClose}>
    ${meanwhile}
    <p>${asked.text}</p>
    ${action === "finish" ? html`<label class="check"><input type="checkbox" checked=${isWritten} onChange=${() => setWritten(!isWritten)} /> Put the weights into the config, as a revision</label>` : null}
    <p class="muted">The same in a terminal: <code>${asked.command}${writes ? " --write" : ""}</code></p><//>`;
}
