// Begins the dashboard.

import { App } from "./app.js";
import { html, render } from "./html.js";
import { clock, count } from "./model/format.js";
import { begin } from "./state/session.js";

// Each in a task of its own: long tasks hold up what a reader does.
const beginnings = [
  () => void begin(),
  () => {
    const root = document.getElementById("app");
    if (root) render(html`<${App} />`, root);
  },
  // The first figure and the first time of day take a browser longer than all others.
  () => count(0),
  () => clock(0),
];
for (const task of beginnings) setTimeout(task, 0);
