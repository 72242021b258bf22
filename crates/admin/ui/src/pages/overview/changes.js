// The newest changes: dials, configs, rollouts, endpoints that went and came.

import { html, useState } from "../../html.js";
import { kind } from "../../model/marks.js";
import { counted } from "../../model/format.js";
import { Badge } from "../../view/badge.js";
import { Button } from "../../view/button.js";
import { Empty } from "../../view/empty.js";
import { RouteName, ServiceName } from "../../view/names.js";
import { Panel } from "../../view/panel.js";
import { Age } from "../../view/time.js";

/** @typedef {import("../../api/types.js").Mark} Mark */

const SHOWN = 8;
/** Changes that a list can have; the gateway keeps more. */
const SHOWN_MAX = 200;

/**
 * @param {object} props
 * @param {{ data: unknown, error: Error | null, refresh: () => unknown }} props.polled
 * @param {Mark[]} props.marks the newest first
 */
export function Changes({ polled, marks }) {
  const [isLong, setLong] = useState(false);
  const empty = html`<${Empty} title="Nothing has changed in the last day" command="waypost dial ROUTE SERVICE=5%">Dials, configs, rollouts and endpoints that go or come are listed here.<//>`;
  const shown = marks.slice(0, isLong ? SHOWN_MAX : SHOWN);
  return html`<${Panel} title="Newest changes" polled=${polled} lines=${SHOWN} isEmpty=${marks.length === 0} empty=${empty}
    aside=${marks.length > SHOWN ? html`<${Button} look="quiet" onPress=${() => setLong(!isLong)}>${isLong ? "Fewer" : `All ${counted(Math.min(marks.length, SHOWN_MAX), "change")}`}<//>` : null}>
    <ol class="changes">${shown.map((mark) => html`<li key=${`${mark.time}${mark.event}${mark.text}${mark.route}${mark.service}`}><${Change} mark=${mark} /></li>`)}</ol><//>`;
}

/** @param {{ mark: Mark }} props */
function Change({ mark }) {
  const { word, tone } = kind(mark.event);
  return html`<span class="change-time"><${Age} at=${mark.time} /></span>
    <span class="change-kind"><${Badge} tone=${tone}>${word}<//></span>
    <span class="change-text">${mark.route ? html`<${RouteName} name=${mark.route} />` : mark.service ? html`<${ServiceName} name=${mark.service} />` : null}${" "}
      <span>${mark.text}</span></span>`;
}
