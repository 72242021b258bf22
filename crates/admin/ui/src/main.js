// Begins the dashboard.

import { App } from "./app.js";
import { html, render } from "./html.js";
import { begin } from "./state/session.js";

// In a task of its own: loading the modules was one already, and long tasks hold up what a reader does.
setTimeout(() => {
  const root = document.getElementById("app");
  if (root) render(html`<${App} />`, root);
}, 0);
void begin();
