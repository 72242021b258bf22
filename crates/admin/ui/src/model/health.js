// The health of the gateway in one word, with the reasons that it gives.

/** @typedef {import("../api/types.js").Status} Status */

/**
 * @typedef {object} Reason
 * @property {"bad" | "warn"} tone
 * @property {string} text a sentence
 * @property {string} kind
 * @property {string[] | null} page where there is more about it
 */

/**
 * @typedef {object} Health
 * @property {"Healthy" | "Attention" | "Degraded" | "Failing"} word
 * @property {"good" | "warn" | "bad"} tone
 * @property {Reason[]} reasons the gravest first
 */

/** The gateway's words.
 * @type {Record<string, Health["word"]>} */
const WORDS = { healthy: "Healthy", attention: "Attention", degraded: "Degraded", failing: "Failing" };

/**
 * The health of an instance or of a fleet.
 * @param {Pick<Status, "word" | "reasons">} told
 * @returns {Health}
 */
export function health(told) {
  const given = told.reasons ?? [];
  const reasons = given.map(({ severity, kind, name, message }) => ({
    tone: /** @type {"bad" | "warn"} */ (severity === "error" ? "bad" : "warn"),
    text: sentence(message),
    kind,
    page: pageOf(kind, name ?? null),
  }));
  const word = WORDS[told.word ?? "healthy"] ?? "Attention";
  const isBad = word === "Failing" || (word === "Attention" && reasons.some((reason) => reason.tone === "bad"));
  return { word, tone: word === "Healthy" ? "good" : isBad ? "bad" : "warn", reasons };
}

/**
 * The reasons that are told at first: a few of each kind, so that no kind hides another one.
 * @param {Reason[]} reasons
 * @param {number} each
 * @returns {Reason[]}
 */
export function inShort(reasons, each) {
  /** @type {Map<string, number>} */
  const told = new Map();
  return reasons.filter(({ kind }) => {
    told.set(kind, (told.get(kind) ?? 0) + 1);
    return (told.get(kind) ?? 0) <= each;
  });
}

/** The class of the figure of a route's failures.
 * @param {import("../api/types.js").Reason | undefined} reason why the route needs a look */
export const toneOf = (reason) => (!reason || reason.past ? "" : reason.severity === "error" ? "failing" : "doubtful");

/** @param {string} message */
export function sentence(message) {
  const text = message.replace(/^[a-z]/, (letter) => letter.toUpperCase());
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

/**
 * @param {string} kind
 * @param {string | null} name
 */
function pageOf(kind, name) {
  if (kind === "service") return name === null ? ["services"] : ["services", name];
  if (kind === "route" || kind === "rollout") return name === null ? ["routes"] : ["routes", name];
  return kind === "config" || kind === "pending" ? ["config"] : null;
}
