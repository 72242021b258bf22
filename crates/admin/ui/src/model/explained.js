// An explanation of a request in words.

import { percent } from "./format.js";

/**
 * @typedef {object} Explanation
 * @property {"forward" | "redirect" | "respond" | "not_found" | "refused" | "unavailable"} outcome
 * @property {number} [status]
 * @property {string} [reason]
 * @property {{ step: string, number: number, because: string, from?: string }} [stopped]
 * @property {string} [listener]
 * @property {string | null} route
 * @property {string} [service]
 * @property {{ service: string, weight: number }[]} [arms]
 * @property {string} [cohort]
 * @property {{ plan?: string, steps: number, canary?: string, step?: number, percent?: number }} [rollout]
 * @property {{ requests: number, per: string, burst: number, by: string, counted_by?: string, remaining: number, retry_after?: number, report_only?: boolean }[]} [rate]
 * @property {string} [timeout]
 * @property {{ attempts: number, on: string[], methods: string[], budget: number, backoff: string, timeout?: string, body: number }} [retry]
 * @property {string} [hedge]
 * @property {string} [location]
 * @property {string | null} host
 * @property {string} path
 * @property {string | null} query
 * @property {[string, string][]} headers
 * @property {Record<string, { from: string, used_by?: string }>} [policies]
 * @property {number} [revision]
 * @property {Considered[]} considered
 * @property {number} [considered_total] the number of all rules, if there are more than were asked for
 * @property {number | null} [taken_rank] the rank of the rule that takes the request
 */

/** @typedef {{ condition: string, wants: string, saw: string | null, hint?: string }} Because */
/** @typedef {{ route: string, alternative: number, matched: boolean, because?: Because }} Considered */

/**
 * @typedef {object} Verdict
 * @property {"good" | "warn" | "bad" | "info"} tone
 * @property {string} word
 * @property {string} text
 */

/**
 * The outcome in a sentence that the request begins.
 * @param {Explanation} answer
 * @returns {Verdict}
 */
export function verdict(answer) {
  const status = answer.status ?? "";
  const closes = answer.status === undefined ? "the connection is closed" : `the client gets ${status}`;
  switch (answer.outcome) {
    case "forward": return { tone: "good", word: "Forwarded", text: `goes to ${destination(answer)}` };
    case "redirect": return { tone: "info", word: "Redirected", text: `is redirected: ${status} to ${answer.location ?? ""}` };
    case "respond": return { tone: "info", word: "Answered", text: `gets a response from ${answer.route === null ? "the gateway" : "the route"} itself: ${status}` };
    case "not_found": return { tone: "warn", word: "Not found", text: `is not found: ${closes}` };
    case "refused": return { tone: "bad", word: "Refused", text: `is refused: ${closes}` };
    default: return { tone: "bad", word: "Unavailable", text: `cannot be served: ${closes}` };
  }
}

/**
 * The service, or the arms with their shares.
 * @param {Explanation} answer
 */
export function destination(answer) {
  if (answer.service) return answer.service;
  const arms = sharesOf(answer);
  return arms.map((arm) => `${arm.service} ${percent(arm.share)}`).join(", ") || "no service";
}

/**
 * @param {Explanation} answer
 * @returns {{ service: string, weight: number, share: number }[]}
 */
export function sharesOf(answer) {
  const arms = answer.arms ?? [];
  const sum = arms.reduce((sum, arm) => sum + arm.weight, 0);
  return arms.map((arm) => ({ ...arm, share: sum === 0 ? 0 : arm.weight / sum }));
}

/**
 * A rate limit in words: `10 in 1s, by client_ip: 9 would remain`.
 * @param {NonNullable<Explanation["rate"]>[number]} limit
 */
export function rateText(limit) {
  const burst = limit.burst === limit.requests ? "" : `, ${limit.burst} at once`;
  const by = limit.counted_by ? `${limit.by}, which is not there, so by ${limit.counted_by}` : limit.by;
  const rest = limit.retry_after === undefined ? `${limit.remaining} would remain` : `used up, for ${limit.retry_after} s`;
  return `${limit.requests} in ${limit.per}${burst}, by ${by}: ${rest}${limit.report_only ? "; only reported" : ""}`;
}

