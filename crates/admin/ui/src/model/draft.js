// A config that is being edited, beside the one that it began from.

import { merged } from "./merge.js";

/** @typedef {{ name: string, text: string }} ConfigFile */

/**
 * The config in force, as the gateway has told it.
 * @typedef {object} Base
 * @property {string} etag
 * @property {number} revision
 * @property {boolean} isDirectory
 * @property {ConfigFile[]} files sorted by name
 */

/**
 * @typedef {object} Draft
 * @property {Base} base
 * @property {Record<string, string | null>} texts of the files that were edited or added; `null` for those that were removed
 */

/**
 * The files as edited, sorted by name.
 * @param {Draft} draft
 * @returns {ConfigFile[]}
 */
export function filesOf({ base, texts }) {
  /** @type {Map<string, string | null>} */
  const all = new Map(base.files.map((file) => [file.name, file.text]));
  for (const [name, text] of Object.entries(texts)) all.set(name, text);
  const files = [...all].flatMap(([name, text]) => (text === null ? [] : [{ name, text }]));
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The draft with another text of a file, or without the file. A text that is as it was is no edit.
 * @param {Draft} draft
 * @param {string} name
 * @param {string | null} text
 * @returns {Draft}
 */
export function edited(draft, name, text) {
  const texts = { ...draft.texts };
  const before = draft.base.files.find((file) => file.name === name)?.text ?? null;
  if (before === text) delete texts[name];
  else texts[name] = text;
  return { ...draft, texts };
}

/** @param {Draft} draft */
export const isEdited = (draft) => Object.keys(draft.texts).length > 0;

/**
 * The text of a file in force; empty if it is new.
 * @param {Base} base
 * @param {string} name
 */
export const textIn = (base, name) => base.files.find((file) => file.name === name)?.text ?? "";

/**
 * The name of a new file, or the reason why it cannot be one.
 * @param {Draft} draft
 * @param {string} name
 * @returns {string | null}
 */
export function nameFault(draft, name) {
  if (!/^[^./][^/]*\.ya?ml$/.test(name)) return "It ends in .yaml or .yml, and does not begin with a dot.";
  if (filesOf(draft).some((file) => file.name === name)) return "There is a file of this name.";
  return null;
}

/**
 * The names of the files that differ between two lists.
 * @param {ConfigFile[]} before
 * @param {ConfigFile[]} after
 * @returns {{ name: string, before: string, after: string }[]}
 */
export function changedFiles(before, after) {
  const names = [...new Set([...before, ...after].map((file) => file.name))].sort();
  const text = (/** @type {ConfigFile[]} */ files, /** @type {string} */ name) => files.find((file) => file.name === name)?.text ?? "";
  return names.map((name) => ({ name, before: text(before, name), after: text(after, name) })).filter((file) => file.before !== file.after);
}

/**
 * The edits put on another base, as another change came into force meanwhile. Where both have changed the same
 * lines of a file, the text of the draft stands; the names of these files come with it.
 * @param {Draft} draft
 * @param {Base} base
 * @returns {{ draft: Draft, conflicts: string[] }}
 */
export function moved(draft, base) {
  /** @type {Draft} */
  let next = { base, texts: {} };
  const conflicts = [];
  for (const [name, mine] of Object.entries(draft.texts)) {
    const before = textIn(draft.base, name);
    const theirs = textIn(base, name);
    const text = mine === null ? (before === theirs ? null : theirs) : merged(before, mine, theirs);
    if (text === null && mine !== null) conflicts.push(name);
    next = edited(next, name, text ?? mine);
  }
  return { draft: next, conflicts };
}

/**
 * A draft that an earlier visit has kept; `null` if it is not one.
 * @param {string | null} kept
 * @returns {Draft | null}
 */
export function read(kept) {
  try {
    const { base, texts } = JSON.parse(kept ?? "");
    const isBase = typeof base?.etag === "string" && typeof base.revision === "number" && Array.isArray(base.files);
    return isBase && typeof texts === "object" && texts !== null ? { base, texts } : null;
  } catch {
    return null;
  }
}
