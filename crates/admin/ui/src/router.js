// Addresses of pages, such as `#/routes/NAME?filter=failing`.

import { store, useStore } from "./state/store.js";
import { formatted, parsed } from "./model/address.js";

/** @typedef {import("./model/address.js").Address} Address */

const address = store(parsed(location.hash));

addEventListener("hashchange", () => address.set(parsed(location.hash)));

/** The address of the page.
 * @returns {Address} */
export const useAddress = () => useStore(address);

/**
 * The `href` of a page.
 * @param {string[]} path such as `["routes", name]`
 * @param {Record<string, string | null | undefined>} [query]
 */
export const link = (path, query) => formatted(path, query);

/**
 * Goes to another page, or, with `replace`, changes the address of this one.
 * @param {string} href of `link`
 * @param {{ replace?: boolean }} [options]
 */
export function go(href, options = {}) {
  if (options.replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  address.set(parsed(location.hash));
}
