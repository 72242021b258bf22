// Questions: a form or a line for curl, the rules with their reasons, addresses that can be shared.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";

const CONFIG = `
listeners: [{ bind: 127.0.0.1:0 }]
services:
  one: { endpoints: ["http://127.0.0.1:1"] }
  two: { endpoints: ["http://127.0.0.1:2"] }
policies:
  inside: { access: { allow: ["10.0.0.0/8"] } }
routes:
  - name: gold
    match: { path: /users/*, headers: { x-tier: gold } }
    to: two
  - name: users
    match: { path: /users/* }
    to: { one: 3, two: 1 }
  - name: closed
    match: { path: /closed }
    use: [inside]
    to: one
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

test("the rule that takes a request is first, and each other says why it does not", async () => {
  for (const { look, ...options } of LOOKS) {
    const page = await open(browser, options);
    await page.goto(`${gateway.admin}/#/ask`);
    await page.getByLabel("URL, or a curl line").fill("api.example.com/users/7");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("goes to one 75.0 %, two 25.0 %").waitFor();
    const rules = page.locator(".rules > li");
    assert.match(await rules.nth(0).innerText(), /users\s+takes it/);
    assert.match(await rules.filter({ hasText: "gold" }).innerText(), /gold\s+header x-tier wants gold, saw none/);
    await accessible(page);
    await fits(page);
    await shoot(page, `ask-${look}`);
    await close(page);
  }
});

test("a line for curl fills the form, and no secret gets into the address", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/ask`);
  await page.getByLabel("URL, or a curl line").fill("curl -H 'x-tier: gold' -H 'authorization: Bearer geheim' 'http://api.example.com/users/7?token=geheim&page=2'");
  await page.keyboard.press("Enter");
  await page.getByText("goes to two").waitFor();
  assert.match(await page.getByLabel("Headers, one a line").inputValue(), /Bearer geheim/);
  assert.ok(!page.url().includes("geheim"), page.url());
  assert.match(decodeURIComponent(page.url()), /page=2.*x-tier/);
  const shared = await open(browser);
  await shared.goto(page.url());
  await shared.getByText("goes to two").waitFor();
  await close(shared);
  await close(page);
});

test("a line that is typed before the gateway has said who asks stays", async () => {
  const page = await open(browser);
  /** @type {() => void} */ let goOn = () => {};
  const held = new Promise((resolve) => { goOn = () => resolve(undefined); });
  await page.route("**/api/v1/whoami", async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${gateway.admin}/#/ask`);
  await page.getByLabel("URL, or a curl line").fill("api.example.com/users/7");
  goOn();
  await page.locator(".top-user span").waitFor();
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByText("goes to one 75.0 %, two 25.0 %").waitFor();
  await close(page);
});

test("a request that is stopped says where and by what", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/ask?url=${encodeURIComponent("http://a/closed")}&client=192.0.2.1`);
  await page.getByText("Stopped at access:").waitFor();
  await page.getByText("by the policy inside").waitFor();
  await accessible(page);
  await page.getByLabel("Client address").fill("10.1.2.3");
  await page.keyboard.press("Enter");
  await page.getByText("goes to one").waitFor();
  await close(page);
});
