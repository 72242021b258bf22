// Begins the dashboard.

import { App } from "./app.js";
import { html, render } from "./html.js";
import { begin } from "./state/session.js";

const root = document.getElementById("app");
if (root) render(html`<${App} />`, root);
void begin();
