// A time in the reader's zone, with UTC on hover.

import { html } from "../html.js";
import { ago, duration, moment, utc } from "../model/format.js";
import { useGatewayNow } from "../state/clock.js";

/**
 * @param {object} props
 * @param {string | number} props.at RFC 3339, or milliseconds
 */
export function Time({ at }) {
  const ms = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(ms)) return html`<span>${String(at)}</span>`;
  return html`<time class="time" datetime=${new Date(ms).toISOString()} title=${utc(ms)}>${moment(ms)}</time>`;
}

/**
 * The time since, which grows.
 * @param {object} props
 * @param {string | number} props.at RFC 3339, or milliseconds
 */
export function Age({ at }) {
  const now = useGatewayNow();
  const ms = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(ms)) return html`<span>${String(at)}</span>`;
  return html`<time class="time" datetime=${new Date(ms).toISOString()} title=${`${moment(ms, 0)}\n${utc(ms)}`}>${ago(ms, now)}</time>`;
}

/**
 * The length of time since, such as `for 5 min`.
 * @param {object} props
 * @param {string | number} props.at RFC 3339, or milliseconds
 */
export function Since({ at }) {
  const now = useGatewayNow();
  const ms = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(ms)) return html`<span>${String(at)}</span>`;
  return html`<time class="time" datetime=${new Date(ms).toISOString()} title=${`since ${moment(ms, 0)}\n${utc(ms)}`}>for ${duration((now - ms) / 1000)}</time>`;
}
