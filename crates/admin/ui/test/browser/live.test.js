// Requests as they end: filtered, paused, looked into, also with hostile paths.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";
import { Traffic } from "./support/traffic.js";

const CONFIG = `
listeners: [{ bind: 127.0.0.1:0 }]
routes:
  - { name: hello, match: { path: /hello/* }, respond: { status: 200, body: hello } }
`;
const HOSTILE = "/hello/%3Cimg%20src=x%20onerror=document.title=1%3E";

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Traffic} */ let traffic;

before(async () => {
  gateway = await Gateway.start(CONFIG);
  browser = await launch();
  traffic = new Traffic(gateway.listeners[0], ["/hello/1", "/nothing", HOSTILE], 30);
});
after(async () => {
  traffic?.stop();
  await browser?.close();
  await gateway?.stop();
});

/** @param {import("./support/browser.js").Page} page */
const rows = (page) => page.locator(".live-open");

test("requests appear as they end, and each tells what the log has", async () => {
  for (const { look, ...options } of LOOKS) {
    const page = await open(browser, options);
    await page.goto(`${gateway.admin}/#/live`);
    await rows(page).nth(8).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await accessible(page);
    await fits(page);
    await shoot(page, `live-${look}`);
    await rows(page).filter({ hasText: "onerror" }).first().click();
    await page.getByRole("dialog").getByText("Request id").waitFor();
    await accessible(page);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.match(await page.title(), /live/i);
    await close(page);
  }
});

test("the gateway filters, and the filter is in the address", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/live`);
  await page.getByLabel("Status").fill("4xx");
  await page.waitForURL(/status=4xx/);
  await rows(page).filter({ hasText: "/hello" }).first().waitFor({ state: "detached" });
  await rows(page).filter({ hasText: "/nothing" }).first().waitFor();
  assert.equal(await rows(page).filter({ hasText: "/hello" }).count(), 0);
  await page.getByLabel("Status").fill("abc");
  await page.getByText(/a status is a number/).waitFor();
  await page.getByRole("button", { name: "Reset" }).click();
  await rows(page).filter({ hasText: "/hello" }).first().waitFor();
  await close(page);
});

test("a list that is paused stands still, and shows the rest when it goes on", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/live`);
  await rows(page).nth(3).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  const before = await rows(page).count();
  await page.getByRole("button", { name: /newer request/ }).waitFor();
  assert.equal(await rows(page).count(), before);
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: /newer request/ }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Clear" }).click();
  await close(page);
});
