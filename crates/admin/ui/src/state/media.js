// The window, as far as its size decides what is shown.

import { useEffect, useState } from "../html.js";

/**
 * True while a media query holds.
 * @param {string} query
 */
export function useMedia(query) {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const change = () => setHolds(list.matches);
    change();
    list.addEventListener("change", change);
    return () => list.removeEventListener("change", change);
  }, [query]);
  return holds;
}

/** True in a window of the width of a phone. */
export const useNarrow = () => useMedia("(max-width: 700px)");
