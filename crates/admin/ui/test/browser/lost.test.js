// A gateway that goes away, and comes back.

import { after, before, test } from "node:test";
import { accessible, close, launch, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";

const CONFIG = `
listeners: [{ bind: 127.0.0.1:0 }]
routes:
  - { name: hello, match: { path: /hello }, respond: { status: 200, body: hello } }
`;

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  gateway = await Gateway.start(CONFIG);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

test("a lost gateway is said, the last picture stays, and it comes back by itself", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  await page.getByRole("link", { name: "Health: Healthy" }).waitFor();
  await gateway.kill();
  await page.getByText("The gateway does not answer").waitFor();
  await page.getByRole("link", { name: "Health: Healthy" }).waitFor();
  await accessible(page);
  await shoot(page, "lost");
  await gateway.restart();
  await page.getByText("The gateway does not answer").waitFor({ state: "detached" });
  // Chromium reports each request that nobody answered.
  page.errors.length = 0;
  await close(page);
});
