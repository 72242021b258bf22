// The figures of the gateway, put together from the parts in which they come.

/** @typedef {import("../api/types.js").Timeline} Timeline */
/** @typedef {import("../api/types.js").Series} Series */

/**
 * The figures so far with those that are new, for a window that ends with the newest.
 * @param {Timeline | null} previous
 * @param {Timeline} news
 * @param {number} window seconds
 * @returns {Timeline}
 */
export function merged(previous, news, window) {
  if (previous === null || previous.step_seconds !== news.step_seconds) return news;
  const step = news.step_seconds;
  const length = lengthOf(news);
  // Nothing is new, or the gateway has begun anew with another past.
  if (length === 0) return { ...previous, next: news.next, kept: news.kept };
  const end = news.begin + length * step;
  const begin = Math.max(previous.begin, end - Math.ceil(window / step) * step);
  const reached = previous.begin + lengthOf(previous) * step;
  if (news.begin < previous.begin || news.begin > reached) return news;
  const known = new Map(previous.series.map((series) => [series.service ?? null, series]));
  const series = news.series.map((fresh) => {
    const old = known.get(fresh.service ?? null);
    /** @param {(number | null)[] | undefined} before @param {(number | null)[]} after */
    const join = (before, after) => {
      const kept = [];
      for (let time = begin; time < news.begin; time += step) kept.push(before?.[(time - previous.begin) / step] ?? null);
      return kept.concat(begin > news.begin ? after.slice((begin - news.begin) / step) : after);
    };
    return {
      service: fresh.service,
      requests: join(old?.requests, fresh.requests),
      failures: join(old?.failures, fresh.failures),
      p50_ms: join(old?.p50_ms, fresh.p50_ms),
      p99_ms: join(old?.p99_ms, fresh.p99_ms),
    };
  });
  // A part that is not over comes again, and its marks with it.
  const seen = new Set(news.marks.map((mark) => `${mark.time} ${mark.event} ${mark.route} ${mark.service} ${mark.text}`));
  const marks = previous.marks.filter((mark) => Date.parse(mark.time) / 1000 >= begin && !seen.has(`${mark.time} ${mark.event} ${mark.route} ${mark.service} ${mark.text}`));
  return { ...news, begin, series, marks: [...marks, ...news.marks] };
}

/** @param {Timeline} timeline */
const lengthOf = (timeline) => timeline.series[0]?.requests.length ?? 0;

/**
 * The times of the parts, in seconds since the epoch.
 * @param {Timeline} timeline
 * @returns {number[]}
 */
export function times(timeline) {
  return Array.from({ length: lengthOf(timeline) }, (_, at) => timeline.begin + at * timeline.step_seconds);
}

/**
 * Counts of parts as rates per second.
 * @param {(number | null)[]} counts
 * @param {number} step seconds
 */
export const rates = (counts, step) => counts.map((count) => (count === null ? null : count / step));
