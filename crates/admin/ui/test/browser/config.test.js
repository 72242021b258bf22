// The config: edited to a mistake and back, applied, kept or reverted, changed by two people, rolled back.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";

const CONFIG = `
listeners: [{ bind: 127.0.0.1:0 }]
services:
  one: { endpoints: ["http://127.0.0.1:1"] }
  two: { endpoints: ["http://127.0.0.1:2"] }
routes:
  - name: shop
    match: { path: /shop/* }
    to: one
  - name: rest
    match: { path: /* }
    to: two
tests:
  - request: GET /shop/1
    expect: { route: shop }
`;

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  browser = await launch();
});
beforeEach(async () => {
  await gateway?.stop();
  gateway = await Gateway.start(CONFIG);
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** @typedef {import("./support/browser.js").Page} Page */

/** @param {Page} page */
const field = (page) => page.getByRole("textbox", { name: "Text of waypost.yaml" });

/** @param {Page} page @param {RegExp} verdict */
const checked = (page, verdict) => page.locator("#config-check", { hasText: verdict }).waitFor({ state: "attached" });

/**
 * Replaces a text in the editor as a writer does.
 * @param {Page} page
 * @param {string} from
 * @param {string} to
 */
async function edit(page, from, to) {
  await field(page).evaluate((element, from) => {
    const area = /** @type {HTMLTextAreaElement} */ (element);
    const at = area.value.indexOf(from);
    area.focus();
    area.setSelectionRange(at, at + from.length);
  }, from);
  await page.keyboard.type(to);
}

/**
 * Changes the config as somebody else does.
 * @param {string} from
 * @param {string} to
 */
async function changeElsewhere(from, to) {
  const response = await fetch(`${gateway.admin}/api/v1/config`);
  const text = await response.text();
  await gateway.api("/config", { method: "PUT", body: text.replace(from, to), headers: { "content-type": "application/yaml", "if-match": response.headers.get("etag") ?? "" } });
}

const inForce = async () => (await fetch(`${gateway.admin}/api/v1/config`)).text();

test("a mistake is found as one types, and a click leads to it", async () => {
  for (const { look, ...options } of LOOKS) {
    const page = await open(browser, options);
    await page.goto(`${gateway.admin}/#/config`);
    await checked(page, /valid/);
    await edit(page, "to: one", "to: onne");
    await checked(page, /error/);
    await page.getByRole("button", { name: /there is no service named/ }).click();
    await page.waitForFunction(() => {
      const area = document.activeElement;
      return area instanceof HTMLTextAreaElement && area.value.slice(area.selectionStart, area.selectionEnd) === "onne";
    });
    assert.equal(await page.getByRole("button", { name: "Apply…" }).getAttribute("aria-disabled"), "true");
    await accessible(page);
    await fits(page);
    await shoot(page, `config-mistake-${look}`);
    await page.keyboard.type("one");
    await checked(page, /valid/);
    await close(page);
  }
});

test("a test that fails is shown at its place", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await edit(page, "/shop/*", "/store/*");
  await page.getByRole("button", { name: /the test `GET \/shop\/1` fails/ }).waitFor();
  await close(page);
});

test("a change waits to be kept on every page and in other tabs, and survives a reload", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await edit(page, "to: two", "to: { one: 1, two: 9 }");
  await page.getByText("If it is applied").waitFor();
  await checked(page, /valid/);
  await page.getByRole("listitem").filter({ hasText: /now: .*two.*then: .*one, two/s }).waitFor();
  await page.reload();
  await page.getByText("If it is applied").waitFor();
  await page.getByRole("button", { name: "Apply…" }).click();
  await shoot(page, "config-apply");
  await page.getByRole("dialog").getByRole("button", { name: "Apply", exact: true }).click();
  const banner = page.getByRole("region", { name: "Change to confirm" });
  await banner.waitFor();
  await accessible(page);
  await shoot(page, "config-pending");
  await page.reload();
  await banner.waitFor();
  const other = await open(browser, LOOKS[2]);
  await other.goto(`${gateway.admin}/#/ask`);
  await other.getByRole("region", { name: "Change to confirm" }).getByRole("button", { name: "Keep" }).click();
  await other.getByRole("region", { name: "Change to confirm" }).waitFor({ state: "detached" });
  await banner.waitFor({ state: "detached" });
  assert.match(await inForce(), /one: 1, two: 9/);
  await close(other);
  await close(page);
});

