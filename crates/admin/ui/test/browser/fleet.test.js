// A fleet on the first page. The fleet is made of answers of a gateway that is in none, with what an instance of one adds.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { Gateway, SPLIT } from "./support/gateway.js";

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  gateway = await Gateway.start(SPLIT);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** Adds to the answers of the gateway what an instance of a fleet would say.
 * @param {import("playwright-core").Page} page
 * @param {{ canary: object | null, missing: string[], taken: string[], reasons?: object[] }} fleet */
async function inFleet(page, fleet) {
  await page.route("**/api/v1/status", async (route) => {
    const answer = await route.fetch();
    const canary = fleet.canary ? { canary: fleet.canary } : {};
    await route.fulfill({ response: answer, json: { ...(await answer.json()), fleet: { prefix: "/w", instance: "gw-1", leader: "gw-1", instances: 3, ...canary } } });
  });
  await page.route("**/api/v1/timeline?*", async (route) => {
    const answer = await route.fetch();
    const { missing } = fleet;
    await route.fulfill({ response: answer, json: { ...(await answer.json()), instances: 3 - missing.length, missing } });
  });
  await page.route("**/api/v1/routes?*", async (route) => {
    const answer = await route.fetch();
    const { missing } = fleet;
    await route.fulfill({ response: answer, json: { ...(await answer.json()), instances: 3 - missing.length, missing } });
  });
  await page.route("**/api/v1/fleet/health", async (route) => {
    const { missing, reasons } = fleet;
    await route.fulfill({ json: { word: reasons ? "failing" : "healthy", reasons: reasons ?? [], instances: 3 - missing.length, missing } });
  });
  await page.route("**/api/v1/fleet/canary", async (route) => {
    fleet.taken.push(`${route.request().method()} ${route.request().headers()["if-match"]}`);
    fleet.canary = null;
    await route.fulfill({ json: {} });
  });
}

const canary = () => ({ id: "c1", stage: "holding", instances: [{ id: "gw-2", state: "healthy" }], hold_ms: 60_000, time: new Date().toISOString(), by: "ann", summary: "routes ~users" });

test("figures say of how many instances they are, and name one that is left out", async () => {
  const page = await open(browser);
  const fleet = { canary: null, missing: /** @type {string[]} */ ([]), taken: [] };
  await inFleet(page, fleet);
  await page.goto(gateway.admin);
  const health = page.getByRole("region", { name: "Health" });
  await health.getByText("figures of 3 instances").waitFor();
  fleet.missing = ["gw-3"];
  await health.getByText("figures of 2 of 3 instances").waitFor();
  await health.getByText("The figures are without gw-3, which does not answer in time.").waitFor();
  // Most failures, and slowest: each panel asks at a time of its own.
  await page.getByText("without gw-3", { exact: true }).nth(1).waitFor();
  assert.equal(await page.getByText("without gw-3", { exact: true }).count(), 2);
  await health.getByText(/connections? at gw-1/).waitFor();
  await page.goto(`${gateway.admin}/#/routes`);
  await page.getByText("· figures of 2 of 3 instances, without gw-3").waitFor();
  await page.goto(`${gateway.admin}/#/live`);
  await page.getByText("requests of this instance").waitFor();
  await close(page);
});

test("the health is the worst of all instances, and names them", async () => {
  const page = await open(browser);
  const message = "route `users`: 6 of 6 requests failed in the last 60 s (at 1 of 3 instances: gw-2)";
  const fleet = { canary: null, missing: [], taken: [], reasons: /** @type {object[] | undefined} */ ([{ severity: "error", kind: "route", name: "users", message }]) };
  await inFleet(page, fleet);
  await page.goto(gateway.admin);
  const health = page.getByRole("region", { name: "Health" });
  await health.getByText("Failing").waitFor();
  await health.getByText("(at 1 of 3 instances: gw-2)").waitFor();
  fleet.reasons = undefined;
  await health.getByText("Healthy").waitFor();
  await close(page);
});

test("a config that is tried is taken back after a question", async () => {
  const page = await open(browser);
  const fleet = { canary: canary(), missing: [], taken: /** @type {string[]} */ ([]) };
  await inFleet(page, fleet);
  await page.goto(gateway.admin);
  const tried = page.getByRole("region", { name: "Config that is tried" });
  await tried.getByText("1 of 3 instances tries a config: gw-2.").waitFor();
  await tried.getByRole("button", { name: "Take back" }).click();
  const question = page.getByRole("dialog", { name: "Take the config back?" });
  await question.getByText("gw-2 goes back to the config of the others at once: routes ~users.").waitFor();
  await question.getByRole("button", { name: "Take back" }).click();
  await tried.waitFor({ state: "detached" });
  assert.deepEqual(fleet.taken, ['DELETE "c1"']);
  await close(page);
});

for (const { look, ...options } of LOOKS) {
  test(`the first page of a fleet fits, ${look}`, async () => {
    const page = await open(browser, options);
    await inFleet(page, { canary: canary(), missing: ["gw-3"], taken: [], reasons: [{ severity: "error", kind: "service", name: "users-v1", message: "service `users-v1`: no endpoint is available (at 1 of 3 instances: gw-2)" }] });
    await page.goto(gateway.admin);
    await page.getByRole("region", { name: "Config that is tried" }).waitFor();
    await page.getByText("figures of 2 of 3 instances").waitFor();
    await fits(page);
    await accessible(page);
    await shoot(page, `fleet-${look}`);
    await close(page);
  });
}
