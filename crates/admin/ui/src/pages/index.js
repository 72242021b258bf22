// The pages that exist, in the order of the navigation. An address `#/ID/…` leads to the page; `path` is what follows.

import { Ask } from "./ask.js";
import { Config } from "./config.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { Routes } from "./routes.js";
import { Services } from "./services.js";

/**
 * @typedef {object} Page
 * @property {string} id
 * @property {string} title
 * @property {string} icon the path of a drawing of 24 units
 * @property {(props: { path: string[], query: Record<string, string> }) => unknown} view
 */

/** @type {Page[]} */
export const pages = [
  { id: "", title: "Overview", icon: "M4 19V5m0 14h16M8 15l3-4 3 2 5-6", view: Overview },
  { id: "routes", title: "Routes", icon: "M6 4v6a4 4 0 0 0 4 4h8m0 0-3-3m3 3-3 3M6 10v10", view: Routes },
  { id: "services", title: "Services", icon: "M4 5h16v5H4zm0 9h16v5H4zM8 7.5h.01M8 16.5h.01", view: Services },
  { id: "ask", title: "Ask", icon: "M9 9a3 3 0 1 1 4 2.8c-.8.4-1 1-1 2.2m0 3v.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", view: Ask },
  { id: "config", title: "Config", icon: "M8 4H5v16h14V8l-4-4H8m7 0v4h4M9 12h6m-6 4h6", view: Config },
  { id: "live", title: "Live", icon: "M3 12h4l3-8 4 16 3-8h4", view: Live },
];
