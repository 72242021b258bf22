// A labelled field for a line of text.

import { html, useId } from "../html.js";

/**
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.value
 * @param {(value: string) => void} props.onInput
 * @param {string | null} [props.error]
 * @param {string} [props.hint]
 * @param {string} [props.type]
 * @param {string} [props.placeholder]
 * @param {boolean} [props.isLabelHidden]
 * @param {boolean} [props.autofocus]
 * @param {string} [props.autocomplete]
 */
export function Field({ label, value, onInput, error, hint, type = "text", placeholder, isLabelHidden, autofocus, autocomplete = "off" }) {
  const id = useId();
  const note = error ?? hint;
  return html`<div class="field">
    <label for=${id} class=${isLabelHidden ? "hidden" : undefined}>${label}</label>
    <input id=${id} type=${type} value=${value} placeholder=${placeholder} autocomplete=${autocomplete} spellcheck=${false}
      autocapitalize="off" aria-invalid=${error ? "true" : undefined} aria-describedby=${note ? `${id}-note` : undefined}
      autofocus=${autofocus} onInput=${(/** @type {InputEvent & { currentTarget: HTMLInputElement }} */ event) => onInput(event.currentTarget.value)} />
    ${note ? html`<p id=${`${id}-note`} class=${error ? "note error" : "note"} role=${error ? "alert" : undefined}>${note}</p>` : null}
  </div>`;
}
