// The text of a search for routes: words that all hold, as the gateway reads them.

/** Words that say something about the state of a route. */
export const STATES = ["failing", "dialed", "rollout"];

/**
 * @param {string} text
 * @returns {string[]}
 */
export const words = (text) => text.split(/\s+/).filter((word) => word !== "");

/**
 * @param {string} text
 * @param {string} word
 */
export const has = (text, word) => words(text).includes(word);

/**
 * The text with a word, or without it if it is there.
 * @param {string} text
 * @param {string} word
 */
export function toggled(text, word) {
  const all = words(text);
  return (all.includes(word) ? all.filter((other) => other !== word) : [...all, word]).join(" ");
}

/**
 * The text with the start of a word such as `host:` behind it, ready to be typed on.
 * @param {string} text
 * @param {string} key
 */
export function begun(text, key) {
  const all = words(text);
  // One that was begun, and has nothing yet, is begun no second time.
  if (all[all.length - 1] === `${key}:`) return all.join(" ");
  return [...all, `${key}:`].join(" ");
}

/**
 * The text as it is searched for: without words that are not complete yet, such as `host:`.
 * @param {string} text
 */
export const complete = (text) => words(text).filter((word) => !/^[a-z]+:$/i.test(word)).join(" ");
