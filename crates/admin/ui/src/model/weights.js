// The arms of a split, and their shares.

import { percent } from "./format.js";

/**
 * @typedef {object} Arm
 * @property {string} service
 * @property {string} letter its sign in charts and bars: A, B, …
 * @property {number} share of the live weights, from 0 to 1
 * @property {number} declaredShare
 * @property {boolean} isDialed the two differ
 * @property {string} text the live share, with the declared one if it differs
 */

/**
 * @param {{ service: string, live: number, declared: number }[]} weights
 * @returns {Arm[]}
 */
export function arms(weights) {
  const live = weights.reduce((sum, arm) => sum + arm.live, 0);
  const declared = weights.reduce((sum, arm) => sum + arm.declared, 0);
  return weights.map((arm, at) => {
    const share = live === 0 ? 0 : arm.live / live;
    const declaredShare = declared === 0 ? 0 : arm.declared / declared;
    const isDialed = arm.live !== arm.declared;
    const text = isDialed ? `${percent(share)} (declared ${percent(declaredShare)})` : percent(share);
    return { service: arm.service, letter: letter(at), share, declaredShare, isDialed, text };
  });
}

/**
 * The sign of an arm by its position.
 * @param {number} at
 * @returns {string}
 */
export function letter(at) {
  const own = String.fromCharCode(65 + (at % 26));
  return at < 26 ? own : letter(Math.floor(at / 26) - 1) + own;
}
