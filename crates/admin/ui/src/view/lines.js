// A text that is too large for an editor, to be read: only the lines in sight are in the page.

import { html, useMemo, useState } from "../html.js";

/** Pixels of a line, as in the style. */
const LINE = 20;
/** Lines that are drawn; a window shows fewer. */
const DRAWN = 160;
/** Lines above the first one in sight. */
const MARGIN = 40;
/** Letters of a line that are shown. */
const LETTERS_MAX = 2000;

/**
 * @param {object} props
 * @param {string} props.label
 * @param {string} props.text
 */
export function Lines({ label, text }) {
  const lines = useMemo(() => text.split("\n"), [text]);
  const [from, setFrom] = useState(0);
  const shown = lines.slice(from, from + DRAWN);
  /** @param {Event & { currentTarget: HTMLElement }} event */
  const follow = ({ currentTarget }) => {
    const first = Math.floor(currentTarget.scrollTop / LINE);
    // Drawn anew once the margin is used up.
    if (Math.abs(first - MARGIN - from) > MARGIN / 2) setFrom(Math.max(0, first - MARGIN));
  };
  const place = { transform: `translateY(${from * LINE}px)` };
  return html`<div class="editor lines" tabindex="0" role="region" aria-label=${label} onScroll=${follow}>
    <div class="lines-all" style=${{ height: `${(lines.length + 1) * LINE}px` }}>
      <pre class="lines-numbers" aria-hidden="true" style=${place}>${shown.map((_, at) => from + at + 1).join("\n")}</pre>
      <pre style=${place}>${shown.map((line) => (line.length > LETTERS_MAX ? `${line.slice(0, LETTERS_MAX)}…` : line)).join("\n")}</pre></div></div>`;
}
