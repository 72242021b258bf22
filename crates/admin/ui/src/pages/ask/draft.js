// What the config in the editor would do with the request, beside what is done now.

import { html } from "../../html.js";
import { differences, inShort, printable } from "../../model/explained.js";
import { link } from "../../router.js";
import { Badge } from "../../view/badge.js";
import { Problem } from "../../view/problem.js";

/**
 * @param {object} props
 * @param {import("../../model/explained.js").Explanation} props.now
 * @param {import("../ask.js").Told} props.told
 */
export function DraftAnswer({ now, told }) {
  const parts = told.answer ? differences(now, told.answer) : [];
  return html`<section class="panel" aria-label="By the draft">
    <header class="panel-head"><h2>By the draft in the editor</h2>${told.answer ? html`<${Badge} tone=${parts.length > 0 ? "warn" : "none"}>${parts.length > 0 ? "another answer" : "the same"}<//>` : null}</header>
    <div class="body">
      ${told.error ? html`<${Problem} error=${told.error} /><p class="draft-more"><a href=${link(["config"])}>To the editor</a></p>` : null}
      ${told.answer && parts.length === 0 ? html`<p>The draft does the same: ${printable(inShort(told.answer))}.</p>` : null}
      ${parts.length > 0 ? html`<dl class="facts answer-changes">${parts.map((part) => html`<dt key=${part.about}>${part.about}</dt>
        <dd><del><span class="hidden">now: </span>${printable(part.now)}</del> <span aria-hidden="true">→</span> <ins><span class="hidden">by the draft: </span>${printable(part.then)}</ins></dd>`)}</dl>` : null}
    </div></section>`;
}
