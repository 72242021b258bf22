// The table of routes: searched while requests come in.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";
import { Service } from "./support/service.js";
import { Traffic } from "./support/traffic.js";

/** @type {Gateway} */ let gateway;
/** @type {Service} */ let good;
/** @type {Service} */ let bad;
/** @type {Traffic} */ let traffic;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  good = await Service.start(() => ({ delay: 2 }));
  bad = await Service.start(() => ({ status: 503 }));
  const more = Array.from({ length: 3000 }, (_, at) => `  - { name: team-${at}, match: { path: /team/${at}/* }, to: stable }`);
  gateway = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
  stable: { endpoints: ["${good.url}"] }
  canary: { endpoints: ["${bad.url}"] }
  shop: { endpoints: ["${good.url}"] }
routes:
  - { name: users, match: { path: /users/* }, to: { stable: 90, canary: 10 } }
  - { name: broken, match: { path: /broken/* }, to: canary }
  - { name: cart, match: { host: [shop.example.com, "*.shop.example.net"], path: /cart/* }, to: shop }
${more.join("\n")}
`);
  browser = await launch();
  traffic = new Traffic(gateway.listeners[0], ["/broken/1", "/team/7/a", "/team/2999/b", "/team/7/c"]);
});
after(async () => {
  traffic?.stop();
  await browser?.close();
  await gateway?.stop();
  await good?.stop();
  await bad?.stop();
});

/** @param {import("./support/browser.js").Page} page */
const names = (page) => page.locator(".routes-table tbody a.route-name").allInnerTexts();

/**
 * Waits until a search finds these routes, and no other.
 * @param {import("./support/browser.js").Page} page
 * @param {string} search
 * @param {string[]} expected
 */
async function finds(page, search, expected) {
  await page.getByRole("searchbox", { name: "Search for routes" }).fill(search);
  const told = `${expected.length.toLocaleString("en-GB")} of 3,003 routes`;
  await page.getByRole("status").filter({ hasText: told }).waitFor();
  // What was found before stays until then.
  await page.waitForFunction((expected) => {
    const names = [...document.querySelectorAll(".routes-table tbody a.route-name")].map((name) => name.textContent ?? "");
    return names.sort().join() === expected;
  }, [...expected].sort().join());
}

test("each filter finds its routes", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/routes`);
  await page.getByText("3,003 routes").waitFor();
  await finds(page, "service:shop", ["cart"]);
  await finds(page, "service:can", ["users", "broken"]);
  await finds(page, "host:a.shop.example.net", ["cart"]);
  await finds(page, "host:shop.example.com", ["cart"]);
  await finds(page, "path:/team/2999", ["team-2999"]);
  await finds(page, "failing", ["broken"]);
  await finds(page, "failing service:stable", []);
  await page.getByText("No route is found").waitFor();
  await finds(page, "dialed", []);
  await gateway.api("/routes/users/split", { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ stable: 50, canary: 50 }) });
  await finds(page, "dialed service:canary", ["users"]);
  // A word that is none is told beside the field; what was found stays.
  await page.getByRole("searchbox", { name: "Search for routes" }).fill("hots:a");
  await page.getByRole("alert").getByText("hots:").waitFor();
  assert.deepEqual(await names(page), ["users"]);
  await accessible(page);
  // Keys and states as buttons.
  await page.getByRole("searchbox", { name: "Search for routes" }).fill("");
  await page.getByRole("button", { name: "failing" }).click();
  await page.getByText("1 of 3,003 routes").waitFor();
  await page.getByRole("button", { name: "service:" }).click();
  await page.keyboard.type("canary");
  await page.waitForURL(/search=failing.*service%3Acanary/);
  await page.getByText("1 of 3,003 routes").waitFor();
  await close(page);
});

test("the busiest are in front, and are told apart from those that fail", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/routes?sort=rate`);
  await page.waitForFunction(() => document.querySelector(".routes-table a.route-name")?.textContent === "team-7");
  await page.goto(`${gateway.admin}/#/routes?sort=failures`);
  const first = page.locator(".routes-table tbody tr").first();
  await first.getByText("100 %").waitFor();
  await first.getByText(/fails$/).waitFor();
  await close(page);
});

test("the rules of all hosts are bounded, and the one that takes the request is in front", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/ask?url=http://a/users/1&all=true`);
  await page.getByText("3,004 rules, by rank").waitFor();
  const rules = page.locator("ol.rules > li");
  assert.match(await rules.first().innerText(), /users\s+takes it/);
  assert.equal(await rules.count(), 100);
  for (let more = 0; more < 4; more += 1) await page.getByRole("button", { name: "Show more" }).click();
  await page.getByText(/1,00[34] more rules of lower rank/).waitFor();
  assert.equal(await page.getByRole("button", { name: "Show more" }).count(), 0);
  await accessible(page);
  await close(page);
});

test("a wall of pixels is used", async () => {
  const page = await open(browser, { viewport: { width: 3840, height: 2160 } });
  for (const path of ["", "routes", "routes/broken", "services", "config", "ask?url=http://a/users/1", "live"]) {
    await page.goto(`${gateway.admin}/#/${path}`);
    await page.locator("main h1").first().waitFor();
    await page.waitForFunction(() => document.querySelectorAll("main .skeleton, main [aria-busy=true]").length === 0);
    await fits(page);
    await accessible(page);
    await shoot(page, `wide-${path === "" ? "overview" : path.replace(/\?.*/, "").replaceAll("/", "-")}`);
  }
  await close(page);
});
