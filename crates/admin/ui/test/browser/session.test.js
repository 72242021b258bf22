// Tokens: asked for once, kept for the tab, never in an address.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, launch, open, shoot } from "./support/browser.js";
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
const TOKENS = "ops open-sesame\nscreen just-looking read\n";

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  gateway = await Gateway.start(CONFIG, { files: { tokens: TOKENS }, admin: "{ bind: 127.0.0.1:0, token_file: tokens }" });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

test("a wrong token is refused in words, and the right one opens", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  await page.getByLabel("Token").fill("guessed");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("does not know this token").waitFor();
  await accessible(page);
  await shoot(page, "token-refused");
  await page.getByLabel("Token").fill("open-sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  await page.reload();
  await page.getByRole("navigation").waitFor();
  await close(page);
});

test("a token is in no address, no cookie and no lasting storage", async () => {
  const page = await open(browser);
  /** @type {string[]} */
  const addresses = [];
  page.on("request", (request) => addresses.push(request.url()));
  await page.goto(gateway.admin);
  await page.getByLabel("Token").fill("open-sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie + location.href);
  assert.ok(!kept.includes("sesame"), kept);
  assert.deepEqual(addresses.filter((address) => address.includes("sesame")), []);
  const second = await page.context().newPage();
  await second.goto(gateway.admin);
  await second.getByLabel("Token").waitFor();
  await close(page);
});

test("a token that is forgotten is asked for again", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  await page.getByLabel("Token").fill("just-looking");
  await page.keyboard.press("Enter");
  await page.getByText("read only").waitFor();
  await page.getByRole("button", { name: "Forget token" }).click();
  await page.getByLabel("Token").waitFor();
  await page.reload();
  await page.getByLabel("Token").waitFor();
  await close(page);
});
