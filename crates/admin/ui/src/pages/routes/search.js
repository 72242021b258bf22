// The search for routes: a line of text, and buttons for the words that one does not remember.

import { html, useEffect, useId, useRef } from "../../html.js";
import { STATES, begun, has, toggled } from "../../model/filter.js";

/** Keys of words, with what they look at. */
const KEYS = ["host", "path", "service"];
const TITLES = /** @type {Record<string, string>} */ ({
  failing: "Routes with failed requests in the last minute",
  dialed: "Routes whose live weights differ from the declared ones",
  rollout: "Routes with a rollout under way",
});
const SORTS = [["config", "Config order"], ["name", "Name"], ["rate", "Most requests"], ["failures", "Most failures"], ["failure_share", "Highest share of failures"], ["p99", "Slowest"]];

/**
 * @param {object} props
 * @param {string} props.text
 * @param {(text: string) => void} props.onText
 * @param {string | null} [props.error]
 * @param {string} props.sort
 * @param {(sort: string) => void} props.onSort
 * @param {() => void} props.onDown the arrow down in the field
 */
export function Search({ text, onText, error, sort, onSort, onDown }) {
  const id = useId();
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const press = (event) => {
      const element = /** @type {HTMLElement} */ (event.target);
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || element.closest("input, textarea, select, dialog")) return;
      event.preventDefault();
      field.current?.focus();
      field.current?.select();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      onDown();
    } else if (event.key === "Escape" && text !== "") {
      event.preventDefault();
      onText("");
    }
  };
  /** @param {string} key */
  const begin = (key) => {
    onText(begun(text, key));
    field.current?.focus();
  };
  return html`<form class="search" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <div class="field search-field">
      <label for=${id} class="hidden">Search for routes</label>
      <input ref=${field} id=${id} type="search" value=${text} placeholder="Name, host or path" autocomplete="off" spellcheck=${false} autocapitalize="off"
        aria-keyshortcuts="/" aria-invalid=${error ? "true" : undefined} aria-describedby=${`${id}-note`} onKeyDown=${press}
        onInput=${(/** @type {InputEvent & { currentTarget: HTMLInputElement }} */ event) => onText(event.currentTarget.value)} />
      <kbd class="search-key" aria-hidden="true">/</kbd>
    </div>
    <div class="chips" role="group" aria-label="State">
      ${STATES.map((word) => html`<button key=${word} type="button" class="chip" aria-pressed=${has(text, word) ? "true" : "false"} title=${TITLES[word]}
        onClick=${() => onText(toggled(text, word))}>${word}</button>`)}</div>
    <div class="chips keys" role="group" aria-label="Search in">
      ${KEYS.map((key) => html`<button key=${key} type="button" class="chip key" title=${`Routes with a ${key} that has this part`} onClick=${() => begin(key)}>${key}:</button>`)}</div>
    <div class="field search-sort"><label for=${`${id}-sort`} class="hidden">Sort by</label>
      <select id=${`${id}-sort`} value=${sort} onChange=${(/** @type {Event & { currentTarget: HTMLSelectElement }} */ event) => onSort(event.currentTarget.value)}>
        ${SORTS.map(([value, title]) => html`<option key=${value} value=${value} selected=${value === sort}>${title}</option>`)}
        ${SORTS.some(([value]) => value === sort) ? null : html`<option value=${sort} selected=${true}>Reversed</option>`}</select></div>
    <p id=${`${id}-note`} class=${error ? "note error search-note" : "hidden"} role=${error ? "alert" : undefined}>${error ?? "Arrow down leads to the routes that are found."}</p>
  </form>`;
}
