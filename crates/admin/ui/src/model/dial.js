// The arithmetic of a dial: shares, and the whole numbers that make them.

import { percent } from "./format.js";
import { letter } from "./weights.js";

/** @typedef {import("../api/route-types.js").ArmView} ArmView */

/** The highest weight that is taken: the gateway's numbers are larger, but no share needs it. */
export const WEIGHT_MAX = 1_000_000;

/** @param {number[]} weights */
const total = (weights) => weights.reduce((sum, weight) => sum + weight, 0);

/**
 * The shares of weights, from 0 to 1; all 0 if no arm has any.
 * @param {number[]} weights
 */
export function shares(weights) {
  const sum = total(weights);
  return weights.map((weight) => (sum === 0 ? 0 : weight / sum));
}

/**
 * True if both make the same shares.
 * @param {number[]} one
 * @param {number[]} other
 */
export function isSame(one, other) {
  const [sum, otherSum] = [total(one), total(other)];
  if (sum === 0 || otherSum === 0) return sum === otherSum;
  return one.length === other.length && one.every((weight, at) => weight * otherSum === (other[at] ?? 0) * sum);
}

/**
 * Weights as they are live or declared, if these make the same shares: a dial that is turned back is no dial.
 * @param {ArmView[]} arms
 * @param {number[]} weights
 */
function known(arms, weights) {
  const [live, declared] = [arms.map((arm) => arm.live), arms.map((arm) => arm.declared)];
  if (isSame(weights, declared)) return declared;
  return isSame(weights, live) ? live : weights;
}

/**
 * The weights of two arms of which the one at `at` gets a share.
 * @param {ArmView[]} arms
 * @param {number} at 0 or 1
 * @param {number} share in percent, with at most two decimals
 */
export function withShare(arms, at, share) {
  const hundredths = Math.round(share * 100);
  // The smallest numbers that make it: 25 of 100, 5 of 1000, 1 of 10000.
  const scale = [100, 10, 1].find((scale) => hundredths % scale === 0) ?? 1;
  const weight = hundredths / scale;
  const rest = 10_000 / scale - weight;
  return known(arms, at === 0 ? [weight, rest] : [rest, weight]);
}

/**
 * The weights with all for one arm.
 * @param {ArmView[]} arms
 * @param {number} at
 */
export const allTo = (arms, at) => known(arms, arms.map((_, other) => (other === at ? 100 : 0)));

/**
 * The weights with which the sides that are worse get no requests; `null` if there are none of these, or no others.
 * @param {ArmView[]} arms
 * @param {string[]} worse
 * @returns {{ weights: number[], text: string } | null}
 */
export function wayOut(arms, worse) {
  const weights = arms.map((arm) => (worse.includes(arm.service) ? 0 : arm.live));
  const left = arms.filter((_, at) => weights[at] > 0);
  if (left.length === 0 || arms.every((arm, at) => arm.live === weights[at])) return null;
  if (left.length === 1) return { weights: allTo(arms, arms.indexOf(left[0])), text: `All to ${left[0].service}…` };
  const out = arms.filter((arm, at) => arm.live > 0 && weights[at] === 0);
  return { weights: known(arms, weights), text: out.length === 1 ? `Nothing to ${out[0].service}…` : `Nothing to ${out.length} services…` };
}

/**
 * The weights with another one for one arm: the others keep theirs, and so their proportion.
 * @param {ArmView[]} arms
 * @param {number[]} weights
 * @param {number} at
 * @param {number} weight
 */
export const withWeight = (arms, weights, at, weight) => known(arms, weights.map((own, other) => (other === at ? weight : own)));

/**
 * @typedef {object} Parsed
 * @property {number | null} value
 * @property {string | null} error
 */

/**
 * A share as it is typed: `25`, `0.5`, `0,5 %`.
 * @param {string} text
 * @returns {Parsed}
 */
export function parsedShare(text) {
  const digits = text.trim().replace(/\s*%$/, "").replace(",", ".");
  const value = Number(digits);
  if (/^\d{1,3}(\.\d{0,2})?$|^\.\d{1,2}$/.test(digits) && value <= 100) return { value, error: null };
  return { value: null, error: "A share is a number from 0 to 100, with two decimals at most." };
}

/**
 * A weight as it is typed.
 * @param {string} text
 * @returns {Parsed}
 */
