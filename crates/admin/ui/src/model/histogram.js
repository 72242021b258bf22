// Histograms of durations on a logarithmic scale, made comparable: shares of requests in steps of the same length.

/** @typedef {import("../api/route-types.js").Bucket} Bucket */

/** Steps of a decade. */
const STEPS = 8;

/** @param {number} ms */
const position = (ms) => Math.log10(Math.max(ms, 0.001)) * STEPS;

/**
 * @typedef {object} Grid
 * @property {number} first the first step; step `n` begins at 10^(n/8) ms
 * @property {number} length
 * @property {number[][]} shares of the requests of each histogram, by step
 * @property {number} top the highest share
 */

/**
 * Histograms on one grid. A bucket across the border of steps is shared out by its logarithm.
 * @param {Bucket[][]} histograms
 * @returns {Grid | null} `null` if they are all empty
 */
export function grid(histograms) {
  const filled = histograms.flat().filter((bucket) => bucket.count > 0);
  if (filled.length === 0) return null;
  const first = Math.floor(Math.min(...filled.map((bucket) => position(bucket.from_ms))));
  const end = Math.ceil(Math.max(...filled.map((bucket) => position(bucket.to_ms ?? bucket.from_ms * 1.2))));
  const length = Math.min(200, Math.max(1, end - first));
  const shares = histograms.map((buckets) => {
    const steps = new Array(length).fill(0);
    const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
    for (const bucket of buckets) {
      if (bucket.count === 0) continue;
      const from = position(bucket.from_ms) - first;
      const to = Math.max(from + 0.001, position(bucket.to_ms ?? bucket.from_ms * 1.2) - first);
      for (let step = Math.max(0, Math.floor(from)); step < Math.min(length, Math.ceil(to)); step += 1) {
        const part = (Math.min(to, step + 1) - Math.max(from, step)) / (to - from);
        steps[step] += (Math.max(0, part) * bucket.count) / total;
      }
    }
    return steps;
  });
  return { first, length, shares, top: Math.max(...shares.flat(), 0.0001) };
}

/**
 * Round durations on the scale, with their steps.
 * @param {Grid} grid
 * @param {number} max labels at most
 * @returns {{ ms: number, step: number }[]}
 */
export function ticks({ first, length }, max) {
  /** @type {{ ms: number, step: number }[]} */
  const all = [];
  for (let decade = -3; decade <= 8; decade += 1) {
    for (const digit of [1, 2, 5]) {
      const ms = digit * 10 ** decade;
      const step = position(ms) - first;
      if (step >= -0.001 && step <= length + 0.001) all.push({ ms, step });
    }
  }
  if (all.length <= max) return all;
  const decades = all.filter(({ ms }) => Number.isInteger(Math.round(Math.log10(ms) * 1000) / 1000));
  return decades.length >= 2 ? decades : all.filter((_, at) => at % Math.ceil(all.length / max) === 0);
}
