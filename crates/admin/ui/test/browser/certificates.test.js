// Certificates that listeners serve, and those that end soon.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, close, fits, launch, LOOKS, open, shoot } from "./support/browser.js";
import { certificate } from "./support/certificate.js";
import { Gateway } from "./support/gateway.js";

const DAY = 24;
const LONG = `${"very-".repeat(11)}long.${"very-".repeat(11)}long.test`;

/** Files with certificates, by the hours until they end. @type {Record<string, [string[], number]>} */
const CERTIFICATES = {
  later: [["later.test", "*.later.test"], 90 * DAY + 1],
  soon: [["soon.test", LONG], 9 * DAY + 1],
  late: [["late.test"], 30],
  hours: [["hours.test"], 5],
  ended: [["ended.test"], -30],
};

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  /** @type {Record<string, string>} */
  const files = {};
  for (const [name, [hosts, hours]] of Object.entries(CERTIFICATES)) {
    const { cert, key } = certificate(hosts, hours);
    files[`${name}.crt`] = cert;
    files[`${name}.key`] = key;
  }
  gateway = await Gateway.start(`
listeners:
  - name: public
    bind: 127.0.0.1:0
    tls: { certificates: [${Object.keys(CERTIFICATES).map((name) => `{ cert: ${name}.crt, key: ${name}.key }`).join(", ")}] }
routes:
  - { name: all, match: { path: /* }, respond: { status: 200 } }
`, { files });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** @param {import("./support/browser.js").Page} page */
const panel = (page) => page.getByRole("region", { name: "Certificates, the first to end in front" });

/** @param {import("./support/browser.js").Page} page */
async function rows(page) {
  const body = panel(page).locator("tbody tr");
  await body.first().waitFor();
  const all = await body.all();
  return Promise.all(all.map(async (row) => [await row.locator("td").first().innerText(), (await row.locator("td").last().innerText()).replace(/^.\n/, "")]));
}

test("certificates are told by their end, and those that end soon are a reason", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  const all = await rows(page);
  assert.deepEqual(all.map(([names]) => names.split(".")[0]), ["ended", "hours", "late", "soon", "later"]);
  assert.deepEqual(all.map(([, left]) => left), ["ended", "< 1 day", "1 day", "9 days", "90 days"]);
  const health = page.getByRole("region", { name: "Health" });
  await health.getByText("Attention").waitFor();
  const reasons = await health.getByRole("listitem").allInnerTexts();
  assert.match(reasons[0], /ended\.crt.*ended\.test.*has ended|ended/s);
  assert.equal(reasons.filter((reason) => reason.includes("later.crt")).length, 0);
  // Ends in the reader's zone; with UTC on hover.
  const time = panel(page).locator("tbody tr").first().locator("time");
  assert.match(await time.getAttribute("title") ?? "", /UTC|Z/);
  await accessible(page);
  await close(page);
});

test("certificates with long names fit every look", async () => {
  for (const look of LOOKS) {
    const page = await open(browser, look);
    await page.goto(gateway.admin);
    await panel(page).scrollIntoViewIfNeeded();
    await rows(page);
    await fits(page);
    await accessible(page);
    await shoot(page, `certificates-${look.look}`);
    await close(page);
  }
});

test("a certificate that is renewed is no reason any more", async () => {
  const page = await open(browser);
  await page.goto(gateway.admin);
  await rows(page);
  for (const [name, [hosts]] of Object.entries(CERTIFICATES)) {
    if (name === "later") continue;
    const { cert, key } = certificate(hosts, 60 * DAY + 1);
    await writeFile(join(gateway.folder, `${name}.key`), key);
    await writeFile(join(gateway.folder, `${name}.crt`), cert);
  }
  await page.getByRole("region", { name: "Health" }).getByText("Healthy").waitFor();
  await page.reload();
  assert.deepEqual((await rows(page)).map(([, left]) => left), ["60 days", "60 days", "60 days", "60 days", "90 days"]);
  await close(page);
});

test("a certificate that is still to be issued stands in front and tells how its order comes along", async () => {
  // An authority that never answers.
  const authority = createServer();
  await new Promise((resolve) => { authority.listen(0, "127.0.0.1", () => resolve(undefined)); });
  const { port } = /** @type {import("node:net").AddressInfo} */ (authority.address());
  const { cert, key } = certificate(["later.test"], 90 * DAY + 1);
  const waiting = await Gateway.start(`
listeners:
  - name: public
    bind: 127.0.0.1:0
    tls: { certificates: [{ cert: a.crt, key: a.key }, { acme: { directory: "https://127.0.0.1:${port}/dir", hosts: [new.test] } }] }
routes:
  - { name: all, match: { path: /* }, respond: { status: 200 } }
`, { files: { "a.crt": cert, "a.key": key } });
  const page = await open(browser);
  await page.goto(waiting.admin);
  await panel(page).getByText("being ordered").waitFor();
  assert.deepEqual(await rows(page), [["new.test", "being ordered"], ["later.test", "90 days"]]);
  await page.getByRole("region", { name: "Health" }).getByText("a self-signed certificate is served for new.test").waitFor();
  await accessible(page);
  await close(page);
  await waiting.stop();
  authority.close();
});
