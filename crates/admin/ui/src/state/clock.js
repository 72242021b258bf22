// The present, for ages that grow while nothing else changes.

import { useEffect, useState } from "../html.js";

/**
 * The time in milliseconds, anew each `interval`.
 * @param {number} [interval]
 * @returns {number}
 */
export function useNow(interval = 1000) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), interval);
    return () => clearInterval(timer);
  }, [interval]);
  return now;
}
