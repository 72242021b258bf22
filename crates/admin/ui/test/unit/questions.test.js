import assert from "node:assert/strict";
import { test } from "node:test";

import { curlRequest, shellWords } from "../../src/model/curl.js";
import { differences, inShort, printable, rateText, rules, verdict } from "../../src/model/explained.js";
import { BLANK, fromCurl, fromQuery, fullUrl, headersOf, isCurl, toBody, toQuery } from "../../src/model/question.js";
import { mayBeSecret, shareableUrl } from "../../src/model/secrets.js";

test("a rate limit says what would remain", () => {
  const limit = { requests: 10, per: "1s", burst: 10, by: "client_ip", remaining: 9 };
  assert.equal(rateText(limit), "10 in 1s, by client_ip: 9 would remain");
  const other = { ...limit, burst: 20, by: "header x-tenant", counted_by: "client_ip", retry_after: 3, report_only: true };
  assert.equal(rateText(other), "10 in 1s, 20 at once, by header x-tenant, which is not there, so by client_ip: used up, for 3 s; only reported");
});

test("a line is split as a shell does", () => {
  const cases = [
    ["a 'b c' d", ["a", "b c", "d"]],
    [`"a \\"b\\" \\x" c\\ d`, [`a "b" \\x`, "c d"]],
    ["$'a\\'b\\n'", ["a'b\n"]],
    ["''", [""]],
    ["a'b", null],
    ['"a', null],
  ];
  for (const [line, words] of cases) assert.deepEqual(shellWords(line), words, line);
});

test("a line for curl is the request that curl would send", () => {
  /** @param {string} line @param {string} method @param {string} url @param {[string, string][]} headers */
  const check = (line, method, url, headers) => assert.deepEqual(curlRequest(line), { method, url, headers }, line);
  check("curl http://a/", "GET", "http://a/", []);
  check("curl -sSL -o /dev/null --max-time 5 a", "GET", "a", []);
  check("curl -XPOST -H 'x-a: 1' \\\n  -H 'x-b:2' 'http://a/b?c=1'", "POST", "http://a/b?c=1", [["x-a", "1"], ["x-b", "2"]]);
  check("curl -sXPUT a", "PUT", "a", []);
  check("curl -d a=1 http://a", "POST", "http://a", [["content-type", "application/x-www-form-urlencoded"]]);
  check("curl --json '{}' http://a", "POST", "http://a", [["content-type", "application/json"], ["accept", "application/json"]]);
  check("curl -G -d a=1 -d b=2 http://a/x", "GET", "http://a/x?a=1&b=2", []);
  check("curl -I http://a", "HEAD", "http://a", []);
  check("curl -u ann:secret -A me -b a=1 http://a", "GET", "http://a", [["user-agent", "me"], ["cookie", "a=1"], ["authorization", "Basic YW5uOnNlY3JldA=="]]);
  check("/usr/bin/curl --compressed -- http://a", "GET", "http://a", [["accept-encoding", "deflate, gzip, br, zstd"]]);
  check("curl -H 'X-Empty;' -H 'Accept:' http://a", "GET", "http://a", [["X-Empty", ""]]);
  check("curl --request=PUT --header='x: y' http://a", "PUT", "http://a", [["x", "y"]]);
  check("curl -G http://a --data-urlencode 'n=a b' --data-urlencode =c&d", "GET", "http://a?n=a%20b&c%26d", []);
});

test("a line for curl may be copied with what stands around it", () => {
  /** @param {string} line */
  const way = (line) => /** @type {any} */ (curlRequest(line)).url;
  for (const line of ["$ curl http://a/b", "sudo curl http://a/b", "X=1 Y=2 curl http://a/b", "curl.exe http://a/b", "curl http://a/b | jq .", "curl http://a/b > out 2>&1",
    "curl http://a/b; echo", "curl -s http://a/b && echo yes", "curl http://a/b &"]) {
    assert.ok(isCurl(line), line);
    assert.equal(way(line), "http://a/b", line);
  }
  assert.equal(way("curl http://a/b?c=1&d=2"), "http://a/b?c=1&d=2");
  assert.equal(way("curl 'http://a/b;c|d>e' -s"), "http://a/b;c|d>e");
});

test("a line for curl may be what a browser copies", () => {
  const bash = "curl 'http://a/b' \\\n  -H 'x: it'\\''s' \\\n  --data-raw $'{\"c\":\"d\\u0021\\x41\\\\\"}'";
  assert.deepEqual(curlRequest(bash), { method: "POST", url: "http://a/b", headers: [["x", "it's"], ["content-type", "application/x-www-form-urlencoded"]] });
  const cmd = 'curl "http://a/b?c=1^&d=2" ^\r\n  -H "sec-ch-ua: ^\\^"Chromium^\\^"" ^\r\n  -H "x: y"';
  assert.deepEqual(curlRequest(cmd), { method: "GET", url: "http://a/b?c=1&d=2", headers: [["sec-ch-ua", '"Chromium"'], ["x", "y"]] });
});

