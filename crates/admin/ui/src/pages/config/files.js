// The files of the config, to choose one, add one or remove one.

import { html, useState } from "../../html.js";
import { edited, filesOf, nameFault } from "../../model/draft.js";
import { draft as store } from "../../state/draft.js";
import { Button } from "../../view/button.js";
import { Dialog } from "../../view/dialog.js";
import { Field } from "../../view/field.js";

/** Files that have a button each; more of them are in a list. */
const BUTTONS_MAX = 6;

/**
 * @param {object} props
 * @param {import("../../model/draft.js").Draft} props.draft
 * @param {string | null} props.file
 * @param {import("../../model/findings.js").Finding[]} props.findings
 * @param {boolean} props.canEdit
 * @param {(name: string) => void} props.onChoose
 * @param {import("../../html.js").Children} [props.children]
 */
export function FileBar({ draft, file, findings, canEdit, onChoose, children }) {
  const [isAdding, setAdding] = useState(false);
  const files = filesOf(draft);
  /** @param {string} name */
  const label = (name) => {
    const errors = findings.filter((one) => one.severity === "error" && one.spots[0]?.file === name).length;
    return `${name}${draft.texts[name] === undefined ? "" : " •"}${errors > 0 ? ` ■ ${errors}` : ""}`;
  };
  const removed = draft.base.files.filter((one) => draft.texts[one.name] === null);
  return html`<header class="panel-head file-bar">
    <div class="file-names">
      ${files.length > BUTTONS_MAX
        ? html`<label class="field file-list"><span class="hidden">File</span><select value=${file} onChange=${(/** @type {Event & { currentTarget: HTMLSelectElement }} */ event) => onChoose(event.currentTarget.value)}>
            ${files.map(({ name }) => html`<option key=${name} value=${name}>${label(name)}</option>`)}</select></label>`
        : draft.base.isDirectory
          ? html`<div class="segments" role="group" aria-label="Files">${files.map(({ name }) => html`<button key=${name} type="button" class="cut" title=${name} aria-pressed=${name === file ? "true" : "false"} onClick=${() => onChoose(name)}>${label(name)}</button>`)}</div>`
          : html`<h2 class="cut" title=${file}>${file}${draft.texts[file ?? ""] === undefined ? null : html` <span class="muted">edited</span>`}</h2>`}
      ${draft.base.isDirectory && canEdit ? html`<${Button} look="quiet" onPress=${() => setAdding(true)}>Add file<//>
        ${files.length > 1 && file ? html`<${Button} look="quiet" label=${`Remove ${file}`} onPress=${() => store.set(edited(draft, file, null))}>Remove<//>` : null}` : null}
      ${removed.map(({ name, text }) => html`<${Button} key=${name} look="quiet" onPress=${() => { store.set(edited(draft, name, text)); onChoose(name); }}>Bring back ${name}<//>`)}
    </div>
    <div class="title-actions">${children}</div>
    ${isAdding ? html`<${AddFile} draft=${draft} onClose=${() => setAdding(false)} onAdded=${onChoose} />` : null}
  </header>`;
}

/**
 * @param {object} props
 * @param {import("../../model/draft.js").Draft} props.draft
 * @param {() => void} props.onClose
 * @param {(name: string) => void} props.onAdded
 */
function AddFile({ draft, onClose, onAdded }) {
  const [name, setName] = useState("");
  const fault = nameFault(draft, name);
  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    if (fault !== null) return;
    store.set(edited(draft, name, ""));
    onAdded(name);
    onClose();
  }
  return html`<${Dialog} title="Add a file" onClose=${onClose}><form onSubmit=${submit}>
    <${Field} label="Name" value=${name} onInput=${setName} placeholder="routes.yaml" autofocus=${true} error=${name === "" ? null : fault} />
    <div class="dialog-actions"><${Button} onPress=${onClose}>Cancel<//><${Button} type="submit" look="main" reason=${name === "" ? "Type a name first." : fault}>Add<//></div></form><//>`;
}
