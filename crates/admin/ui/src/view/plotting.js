// The library of charts. It is got after the first picture, which has none yet.

/** @typedef {typeof import("../../vendor/uplot.js").default} Plotting */

/** @type {Promise<Plotting | null> | null} */
let asked = null;

/** The library; `null` if the gateway has not sent it, which is asked again then. */
export function plotting() {
  asked ??= get();
  return asked;
}

/** @returns {Promise<Plotting | null>} */
async function get() {
  try {
    return (await import("../../vendor/uplot.js")).default;
  } catch {
    asked = null;
    return null;
  }
}
