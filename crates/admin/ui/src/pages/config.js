// The config: the editor, and the history of what was in force.

import { html } from "../html.js";
import { link } from "../router.js";
import { ConfigEditor } from "./config/editor.js";
import { History } from "./config/history.js";

/** @param {{ path: string[], query: Record<string, string> }} props */
export function Config({ path, query }) {
  const isHistory = path[0] === "history";
  return html`<div class="title-row"><h1>Config</h1>
      <nav class="segments" aria-label="Parts of the config">
        <a href=${link(["config"])} aria-current=${isHistory ? undefined : "page"}>Editor</a>
        <a href=${link(["config", "history"])} aria-current=${isHistory ? "page" : undefined}>History</a></nav></div>
    ${isHistory ? html`<${History} query=${query} />` : html`<${ConfigEditor} />`}`;
}
