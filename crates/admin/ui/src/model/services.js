// Services and their endpoints: what is out, and what was counted lately.

/** @typedef {import("../api/types.js").ServiceView} ServiceView */
/** @typedef {import("../api/types.js").AddressDetail} AddressDetail */

/** @typedef {"good" | "warn" | "bad" | "info" | "none"} Tone */

/**
 * The states of an endpoint, with their tones and in words.
 * @type {Record<string, [Tone, string]>}
 */
const STATES = {
  up: ["good", "up"],
  unknown: ["none", "not checked yet"],
  down: ["bad", "down"],
  ejected: ["bad", "ejected"],
  drained: ["warn", "drained"],
};

/**
 * @param {string} state
 * @returns {{ tone: Tone, word: string }}
 */
export function stateOf(state) {
  const [tone, word] = STATES[state] ?? ["none", state];
  return { tone, word };
}

/**
 * The addresses of a service by their availability.
 * @param {ServiceView} service
 */
export function availability(service) {
  const addresses = service.endpoints.flatMap((endpoint) => endpoint.addresses);
  const available = addresses.filter((address) => address.state === "up").length;
  /** @type {Tone} */
  let tone = "good";
  if (available < addresses.length) tone = "warn";
  if (available === 0) tone = addresses.some((address) => address.state === "unknown") ? "none" : "bad";
  return { available, all: addresses.length, tone };
}

/** @typedef {{ at: number, counts: Map<string, { requests: number, failures: number }> }} Look */
/** @typedef {{ seconds: number, requests: number, failures: number }} Lately */

/** Milliseconds for which looks are kept. */
const LOOKS_KEPT = 65_000;

/**
 * The looks at the counts of addresses, with one more.
 * @param {Look[]} looks
 * @param {ServiceView[]} services
 * @param {number} at milliseconds
 * @returns {Look[]}
 */
export function withLook(looks, services, at) {
  const counts = new Map();
  for (const service of services) {
    for (const address of service.endpoints.flatMap((endpoint) => endpoint.addresses)) {
      counts.set(key(service.name, address.address), { requests: address.requests, failures: address.failures });
    }
  }
  return [...looks.filter((look) => at - look.at < LOOKS_KEPT), { at, counts }];
}

/**
 * The counts of an address since the oldest look that has it; `null` with a single look.
 * @param {Look[]} looks
 * @param {string} service
 * @param {string} address
 * @returns {Lately | null}
 */
export function sinceLook(looks, service, address) {
  const name = key(service, address);
  const last = looks[looks.length - 1];
  const first = looks.find((look) => look.counts.has(name));
  const now = last?.counts.get(name);
  const then = first?.counts.get(name);
  // Counters that went back belong to another process.
  if (!last || !first || !now || !then || last === first || now.requests < then.requests) return null;
  return { seconds: (last.at - first.at) / 1000, requests: now.requests - then.requests, failures: now.failures - then.failures };
}

/** @param {string} service @param {string} address */
const key = (service, address) => `${service} ${address}`;
