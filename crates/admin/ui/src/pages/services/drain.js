// Takes an endpoint out of use, or back.

import { html } from "../../html.js";
import { put } from "../../api/client.js";
import { refresh } from "../../api/poll.js";
import { segment } from "../../model/address.js";
import { counted } from "../../model/format.js";
import { availability } from "../../model/services.js";
import { Confirm } from "../../view/dialog.js";
import { toast } from "../../view/toast.js";

/** @typedef {import("../../api/types.js").ServiceView} ServiceView */
/** @typedef {import("../../api/types.js").EndpointView} EndpointView */
/** @typedef {import("../../api/types.js").AddressDetail} AddressDetail */

/**
 * @param {object} props
 * @param {ServiceView} props.service
 * @param {EndpointView} props.endpoint
 * @param {AddressDetail} props.address
 * @param {() => void} props.onClose
 */
export function DrainDialog({ service, endpoint, address, onClose }) {
  const isDrained = address.state === "drained";
  // An endpoint with a single address is drained by its name, which may get another address later.
  const subject = endpoint.addresses.length === 1 ? endpoint.endpoint : address.address;
  const path = `/api/v1/services/${segment(service.name)}/drain`;

  async function drain() {
    await put(path, { body: { endpoint: subject, drained: true } });
    toast(`${subject} of ${service.name} is drained.`);
    refresh("/api/v1/services");
  }

  async function takeBack() {
    const { data } = await put(path, { body: { endpoint: subject, drained: false } });
    const { changed } = /** @type {{ changed: boolean }} */ (data);
    // It may have been drained with all addresses of its endpoint.
    if (!changed && subject !== endpoint.endpoint) await put(path, { body: { endpoint: endpoint.endpoint, drained: false } });
    toast(`${subject} of ${service.name} is taken back.`);
    refresh("/api/v1/services");
  }

  if (isDrained) {
    return html`<${Confirm} title=${`Take ${subject} back?`} action="Take back" onConfirm=${takeBack} onClose=${onClose} undo="Drain it again.">
      <p>It gets requests of ${service.name} again, at once.</p><//>`;
  }
  const { available } = availability(service);
  const others = available - (address.state === "up" ? 1 : 0);
  return html`<${Confirm} title=${`Drain ${subject}?`} action="Drain" isDanger=${others === 0} onConfirm=${drain} onClose=${onClose}
    undo=${html`“Take back” in the same row, or <code>waypost drain ${service.name} ${subject} --undo</code>`}>
    <p>It finishes ${address.in_flight === 0 ? "what it has" : `its ${counted(address.in_flight, "request")} in flight`}, and gets no further ones, across restarts and reloads.</p>
    ${others === 0
      ? html`<p class="warning"><b>No other endpoint of ${service.name} is available.</b> ${service.routes.length > 0 ? `Requests of ${counted(service.routes.length, "route")} would fail.` : ""}</p>`
      : html`<p>${counted(others, "other endpoint")} of ${service.name} ${others === 1 ? "remains" : "remain"} available.</p>`}<//>`;
}
