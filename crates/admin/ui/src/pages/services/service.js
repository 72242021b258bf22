// One service: its endpoints with their state, their figures and their drain.

import { html, useState } from "../../html.js";
import { compact, count, counted, cut, ms, percent, rate } from "../../model/format.js";
import { availability, sinceLook, stateOf } from "../../model/services.js";
import { useRights } from "../../state/session.js";
import { Badge } from "../../view/badge.js";
import { Button } from "../../view/button.js";
import { Empty } from "../../view/empty.js";
import { RouteName, ServiceName } from "../../view/names.js";
import { Table } from "../../view/table.js";
import { Since, Time } from "../../view/time.js";
import { DrainDialog } from "./drain.js";

/** @typedef {import("../../api/types.js").ServiceView} ServiceView */
/** @typedef {import("../../api/types.js").EndpointView} EndpointView */
/** @typedef {import("../../api/types.js").AddressDetail} AddressDetail */
/** @typedef {{ endpoint: EndpointView, address: AddressDetail | null }} Row one for each address; one for an endpoint without any */

/** Routes that are named in the head of a service. */
const ROUTES_SHOWN = 3;

/**
 * @param {object} props
 * @param {ServiceView} props.service
 * @param {import("../../model/services.js").Look[]} props.looks
 * @param {boolean} [props.isAlone] it has the page for itself
 */
export function Service({ service, looks, isAlone = false }) {
  const [draining, setDraining] = useState(/** @type {Row | null} */ (null));
  const rights = useRights();
  const { available, all, tone } = availability(service);
  const rows = service.endpoints.flatMap((endpoint) => {
    /** @type {(AddressDetail | null)[]} */
    const addresses = endpoint.addresses.length === 0 ? [null] : endpoint.addresses;
    return addresses.map((address) => ({ endpoint, address }));
  });
  const word = all === 0 ? "no address" : `${count(available)} of ${count(all)} available`;
  /** @param {Row} row */
  const lately = (row) => (row.address ? sinceLook(looks, service.name, row.address.address) : null);

  /** @type {import("../../view/table.js").Column<Row>[]} */
  const columns = [
    { title: "Endpoint", isWide: true, cell: (row) => html`<${EndpointName} row=${row} />` },
    { title: "State", cell: (row) => html`<${State} row=${row} />` },
    { title: "In flight", isNumber: true, hint: "Requests that are under way", cell: (row) => count(row.address?.in_flight) },
    { title: "Requests", isNumber: true, hint: "Attempts per second, since this page was opened, at most over the last minute", cell: (row) => {
      const recent = lately(row);
      return html`<span title=${row.address ? `${count(row.address.requests)} since the start` : undefined}>${rate(recent && recent.requests / recent.seconds)}</span>`;
    } },
    { title: "Failed", isNumber: true, hint: "Share of these attempts that failed: without a connection, broken off, timed out, or answered with a 5xx", cell: (row) => html`<${Failed} row=${row} lately=${lately(row)} />` },
    { title: "p99", isNumber: true, isExtra: true, hint: "99 % of the responses were complete within this time, since the start", cell: (row) => ms(row.address?.p99_ms) },
    { title: "Drain", cell: (row) => html`<${DrainButton} row=${row} reason=${rights.reason} onPress=${() => setDraining(row)} />` },
  ];
  return html`<section class="panel service" aria-label=${`Service ${service.name}`}>
    <header class="panel-head">
      ${isAlone ? html`<h2>Endpoints</h2>` : html`<h2 class="service-name"><${ServiceName} name=${service.name} /></h2>`}
      <${Badge} tone=${tone}>${word}<//>
      <${Leads} service=${service} isAlone=${isAlone} />
    </header>
    ${rows.length === 0 ? html`<${Empty} title="This service has no endpoints" />`
      : html`<${Table} label=${`Endpoints of ${service.name}`} columns=${columns} rows=${rows} isStacked=${true} id=${(/** @type {Row} */ row) => `${row.endpoint.endpoint} ${row.address?.address}`} />`}
    ${draining ? html`<${DrainDialog} service=${service} endpoint=${draining.endpoint} address=${/** @type {AddressDetail} */ (draining.address)} onClose=${() => setDraining(null)} />` : null}
  </section>`;
}

/** @param {{ row: Row }} props */
function EndpointName({ row }) {
  const { endpoint, address } = row;
  const notes = [endpoint.backup ? "backup" : null, endpoint.weight === 1 ? null : `weight ${endpoint.weight}`].filter(Boolean);
  const isNamed = address !== null && !endpoint.endpoint.endsWith(address.address);
  return html`<span class="cut" title=${endpoint.endpoint}>${cut(endpoint.endpoint, 56)}
    ${isNamed ? html` <span class="muted">at ${address.address}</span>` : null}
    ${notes.length > 0 ? html` <span class="muted">${notes.join(", ")}</span>` : null}</span>`;
}

/** @param {{ row: Row }} props */
function State({ row }) {
  const { address, endpoint } = row;
  if (!address) {
    const reason = endpoint.taken ? "Its addresses are those of an endpoint before it." : "Its name has no address.";
    return html`<span class="state"><${Badge} tone=${endpoint.taken ? "none" : "bad"}>${endpoint.taken ? "counted above" : "no address"}<//><span class="state-why">${reason}</span></span>`;
  }
  const { tone, word } = stateOf(address.state);
  return html`<span class="state"><${Badge} tone=${tone}>${word}<//>
    <span class="state-why">${address.reason ? `${address.reason}, ` : ""}<span class="muted"><${Since} at=${address.since} />${address.until ? html`, until <${Time} at=${address.until} />` : null}</span></span></span>`;
}

/** @param {{ row: Row, lately: import("../../model/services.js").Lately | null }} props */
function Failed({ row, lately }) {
  const title = row.address ? `${compact(row.address.failures)} of ${counted(row.address.requests, "attempt")} since the start` : undefined;
  const share = lately === null || lately.requests === 0 ? null : lately.failures / lately.requests;
  return html`<span class=${share !== null && share >= 0.05 ? "failed" : undefined} title=${share === null ? `No attempts while this page was open. ${title ?? ""}` : title}>${percent(share)}</span>`;
}

/** @param {{ row: Row, reason: string | null, onPress: () => void }} props */
function DrainButton({ row, reason, onPress }) {
  if (!row.address) return null;
  const isDrained = row.address.state === "drained";
  return html`<${Button} look="small" reason=${reason} onPress=${onPress} label=${`${isDrained ? "Take back" : "Drain"} ${row.address.address}`}>${isDrained ? "Take back" : "Drain"}<//>`;
}

/** The routes that lead here.
 * @param {{ service: ServiceView, isAlone: boolean }} props */
function Leads({ service, isAlone }) {
  const { routes, mirrors } = service;
  const shown = isAlone ? routes : routes.slice(0, ROUTES_SHOWN);
  const more = routes.length - shown.length;
  if (routes.length === 0 && mirrors.length === 0) return html`<span class="leads muted">no route leads here</span>`;
  return html`<span class="leads muted">${routes.length > 0 ? html`from ${shown.map((name, at) => html`${at > 0 ? ", " : ""}<${RouteName} key=${name} name=${name} />`)}${more > 0 ? ` and ${counted(more, "more", "more")}` : ""}` : null}
    ${mirrors.length > 0 ? ` · copies from ${mirrors.slice(0, ROUTES_SHOWN).join(", ")}` : null}</span>`;
}
