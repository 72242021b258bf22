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

/** Kinds of reasons that are about requests. Others are about the gateway: requests fare well in spite of them. */
const OF_REQUESTS = ["service", "route"];

/**
 * @param {Status} status
 * @returns {Health}
 */
export function health(status) {
  const given = status.reasons ?? [];
  const reasons = given.map(({ severity, kind, name, message }) => ({
    tone: /** @type {"bad" | "warn"} */ (severity === "error" ? "bad" : "warn"),
    text: sentence(message),
    kind,
    page: pageOf(kind, name ?? null),
  }));
  const ofRequests = given.filter((reason) => OF_REQUESTS.includes(reason.kind));
  if (ofRequests.some((reason) => reason.severity === "error")) return { word: "Failing", tone: "bad", reasons };
  if (ofRequests.length > 0) return { word: "Degraded", tone: "warn", reasons };
  if (reasons.length > 0) return { word: "Attention", tone: reasons.some((reason) => reason.tone === "bad") ? "bad" : "warn", reasons };
  return { word: "Healthy", tone: "good", reasons };
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

/** @param {string} message */
function sentence(message) {
  const text = message.replace(/^[a-z]/, (letter) => letter.toUpperCase());
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

/**
 * @param {string} kind
 * @param {string | null} name
 */
function pageOf(kind, name) {
  if (kind === "service") return name === null ? ["services"] : ["services", name];
  if (kind === "route") return name === null ? ["routes"] : ["routes", name];
  return kind === "config" || kind === "pending" ? ["config"] : null;
}
