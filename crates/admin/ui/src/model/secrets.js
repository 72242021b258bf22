// Values that may be secrets, and have no place in an address that is shared.

/** Names that tell of a secret. */
const NAMES = /auth|cookie|token|secret|passw|session|signature|credential|jwt|api[-_]?key|access[-_]?key|private|^key$|[-_]key$|^sig$|^code$/i;
/** Characters of which a token is made, in a row with a digit among them; words and versions are shorter. */
const LONG = /(?=[A-Za-z+/_=-]*\d)[A-Za-z0-9+/_=-]{20,}/;

/**
 * @param {string} name of a header or of a parameter
 * @param {string} value
 */
export const mayBeSecret = (name, value) => NAMES.test(name) || LONG.test(value);

/**
 * A URL without what may be secrets, and the names of what was left out.
 * @param {string} url
 * @returns {{ url: string, left: string[] }}
 */
export function shareableUrl(url) {
  /** @type {string[]} */
  const left = [];
  const user = /^([a-z][a-z0-9+.-]*:\/\/)?([^/?#@]*)@/i.exec(url);
  let rest = url;
  if (user) {
    left.push("user");
    rest = (user[1] ?? "") + url.slice(user[0].length);
  }
  const hash = rest.indexOf("#");
  if (hash >= 0) rest = rest.slice(0, hash);
  const mark = rest.indexOf("?");
  if (mark < 0) return { url: rest, left };
  const kept = rest.slice(mark + 1).split("&").filter((part) => {
    const [name, value = ""] = part.split("=", 2);
    if (!mayBeSecret(name, value)) return true;
    left.push(name);
    return false;
  });
  return { url: rest.slice(0, mark) + (kept.length > 0 ? `?${kept.join("&")}` : ""), left };
}
