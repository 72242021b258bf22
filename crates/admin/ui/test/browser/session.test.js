// Tokens: asked for once, kept for the tab, never in an address.

import assert from "node:assert/strict";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, close, launch, open, shoot } from "./support/browser.js";
import { Gateway, SPLIT } from "./support/gateway.js";

const TOKENS = "ops open-sesame\nscreen just-looking read\n";

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  gateway = await Gateway.start(SPLIT, { files: { tokens: TOKENS }, admin: "{ bind: 127.0.0.1:0, token_file: tokens }" });
  browser = await launch();
});

/** Replaces the token file, and waits until the gateway knows its first token by its role. @param {string} text */
async function tokens(text) {
  const file = join(gateway.folder, "tokens");
  // In one step: a page that asks while the file is empty would have to ask for its token again.
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
  const isKnown = async () => {
    const [status, role] = await whoami();
    return text.startsWith("screen") ? status === 401 : role === (text.includes("sesame read") ? "read" : "write");
  };
  while (!(await isKnown()));
}

async function whoami() {
  const response = await fetch(`${gateway.admin}/api/v1/whoami`, { headers: { authorization: "Bearer open-sesame" } });
  return [response.status, (await response.json()).role];
}

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

test("a token that is taken away is asked for again, and the page is still there", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/routes/users`);
  await page.getByLabel("Token").fill("open-sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "users" }).waitFor();
  await tokens("screen just-looking read\n");
  await page.getByText("does not know this token").waitFor();
  await tokens(TOKENS);
  await page.getByLabel("Token").fill("open-sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "users" }).waitFor();
  await page.waitForFunction(() => document.activeElement?.id === "main");
  await close(page);
});

test("rights that are taken away are noticed by the first change", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/routes/users`);
  await page.getByLabel("Token").fill("open-sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /All to A/ }).click();
  await tokens("ops open-sesame read\nscreen just-looking read\n");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Turn the dial" }).click();
  await dialog.getByText("is for reading only").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("ops · read only").waitFor();
  await tokens(TOKENS);
  await close(page);
});

test("a gateway that does not tell who asks is no page that waits for ever", async () => {
  const page = await open(browser);
  let isBroken = true;
  await page.route("**/api/v1/whoami", (route) => (isBroken ? route.fulfill({ status: 200, contentType: "application/json", body: "<html>" }) : route.continue()));
  await page.goto(gateway.admin);
  await page.getByText("the response is no JSON").waitFor();
  await accessible(page);
  isBroken = false;
  await page.getByLabel("Token").waitFor();
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
