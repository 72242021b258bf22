// Other origins, and hostile text.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { close, launch, open } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";

const CONFIG = `
listeners: [{ bind: 127.0.0.1:0 }]
services:
  v1: { endpoints: ["http://127.0.0.1:9"] }
  v2: { endpoints: ["http://127.0.0.1:9"] }
routes:
  - name: users
    match: { path: /users/* }
    to: { v1: 95, v2: 5 }
`;

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {import("node:http").Server} */ let elsewhere;
let origin = "";

before(async () => {
  gateway = await Gateway.start(CONFIG);
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
