// Values that are used once they have stayed the same for a while, as a text is that somebody types.

import { useEffect, useState } from "../html.js";

/**
 * A value that has stayed the same for a while; the first one at once.
 * @template T
 * @param {T} value
 * @param {number} wait milliseconds
 */
export function useCalm(value, wait) {
  const [later, setLater] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLater(value), wait);
    return () => clearTimeout(timer);
  }, [value, wait]);
  return later;
}
