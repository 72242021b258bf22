// What a route does that has no dial: one service, a redirect, or a response of the gateway.

import { html } from "../../html.js";
import { bytes } from "../../model/format.js";
import { ArmName } from "../../view/arm.js";
import { Panel } from "../../view/panel.js";

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 */
export function Action({ route }) {
  const does = route.does ?? null;
  const [arm] = route.arms;
  let text;
  if (does?.redirect) {
    text = html`<p>The gateway responds with a redirect, ${does.redirect.status}, to:</p><pre><code>${does.redirect.location}</code></pre>`;
  } else if (does?.respond) {
    text = html`<p>The gateway responds itself, with status <b>${does.respond.status}</b>${does.respond.body_bytes ? ` and a body of ${bytes(does.respond.body_bytes)}${does.respond.content_type ? `, ${does.respond.content_type}` : ""}` : ", without a body"}.</p>`;
  } else if (route.action === "redirect") {
    text = html`<p>The gateway responds with a redirect. No service is asked.</p>`;
  } else if (route.action === "respond") {
    text = html`<p>The gateway responds itself. No service is asked.</p>`;
  } else if (arm) {
    text = html`<p class="action-to">${route.action === "passthrough" ? "Connections go" : "All requests go"} to <${ArmName} letter="A" service=${arm.service} /></p>
      <p class="muted">A second service in <code>to</code> gives the route a dial: <code>${`to: { ${arm.service}: 100, NEW: 0 }`}</code></p>`;
  } else {
    text = html`<p>${route.action}</p>`;
  }
  return html`<${Panel} title="Action" class="action"><div class="body">${text}</div><//>`;
}
