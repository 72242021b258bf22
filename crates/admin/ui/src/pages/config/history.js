// What was in force: who, when, what; the difference of any two revisions; the way back.

import { get, post } from "../../api/client.js";
import { refresh, usePoll, usePoller } from "../../api/poll.js";
import { html, useState } from "../../html.js";
import { changedFiles } from "../../model/draft.js";
import { sentence } from "../../model/summary.js";
import { go, link } from "../../router.js";
import { useRights } from "../../state/session.js";
import { Badge } from "../../view/badge.js";
import { Button } from "../../view/button.js";
import { Diffs } from "../../view/diff.js";
import { Confirm } from "../../view/dialog.js";
import { Empty } from "../../view/empty.js";
import { Panel } from "../../view/panel.js";
import { Time } from "../../view/time.js";
import { toast } from "../../view/toast.js";

/** @typedef {import("../../api/config.js").Revision} Revision */
/** @typedef {import("../../api/config.js").RevisionTexts} RevisionTexts */

const ORIGINS = /** @type {Record<string, string>} */ ({ file: "file on disk", api: "admin API", rollback: "rollback", revert: "not confirmed" });

/** @param {{ query: Record<string, string> }} props */
export function History({ query }) {
  const polled = usePoll("/api/v1/revisions", 10_000);
  const status = /** @type {import("../../api/types.js").Status | null} */ (usePoll("/api/v1/status", 5000).data);
  const { reason } = useRights();
  const [back, setBack] = useState(/** @type {Revision | null} */ (null));
  const revisions = /** @type {Revision[]} */ (polled.data ?? []);
  const active = status?.revision ?? revisions[0]?.number;
  const to = revisionIn(query.to) ?? revisions[0]?.number ?? null;
  const from = revisionIn(query.from) ?? revisions.find((one) => to !== null && one.number < to)?.number ?? null;

  /** @param {"from" | "to"} end @param {number} number */
  const choose = (end, number) => go(link(["config", "history"], { from: String(end === "from" ? number : (from ?? number)), to: String(end === "to" ? number : (to ?? number)) }), { replace: true });
  /** @param {Revision} one @param {"from" | "to"} end */
  const radio = (one, end) => html`<label class="pick"><input type="radio" name=${`revision-${end}`} checked=${one.number === (end === "from" ? from : to)} onChange=${() => choose(end, one.number)}
    aria-label=${end === "from" ? `Compare from revision ${one.number}` : `Compare to revision ${one.number}`} /></label>`;

  return html`<${Panel} title="Revisions" class="revisions" polled=${polled} lines=${8} isEmpty=${revisions.length === 0}
      empty=${html`<${Empty} title="No revision yet" command="waypost apply next.yaml">Every config that takes effect is kept as a revision.<//>`}>
      <div class="table-box revision-box" tabindex="0" role="region" aria-label="Revisions"><table class="table">
        <thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col" class="number">No.</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">Change</th><th scope="col"><span class="hidden">Roll back</span></th></tr></thead>
        <tbody>${revisions.map((one) => html`<tr key=${one.number}>
          <td class="revision-pick">${radio(one, "from")}</td><td class="revision-pick">${radio(one, "to")}</td>
          <td class="number revision-number"><b>${one.number}</b></td>
          <td class="revision-time"><${Time} at=${one.time} /></td>
          <td class="revision-by"><span class="cut revision-who" title=${one.by ?? ""}>${one.by ?? "–"}</span><span class="muted revision-origin">${ORIGINS[one.origin] ?? one.origin}</span></td>
          <td class="revision-what">${sentence(one.summary)} ${one.number === active ? html`<${Badge} tone=${status?.pending ? "warn" : "good"}>${status?.pending ? "waits for “Keep”" : "in force"}<//>` : null}</td>
          <td class="revision-action">${one.number === active ? null : html`<${Button} look="quiet" reason=${reason} label=${`Roll back to revision ${one.number}`} onPress=${() => setBack(one)}>Roll back…<//>`}</td></tr>`)}</tbody></table></div><//>
    ${from !== null && to !== null ? html`<${Comparison} from=${from} to=${to} />` : null}
    ${back && active !== undefined ? html`<${Confirm} title=${`Roll back to revision ${back.number}?`} action="Roll back" isDanger=${true} undo=${`roll back to revision ${active} in the same way.`}
      onClose=${() => setBack(null)} onConfirm=${() => rollBack(back.number, revisions.find((one) => one.number === active)?.hash)}>
      <p>The text of revision ${back.number} is applied as a new revision, at once, and written to disk. Dials whose splits change are dropped.</p><${Difference} from=${active} to=${back.number} /><//>` : null}`;
}

/**
 * @param {number} number
 * @param {string | undefined} seen the hash of the active revision that the question was about
 */
async function rollBack(number, seen) {
  try {
    const { data } = await post(`/api/v1/revisions/${number}/rollback`, { ifMatch: seen === undefined ? null : `"${seen}"` });
    const { revision, dials_dropped: dropped } = /** @type {import("../../api/config.js").Applied} */ (data);
    toast(`Revision ${revision} is in force, with the text of revision ${number}.${dropped.length > 0 ? ` Dials dropped: ${dropped.join(", ")}.` : ""}`);
  } finally {
    // Also where somebody else was faster: the question is then about what is active now.
    for (const path of ["config", "/api/v1/status", "/api/v1/revisions"]) refresh(path);
  }
}

/** @param {{ from: number, to: number }} props */
function Comparison({ from, to }) {
  return html`<section class="panel"><header class="panel-head"><h2>From revision ${from} to revision ${to}</h2></header><div class="body"><${Difference} from=${from} to=${to} /></div></section>`;
}

/** @param {{ from: number, to: number }} props */
function Difference({ from, to }) {
  const before = useRevision(from);
  const after = useRevision(to);
  const error = before.error ?? after.error;
  if (!before.data || !after.data) return html`<${Panel} title="" class="bare" polled=${{ data: null, error, refresh: () => { void before.refresh(); void after.refresh(); } }} lines=${6} />`;
  const files = changedFiles(before.data.files, after.data.files);
  return files.length === 0 ? html`<p class="muted">The texts are the same.</p>` : html`<${Diffs} files=${files} />`;
}

/** A revision never changes, so it is asked for once.
 * @param {number} number */
const useRevision = (number) => usePoller(`revision ${number}`, async () => /** @type {RevisionTexts} */ ((await get(`/api/v1/revisions/${number}`)).data), 3_600_000);

/** @param {string | undefined} text */
const revisionIn = (text) => (text && /^\d{1,15}$/.test(text) ? Number(text) : null);