test("a change is taken back at once", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await edit(page, "to: two", "to: one");
  await checked(page, /warning|valid/);
  await page.getByRole("button", { name: "Apply…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Apply", exact: true }).click();
  await page.getByRole("button", { name: "Revert now" }).click();
  await page.getByRole("region", { name: "Change to confirm" }).waitFor({ state: "detached" });
  assert.match(await inForce(), /to: two/);
  await close(page);
});

test("two people do not overwrite each other, and both changes can be had", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await checked(page, /valid/);
  await edit(page, "to: two", "to: { one: 1, two: 9 }");
  await page.getByText("If it is applied").waitFor();
  await page.getByRole("button", { name: "Apply…" }).click();
  await changeElsewhere("/shop/1", "/shop/2");
  await page.getByRole("dialog").getByRole("button", { name: "Apply", exact: true }).click();
  await page.getByText(/came while you were editing/).waitFor();
  assert.doesNotMatch(await inForce(), /one: 1, two: 9/);
  await page.getByRole("button", { name: "Show their change" }).click();
  await page.getByRole("region", { name: "Their changes of waypost.yaml" }).getByText("GET /shop/2").waitFor();
  await accessible(page);
  await shoot(page, "config-overtaken");
  await page.getByRole("button", { name: "Put my edits on top" }).click();
  const text = await field(page).inputValue();
  assert.match(text, /one: 1, two: 9/);
  assert.match(text, /GET \/shop\/2/);
  await close(page);
});

test("the history compares revisions, and leads back", async () => {
  await changeElsewhere("/shop/1", "/shop/2");
  for (const { look, ...options } of LOOKS) {
    const page = await open(browser, options);
    await page.goto(`${gateway.admin}/#/config/history?from=1&to=2`);
    await page.getByRole("region", { name: "Changes of waypost.yaml" }).getByText("GET /shop/2").waitFor();
    await accessible(page);
    await fits(page);
    await shoot(page, `config-history-${look}`);
    await close(page);
  }
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config/history`);
  await page.getByRole("button", { name: "Roll back to revision 1" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Roll back" }).click();
  await page.getByText("Revision 3 is in force, with the text of revision 1.").waitFor();
  assert.match(await inForce(), /GET \/shop\/1/);
  await close(page);
});

test("a draft survives a lost gateway", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await checked(page, /valid/);
  await gateway.kill();
  await page.getByText("The gateway does not answer").waitFor();
  await edit(page, "name: rest", "name: others");
  await gateway.restart();
  await page.getByText("The gateway does not answer").waitFor({ state: "detached" });
  assert.match(await field(page).inputValue(), /name: others/);
  page.errors.length = 0;
  await close(page);
});

test("the tabulator leaves the editor", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await checked(page, /valid/);
  await field(page).focus();
  await page.keyboard.press("Tab");
  assert.notEqual(await page.evaluate(() => document.activeElement?.tagName), "TEXTAREA");
  await close(page);
});

test("a question is put to the draft too", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/config`);
  await checked(page, /valid/);
  await edit(page, "to: two", "respond: { status: 204 }");
  await page.getByText("If it is applied").waitFor();
  await page.getByRole("link", { name: "Ask where a request would go" }).click();
  await page.getByLabel("URL, or a curl line").fill("http://a/other");
  await page.keyboard.press("Enter");
  const draft = page.getByRole("region", { name: "By the draft" });
  await draft.getByText("another answer").waitFor();
  assert.match(await draft.innerText(), /forward.*respond 204/s);
  await accessible(page);
  await shoot(page, "ask-draft");
  await page.getByLabel("URL, or a curl line").fill("http://a/shop/1");
  await page.keyboard.press("Enter");
  await draft.getByText("The draft does the same").waitFor();
  await close(page);
});
