// A service whose responses a test decides.

import { createServer } from "node:http";

export class Service {
  /** @param {(request: import("node:http").IncomingMessage) => { status?: number, body?: string, delay?: number }} respond */
  static async start(respond = () => ({})) {
    const service = new Service(respond);
    await new Promise((resolve) => service.server.listen(0, "127.0.0.1", () => resolve(undefined)));
    return service;
  }

  /** @param {(request: import("node:http").IncomingMessage) => { status?: number, body?: string, delay?: number }} respond */
  constructor(respond) {
    /** May be replaced while it serves. */
    this.respond = respond;
    /** Requests so far. */
    this.requests = 0;
    this.server = createServer((request, response) => {
      this.requests += 1;
      request.resume();
      const { status = 200, body = "fine", delay = 0 } = this.respond(request);
      const send = () => response.writeHead(status, { "content-type": "text/plain" }).end(body);
      delay ? setTimeout(send, delay) : send();
    });
  }

  /** Its URL. */
  get url() {
    const address = /** @type {import("node:net").AddressInfo} */ (this.server.address());
    return `http://127.0.0.1:${address.port}`;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}
