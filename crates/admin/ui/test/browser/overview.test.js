// The first page: health, figures and changes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";
import { Service } from "./support/service.js";

/** @type {Gateway} */ let gateway;
/** @type {Service} */ let service;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  service = await Service.start((request) => ({ status: request.url?.startsWith("/bad") ? 500 : 200 }));
  gateway = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
  one: { endpoints: [${service.url}] }
  two: { endpoints: [${service.url}] }
routes:
  - { name: good, match: { path: /good/* }, to: { one: 90, two: 10 } }
  - { name: bad, match: { path: /bad/* }, to: one }
  - { name: limited, match: { path: /limited/* }, rate: { requests: 1, per: 1h }, to: { one: 90, two: 10 } }
`);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  await service?.stop();
});

/** @param {string} path @param {number} times */
async function send(path, times) {
  for (let sent = 0; sent < times; sent += 1) await (await fetch(`${gateway.listeners[0]}${path}`)).text();
}

test("a route that fails makes the gateway fail, and leads to the route", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  const health = page.getByRole("region", { name: "Health" });
  await health.getByText("Healthy").waitFor();
  await send("/good/a", 30);
  await send("/bad/a", 30);
  await health.getByText("Failing").waitFor();
  await health.getByText("30 of 30 requests failed").waitFor();
  const failing = page.getByRole("region", { name: "Routes with the most failures in the last minute" });
  await failing.getByRole("cell", { name: "100 %" }).waitFor();
  assert.equal(await failing.getByRole("row").count(), 2, "a route without failures is not there");
  await failing.getByRole("link", { name: "bad" }).click();
  await page.waitForURL(/#\/routes\/bad$/);
  await close(page);
});

test("a dial is a mark on every chart, and among the newest changes", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  const charts = page.locator("figure.chart");
  await charts.nth(2).waitFor();
  await gateway.api("/routes/good/split", { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ one: 50, two: 50 }) });
  await page.getByText("one 50, two 50 by local").last().waitFor();
  for (let at = 0; at < 3; at += 1) {
    await charts.nth(at).getByRole("listitem").filter({ hasText: "good: one 50, two 50 by local" }).waitFor();
  }
  await charts.nth(0).getByText("Figures", { exact: false }).first().click();
  await charts.nth(0).getByRole("columnheader", { name: "Time" }).waitFor();
  await accessible(page);
  await close(page);
});

test("refusals are beside failures, and none of them", async () => {
  await send("/limited/a", 10);
  const page = await open(browser);
  await page.goto(gateway.admin);
  await page.getByRole("region", { name: "Health" }).getByText("refused by rules").waitFor();
  await page.getByRole("img", { name: /^Failed and refused requests per second: .*refused now .*, highest [1-9]/ }).waitFor();
  await page.goto(`${gateway.admin}/#/routes`);
  await page.getByRole("row").filter({ has: page.getByRole("link", { name: "limited", exact: true }) }).getByText("90.0 % refused").waitFor();
  await page.goto(`${gateway.admin}/#/routes/limited`);
  const statuses = page.getByRole("region", { name: "Status codes" });
  await statuses.getByRole("columnheader", { name: "the gateway itself" }).waitFor();
  await statuses.getByRole("rowheader", { name: "429" }).waitFor();
  await page.getByRole("columnheader", { name: "Refused" }).waitFor();
  await page.getByText("No request has failed", { exact: true }).waitFor();
  await accessible(page);
  await close(page);
});

test("ages are by the clock of the gateway", async () => {
  await gateway.api("/routes/good/split", { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ one: 60, two: 40 }) });
  for (const hours of [2, -2]) {
    const page = await open(browser);
    await page.addInitScript((shift) => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + shift;
    }, hours * 3_600_000);
    await page.goto(`${gateway.admin}/#/routes/good`);
    await page.getByText(/Last turned (now|\d+ s ago) by local/).waitFor();
    await close(page);
  }
});

test("the figures outlive a reload, and the window stays in the address", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  await page.getByRole("button", { name: "10 min" }).click();
  await page.waitForURL(/window=minutes/);
  await page.reload();
  await page.getByRole("heading", { name: "Last 10 minutes" }).waitFor();
  const drawn = page.getByRole("img", { name: /^Requests per second: requests now .*, highest [1-9]/ });
  await drawn.waitFor();
  await close(page);
});

test("the first page fits every look", async () => {
  for (const look of LOOKS) {
    const page = await open(browser, look);
    await page.goto(gateway.admin);
    await page.getByRole("region", { name: "Routes with the longest durations in the last minute" }).waitFor();
    await accessible(page);
    await fits(page);
    await shoot(page, `overview-${look.look}`);
    await close(page);
  }
});
