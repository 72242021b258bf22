// Other origins, and hostile text.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, open } from "./support/browser.js";
import { Gateway, SPLIT } from "./support/gateway.js";

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {import("node:http").Server} */ let elsewhere;
let origin = "";

before(async () => {
  gateway = await Gateway.start(SPLIT);
  browser = await launch();
  elsewhere = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<!doctype html><title>Elsewhere</title><iframe src="${gateway.admin}/"></iframe>`);
  });
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", () => resolve(undefined)));
  origin = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (elsewhere.address()).port}`;
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  elsewhere?.close();
});

test("no page of another origin has the dashboard in a frame", async () => {
  const page = await open(browser);
  await page.goto(origin);
  const [, framed] = page.frames();
  assert.equal(await framed.locator("script").count(), 0, "the frame has a page of Chromium's own");
  await page.goto(gateway.admin);
  assert.notEqual(await page.locator("script").count(), 0);
  page.errors.length = 0;
  await close(page);
});

test("no page of another origin reads or changes anything", async () => {
  const page = await open(browser);
  await page.goto(origin);
  const outcomes = await page.evaluate(async (admin) => {
    /** @param {string} path @param {RequestInit} [init] */
    const attempt = async (path, init) => {
      try {
        return (await fetch(admin + path, init)).type;
      } catch {
        return "refused";
      }
    };
    const body = JSON.stringify({ v1: 0, v2: 100 });
    return Promise.all([
      attempt("/api/v1/routes"),
      attempt("/api/v1/events"),
      attempt("/api/v1/routes/users/split", { method: "PUT", body, headers: { "content-type": "application/json" } }),
      attempt("/api/v1/config", { method: "PUT", body: "{}", headers: { "content-type": "application/yaml", "if-match": "*" } }),
    ]);
  }, gateway.admin);
  assert.deepEqual(outcomes, ["refused", "refused", "refused", "refused"]);
  // A form and a request without CORS are sent by browsers all the same: the gateway refuses them by their origin.
  await page.evaluate(async (admin) => {
    const body = JSON.stringify({ v1: 0, v2: 100 });
    await fetch(`${admin}/api/v1/deals/none/split`, { method: "POST", mode: "no-cors", body }).catch(() => {});
    await fetch(`${admin}/api/v1/routes/users/rollout`, { method: "POST", mode: "no-cors", body }).catch(() => {});
  }, gateway.admin);
  const route = await gateway.api("/routes/users");
  assert.deepEqual(route.arms.map((/** @type {any} */ arm) => arm.live), [95, 5]);
  const rollouts = await gateway.api("/rollouts");
  assert.deepEqual(rollouts, []);
  page.errors.length = 0;
  await close(page);
});

test("pages come with a strict policy, and no method but GET and HEAD", async () => {
  const response = await fetch(gateway.admin);
  const policy = response.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'self'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  for (const method of ["POST", "PUT", "DELETE"]) {
    assert.equal((await fetch(gateway.admin, { method })).status, 405, method);
  }
});

/** Responses that a page has to bear, and what it says of them. */
const FAULTS = /** @type {const} */ ([
  { status: 500, contentType: "application/problem+json", body: JSON.stringify({ title: "Internal Server Error", detail: "a fault inside" }), said: "a fault inside" },
  { status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>", said: "502 Bad Gateway" },
  { status: 200, contentType: "application/json", body: '{"routes": [', said: "the response is no JSON" },
]);

for (const { said, ...fault } of FAULTS) {
  test(`each panel says what is wrong with it: ${said}`, async () => {
    const page = await open(browser);
    let isBroken = true;
    await page.route(/\/api\/v1\/(?!whoami|status|tail)/, (route) => (isBroken ? route.fulfill(fault) : route.continue()));
    for (const path of ["", "routes", "routes/users", "services", "config", "config/history", "ask?url=http://a/"]) {
      isBroken = true;
      await page.goto(`${gateway.admin}/#/${path}`);
      await page.getByRole("main").getByText(said).first().waitFor();
      await page.waitForFunction(() => document.querySelectorAll("main .skeleton").length === 0);
      assert.equal(await page.getByText("<h1>").count(), 0, "pages of others are not quoted");
      await fits(page);
      await accessible(page);
      const before = await page.locator("main .problem").count();
      const button = await page.getByRole("button", { name: "Try again" }).first().elementHandle();
      isBroken = false;
      // No click of the mouse: a panel that has asked by itself meanwhile has no button any more.
      await button?.evaluate((element) => /** @type {HTMLElement} */ (element).click());
      await page.waitForFunction((before) => document.querySelectorAll("main .problem").length < before, before);
      await page.goto("about:blank");
    }
    await close(page);
  });
}

test("routes and services with any name can be opened", async () => {
  const own = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
  "..": { endpoints: ["http://127.0.0.1:9"] }
  "-": { endpoints: ["http://127.0.0.1:9"] }
routes:
  - { name: ".", match: { path: /a/* }, to: { "..": 90, "-": 10 } }
  - { name: "..", match: { path: /b/* }, to: ".." }
  - { name: "...", match: { path: /c/* }, to: "-" }
`);
  const page = await open(browser);
  for (const name of [".", "..", "..."]) {
    await page.goto(`${own.admin}/#/routes`);
    await page.getByRole("link", { name, exact: true }).first().click();
    await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
    await page.getByRole("heading", { name: "Policies" }).first().waitFor();
    assert.equal(await page.locator("main .problem").count(), 0, name);
  }
  await page.goto(`${own.admin}/#/routes/.`);
  await page.getByRole("button", { name: "All to A" }).click();
  await page.getByRole("dialog").getByRole("button").last().click();
  await page.getByText("Last turned").waitFor();
  const { arms } = await own.api("/routes/~.");
  assert.deepEqual(arms.map((/** @type {any} */ arm) => arm.live === 0), [false, true]);
  await page.goto(`${own.admin}/#/services/..`);
  await page.getByText("127.0.0.1:9").first().waitFor();
  assert.equal(await page.locator("main .problem").count(), 0);
  await close(page);
  await own.stop();
});

test("pages of another version of the gateway ask to be loaded anew", async () => {
  const page = await open(browser);
  let version = "1.0.0";
  await page.route("**/api/v1/status", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), version } });
  });
  await page.goto(gateway.admin);
  await page.getByText("version 1.0.0").waitFor();
  version = "2.0.0";
  await page.getByText("is version 2.0.0 now").waitFor();
  await accessible(page);
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByText("version 2.0.0").waitFor();
  assert.equal(await page.getByText("is version 2.0.0 now").count(), 0);
  await close(page);
});
