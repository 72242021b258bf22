// The dial, turned against real traffic: by one who has read nothing, by two at once, by keyboard, and by nobody who may not.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, launch, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";
import { Service } from "./support/service.js";
import { Traffic } from "./support/traffic.js";

const TOKENS = "ops open-sesame\nscreen just-looking read\n";
const HEADERS = { authorization: "Bearer open-sesame" };

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Service[]} */ let services;
/** @type {Traffic} */ let traffic;

before(async () => {
  let turn = 0;
  const good = await Service.start();
  const bad = await Service.start(() => (turn++ % 2 === 0 ? { status: 500, body: "broken" } : {}));
  services = [good, bad];
  gateway = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
  users-v1: { endpoints: ["${good.url}"] }
  users-v2: { endpoints: ["${bad.url}"] }
rollouts:
  slow: { canary: users-v2, steps: [5, 25, 100], at_least: 1h }
  quick: { canary: users-v2, steps: [5, 50, 100], at_least: 10s, requests: 20, warmup: 0s }
routes:
  - { name: users, match: { path: "/users/*" }, to: { users-v1: 80, users-v2: 20 } }
  - { name: orders, match: { path: "/orders/*" }, to: { users-v1: 100, users-v2: 0 }, rollout: slow }
  - { name: offers, match: { path: "/offers/*" }, to: { users-v1: 100, users-v2: 0 }, rollout: quick }
`, { files: { tokens: TOKENS }, admin: "{ bind: 127.0.0.1:0, token_file: tokens }" });
  browser = await launch();
  traffic = new Traffic(gateway.listeners[0], ["/users/1", "/users/2", "/offers/1", "/offers/2"], 200);
});
after(async () => {
  traffic?.stop();
  await browser?.close();
  await gateway?.stop();
  for (const service of services ?? []) {
    await service.stop();
  }
});

/**
 * A page of a client that has given its token.
 * @param {string} token
 * @param {string} path
 */
async function page(token, path) {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/${path}`);
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  return page;
}

/** The live weights of a route, in order. @param {string} route */
async function live(route) {
  const { arms } = await gateway.api(`/routes/${route}`, { headers: HEADERS });
  return arms.map((/** @type {any} */ arm) => arm.live);
}

/** Turns a dial as somebody else would. @param {Record<string, number>} weights */
async function turn(weights) {
  const headers = { ...HEADERS, "content-type": "application/json" };
  await gateway.api("/routes/users/split", { method: "PUT", headers, body: JSON.stringify(weights) });
}

test("a canary that fails is found from the overview, and taken back", async () => {
  await turn({ "users-v1": 80, "users-v2": 20 });
  const overview = await page("open-sesame", "");
  const health = overview.getByRole("region", { name: "Health" });
  await health.getByText(/at users-v2, 0 of \d+ at users-v1/).waitFor();
  await health.getByRole("link", { name: /^Open the route.*users/ }).click();
  await overview.getByText(/users-v2 fails more/).waitFor();
  await shoot(overview, "canary-fails");
  await overview.getByRole("button", { name: "All to users-v1…" }).click();
  const dialog = overview.getByRole("dialog");
  await dialog.getByText(/To undo/).waitFor();
  await dialog.getByText(/waypost dial users/).waitFor();
  await accessible(overview);
  await shoot(overview, "dial-confirm");
  await dialog.getByRole("button", { name: "Turn the dial" }).click();
  await dialog.waitFor({ state: "detached" });
  await overview.waitForFunction(() => document.activeElement?.className === "route-verdict");
  const [first, second] = await live("users");
  assert.ok(first > 0);
  assert.equal(second, 0);
  await overview.getByRole("button", { name: "Undo…" }).click();
  await dialog.getByRole("button", { name: /Turn|Reset/ }).click();
  await dialog.waitFor({ state: "detached" });
  const [before, after] = await live("users");
  assert.equal(before, 4 * after);
  await close(overview);
});

