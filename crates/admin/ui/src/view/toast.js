// Short notices of what was done.

import { html } from "../html.js";
import { store, useStore } from "../state/store.js";

/** Milliseconds for which a notice stays. */
const SHOWN = 6000;

/** @typedef {{ id: number, text: string }} Notice */

const notices = store(/** @type {Notice[]} */ ([]));
let last = 0;

/**
 * Tells the reader what was done.
 * @param {string} text
 */
export function toast(text) {
  const id = ++last;
  notices.set([...notices.get(), { id, text }]);
  setTimeout(() => notices.set(notices.get().filter((notice) => notice.id !== id)), SHOWN);
}

export function Toasts() {
  const shown = useStore(notices);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map((notice) => html`<p key=${notice.id} class="toast">${notice.text}</p>`)}</div>`;
}
