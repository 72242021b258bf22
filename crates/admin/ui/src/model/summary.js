// The summary of a change, in words.

/**
 * Where a request gets, such as `users → users-v1, users-v2`.
 * @param {import("../api/config.js").Outcome} outcome
 */
export function wayOf({ outcome, route, services, status }) {
  const end = services && services.length > 0 ? services.join(", ") : status ? String(status) : outcome.replaceAll("_", " ");
  return route ? `${route} → ${end}` : end;
}

/** @type {Record<string, string>} */
const VERBS = { "~": "changed", "+": "added", "-": "removed" };

/**
 * A summary such as `routes ~users +orders; tests changed` as a sentence.
 * @param {string} summary
 */
export function sentence(summary) {
  if (summary === "") return "No change of meaning.";
  return summary.split("; ").map(partOf).map((text) => `${text[0].toUpperCase()}${text.slice(1)}.`).join(" ");
}

/** @param {string} part */
function partOf(part) {
  const found = /^(routes|services|listeners) ((?:[~+-]\S+(?: more)?(?: |$))+)$/.exec(part);
  if (!found) return part.endsWith(".") ? part.slice(0, -1) : part;
  const names = found[2].trim().match(/[~+-]\S+(?: more)?/g) ?? [];
  const verbs = Object.keys(VERBS).flatMap((sign) => {
    const own = names.filter((name) => name[0] === sign).map((name) => name.slice(1));
    return own.length > 0 ? [`${VERBS[sign]} ${own.join(", ")}`] : [];
  });
  return `${found[1]}: ${verbs.join("; ")}`;
}
