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
  if (length === 0) return { ...previous, next: news.next, kept: news.kept, instances: news.instances, missing: news.missing };
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
      refused: join(old?.refused, fresh.refused),
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

/**
 * Requests, failures and refusals of the whole in the last seconds; `null` if nothing is known of them.
 * @param {Timeline} timeline
 * @param {number} seconds
 * @returns {{ requests: number, failures: number, refused: number, seconds: number } | null}
 */
export function lately(timeline, seconds) {
  const whole = timeline.series.find((series) => (series.service ?? null) === null);
  if (!whole) return null;
  const parts = Math.ceil(seconds / timeline.step_seconds);
  const requests = whole.requests.slice(-parts).filter((count) => count !== null);
  if (requests.length === 0) return null;
  /** @param {(number | null)[]} counts */
  const total = (counts) => counts.slice(-parts).reduce((/** @type {number} */ sum, count) => sum + (count ?? 0), 0);
  return { requests: total(whole.requests), failures: total(whole.failures), refused: total(whole.refused), seconds: requests.length * timeline.step_seconds };
}

/**
 * The p99 of the last minute that is over, or of the one under way if it is the first. Those of seconds cannot be put together.
 * @param {Timeline} timeline by the minute
 * @returns {number | null}
 */
export function lastMinute(timeline) {
  const values = timeline.series.find((series) => (series.service ?? null) === null)?.p99_ms ?? [];
  const over = Math.floor((timeline.next - timeline.begin) / timeline.step_seconds);
  return values[over - 1] ?? (over <= 1 ? (values[over] ?? null) : null);
}

/**
 * The figures of the whole as a chart takes them: rates per second, and durations.
 * @param {Timeline | null} timeline
 * @returns {{ times: number[], columns: (number | null)[][] }} columns: requests, failures, refused, p50, p99
 */
export function ofWhole(timeline) {
  const whole = timeline?.series.find((series) => (series.service ?? null) === null);
  if (!timeline || !whole) return { times: [], columns: [[], [], [], [], []] };
  const step = timeline.step_seconds;
  // A part that is not over has too few requests yet.
  const parts = Math.max(0, Math.floor((timeline.next - timeline.begin) / step));
  /** @param {(number | null)[]} values */
  const over = (values) => values.slice(0, parts);
  return {
    times: times(timeline).slice(0, parts),
    columns: [over(rates(whole.requests, step)), over(rates(whole.failures, step)), over(rates(whole.refused, step)), over(whole.p50_ms), over(whole.p99_ms)],
  };
}

/**
 * The marks of several timelines, each once, the newest first.
 * @param {(Timeline | null)[]} timelines
 * @returns {import("../api/types.js").Mark[]}
 */
export function marksOf(timelines) {
  const all = new Map();
  for (const mark of timelines.flatMap((timeline) => timeline?.marks ?? [])) {
    all.set(`${mark.time} ${mark.event} ${mark.route} ${mark.service} ${mark.text}`, mark);
  }
  return [...all.values()].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
}