test("a line for curl that is no request is refused with a reason", () => {
  for (const line of ["curl", "curl a b", "curl -H", "curl 'a", "curl -H @file a"]) assert.ok("fault" in curlRequest(line), line);
});

test("what may be a secret is not in an address", () => {
  for (const [name, value] of [["authorization", "x"], ["Cookie", "a=1"], ["x-api-key", "1"], ["x-auth-user", "a"], ["x-thing", "0123456789abcdef0123"], ["x-csrf-token", "1"]]) assert.ok(mayBeSecret(name, value), name);
  for (const [name, value] of [["x-api-version", "2"], ["accept", "text/html,application/xhtml+xml;q=0.9"], ["x-tier", "gold"], ["user-agent", "Mozilla/5.0 (X11; Linux)"]]) assert.ok(!mayBeSecret(name, value), name);
  assert.deepEqual(shareableUrl("http://ann:pw@a/b?token=1&c=2#x"), { url: "http://a/b?c=2", left: ["user", "token"] });
  assert.deepEqual(shareableUrl("http://a/b@c?sig=1"), { url: "http://a/b@c", left: ["sig"] });
  const { query, left } = toQuery({ ...BLANK, url: "a/b", headers: "Authorization: Bearer x\nx-tier: gold", method: "PUT" });
  assert.deepEqual(left, ["Authorization"]);
  assert.equal(query.headers, "x-tier: gold");
  assert.deepEqual(fromQuery(query), { ...BLANK, url: "a/b", headers: "x-tier: gold", method: "PUT" });
});

test("a question is sent as it is typed", () => {
  assert.deepEqual(toBody({ ...BLANK, url: " a.example.com/x ", headers: "x: 1\n\nx: 2", client: "10.0.0.1", all: true }),
    { method: "GET", url: "http://a.example.com/x", headers: [["x", "1"], ["x", "2"]], client_ip: "10.0.0.1", all: true });
  assert.equal(fullUrl("/path"), "/path");
  assert.equal(headersOf("no header").fault, "no header");
  assert.ok(isCurl("  curl http://a") && isCurl("/usr/bin/curl -s a") && !isCurl("curling.example.com"));
  assert.equal(fromCurl(BLANK, "curl -H 'a: b' http://a").headers, "a: b");
});

const ANSWER = {
  outcome: "forward", route: "users", arms: [{ service: "v1", weight: 3 }, { service: "v2", weight: 1 }], host: "a", path: "/", query: null, headers: [],
  considered: [
    { route: "a", alternative: 0, matched: false, because: { condition: "path", wants: "/a", saw: "/" } },
    { route: "users", alternative: 0, matched: false, because: { condition: "path", wants: "/b", saw: "/" } },
    { route: "users", alternative: 1, matched: true },
    { route: "rest", alternative: 0, matched: true },
  ],
};

test("the rule that takes a request is first, the others follow by rank", () => {
  assert.deepEqual(rules(ANSWER).map((rule) => [rule.rank, rule.name, rule.state]), [
    [3, "users [1]", "takes"], [1, "a", "no"], [2, "users [0]", "no"], [4, "rest", "later"],
  ]);
});

test("an outcome is a sentence", () => {
  assert.match(verdict(ANSWER).text, /^goes to v1 75.0 %, v2 25.0 %$/);
  assert.equal(verdict({ ...ANSWER, outcome: "not_found", status: 404 }).text, "is not found: the client gets 404");
  assert.equal(verdict({ ...ANSWER, outcome: "refused" }).text, "is refused: the connection is closed");
  assert.equal(inShort({ ...ANSWER, outcome: "redirect", status: 308, location: "/x" }), "users → 308 /x");
});

test("two answers differ in what a client or a service would notice", () => {
  assert.deepEqual(differences(ANSWER, { ...ANSWER, headers: [["x-request-id", "1"]] }), []);
  const edited = differences({ ...ANSWER, headers: [["a", "1"], ["b", "2"]] }, { ...ANSWER, headers: [["a", "1"], ["b", "3"]] });
  assert.deepEqual(edited, [{ about: "headers", now: "b: 2", then: "b: 3" }]);
  const parts = differences(ANSWER, { ...ANSWER, route: "rest", path: "/x", query: "y" });
  assert.deepEqual(parts.map((part) => [part.about, part.now, part.then]), [["route", "users", "rest"], ["path", "/", "/x?y"]]);
});

test("control characters are visible", () => {
  assert.equal(printable("a\u0000b\u202ec\nd"), "a\\u{0}b\\u{202e}c\\u{a}d");
  assert.equal(printable("<img> é"), "<img> é");
});