/**
 * An explanation in a few words, to compare two.
 * @param {Explanation} answer
 */
export function inShort(answer) {
  const by = answer.route ?? (answer.listener ? `listener ${answer.listener}` : "no route");
  switch (answer.outcome) {
    case "forward": return `${by} → ${destination(answer)}`;
    case "redirect": return `${by} → ${answer.status} ${answer.location ?? ""}`;
    default: return `${by} → ${answer.status ?? "closed"}`;
  }
}

/**
 * The differences between two explanations, each as before and after.
 * @param {Explanation} now
 * @param {Explanation} then
 * @returns {{ about: string, now: string, then: string }[]}
 */
export function differences(now, then) {
  /** @type {[string, (answer: Explanation) => string][]} */
  const parts = [
    ["outcome", (answer) => `${answer.outcome.replaceAll("_", " ")}${answer.status ? ` ${answer.status}` : ""}`],
    ["route", (answer) => answer.route ?? "none"],
    ["service", (answer) => (answer.outcome === "forward" ? destination(answer) : "none")],
    ["location", (answer) => answer.location ?? "none"],
    ["host", (answer) => answer.host ?? "none"],
    ["path", targetOf],
    ["timeout", (answer) => answer.timeout ?? "none"],
    // Headers for a client and those for a service have little in common.
    ["headers", (answer) => (now.outcome === then.outcome ? headerText(answer, answer === now ? then : now) : "")],
    ["policies", (answer) => Object.entries(answer.policies ?? {}).map(([key, { from }]) => `${key}: ${from}`).join("; ") || "none"],
  ];
  return parts
    .map(([about, of]) => ({ about, now: of(now), then: of(then) }))
    .filter((part) => part.now !== part.then);
}

/**
 * The headers that another answer does not have. Ids are new with every question.
 * @param {Explanation} answer
 * @param {Explanation} other
 */
function headerText(answer, other) {
  const known = new Set(other.headers.map((pair) => pair.join(": ")));
  return answer.headers.filter(([name]) => name !== "x-request-id").map((pair) => pair.join(": ")).filter((line) => !known.has(line)).join("; ") || "none";
}

/**
 * The path with its query.
 * @param {Explanation} answer
 */
export const targetOf = (answer) => (answer.query === null ? answer.path : `${answer.path}?${answer.query}`);

/**
 * A rule and what it says to the request.
 * @typedef {object} Rule
 * @property {string} route
 * @property {string} name of the route, with the number of the alternative if it has several
 * @property {number} rank from 1
 * @property {"takes" | "later" | "no"} state
 * @property {Because | null} because
 */

/**
 * The rules that the answer has, the winner first, then the others by rank.
 * @param {Explanation} answer
 * @returns {Rule[]}
 */
export function rules(answer) {
  /** @type {Map<string, number>} */
  const alternatives = new Map();
  for (const one of answer.considered) alternatives.set(one.route, (alternatives.get(one.route) ?? 0) + 1);
  let isTaken = false;
  const all = answer.considered.map((one, at) => {
    /** @type {Rule["state"]} */
    const state = !one.matched ? "no" : isTaken ? "later" : "takes";
    if (one.matched) isTaken = true;
    const name = (alternatives.get(one.route) ?? 0) > 1 ? `${one.route} [${one.alternative}]` : one.route;
    const rank = state === "takes" ? answer.taken_rank ?? at + 1 : at + 1;
    return { route: one.route, name, rank, state, because: one.because ?? null };
  });
  return [...all.filter((rule) => rule.state === "takes"), ...all.filter((rule) => rule.state !== "takes")];
}

/**
 * Text of a request, with control characters made visible.
 * @param {string} text
 */
export const printable = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (letter) => `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`);
