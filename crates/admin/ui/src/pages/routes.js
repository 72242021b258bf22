// The routes: a table that is searched and sorted by the gateway, and a page for each of them.

import { html } from "../html.js";
import { RoutePage } from "./route/index.js";
import { RoutesTable } from "./routes/table.js";

/**
 * @param {object} props
 * @param {string[]} props.path the name of a route, or nothing
 * @param {Record<string, string>} props.query
 */
export function Routes({ path, query }) {
  return path.length > 0 ? html`<${RoutePage} name=${path.join("/")} query=${query} />` : html`<${RoutesTable} query=${query} />`;
}
