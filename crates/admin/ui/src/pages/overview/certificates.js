// Certificates, the one that ends first in front.

import { html } from "../../html.js";
import { known, usePoll } from "../../api/poll.js";
import { isPlaceholder, orderOf, standing } from "../../model/certificates.js";
import { cut } from "../../model/format.js";
import { useHealth } from "../../state/health.js";
import { Badge } from "../../view/badge.js";
import { Empty } from "../../view/empty.js";
import { Panel } from "../../view/panel.js";
import { Table } from "../../view/table.js";
import { Time } from "../../view/time.js";

/** @typedef {import("../../api/types.js").CertificateView} CertificateView */

/** Milliseconds between two looks. */
const INTERVAL = 60_000;
/** The same while there is one that is still to be issued. */
const INTERVAL_SHORT = 3000;
const PATH = "/api/v1/certificates";
const SHOWN = 6;

/** @param {{ row: CertificateView }} props */
function Left({ row }) {
  const orders = useHealth().status?.orders ?? [];
  const { tone, text, title } = standing(row, orderOf(row, orders));
  return html`<${Badge} tone=${tone} title=${title}>${text}<//>`;
}

/** @type {import("../../view/table.js").Column<CertificateView>[]} */
const COLUMNS = [
  { title: "Names", isWide: true, cell: (row) => html`<span class="cut" title=${row.names.join("\n")}>${cut(row.names.join(", "), 64)}</span>` },
  { title: "Listener", isExtra: true, cell: (row) => html`<span class="muted" title=${row.file ?? row.directory}>${cut(row.listener, 24)}</span>` },
  { title: "Ends", isExtra: true, cell: (row) => isPlaceholder(row) ? "–" : html`<${Time} at=${row.not_after} />` },
  { title: "Left", isNumber: true, cell: (row) => html`<${Left} row=${row} />` },
];

export function Certificates() {
  const last = /** @type {CertificateView[]} */ (known(PATH) ?? []);
  const interval = last.some(isPlaceholder) ? INTERVAL_SHORT : INTERVAL;
  const polled = /** @type {import("../../api/poll.js").Polled<CertificateView[]>} */ (usePoll(PATH, interval));
  const all = polled.data ?? [];
  const empty = html`<${Empty} title="No certificates">A listener with <code>tls</code> brings its certificates here, with the days that they have left.<//>`;
  return html`<${Panel} title="Certificates by their end" polled=${polled} lines=${3} isEmpty=${all.length === 0} empty=${empty}
    aside=${all.length > SHOWN ? html`<span class="muted">${SHOWN} of ${all.length}</span>` : null}>
    <${Table} label="Certificates, the first to end in front" rows=${all.slice(0, SHOWN)} columns=${COLUMNS}
      id=${(/** @type {CertificateView} */ row) => `${row.listener} ${row.file ?? row.directory} ${row.names.join(" ")}`} /><//>`;
}