export function parsedWeight(text) {
  const digits = text.trim();
  if (/^\d{1,7}$/.test(digits) && Number(digits) <= WEIGHT_MAX) return { value: Number(digits), error: null };
  return { value: null, error: `A weight is a whole number from 0 to ${WEIGHT_MAX.toLocaleString()}.` };
}

/**
 * The reason why these weights cannot be set, or `null`.
 * @param {ArmView[]} arms
 * @param {number[]} weights
 * @returns {string | null}
 */
export function refusal(arms, weights) {
  if (weights.every((weight) => weight === 0)) return "One service at least needs a weight, or no request would be served.";
  if (isSame(weights, arms.map((arm) => arm.live))) return "Nothing would change.";
  return null;
}

/**
 * The body of a dial.
 * @param {ArmView[]} arms
 * @param {number[]} weights
 * @returns {Record<string, number>}
 */
export const body = (arms, weights) => Object.fromEntries(arms.map((arm, at) => [arm.service, weights[at]]));

/**
 * The command that does the same in a terminal.
 * @param {string} route
 * @param {ArmView[]} arms
 * @param {number[] | null} weights `null` for the declared ones
 */
export function command(route, arms, weights) {
  if (weights === null || weights.every((weight, at) => weight === arms[at].declared)) return `waypost dial ${route} --reset`;
  // Services that are left out get none.
  const given = arms.map((arm, at) => `${arm.service}=${weights[at]}`).filter((_, at) => weights[at] > 0);
  return `waypost dial ${route} ${given.join(" ")}`;
}

/**
 * @typedef {object} Change of the share of an arm
 * @property {string} service
 * @property {string} letter
 * @property {number} before from 0 to 1
 * @property {number} after
 * @property {string} text
 */

/**
 * The arms whose share will be another one, those with the greatest difference first.
 * @param {ArmView[]} arms
 * @param {number[]} weights
 * @returns {Change[]}
 */
export function changes(arms, weights) {
  const before = shares(arms.map((arm) => arm.live));
  const after = shares(weights);
  const all = arms.map((arm, at) => ({ service: arm.service, letter: letter(at), before: before[at], after: after[at], text: sentence(arm.service, before[at], after[at]) }));
  // As whole numbers: shares of the same size may differ in their last digit.
  const [sum, liveSum] = [total(weights), total(arms.map((arm) => arm.live))];
  const changed = all.filter((_, at) => (sum === 0 || liveSum === 0 ? sum !== liveSum : weights[at] * liveSum !== arms[at].live * sum));
  const size = (/** @type {Change} */ change) => Math.round(Math.abs(change.after - change.before) * 1e9);
  return changed.sort((one, other) => size(other) - size(one));
}

/**
 * @param {string} service
 * @param {number} before
 * @param {number} after
 */
function sentence(service, before, after) {
  if (after === 0) return `${service} gets no further requests, instead of ${percent(before)}.`;
  if (after === 1) return `${service} gets all requests, instead of ${percent(before)}.`;
  return `${service} gets ${percent(after)} of the requests instead of ${before === 0 ? "none" : percent(before)}.`;
}

/**
 * Weights in a few words, such as `users-v1 95, users-v2 5`.
 * @param {{ service: string, weight: number }[]} weights
 */
export function summary(weights) {
  const given = weights.filter((one) => one.weight > 0);
  const shown = given.slice(0, 3).map((one) => `${one.service}\u00a0${one.weight}`).join(", ");
  if (given.length === 0) return "no service";
  return given.length > 3 ? `${shown} and ${given.length - 3} more` : shown;
}

/**
 * Weights by service in the order of the arms; `null` if the services are not the same.
 * @param {ArmView[]} arms
 * @param {{ service: string, weight: number }[]} weights
 * @returns {number[] | null}
 */
export function weightsOf(arms, weights) {
  const known = new Map(weights.map((one) => [one.service, one.weight]));
  if (known.size !== arms.length || !arms.every((arm) => known.has(arm.service))) return null;
  return arms.map((arm) => known.get(arm.service) ?? 0);
}

/**
 * A share in percent as it is typed, without noise of binary fractions.
 * @param {number} share from 0 to 1
 */
export const typed = (share) => String(Math.round(share * 10_000) / 100);
