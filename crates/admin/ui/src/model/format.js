// Figures and times in the reader's language and zone. A figure that is missing is `–`.

/** What stands for a figure that is missing. */
export const NONE = "–";

/** @typedef {number | null | undefined} Figure */

/**
 * A formatter that is made when it is needed first: a browser takes long for the first one of all.
 * @param {() => { format: (value: number) => string }} make
 */
function lazy(make) {
  /** @type {{ format: (value: number) => string } | null} */
  let made = null;
  return { format: (/** @type {number} */ value) => (made ??= make()).format(value) };
}

/** @param {Intl.NumberFormatOptions} options */
const numbers = (options) => lazy(() => new Intl.NumberFormat(undefined, options));
/** @param {Intl.DateTimeFormatOptions} options */
const times = (options) => lazy(() => new Intl.DateTimeFormat(undefined, options));

const whole = numbers({ maximumFractionDigits: 0 });
const tenths = numbers({ minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredths = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = numbers({ notation: "compact", maximumSignificantDigits: 3 });

/**
 * @param {Figure} value
 * @returns {value is number}
 */
const isFigure = (value) => typeof value === "number" && Number.isFinite(value);

/** Labels of an axis, which have as many decimals as they need. */
const label = numbers({ maximumFractionDigits: 2 });

/**
 * Three digits or so of a number that is 0 or more.
 * @param {number} value
 */
function digits(value) {
  if (value >= 10_000) return short.format(value);
  if (value >= 100 || value === 0) return whole.format(value);
  return value >= 10 ? tenths.format(value) : hundredths.format(value);
}

/** @param {Figure} value */
export const count = (value) => (isFigure(value) ? whole.format(value) : NONE);

/** A number of many digits in few, such as `12.3K`.
 * @param {Figure} value */
export const compact = (value) => (isFigure(value) ? (Number.isInteger(value) && value < 10_000 ? whole.format(value) : digits(value)) : NONE);

/**
 * @param {Figure} perSecond
 * @param {boolean} [isLabel] on an axis
 */
export function rate(perSecond, isLabel = false) {
  if (!isFigure(perSecond)) return NONE;
  return `${isLabel && perSecond < 10_000 ? label.format(perSecond) : digits(perSecond)}/s`;
}

/**
 * @param {Figure} share from 0 to 1
 * @param {boolean} [isLabel] on an axis
 */
export function percent(share, isLabel = false) {
  if (!isFigure(share)) return NONE;
  const value = share * 100;
  if (isLabel) return `${label.format(value)} %`;
  if (value === 0 || value === 100) return `${whole.format(value)} %`;
  // Neither a few failures nor a few successes are rounded away.
  if (value < 0.01) return `<${hundredths.format(0.01)} %`;
  if (value > 99.99) return `>${hundredths.format(99.99)} %`;
  return `${value < 10 || value > 99 ? hundredths.format(value) : tenths.format(value)} %`;
}

/**
 * @param {Figure} value milliseconds
 * @param {boolean} [isLabel] on an axis
 */
export function ms(value, isLabel = false) {
  if (!isFigure(value)) return NONE;
  if (isLabel) return value >= 1000 ? `${label.format(value / 1000)} s` : `${label.format(value)} ms`;
  if (value === 0) return "0 ms";
  if (value >= 9950) return `${tenths.format(value / 1000)} s`;
  if (value >= 1000) return `${hundredths.format(value / 1000)} s`;
  if (value >= 9.95) return `${whole.format(value)} ms`;
  if (value >= 0.995) return `${tenths.format(value)} ms`;
  return `${hundredths.format(value)} ms`;
}

/** @param {Figure} value */
export function bytes(value) {
  if (!isFigure(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 ? whole.format(value) : compact(value)} ${units[at]}`;
}

/** A length of time in at most two units, such as `3 h 10 min`.
 * @param {Figure} seconds */
export function duration(seconds) {
  if (!isFigure(seconds)) return NONE;
  const total = Math.max(0, Math.round(seconds));
  /** @type {[number, string][]} */
  const units = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([length]) => total >= length);
  if (at < 0) return "0 s";
  const [length, unit] = units[at];
  const first = `${whole.format(Math.floor(total / length))} ${unit}`;
  const next = units[at + 1];
  const rest = next ? Math.floor((total % length) / next[0]) : 0;
  // Ten days are long enough for the hours not to matter.
  return next && rest > 0 && total < 10 * 86_400 ? `${first} ${rest} ${next[1]}` : first;
}

/** The time since, such as `5 min ago`.
 * @param {number} then milliseconds
 * @param {number} now */
export function ago(then, now) {
  const seconds = Math.round((now - then) / 1000);
  if (seconds < 1 && seconds > -1) return "now";
  if (seconds < 0) return `in ${duration(-seconds)}`;
  // The smaller unit of an age makes a column restless.
  const only = duration(seconds).split(" ").slice(0, 2).join(" ");
  return `${only} ago`;
}

const clockFormat = times({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = times({ month: "short", day: "numeric" });
const dateFormat = times({ year: "numeric", month: "short", day: "numeric" });

/** The time of day, in the reader's zone.
 * @param {number} at milliseconds */
export const clock = (at) => clockFormat.format(at);

/** The day and the time of day; the time alone if it is today, and the date alone if it is another year.
 * @param {number} at milliseconds
 * @param {number} [now] */
export function moment(at, now = Date.now()) {
  const day = new Date(at);
  const today = new Date(now);
  if (day.toDateString() === today.toDateString()) return clock(at);
  if (day.getFullYear() !== today.getFullYear()) return dateFormat.format(at);
  return `${dayFormat.format(at)}, ${clock(at)}`;
}

/** The date, with its year.
 * @param {number} at milliseconds */
export const date = (at) => dateFormat.format(at);

/** The same time everywhere, such as `2026-07-01 12:00:05 UTC`.
 * @param {number} at milliseconds */
export function utc(at) {
  const text = new Date(at).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`;
}

/**
 * A noun with its number, such as `3 routes`.
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export const counted = (number, one, many = `${one}s`) => `${whole.format(number)} ${number === 1 ? one : many}`;

/**
 * A long name cut in the middle: both ends tell names apart.
 * @param {string} text
 * @param {number} max characters
 */
export function cut(text, max) {
  const letters = [...text];
  if (letters.length <= max) return text;
  const tail = Math.floor((max - 1) / 3);
  return `${letters.slice(0, max - 1 - tail).join("")}…${letters.slice(letters.length - tail).join("")}`;
}

const minuteFormat = times({ hour: "2-digit", minute: "2-digit" });

/** The hour and the minute, with the second if it is not a whole minute.
 * @param {number} seconds since the epoch */
export const clockShort = (seconds) => (seconds % 60 === 0 ? minuteFormat.format(seconds * 1000) : clock(seconds * 1000));
