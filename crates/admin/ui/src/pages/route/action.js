// What a route does that has no dial: one service, a redirect, or a response of the gateway.

import { html } from "../../html.js";
import { ArmName } from "../../view/arm.js";
import { Panel } from "../../view/panel.js";

/**
 * @param {object} props
 * @param {import("../../api/route-types.js").RouteDetail} props.route
 */
export function Action({ route }) {
  const { response } = route;
  const [arm] = route.arms;
  let text;
  if (route.action === "redirect") {
    text = html`<p>The gateway responds with a redirect${response ? `, ${response.status}` : ""}. No service is asked.</p>
      ${response?.location ? html`<pre><code>${response.location}</code></pre>` : null}`;
  } else if (route.action === "respond") {
    text = html`<p>The gateway responds itself${response ? html`, with status <b>${response.status}</b>${response.body ? (response.content_type ? ` and a body of ${response.content_type}` : " and a body") : ", without a body"}` : ""}. No service is asked.</p>
      ${response?.body ? html`<pre><code>${response.body}</code></pre>` : null}`;
  } else if (arm) {
    text = html`<p class="action-to">${route.action === "passthrough" ? "Connections go" : "All requests go"} to <${ArmName} letter="A" service=${arm.service} /></p>
      <p class="muted">A second service in <code>to</code> gives the route a dial: <code>${`to: { ${arm.service}: 100, NEW: 0 }`}</code></p>`;
  } else {
    text = html`<p>${route.action}</p>`;
  }
  return html`<${Panel} title="Action" class="action"><div class="body">${text}</div><//>`;
}
