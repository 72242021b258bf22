// Certificates of listeners, and how those that authorities issue come along.

import { counted } from "./format.js";

/** @typedef {import("../api/types.js").CertificateView} CertificateView */
/** @typedef {import("../api/types.js").OrderReport} OrderReport */

/** Days before the end from which it is a grave reason of the health. */
const LATE = 1;

/** True if it stands in for one that an authority is still to issue. @param {CertificateView} view */
export const isPlaceholder = (view) => view.self_signed && view.directory !== undefined;

/**
 * The orders of a certificate, if an authority issues it.
 * @param {CertificateView} view
 * @param {OrderReport[]} orders
 */
export const orderOf = (view, orders) =>
  orders.find(({ directory, hosts }) => directory === view.directory && hosts.length === view.names.length && hosts.every((host) => view.names.includes(host)));

/**
 * How a certificate stands, in a word or two.
 * @param {CertificateView} view
 * @param {OrderReport | undefined} order
 * @returns {{ tone: import("../view/badge.js").Tone, text: string, title?: string }}
 */
export function standing(view, order) {
  const failed = order?.error ? { title: `The last order failed: ${order.error}` } : {};
  if (isPlaceholder(view)) {
    if (order?.state === "ordering") return { tone: "info", text: "being ordered", ...failed };
    return order?.error ? { tone: "bad", text: "order failed", ...failed } : { tone: "warn", text: "not issued yet" };
  }
  const { days, ends_soon } = view;
  const tone = ends_soon ? (days < LATE ? "bad" : "warn") : order?.error ? "warn" : "good";
  return { tone, text: days < 0 ? "ended" : days < 1 ? "< 1 day" : counted(days, "day"), ...failed };
}
