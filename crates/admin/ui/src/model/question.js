// A question to the gateway: where would this request go?

import { curlRequest } from "./curl.js";
import { mayBeSecret, shareableUrl } from "./secrets.js";

/**
 * @typedef {object} Question
 * @property {string} method
 * @property {string} url
 * @property {string} headers as lines `name: value`
 * @property {string} client the address; empty for this machine
 * @property {string} listener its name or address; empty for the first that fits
 * @property {boolean} all with routes of other hosts
 */

/** @type {Question} */
export const BLANK = { method: "GET", url: "", headers: "", client: "", listener: "", all: false };

/**
 * The question of an address.
 * @param {Record<string, string>} query
 * @returns {Question}
 */
export function fromQuery(query) {
  return {
    ...BLANK,
    method: query.method || "GET",
    url: query.url ?? "",
    headers: query.headers ?? "",
    client: query.client ?? "",
    listener: query.listener ?? "",
    all: query.all === "true",
  };
}

/**
 * The question as parts of an address, without what may be secrets, and the names of that.
 * @param {Question} question
 * @returns {{ query: Record<string, string>, left: string[] }}
 */
export function toQuery(question) {
  const { url, left } = shareableUrl(question.url.trim());
  const kept = [];
  for (const [name, value] of headersOf(question.headers).headers) {
    if (mayBeSecret(name, value)) left.push(name);
    else kept.push(`${name}: ${value}`);
  }
  /** @type {Record<string, string>} */
  const query = { url, headers: kept.join("\n"), client: question.client.trim(), listener: question.listener.trim() };
  if (question.method !== "GET") query.method = question.method;
  if (question.all) query.all = "true";
  return { query, left };
}

/**
 * Headers as pairs, and the first line that is none.
 * @param {string} text
 * @returns {{ headers: [string, string][], fault: string | null }}
 */
export function headersOf(text) {
  /** @type {[string, string][]} */
  const headers = [];
  let fault = null;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    if (colon <= 0) fault ??= line.trim();
    else headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  return { headers, fault };
}

/**
 * The body of the request to the API.
 * @param {Question} question
 * @returns {Record<string, unknown>}
 */
export function toBody(question) {
  /** @type {Record<string, unknown>} */
  const body = {};
  body.method = question.method.trim() || "GET";
  body.url = fullUrl(question.url);
  const { headers } = headersOf(question.headers);
  if (headers.length > 0) body.headers = headers;
  if (question.client.trim() !== "") body.client_ip = question.client.trim();
  if (question.listener.trim() !== "") body.listener = question.listener.trim();
  if (question.all) body.all = true;
  return body;
}

/**
 * A URL as it is typed, made whole: `api.example.com/users` is one by HTTP.
 * @param {string} url
 */
export function fullUrl(url) {
  const text = url.trim();
  return text.startsWith("/") || /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
}

/**
 * The question that a line for curl asks, or what is wrong with the line.
 * @param {Question} question what the line does not say
 * @param {string} line
 * @returns {Question | { fault: string }}
 */
export function fromCurl(question, line) {
  const request = curlRequest(line);
  if ("fault" in request) return request;
  const headers = request.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  return { ...question, method: request.method, url: request.url, headers };
}

/** Such as `curl -H 'x: y' http://host/`.
 * @param {string} text */
export const isCurl = (text) => /^\s*(?:[$#%>]\s+)?(?:\w+=\S*\s+)*(?:sudo\s+)?(?:\S*[\\/])?curl(?:\.exe)?\s/.test(text);
