// Services and their endpoints: which of them take requests, how they fare, and drains. The gateway searches and sorts.

import { html, useRef, useState } from "../html.js";
import { usePoll } from "../api/poll.js";
import { segment } from "../model/address.js";
import { counted } from "../model/format.js";
import { withLook } from "../model/services.js";
import { go, link } from "../router.js";
import { Button } from "../view/button.js";
import { useCalm } from "../view/calm.js";
import { Empty } from "../view/empty.js";
import { OfInstance } from "../view/instance.js";
import { Field } from "../view/field.js";
import { Panel } from "../view/panel.js";
import { Problem } from "../view/problem.js";
import { Segments } from "../view/segments.js";
import { Service } from "./services/service.js";

/** @typedef {import("../api/types.js").ServiceView} ServiceView */
/** @typedef {import("../api/types.js").ServicesPage} ServicesPage */

/** Milliseconds between two looks. */
const INTERVAL = 2000;
/** Milliseconds after a key until the gateway is asked. */
const TYPING = 150;
/** Services that are shown at first, and with each further step. */
const SHOWN = 50;
/** Services on a page of the gateway, at most. */
const SHOWN_MAX = 1000;

/**
 * @param {object} props
 * @param {string[]} props.path the name of one service, or nothing
 * @param {Record<string, string>} props.query
 */
export function Services({ path, query }) {
  return path[0] === undefined ? html`<${All} query=${query} />` : html`<${One} key=${path[0]} name=${path[0]} />`;
}

/** The looks at the counts of these services, with that of now.
 * @param {ServiceView[] | null} services
 * @param {number | null} at */
function useLooks(services, at) {
  const looks = useRef(/** @type {import("../model/services.js").Look[]} */ ([]));
  if (services && at && looks.current[looks.current.length - 1]?.at !== at) looks.current = withLook(looks.current, services, at);
  return looks.current;
}

/** @param {{ name: string }} props */
function One({ name }) {
  const polled = /** @type {import("../api/poll.js").Polled<ServiceView>} */ (usePoll(`/api/v1/services/${segment(name)}`, INTERVAL));
  const isGone = polled.error?.status === 404;
  const service = isGone ? null : polled.data;
  const looks = useLooks(service ? [service] : null, polled.at);
  const empty = html`<${Empty} title=${`There is no service named ${name}`} command="waypost services">The config in force has no such service.<//>`;
  return html`<p class="crumbs"><a href=${link(["services"])}>Services</a> <span aria-hidden="true">/</span></p>
    <h1 class="name" title=${name}>${name}</h1><${OfInstance} what="as this instance sees it" />
    ${service ? html`<${Service} service=${service} looks=${looks} isAlone=${true} />`
      : isGone ? html`<section class="panel">${empty}</section>` : html`<${Panel} title="Endpoints" polled=${polled} lines=${6} />`}`;
}

/** @param {{ query: Record<string, string> }} props */
function All({ query }) {
  const isOut = query.show === "out";
  const text = query.search ?? "";
  const search = useCalm(text, TYPING);
  const [shown, setShown] = useState(SHOWN);
  const asked = new URLSearchParams({ sort: "state", limit: String(shown), ...(search.trim() === "" ? {} : { search }), ...(isOut ? { unavailable: "true" } : {}) });
  const polled = /** @type {import("../api/poll.js").Polled<ServicesPage>} */ (usePoll(`/api/v1/services?${asked}`, INTERVAL));
  // What was found before stays until the gateway has answered.
  const last = useRef(/** @type {ServicesPage | null} */ (null));
  if (polled.data) last.current = polled.data;
  const page = last.current;
  const looks = useLooks(polled.data?.services ?? null, polled.at);
  /** @param {Record<string, string | null>} change */
  const look = (change) => go(link(["services"], { ...query, ...change }), { replace: true });

  const listed = page?.services ?? [];
  const more = Math.min(page?.matching ?? 0, SHOWN_MAX) - listed.length;
  const empty = !page || page.all === 0
    ? html`<${Empty} title="There are no services yet">A service in the config is listed here with its endpoints.<//>`
    : html`<${Empty} title="No service is as you search">Of ${counted(page.all, "service")}, none has that in its name, its endpoints or its addresses${isOut ? ", with an endpoint out" : ""}.<//>`;
  return html`<div class="page-head"><h1>Services</h1><${OfInstance} what="as this instance sees them" />
      <div class="page-tools">
        <${Segments} label="Services to show" value=${isOut ? "out" : "all"} onChoose=${(/** @type {string} */ id) => look({ show: id === "out" ? "out" : null })}
          choices=${[{ id: "all", title: `All ${page ? page.all : ""}` }, { id: "out", title: "With endpoints out" }]} />
        <${Field} label="Search services" isLabelHidden=${true} type="search" placeholder="Name or address" value=${text} onInput=${(/** @type {string} */ value) => look({ search: value })} />
      </div></div>
    ${listed.length === 0 ? html`<${Panel} title="Endpoints" polled=${polled} isEmpty=${page !== null} empty=${empty} lines=${6} />`
      : polled.error && polled.error.status !== 0 ? html`<${Problem} error=${polled.error} onRetry=${polled.refresh} />` : null}
    ${listed.map((service) => html`<${Service} key=${service.name} service=${service} looks=${looks} />`)}
    ${more > 0 ? html`<p class="more"><${Button} onPress=${() => setShown(Math.min(shown + SHOWN, SHOWN_MAX))}>Show ${counted(Math.min(SHOWN, more), "more", "more")} of ${counted(page?.matching ?? 0, "service")}<//></p>` : null}
    ${page && page.matching > SHOWN_MAX && more <= 0 ? html`<p class="muted more">${counted(page.matching - SHOWN_MAX, "further service")}: search for them by name or address.</p>` : null}`;
}
