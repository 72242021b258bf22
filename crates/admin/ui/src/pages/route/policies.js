// The policies in force for a route, and where each comes from.

import { html } from "../../html.js";
import { bytes } from "../../model/format.js";
import { Empty } from "../../view/empty.js";
import { Panel } from "../../view/panel.js";

/** @typedef {import("../../api/route-types.js").RouteDetail} RouteDetail */

/**
 * @param {object} props
 * @param {RouteDetail} props.route
 */
export function Policies({ route }) {
  const rows = rowsOf(route);
  return html`<${Panel} title="Policies" isEmpty=${rows.length === 0} empty=${html`<${Empty} title="No policies">The route has none of its own and uses none; the defaults are in force.<//>`}>
    <dl class="pairs policies">${rows.map((row) => html`<div key=${row.key}><dt><code>${row.key}</code></dt><dd>${row.text ? html`<span>${row.text}</span>` : null}${row.from ? html`<span class="muted cut" title=${row.from}>from ${row.from}</span>` : null}</dd></div>`)}</dl>
  <//>`;
}

/**
 * @param {RouteDetail} route
 * @returns {{ key: string, text: string | null, from: string | null }[]}
 */
function rowsOf(route) {
  /** @type {Map<string, { key: string, text: string | null, from: string | null }>} */
  const rows = new Map();
  /** @param {string} key @param {string | null} text */
  const add = (key, text) => text !== null && rows.set(key, { key, text, from: null });
  add("timeout", route.timeout);
  add("retry", route.retry ? `${route.retry.attempts} more on ${route.retry.on.join(", ")}; ${route.retry.methods.join(", ")}; at most ${route.retry.budget} % of the requests, bodies up to ${bytes(route.retry.body)}` : null);
  add("hedge", route.hedge ? `another endpoint after ${route.hedge}` : null);
  add("sticky", route.sticky ? `${route.sticky}${route.deal ? `, deal ${route.deal}` : ""}` : null);
  add("mirror", route.mirror ? `copies to ${route.mirror}` : null);
  for (const policy of route.policies ?? []) {
    const known = rows.get(policy.key);
    rows.set(policy.key, { key: policy.key, text: known?.text ?? policy.text ?? null, from: policy.used_by ? `${policy.from}, used by ${policy.used_by}` : policy.from });
  }
  for (const { listener, policies } of route.by_listener ?? []) {
    for (const policy of policies) rows.set(`${listener} ${policy.key}`, { key: policy.key, text: policy.text ?? null, from: `${policy.from}, at listener ${listener}` });
  }
  return [...rows.values()].sort((one, other) => (one.key < other.key ? -1 : 1));
}
