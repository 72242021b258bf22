// Requests at a modest rate, until they are stopped.

import { Agent, request } from "node:http";

export class Traffic {
  #timer;
  #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  /** Responses by status. @type {Record<string, number>} */
  statuses = {};

  /**
   * @param {string} origin the listener
   * @param {string[]} paths in turn
   * @param {number} [rate] requests in a second
   */
  constructor(origin, paths, rate = 100) {
    let next = 0;
    this.#timer = setInterval(() => {
      const path = paths[next++ % paths.length];
      const sent = request(`${origin}${path}`, { agent: this.#agent }, (response) => {
        response.resume();
        const status = String(response.statusCode);
        this.statuses[status] = (this.statuses[status] ?? 0) + 1;
      });
      sent.on("error", () => { this.statuses.error = (this.statuses.error ?? 0) + 1; });
      sent.end();
    }, 1000 / rate);
  }

  stop() {
    clearInterval(this.#timer);
    this.#agent.destroy();
  }
}
