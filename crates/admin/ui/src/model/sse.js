// Server-sent events, as the HTML standard frames them.

/**
 * @typedef {object} ServerEvent
 * @property {string} event
 * @property {string} data
 */

/** A parser that is fed with pieces of text and gives the events that are complete. */
export function eventParser() {
  let rest = "";
  let event = "";
  /** @type {string[]} */
  let data = [];
  /**
   * @param {string} piece
   * @returns {ServerEvent[]}
   */
  return function feed(piece) {
    /** @type {ServerEvent[]} */
    const complete = [];
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const ended of lines) {
      const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
      if (line === "") {
        if (data.length > 0) complete.push({ event: event || "message", data: data.join("\n") });
        event = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") event = value;
      else if (name === "data") data.push(value);
    }
    return complete;
  };
}
