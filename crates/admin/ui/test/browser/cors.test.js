// Pages of other origins: what Chromium lets them do by the gateway's `cors`, which no test of bytes can tell.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { launch, open } from "./support/browser.js";
import { Gateway } from "./support/gateway.js";

/** @type {Gateway} */ let gateway;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {import("node:http").Server[]} */ const servers = [];
/** Requests that reached the service. @type {string[]} */ const seen = [];
/** The pages' server, by two names: the first is allowed. */
let mine = "";
let foreign = "";

/** @param {import("node:http").RequestListener} listener */
async function serve(listener) {
  const server = createServer(listener);
  servers.push(server);
  await new Promise((resolve) => server.listen(0, () => resolve(undefined)));
  return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
}

before(async () => {
  const service = await serve((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume();
    response.writeHead(200, {
      "content-type": "text/plain",
      // Wrong on purpose: the gateway's word is the only one.
      "access-control-allow-origin": "*",
      "set-cookie": "session=1; Path=/",
      etag: '"7"',
      "x-hidden": "1",
    });
    response.end(request.headers.cookie ?? "no cookie");
  });
  const pages = await serve((request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(request.url === "/opaque"
      ? '<!doctype html><title>Outer</title><iframe sandbox="allow-scripts" src="/"></iframe>'
      : "<!doctype html><title>Page</title>");
  });
  mine = `http://127.0.0.1:${pages}`;
  foreign = `http://localhost:${pages}`;
  gateway = await Gateway.start(`
listeners: [{ bind: "127.0.0.1:0", cors: { origins: ["${mine}"], credentials: true } }]
services:
  api: { endpoints: ["http://127.0.0.1:${service}"] }
  down: { endpoints: ["http://127.0.0.1:1"] }
policies:
  app: { cors: { origins: ["${mine}"], methods: [PUT], headers: [content-type, x-token], expose: [etag], credentials: true, max_age: 10s } }
routes:
  - { name: app, match: { path: "/app/*" }, use: app, to: api }
  - { name: echo, match: { path: "/echo/*" }, to: api, cors: { origins: ["${mine}"], methods: "*", headers: "*", credentials: true } }
  - { name: open, match: { path: "/open/*" }, to: api, cors: { origins: "*" } }
  - { name: below, match: { path: "/below/*" }, to: api, cors: { origins: ["http://*.localhost:${pages}"] } }
  - { name: none, match: { path: "/none/*" }, to: api, cors: off }
  - { name: down, match: { path: "/down" }, use: app, to: down }
  - { name: closed, match: { path: "/closed" }, use: app, to: api, access: { deny: ["127.0.0.0/8"] } }
  - { name: moved, match: { path: "/moved" }, use: app, redirect: { path: /app/x } }
`);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/**
 * What pages of `origin` get for these requests: status, text and headers that they may read, or `refused`.
 * @param {string} origin
 * @param {[string, RequestInit?][]} requests
 */
async function attempts(origin, requests) {
  const page = await open(browser);
  await page.goto(origin);
  const frames = page.frames();
  const frame = frames[frames.length - 1];
  const outcomes = await frame.evaluate(ask, { base: gateway.listeners[0], requests });
  await page.context().close();
  return outcomes;
}

/** @param {{ base: string, requests: [string, RequestInit?][] }} argument */
async function ask({ base, requests }) {
  const outcomes = [];
  for (const [path, init] of requests) {
    try {
      const response = await fetch(base + path, init);
      outcomes.push([response.status, response.ok ? await response.text() : "", [...response.headers.keys()].sort().join(" ")]);
    } catch {
      outcomes.push("refused");
    }
  }
  return outcomes;
}

const READABLE = "content-type";

test("a page of an allowed origin reads responses, with cookies where it asks for them", async () => {
  const [plain, first, second] = await attempts(mine, [
    ["/app/x"],
    ["/app/x", { credentials: "include" }],
    ["/app/x", { credentials: "include" }],
  ]);
  assert.deepEqual(plain, [200, "no cookie", `${READABLE} etag`]);
  assert.deepEqual(first.slice(0, 2), [200, "no cookie"]);
  assert.deepEqual(second.slice(0, 2), [200, "session=1"]);
});

test("preflights let through what is listed, and nothing else reaches the service", async () => {
  seen.length = 0;
  const json = { "content-type": "application/json" };
  const outcomes = await attempts(mine, [
    ["/app/put", { method: "PUT", body: "{}", headers: json, credentials: "include" }],
    ["/app/post", { method: "POST", body: "{}", headers: { ...json, "X-TOKEN": "1" } }],
    ["/app/delete", { method: "DELETE" }],
    ["/app/lower", { method: "put" }],
    ["/app/patch", { method: "patch" }],
    ["/app/header", { headers: { "x-other": "1" } }],
  ]);
  assert.deepEqual(outcomes.map((outcome) => outcome[0]), [200, 200, "r", 200, "r", "r"]);
  assert.deepEqual(seen, ["PUT /app/put", "POST /app/post", "PUT /app/lower"]);
});

test("a star allows whatever a page asks for", async () => {
  const outcomes = await attempts(mine, [
    ["/echo/x", { method: "DELETE", headers: { "x-any": "1", authorization: "Bearer x" }, credentials: "include" }],
    ["/echo/x", { method: "PROPFIND" }],
    ["/echo/x", { method: "QUERY", body: "x" }],
  ]);
  assert.deepEqual(outcomes.map((outcome) => outcome[0]), [200, 200, 200]);
});

test("a page of any other origin reads nothing, whatever the service says", async () => {
  seen.length = 0;
  const outcomes = await attempts(foreign, [
    ["/app/x"],
    ["/app/x", { credentials: "include" }],
    ["/app/x", { method: "PUT" }],
    ["/app/x", { headers: { "x-token": "1" } }],
    ["/closed"],
    ["/nowhere"],
    ["/echo/x", { method: "DELETE" }],
  ]);
  assert.deepEqual(outcomes, Array(7).fill("refused"));
  // Simple requests are sent all the same; those with a preflight are not.
  assert.deepEqual(seen, ["GET /app/x", "GET /app/x"]);
});

test("all origins are let in by a star, but never with credentials", async () => {
  for (const page of [mine, foreign, `${mine}/opaque`]) {
    const [plain, withCookies, put] = await attempts(page, [
      ["/open/x"],
      ["/open/x", { credentials: "include" }],
      ["/open/x", { method: "PUT", headers: { "content-type": "application/json" }, body: "{}" }],
    ]);
    assert.deepEqual([plain[0], withCookies, put[0]], [200, "refused", 200], page);
  }
});

test("a page without an origin of its own is let in nowhere else", async () => {
  assert.deepEqual(await attempts(`${mine}/opaque`, [["/app/x"], ["/app/x", { method: "PUT" }], ["/below/x"]]), Array(3).fill("refused"));
});

test("a wildcard is for pages below a name", async () => {
  const { port } = new URL(mine);
  for (const [host, expected] of [["a.localhost", 200], ["b.a.localhost", 200], ["localhost", "r"], ["127.0.0.1", "r"]]) {
    const [[status]] = await attempts(`http://${host}:${port}`, [["/below/x"]]);
    assert.equal(status, expected, String(host));
  }
});

test("scripts read errors of the gateway, and follow its redirects", async () => {
  const outcomes = await attempts(mine, [
    ["/down"],
    ["/down", { method: "PUT", credentials: "include" }],
    ["/closed", { credentials: "include" }],
    ["/nowhere", { credentials: "include" }],
    ["/moved", { credentials: "include" }],
  ]);
  assert.deepEqual(outcomes.map((outcome) => outcome[0]), [502, 502, 403, 404, 200]);
});

test("where there is no policy, the service is believed, and preflights are its own", async () => {
  seen.length = 0;
  const outcomes = await attempts(foreign, [["/none/x"], ["/none/x", { method: "DELETE" }]]);
  assert.deepEqual(outcomes.map((outcome) => outcome[0]), [200, "r"]);
  assert.deepEqual(seen, ["GET /none/x", "OPTIONS /none/x"]);
});
