// The filter of the live log. It is in the address, so that it can be shared.

import { html, useEffect, useRef, useState } from "../../html.js";
import { FILTER_KEYS, isFilter } from "../../model/tail.js";
import { Button } from "../../view/button.js";
import { Field } from "../../view/field.js";

/** @typedef {import("../../model/tail.js").Filter} Filter */
/** @typedef {import("../../model/tail.js").FilterKey} FilterKey */

/** Milliseconds after the last key. */
const TYPED = 400;

/** @type {Record<FilterKey, { label: string, placeholder: string }>} */
const FIELDS = {
  path: { label: "Path begins with", placeholder: "/users/" },
  host: { label: "Host", placeholder: "*.example.net" },
  route: { label: "Route", placeholder: "name" },
  service: { label: "Service", placeholder: "name" },
  method: { label: "Method", placeholder: "GET" },
  status: { label: "Status", placeholder: "503 or 5xx" },
};

/**
 * @param {object} props
 * @param {Filter} props.filter
 * @param {(filter: Filter) => void} props.onChange
 */
export function LiveFilter({ filter, onChange }) {
  const [typed, setTyped] = useState(filter);
  const last = useRef(filter);
  const given = JSON.stringify(filter);
  // An address that has changed otherwise, such as by a link, is taken over.
  useEffect(() => {
    if (given !== JSON.stringify(last.current)) {
      last.current = filter;
      setTyped(filter);
    }
  }, [given]);
  useEffect(() => {
    if (JSON.stringify(typed) === JSON.stringify(last.current)) return;
    const timer = setTimeout(() => {
      last.current = typed;
      onChange(typed);
    }, TYPED);
    return () => clearTimeout(timer);
  }, [typed]);
  const [isOpen] = useState(() => !matchMedia("(max-width: 700px)").matches || isFilter(filter));
  return html`<details class="live-filters" open=${isOpen}><summary>Filter</summary><form class="live-filter" role="search" aria-label="Filter" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    ${FILTER_KEYS.map((key) => html`<${Field} key=${key} label=${FIELDS[key].label} placeholder=${FIELDS[key].placeholder}
      value=${typed[key] ?? ""} onInput=${(/** @type {string} */ value) => setTyped({ ...typed, [key]: value })} />`)}
    <label class="check"><input type="checkbox" checked=${typed.failing === true}
      onChange=${(/** @type {Event & { currentTarget: HTMLInputElement }} */ event) => setTyped({ ...typed, failing: event.currentTarget.checked })} />Failed only</label>
    ${isFilter(typed) ? html`<${Button} look="quiet" onPress=${() => setTyped({})}>Reset<//>` : null}
  </form></details>`;
}
