// Marks: changes beside the figures that they may explain.

/** @typedef {import("../api/types.js").Mark} Mark */
/** @typedef {import("../view/chart.js").ChartMark} ChartMark */

/**
 * A word or two for a kind of event, and its tone.
 * @type {Record<string, [string, string]>}
 */
const KINDS = {
  dial: ["dial", "info"],
  applied: ["config", "info"],
  rollout: ["rollout", "info"],
  upgraded: ["upgrade", "info"],
  endpoint_ejected: ["ejected", "bad"],
  endpoint_down: ["down", "bad"],
  endpoint_up: ["up", "good"],
  endpoint_recovered: ["back", "good"],
  endpoint_drained: ["drained", "warn"],
  endpoint_undrained: ["taken back", "good"],
  panic_entered: ["panic", "bad"],
  panic_left: ["panic over", "good"],
  addresses_changed: ["addresses", "info"],
  fleet_away: ["etcd away", "bad"],
  fleet_back: ["etcd back", "good"],
  canary_begun: ["canary", "info"],
  canary_passed: ["passed", "good"],
  canary_taken_back: ["taken back", "warn"],
  instance_joined: ["joined", "good"],
  instance_left: ["left", "warn"],
  instance_left_out: ["left out", "warn"],
};

/**
 * The word and the tone of an event.
 * @param {string} event
 * @returns {{ word: string, tone: string }}
 */
export function kind(event) {
  const [word, tone] = KINDS[event] ?? [event.replaceAll("_", " "), "info"];
  return { word, tone };
}

/**
 * Marks as a chart takes them.
 * @param {Mark[]} marks
 * @returns {ChartMark[]}
 */
export function chartMarks(marks) {
  return marks.map((mark) => {
    const { word, tone } = kind(mark.event);
    const subject = mark.route ?? mark.service;
    return { at: Date.parse(mark.time) / 1000, label: word, tone, text: subject ? `${subject}: ${mark.text}` : mark.text };
  });
}

/**
 * Marks at their places, those that are near each other as one.
 * @param {ChartMark[]} marks
 * @param {number} begin seconds
 * @param {number} end seconds
 * @param {number} width pixels from begin to end
 * @param {number} apart pixels
 * @returns {{ x: number, marks: ChartMark[] }[]}
 */
export function clusters(marks, begin, end, width, apart) {
  /** @type {{ x: number, marks: ChartMark[] }[]} */
  const all = [];
  const shown = marks.filter((mark) => mark.at >= begin && mark.at <= end).sort((a, b) => a.at - b.at);
  for (const mark of shown) {
    const x = ((mark.at - begin) / (end - begin)) * width;
    const previous = all[all.length - 1];
    if (previous && x - previous.x < apart) previous.marks.push(mark);
    else all.push({ x, marks: [mark] });
  }
  return all;
}
