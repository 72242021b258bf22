// Requests to the admin API.

import { answered, lost } from "../state/connection.js";

/** @typedef {import("./types.js").Diagnostic} Diagnostic */

/** Milliseconds after which a request for something to show is given up. */
const READ_TIMEOUT = 15_000;
/** The same for a change, which the gateway itself gives up after 60 seconds, an upgrade after 75. */
const CHANGE_TIMEOUT = 80_000;

/** Letters of a detail that is no problem document. */
const DETAIL_MAX = 500;

/** A request that failed, as the gateway says it. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 if the gateway has not answered
   * @param {string} title
   * @param {string} detail
   * @param {Diagnostic[]} [diagnostics]
   */
  constructor(status, title, detail, diagnostics = []) {
    super(detail || title);
    this.name = "ApiError";
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.diagnostics = diagnostics;
  }
}

/** @type {string | null} */
let token = null;
/** @type {() => void} */
let refuse = () => {};
/** @type {() => void} */
let forbid = () => {};

/**
 * Sends this token with every request, in a field of its own, never in an address.
 * @param {string | null} value
 */
export function setToken(value) {
  token = value;
}

/**
 * Calls back when a request needs another token.
 * @param {() => void} listener
 */
export function onUnauthorized(listener) {
  refuse = listener;
}

/**
 * Calls back when a change is forbidden.
 * @param {() => void} listener
 */
export function onForbidden(listener) {
  forbid = listener;
}

/** The fields of a request that say who asks.
 * @returns {Record<string, string>} */
export function credentials() {
  return token === null ? {} : { authorization: `Bearer ${token}` };
}

/**
 * @typedef {object} Options
 * @property {unknown} [body] sent as JSON, a string as it is
 * @property {string} [type] the media type of a string
 * @property {string | null} [ifMatch] the tag that the thing to change must still have
 * @property {AbortSignal} [signal]
 */

/**
 * @template T
 * @typedef {object} Answer
 * @property {T} data
 * @property {string | null} etag
 */

/**
 * @template [T=unknown]
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer<T>>}
 */
export async function request(method, path, options = {}) {
  const headers = new Headers(credentials());
  /** @type {string | undefined} */
  let body;
  if (typeof options.body === "string") {
    body = options.body;
    headers.set("content-type", options.type ?? "application/yaml");
  } else if (options.body !== undefined) {
    body = JSON.stringify(options.body);
    headers.set("content-type", "application/json");
  }
  if (options.ifMatch) headers.set("if-match", options.ifMatch);
  const limit = AbortSignal.timeout(method === "GET" ? READ_TIMEOUT : CHANGE_TIMEOUT);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  /** @type {Response} */
  let response;
  /** @type {string} */
  let text;
  try {
    response = await fetch(path, { method, headers, body, signal, cache: "no-store", redirect: "error" });
    text = await response.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    lost();
    throw new ApiError(0, "No answer", "the gateway does not answer");
  }
  answered();
  if (!response.ok) {
    if (response.status === 401) refuse();
    // The client may have lost its rights since it was asked for them.
    if (response.status === 403 && method !== "GET") forbid();
    throw problem(response, text);
  }
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  return { data: /** @type {T} */ (isJson && text !== "" ? parsed(response, text) : text), etag: response.headers.get("etag") };
}

/**
 * @param {Response} response
 * @param {string} text
 */
function parsed(response, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "Not understood", "the response is no JSON; perhaps something between this browser and the gateway has sent it");
  }
}

/**
 * The error that a response tells.
 * @param {Response} response
 * @param {string} text
 */
export function problem(response, text) {
  try {
    const { title, detail, diagnostics } = JSON.parse(text);
    return new ApiError(response.status, title ?? response.statusText, detail ?? "", diagnostics ?? []);
  } catch {
    // A page of something in between says less than its status.
    const isText = (response.headers.get("content-type") ?? "").startsWith("text/plain");
    return new ApiError(response.status, response.statusText, isText ? text.slice(0, DETAIL_MAX) : "");
  }
}

/**
 * @template [T=unknown]
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer<T>>}
 */
export const get = (path, options) => request("GET", path, options);
/**
 * @template [T=unknown]
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer<T>>}
 */
export const put = (path, options) => request("PUT", path, options);
/**
 * @template [T=unknown]
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer<T>>}
 */
export const post = (path, options) => request("POST", path, options);
/**
 * @template [T=unknown]
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer<T>>}
 */
export const del = (path, options) => request("DELETE", path, options);
