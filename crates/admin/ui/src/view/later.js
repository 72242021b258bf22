// Work that may wait a moment, such as drawing a chart: one piece a task, so that none of them holds up a key or a press.

/** @type {(() => void)[]} */
const waiting = [];

/**
 * Does `work` in a task of its own, after what waits already.
 * @param {() => void} work
 * @returns {() => void} takes it back, if it is not done yet
 */
export function later(work) {
  waiting.push(work);
  if (waiting.length === 1) setTimeout(next, 0);
  return () => {
    const at = waiting.indexOf(work);
    // The first one has its turn already; the task finds the list without it.
    if (at >= 0) waiting.splice(at, 1);
  };
}

function next() {
  const work = waiting.shift();
  work?.();
  if (waiting.length > 0) setTimeout(next, 0);
}
