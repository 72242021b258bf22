// Addresses of pages as text.

/**
 * @typedef {object} Address
 * @property {string[]} path decoded, such as `["routes", "users"]`; empty for the first page
 * @property {Record<string, string>} query
 */

/**
 * @param {string} hash as in `location.hash`
 * @returns {Address}
 */
export function parsed(hash) {
  const text = hash.replace(/^#?\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const query = mark < 0 ? "" : text.slice(mark + 1);
  return {
    path: path.split("/").filter((part) => part !== "").map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/**
 * @param {string[]} path
 * @param {Record<string, string | null | undefined>} [query] those without a value are left out
 */
export function formatted(path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") given.set(name, value);
  }
  const text = given.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

/**
 * A name as a part of the path of a request. Browsers take `.` and `..` out of paths, however they are spelled; the gateway
 * takes a `~` in front, which no name begins with.
 * @param {string} name
 */
export const segment = (name) => (name === "." || name === ".." ? `~${name}` : encodeURIComponent(name));

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
