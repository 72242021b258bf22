// Dialogs: the native element keeps the focus inside, and gives it back.

import { html, useEffect, useId, useRef, useState } from "../html.js";
import { Button } from "./button.js";
import { Problem } from "./problem.js";

/**
 * @param {object} props
 * @param {string} props.title
 * @param {() => void} [props.onClose] without it, the dialog cannot be left
 * @param {import("../html.js").Children} props.children
 */
export function Dialog({ title, onClose, children }) {
  const id = useId();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    if (element && !element.open) element.showModal();
    return () => {
      element?.close();
      // A browser gives the focus back when a dialog closes, but not when it is taken out of the page.
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  /** @param {Event} event */
  const cancel = (event) => {
    event.preventDefault();
    onClose?.();
  };
  return html`<dialog ref=${dialog} class="dialog" aria-labelledby=${id} onCancel=${cancel}>
    <h2 id=${id}>${title}</h2>${children}</dialog>`;
}

/**
 * Asks before a change: says what will be different, and how to undo it.
 * @param {object} props
 * @param {string} props.title a question, such as `Drain 10.0.0.1:80?`
 * @param {string} props.action the word on the button, such as `Drain`
 * @param {import("../html.js").Children} [props.undo] how to undo it
 * @param {boolean} [props.isDanger]
 * @param {() => Promise<unknown>} props.onConfirm what it rejects with is shown, and can be tried again
 * @param {() => void} props.onClose
 * @param {import("../html.js").Children} [props.children] what will change
 */
export function Confirm({ title, action, undo, isDanger, onConfirm, onClose, children }) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (cause) {
      setError(cause instanceof Error ? cause : new Error(String(cause)));
      setBusy(false);
    }
  }
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      <div class="dialog-body">${children}</div>
      ${undo ? html`<div class="undo"><b>To undo:</b> ${undo}</div>` : null}
      ${error ? html`<${Problem} error=${error} />` : null}
      <div class="dialog-actions">
        <${Button} onPress=${onClose}>Cancel<//>
        <${Button} type="submit" look=${isDanger ? "danger" : "main"} isBusy=${isBusy} autofocus=${!isDanger}>${action}<//>
      </div>
    </form><//>`;
}
