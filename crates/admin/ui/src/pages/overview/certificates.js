// Certificates, the one that ends first in front.

import { html } from "../../html.js";
import { usePoll } from "../../api/poll.js";
import { counted, cut } from "../../model/format.js";
import { Badge } from "../../view/badge.js";
import { Empty } from "../../view/empty.js";
import { Panel } from "../../view/panel.js";
import { Table } from "../../view/table.js";
import { Time } from "../../view/time.js";

/** @typedef {import("../../api/types.js").CertificateView} CertificateView */

const INTERVAL = 60_000;
/** Days before the end from which it is a grave reason of the health. */
const LATE = 1;
const SHOWN = 6;

/** True if it stands in for one that an authority is still to issue. @param {CertificateView} row */
const isPlaceholder = (row) => row.self_signed && row.directory !== undefined;

/** @param {{ row: CertificateView }} props */
function Left({ row }) {
  if (isPlaceholder(row)) return html`<${Badge} tone="warn">not issued yet<//>`;
  const { days, ends_soon } = row;
  const tone = !ends_soon ? "good" : days < LATE ? "bad" : "warn";
  return html`<${Badge} tone=${tone}>${days < 0 ? "ended" : days < 1 ? "< 1 day" : counted(days, "day")}<//>`;
}

/** @type {import("../../view/table.js").Column<CertificateView>[]} */
const COLUMNS = [
  { title: "Names", isWide: true, cell: (row) => html`<span class="cut" title=${row.names.join("\n")}>${cut(row.names.join(", "), 64)}</span>` },
  { title: "Listener", isExtra: true, cell: (row) => html`<span class="muted" title=${row.file ?? row.directory}>${cut(row.listener, 24)}</span>` },
  { title: "Ends", isExtra: true, cell: (row) => isPlaceholder(row) ? "–" : html`<${Time} at=${row.not_after} />` },
  { title: "Left", isNumber: true, cell: (row) => html`<${Left} row=${row} />` },
];

export function Certificates() {
  const polled = /** @type {import("../../api/poll.js").Polled<CertificateView[]>} */ (usePoll("/api/v1/certificates", INTERVAL));
  const all = polled.data ?? [];
  const empty = html`<${Empty} title="No certificates">A listener with <code>tls</code> brings its certificates here, with the days that they have left.<//>`;
  return html`<${Panel} title="Certificates by their end" polled=${polled} lines=${3} isEmpty=${all.length === 0} empty=${empty}
    aside=${all.length > SHOWN ? html`<span class="muted">${SHOWN} of ${all.length}</span>` : null}>
    <${Table} label="Certificates, the first to end in front" rows=${all.slice(0, SHOWN)} columns=${COLUMNS}
      id=${(/** @type {CertificateView} */ row) => `${row.listener} ${row.file ?? row.directory} ${row.names.join(" ")}`} /><//>`;
}
