// Services and their endpoints: which of them take requests, how they fare, and drains.

import { html, useRef, useState } from "../html.js";
import { usePoll } from "../api/poll.js";
import { counted } from "../model/format.js";
import { found, withLook } from "../model/services.js";
import { go, link } from "../router.js";
import { useHealth } from "../state/health.js";
import { Button } from "../view/button.js";
import { Empty } from "../view/empty.js";
import { Field } from "../view/field.js";
import { Panel } from "../view/panel.js";
import { Segments } from "../view/segments.js";
import { Service } from "./services/service.js";

/** @typedef {import("../api/types.js").ServiceView} ServiceView */

/** All services with the state of their endpoints. */
const SERVICES = "/api/v1/services?detail=true";
/** Milliseconds between two looks; more with many services or routes, as the gateway tells all of them. */
const INTERVAL = 2000;
const INTERVAL_MANY = 10_000;
const MANY = 2000;
/** Services that are shown at first, and with each further step. */
const SHOWN = 50;

/**
 * @param {object} props
 * @param {string[]} props.path the name of one service, or nothing
 * @param {Record<string, string>} props.query
 */
export function Services({ path, query }) {
  const { status } = useHealth();
  const isMany = status !== null && status.routes + status.services > MANY;
  const polled = /** @type {import("../api/poll.js").Polled<ServiceView[]>} */ (usePoll(SERVICES, isMany ? INTERVAL_MANY : INTERVAL));
  const [shown, setShown] = useState(SHOWN);
  const looks = useRef(/** @type {import("../model/services.js").Look[]} */ ([]));
  const { data, at } = polled;
  if (data && at && looks.current[looks.current.length - 1]?.at !== at) looks.current = withLook(looks.current, data, at);

  const name = path[0];
  const isOut = query.show === "out";
  const text = query.search ?? "";
  /** @param {Record<string, string | null>} change */
  const look = (change) => go(link(["services"], { ...query, ...change }), { replace: true });

  if (name !== undefined) {
    const one = data?.find((service) => service.name === name);
    const empty = html`<${Empty} title=${`There is no service named ${name}`} command="waypost services">The config in force has no such service.<//>`;
    return html`<p class="crumbs"><a href=${link(["services"])}>Services</a> <span aria-hidden="true">/</span></p>
      <h1 class="name" title=${name}>${name}</h1>
      ${one ? html`<${Service} service=${one} looks=${looks.current} isAlone=${true} />`
        : html`<${Panel} title="Endpoints" polled=${polled} isEmpty=${true} empty=${empty} />`}`;
  }

  const all = data ?? [];
  const listed = found(all, { text, isOut });
  const empty = all.length === 0
    ? html`<${Empty} title="There are no services yet">A service in the config is listed here with its endpoints.<//>`
    : html`<${Empty} title="No service is as you search">Of ${counted(all.length, "service")}, none has that in its name, its endpoints or its addresses${isOut ? ", with an endpoint out" : ""}.<//>`;
  return html`<div class="page-head"><h1>Services</h1>
      <div class="page-tools">
        <${Segments} label="Services to show" value=${isOut ? "out" : "all"} onChoose=${(/** @type {string} */ id) => look({ show: id === "out" ? "out" : null })}
          choices=${[{ id: "all", title: `All ${data ? all.length : ""}` }, { id: "out", title: "With endpoints out" }]} />
        <${Field} label="Search services" isLabelHidden=${true} type="search" placeholder="Name or address" value=${text} onInput=${(/** @type {string} */ value) => look({ search: value })} />
      </div></div>
    ${listed.length === 0 ? html`<${Panel} title="Endpoints" polled=${polled} isEmpty=${true} empty=${empty} lines=${6} />` : null}
    ${listed.slice(0, shown).map((service) => html`<${Service} key=${service.name} service=${service} looks=${looks.current} />`)}
    ${listed.length > shown ? html`<p class="more"><${Button} onPress=${() => setShown(shown + SHOWN)}>Show ${counted(Math.min(SHOWN, listed.length - shown), "more", "more")} of ${counted(listed.length, "service")}<//></p>` : null}`;
}
