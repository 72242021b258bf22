// Every page of the navigation, in every look: nothing sticks out, and nobody is shut out. Screenshots are for people.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { LOOKS, accessible, close, fits, launch, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";
import { Service } from "./support/service.js";
import { Traffic } from "./support/traffic.js";

/** A name as long as they get. */
const LONG = `checkout-${"of-a-team-that-likes-long-names-".repeat(4)}`.slice(0, 120);
/** Pages, by their addresses. The tests of a page are its own; here all of them have to be in order. */
const PAGES = ["", "routes", "routes/users", `routes/${LONG}`, "routes/old-shop", "services", "ask", "config", "config/history", "live"];

/** @type {Gateway} */ let gateway;
/** @type {Gateway} */ let empty;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Service[]} */ let services;
/** @type {Traffic} */ let traffic;

before(async () => {
  let turn = 0;
  const good = await Service.start(() => ({ delay: turn++ % 5 }));
  const bad = await Service.start(() => (turn++ % 3 === 0 ? { status: 500, body: "broken" } : { delay: 8 }));
  services = [good, bad];
  const arms = Array.from({ length: 40 }, (_, arm) => `many-${arm}`);
  gateway = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
  users-v1: { endpoints: ["${good.url}", "http://127.0.0.1:9"] }
  users-v2: { endpoints: ["${bad.url}"] }
  ${LONG}: { endpoints: ["${good.url}"] }
${arms.map((arm) => `  ${arm}: { endpoints: ["${good.url}"] }`).join("\n")}
routes:
  - { name: users, match: { path: "/users/*" }, to: { users-v1: 90, users-v2: 10 } }
  - { name: ${LONG}, match: { path: "/long/*", headers: { x-team: "<img src=x onerror=document.title=1>" }, host: ["a.example.com", "*.example.net"] }, to: ${LONG} }
  - { name: many, match: { path: "/many/*" }, to: { ${arms.map((arm) => `${arm}: 1`).join(", ")} } }
  - { name: old-shop, match: { path: "/shop/*" }, redirect: { prefix: /users } }
  - { name: closed, match: { path: "/closed" }, respond: { status: 410, body: gone } }
tests:
  - { request: GET /users/7, expect: { route: users } }
`);
  empty = await Gateway.start("listeners: [{ bind: 127.0.0.1:0 }]\n");
  browser = await launch();
  traffic = new Traffic(gateway.listeners[0], ["/users/1", "/many/1", "/users/2?q=1", "/shop/x", "/closed", "/none"]);
});
after(async () => {
  traffic?.stop();
  await browser?.close();
  await gateway?.stop();
  await empty?.stop();
  for (const service of services ?? []) {
    await service.stop();
  }
});

for (const look of LOOKS) {
  test(`every page is in order: ${look.look}`, async () => {
    const page = await open(browser, look);
    for (const path of [...PAGES, "routes/many"]) {
      await page.goto(`${gateway.admin}/#/${path}`);
      await settled(page);
      assert.equal(await page.getByText("There is no such page").count(), 0, path);
      await fits(page);
      await accessible(page);
      const name = path === "" ? "overview" : path.replace(LONG, "long").replaceAll("/", "-");
      await shoot(page, `${name}-${look.look}`);
    }
    assert.doesNotMatch(await page.title(), /^1$/);
    await close(page);
  });

  test(`pages of a gateway without routes are in order: ${look.look}`, async () => {
    const page = await open(browser, look);
    for (const path of ["", "routes", "services", "ask", "config", "live"]) {
      await page.goto(`${empty.admin}/#/${path}`);
      await settled(page);
      await fits(page);
      await accessible(page);
      await shoot(page, `empty-${path === "" ? "overview" : path}-${look.look}`);
    }
    await close(page);
  });
}

/**
 * Waits until the page shows what it is to show.
 * @param {import("./support/browser.js").Page} page
 */
async function settled(page) {
  await page.locator("main h1").first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll("main .skeleton, main [aria-busy=true]").length === 0);
}