test("a dial that somebody else has turned meanwhile is not overwritten unseen", async () => {
  const mine = await page("open-sesame", "routes/users");
  await mine.getByRole("button", { name: /All to A/ }).click();
  const dialog = mine.getByRole("dialog");
  await turn({ "users-v1": 70, "users-v2": 30 });
  await dialog.getByRole("button", { name: "Turn the dial" }).click();
  await dialog.getByText("The split has changed meanwhile").waitFor();
  assert.deepEqual(await live("users"), [70, 30]);
  await shoot(mine, "dial-stale");
  await dialog.getByRole("button", { name: "Turn it all the same" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal((await live("users"))[1], 0);
  await close(mine);
});

test("the dial obeys the keyboard, and typed shares", async () => {
  await turn({ "users-v1": 80, "users-v2": 20 });
  const mine = await page("open-sesame", "routes/users");
  const slider = mine.getByRole("slider");
  await slider.focus();
  await mine.keyboard.press("ArrowLeft");
  await mine.getByRole("button", { name: "Turn the dial…" }).focus();
  await mine.keyboard.press("Enter");
  await mine.getByRole("dialog").waitFor();
  await mine.keyboard.press("Escape");
  await mine.getByRole("dialog").waitFor({ state: "detached" });
  assert.deepEqual(await live("users"), [80, 20]);
  await mine.getByLabel("Share of users-v2 in percent").fill("40");
  await mine.getByRole("button", { name: "Turn the dial…" }).click();
  await mine.getByRole("dialog").getByRole("button", { name: "Turn the dial" }).click();
  await mine.getByRole("dialog").waitFor({ state: "detached" });
  const [first, second] = await live("users");
  assert.equal(first * 2, second * 3);
  const share = mine.getByLabel("Share of users-v2 in percent");
  await share.fill("30");
  await share.press("Escape");
  // Escape discards, and the page may only now see the dial of the gateway.
  await mine.waitForFunction((field) => /** @type {HTMLInputElement} */ (field).value === "40", await share.elementHandle());
  await share.fill("0,5");
  await share.press("Enter");
  await mine.getByRole("dialog").getByText("users-v2 gets 0.50 %").waitFor();
  await mine.keyboard.press("Escape");
  await mine.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(await share.evaluate((element) => element === document.activeElement), "the focus comes back");
  await share.fill("140");
  assert.ok(await mine.getByRole("alert").filter({ hasText: /\S/ }).count() > 0);
  await close(mine);
});

test("a token for reading shows the dial, and why it cannot be turned", async () => {
  const reader = await page("just-looking", "routes/users");
  await reader.getByLabel("Share of users-v2 in percent").waitFor();
  for (const name of [/All to A/, "Turn the dial…", "Reset…"]) {
    const button = reader.getByRole("button", { name });
    assert.ok(await button.evaluate((element) => element.matches(":disabled, [aria-disabled=true]")), String(name));
  }
  assert.match(await reader.getByRole("main").innerHTML(), /for reading only/);
  await accessible(reader);
  await shoot(reader, "dial-read-only");
  await close(reader);
});

test("a rollout of a version that fails is started here, and seen to be taken back", async () => {
  const mine = await page("open-sesame", "routes/offers");
  await mine.getByRole("button", { name: /Start/ }).click();
  await mine.getByRole("dialog").getByRole("button", { name: /Start/ }).click();
  await mine.getByRole("dialog").waitFor({ state: "detached" });
  await mine.locator(".badge", { hasText: "Rolled back" }).first().waitFor({ timeout: 60_000 });
  assert.deepEqual(await live("offers"), [100, 0]);
  await accessible(mine);
  await shoot(mine, "rollout-rolled-back");
  await close(mine);
});

test("a step that two promote at once is taken once, and the second sees where it went", async () => {
  const act = (/** @type {string} */ action) => gateway.api(`/routes/orders/rollout${action}`, { method: "POST", headers: { ...HEADERS, "content-type": "application/json" }, body: "{}" });
  await act("");
  const mine = await page("open-sesame", "routes/orders");
  await mine.getByRole("button", { name: "Promote…" }).click();
  const dialog = mine.getByRole("dialog");
  await dialog.getByText("gets 25 % at once").waitFor();
  await act("/promote");
  await dialog.getByRole("button", { name: "Promote" }).click();
  await dialog.getByText("The rollout has changed meanwhile").waitFor();
  assert.deepEqual(await live("orders"), [75, 25]);
  await dialog.getByText("gets 100 % at once").waitFor();
  await accessible(mine);
  await shoot(mine, "rollout-stale");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await mine.getByRole("button", { name: "Pause…" }).click();
  await act("/abort");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await dialog.getByText("There is nothing left to pause").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.deepEqual(await live("orders"), [100, 0]);
  await close(mine);
});
