// Requests as they end: the filter, and the rows that are kept.

/**
 * A line of the access log.
 * @typedef {object} LogLine
 * @property {string} time
 * @property {string} request_id
 * @property {string | null} client
 * @property {string} method
 * @property {string} host
 * @property {string} path
 * @property {string | null} query
 * @property {string | null} route
 * @property {string | null} service
 * @property {string | null} endpoint
 * @property {number} status 0 without a response
 * @property {number | null} grpc_status
 * @property {boolean} failed
 * @property {number} bytes
 * @property {number} duration_ms
 * @property {number | null} upstream_ms
 * @property {number} retries
 * @property {number} revision
 * @property {string} ended_by
 * @property {string} reason
 * @property {string | null} detail
 * @property {string | null} [refused_by] the policy or limit that refused it, such as `auth`
 * @property {string | null} [identity] who asked, as far as the gateway has verified it
 */

/** @typedef {{ id: number, line: LogLine }} Row */

/** @typedef {"route" | "service" | "host" | "path" | "method" | "status"} FilterKey */

/** The parts of a filter that are texts, as the gateway names them. @type {FilterKey[]} */
export const FILTER_KEYS = ["path", "host", "route", "service", "method", "status"];

/** Rows that are kept. */
export const ROWS_MAX = 1000;

/** @typedef {Partial<Record<FilterKey, string>> & { failing?: boolean }} Filter */

/**
 * The filter that an address has.
 * @param {Record<string, string>} query
 * @returns {Filter}
 */
export function filterOf(query) {
  /** @type {Filter} */
  const filter = {};
  for (const key of FILTER_KEYS) if (query[key]) filter[key] = query[key];
  if (query.failing === "true") filter.failing = true;
  return filter;
}

/**
 * The filter as parts of an address, for the page and for the gateway alike.
 * @param {Filter} filter
 * @returns {Record<string, string>}
 */
export function queryOf(filter) {
  /** @type {Record<string, string>} */
  const query = {};
  for (const key of FILTER_KEYS) {
    const value = filter[key]?.trim();
    if (value) query[key] = key === "method" ? value.toUpperCase() : value;
  }
  if (filter.failing) query.failing = "true";
  return query;
}

/** @param {Filter} filter */
export const isFilter = (filter) => Object.keys(queryOf(filter)).length > 0;

/**
 * The same in a terminal.
 * @param {Filter} filter
 */
export function commandOf(filter) {
  const { route, failing, ...rest } = queryOf(filter);
  const words = ["waypost tail"];
  if (route) words.push(quoted(route));
  for (const [key, value] of Object.entries(rest)) words.push(`--${key} ${quoted(value)}`);
  if (failing) words.push("--failing");
  return words.join(" ");
}

/**
 * A word as a shell takes it.
 * @param {string} text
 */
export const quoted = (text) => (/^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/**
 * Newest rows first, as many as are kept.
 * @param {Row[]} rows
 * @param {Row[]} fresh oldest first
 * @returns {Row[]}
 */
export function withFresh(rows, fresh) {
  if (fresh.length === 0) return rows;
  const newest = fresh.slice(-ROWS_MAX).reverse();
  return newest.concat(rows.slice(0, ROWS_MAX - newest.length));
}

/**
 * The path with its query.
 * @param {LogLine} line
 */
export const targetOf = (line) => (line.query === null || line.query === undefined ? line.path : `${line.path}?${line.query}`);

/**
 * Where a request went: its route and service, or who refused it. A refusal is no failure.
 * @param {LogLine} line
 */
export function wayOf(line) {
  const route = line.route ?? "no route";
  if (line.refused_by) return `${route}, refused by ${line.refused_by}`;
  return line.route === null || line.service === null ? route : `${route} → ${line.service}`;
}

/**
 * The meaning of a status: red is for failures of the gateway's account alone.
 * @param {LogLine} line
 * @returns {"bad" | "warn" | "none"}
 */
export function toneOf(line) {
  if (line.failed) return "bad";
  return line.status >= 400 || line.status === 0 ? "warn" : "none";
}
