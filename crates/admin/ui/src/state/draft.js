// The draft of the config. It survives a reload of the page, and ends with the tab.

import { isEdited, read } from "../model/draft.js";
import { session } from "./session.js";
import { store } from "./store.js";

/** @typedef {import("../model/draft.js").Draft} Draft */

/** Where the draft is kept until the tab is closed: beside the token, which could read the same from the gateway. */
const KEY = "waypost-draft";
/** Milliseconds after the last key. */
const KEPT_AFTER = 300;
/** Letters of a draft that browsers have room for, its config in force included. */
const LETTERS_MAX = 2_400_000;

export const draft = store(read(sessionStorage.getItem(KEY)));

/** False if the browser has no room for the draft, which a reload of the page would lose then. */
export const isKept = store(true);

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

draft.watch(() => {
  clearTimeout(timer);
  timer = setTimeout(keep, KEPT_AFTER);
});

function keep() {
  clearTimeout(timer);
  const now = draft.get();
  try {
    if (now && isEdited(now)) {
      if (lettersOf(now) > LETTERS_MAX) throw new RangeError("the draft is too large");
      sessionStorage.setItem(KEY, JSON.stringify(now));
    } else {
      sessionStorage.removeItem(KEY);
    }
    isKept.set(true);
  } catch {
    sessionStorage.removeItem(KEY);
    isKept.set(false);
  }
}

/** @param {Draft} now */
const lettersOf = ({ base, texts }) => [...base.files.map((file) => file.text), ...Object.values(texts)].reduce((sum, text) => sum + (text?.length ?? 0), 0);

addEventListener("pagehide", keep);

addEventListener("beforeunload", (event) => {
  const now = draft.get();
  if (now && isEdited(now) && !isKept.get()) event.preventDefault();
});

// Whoever comes with another token does not find the draft of the one before.
let name = session.get().name;
session.watch(() => {
  const now = session.get();
  if (now.state !== "ready") return;
  if (name !== "" && now.name !== name) draft.set(null);
  name = now.name;
});
