// The system's Chromium, and its pages, which may log no error.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";

/** Screenshots for people to look at. */
const SCREENSHOTS = new URL("../../../../../../target/screenshots/", import.meta.url).pathname;
/** Names under which systems have it. */
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/** The time within which something is to be seen, in milliseconds. */
const PATIENCE_MS = 30_000;

/** The looks in which each page is judged. */
export const LOOKS = /** @type {const} */ ([
  { look: "light", colorScheme: "light", viewport: { width: 1280, height: 800 } },
  { look: "dark", colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  { look: "phone", colorScheme: "light", viewport: { width: 360, height: 740 } },
]);

/** The path of Chromium. */
function executable() {
  if (process.env.CHROMIUM) {
    return process.env.CHROMIUM;
  }
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      if (existsSync(path)) {
        return path;
      }
    }
  }
  throw new Error("Chromium is not installed; install it, or name it with CHROMIUM=PATH");
}

/** Starts Chromium. Root has no sandbox. */
export function launch() {
  return chromium.launch({ executablePath: executable(), args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

/**
 * A page of its own, whose errors a test reads at its end.
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", ...LOOKS[0], ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  /** @type {string[]} */
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    // Chromium reports each response that is no success; pages are to handle those.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) {
      errors.push(message.text());
    }
  });
  return Object.assign(page, { errors });
}

/** @typedef {Awaited<ReturnType<typeof open>>} Page */

/**
 * Fails if the page logged an error, or its content security policy was violated.
 * @param {Page} page
 */
export async function close(page) {
  const { errors } = page;
  // Answers that a test makes up may still be under way.
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.context().close();
  assert.deepEqual(errors, []);
}

/**
 * Fails where axe finds a barrier by WCAG 2.2 AA.
 * @param {Page} page
 */
export async function accessible(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => /** @type {any} */ (globalThis).axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const findings = found.violations.flatMap((/** @type {any} */ violation) =>
    violation.nodes.map((/** @type {any} */ node) => `${violation.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
  assert.deepEqual(findings, []);
}

/**
 * Fails if the page as a whole scrolls sideways.
 * @param {Page} page
 */
export async function fits(page) {
  const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= shown, `the page is ${wide} px wide on a screen of ${shown} px: ${page.url()}`);
}

/**
 * Takes a screenshot for people to look at.
 * @param {Page} page
 * @param {string} name
 */
export async function shoot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: "disabled" });
}
