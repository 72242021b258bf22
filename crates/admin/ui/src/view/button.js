// A button. One that may not be pressed says why, to everyone: it stays in the tab order.

import { html } from "../html.js";

/**
 * @param {object} props
 * @param {() => void} [props.onPress]
 * @param {"plain" | "main" | "danger" | "quiet" | "small"} [props.look]
 * @param {string | null} [props.reason] why it is not available
 * @param {boolean} [props.isBusy]
 * @param {"button" | "submit"} [props.type]
 * @param {string} [props.label] for a button whose content is no text
 * @param {boolean} [props.autofocus] has the focus when its dialog opens
 * @param {import("../html.js").Children} [props.children]
 */
export function Button({ onPress, look = "plain", reason = null, isBusy = false, type = "button", label, autofocus, children }) {
  const isOff = reason !== null || isBusy;
  /** @param {Event} event */
  const press = (event) => {
    if (isOff) event.preventDefault();
    else onPress?.();
  };
  return html`<button type=${type} class=${`button ${look}`} aria-disabled=${isOff ? "true" : undefined}
    aria-busy=${isBusy ? "true" : undefined} title=${reason ?? undefined} aria-label=${label}
    aria-description=${reason ?? undefined} autofocus=${autofocus} onClick=${press}>${children}</button>`;
}
