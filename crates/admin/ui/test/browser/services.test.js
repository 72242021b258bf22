// Endpoints: their state, and drains.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";
import { Service } from "./support/service.js";

const NAME = `a-${"long-".repeat(23)}name`;

/** @type {Gateway} */ let gateway;
/** @type {Service[]} */ let services;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  services = await Promise.all([Service.start(), Service.start()]);
  const [one, other] = services.map((service) => service.url);
  gateway = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
  orders: { endpoints: [${one}, ${other}] }
  ${NAME}: { endpoints: [${one}] }
  unused: { endpoints: [${other}] }
routes:
  - { name: orders, match: { path: /orders/* }, to: orders }
  - { name: ${NAME}, match: { path: /long/* }, to: ${NAME} }
`);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  await Promise.all(services.map((service) => service.stop()));
});

/** The address of an endpoint. @param {number} at */
const address = (at) => services[at].url.replace("http://", "");

test("an endpoint is drained after a confirmation, and taken back", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/services`);
  const orders = page.getByRole("region", { name: "Service orders" });
  await orders.getByText("2 of 2 available").waitFor();
  const drain = orders.getByRole("button", { name: `Drain ${address(0)}` });
  await drain.click();
  const dialog = page.getByRole("dialog", { name: /^Drain / });
  assert.match(await dialog.innerText(), /1 other endpoint of orders remains available[^]*To undo:/);
  await accessible(page);
  await shoot(page, "services-drain");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await drain.evaluate((button) => button === document.activeElement), true, "the focus is back");

  await drain.press("Enter");
  await dialog.getByRole("button", { name: "Drain" }).press("Enter");
  await orders.getByText("1 of 2 available").waitFor();
  const [{ state }] = (await gateway.api("/services/orders")).endpoints[0].addresses;
  assert.equal(state, "drained");

  await orders.getByRole("button", { name: `Take back ${address(0)}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take back" }).click();
  await orders.getByText("2 of 2 available").waitFor();
  await close(page);
});

test("the last endpoint is drained only after a warning", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/services/${NAME}`);
  await page.getByRole("button", { name: `Drain ${address(0)}` }).click();
  await page.getByText(`No other endpoint of ${NAME} is available.`).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await close(page);
});

test("a token for reading shows a drain, and why it is not for it", async () => {
  const guarded = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services: { orders: { endpoints: [${services[0].url}] } }
routes: [{ name: orders, match: { path: /* }, to: orders }]
`, { admin: "{ bind: 127.0.0.1:0, token_file: tokens }", files: { tokens: "bob secret-of-bob read\n" } });
  const page = await open(browser);
  await page.goto(`${guarded.admin}/#/services`);
  await page.getByLabel("Token").fill("secret-of-bob");
  await page.keyboard.press("Enter");
  const drain = page.getByRole("button", { name: `Drain ${address(0)}` });
  await drain.waitFor();
  assert.equal(await drain.getAttribute("aria-disabled"), "true");
  assert.equal(await drain.getAttribute("title"), "The token of “bob” is for reading only.");
  await drain.click({ force: true });
  assert.equal(await page.getByRole("dialog").count(), 0);
  await accessible(page);
  await close(page);
  await guarded.stop();
});

test("services are found by name and address, also from a link", async () => {
  const page = await open(browser);
  await page.goto(`${gateway.admin}/#/services`);
  const shown = page.getByRole("region", { name: /^Service / });
  await shown.nth(2).waitFor();
  await page.getByRole("searchbox", { name: "Search services" }).fill("UNUS");
  await shown.nth(1).waitFor({ state: "detached" });
  await page.getByText("no route leads here").waitFor();
  assert.equal(await shown.count(), 1);
  await page.reload();
  await page.getByText("no route leads here").waitFor();
  assert.equal(await shown.count(), 1);
  await page.getByRole("searchbox", { name: "Search services" }).fill("nothing such");
  await page.getByText("No service is as you search").waitFor();
  await close(page);
});

test("a page of services fits every look", async () => {
  for (const look of LOOKS) {
    const page = await open(browser, look);
    await page.goto(`${gateway.admin}/#/services`);
    await page.getByText("2 of 2 available").waitFor();
    await accessible(page);
    await fits(page);
    await shoot(page, `services-${look.look}`);
    await close(page);
  }
});

test("thousands of services are paged and searched by the gateway", async () => {
  const [one] = services.map((service) => service.url);
  const many = Array.from({ length: 3000 }, (_, at) => `  s-${String(at).padStart(4, "0")}: { endpoints: [${one}] }`).join("\n");
  const large = await Gateway.start(`
listeners: [{ bind: 127.0.0.1:0 }]
services:
${many}
routes: [{ name: r, match: { path: /* }, to: s-2999 }]
`);
  await large.api("/services/s-2500/drain", { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ endpoint: one, drained: true }) });
  const page = await open(browser);
  await page.goto(`${large.admin}/#/services`);
  const shown = page.getByRole("region", { name: /^Service / });
  await page.getByText("All 3000").waitFor();
  assert.equal(await shown.count(), 50);
  assert.equal(await shown.first().getAttribute("aria-label"), "Service s-2500", "what is out comes first");
  await page.getByRole("button", { name: "Show 50 more of 3,000 services" }).click();
  await shown.nth(99).waitFor();
  await page.getByRole("searchbox", { name: "Search services" }).fill("s-299");
  await page.getByRole("region", { name: "Service s-2999" }).waitFor();
  assert.equal(await shown.count(), 10);
  await page.getByRole("searchbox", { name: "Search services" }).fill("");
  await page.getByRole("button", { name: "With endpoints out" }).click();
  // The list of all has it in front too.
  await shown.nth(1).waitFor({ state: "detached" });
  await page.getByRole("region", { name: "Service s-2500" }).waitFor();
  assert.equal(await shown.count(), 1);
  await page.goto(`${large.admin}/#/services/nothing`);
  await page.getByText("There is no service named nothing").waitFor();
  await page.goto(`${large.admin}/#/services/s-2999`);
  await page.getByText("1 of 1 available").waitFor();
  await accessible(page);
  await close(page);
  await large.stop();
});
