// The reason of a failed request in words.

/** @typedef {import("../api/route-types.js").Failure} Failure */

/** Reasons, as in the access log.
 * @type {Record<string, string>} */
const WORDS = {
  no_arm: "no service of the route has a weight",
  no_endpoint: "no endpoint of the service has an address",
  request_limit: "as many requests as are allowed were under way",
  connection_limit: "as many connections as are allowed were open",
  no_descriptor: "the gateway has no further file descriptors",
  connection_refused: "the endpoint refused the connection",
  connect_timeout: "the endpoint did not accept the connection in time",
  tls_to_service: "the endpoint's TLS failed",
  certificate_of_service: "the endpoint's certificate is not accepted",
  tls_alert_received: "the endpoint ended TLS with an alert",
  connection_terminated: "the endpoint closed the connection",
  response_timeout: "the response did not begin in time",
  write_timeout: "the client or the service did not read in time",
  route_timeout: "the exchange took longer than the route's timeout",
  invalid_response: "the response was malformed",
};

/**
 * @param {{ reason: string, ended_by: string, detail: string | null, service: string | null, status: number, grpc_status: number | null }} failure
 */
export function reason(failure) {
  const detail = failure.detail ? ` (${failure.detail})` : "";
  if (failure.reason === "complete") {
    if (failure.ended_by === "gateway" && failure.service === null) return `the gateway responded with ${failure.status}${detail}`;
    return failure.grpc_status !== null ? `the service responded with grpc-status ${failure.grpc_status}${detail}` : `the service responded with ${failure.status}${detail}`;
  }
  return `${WORDS[failure.reason] ?? failure.reason.replaceAll("_", " ")}${detail}`;
}

/**
 * Reasons with their numbers, the most frequent first.
 * @param {Failure[]} failures
 * @returns {{ text: string, count: number }[]}
 */
export function kinds(failures) {
  /** @type {Map<string, number>} */
  const all = new Map();
  for (const failure of failures) {
    const text = `${failure.service ?? "no service"}: ${reason(failure)}`;
    all.set(text, (all.get(text) ?? 0) + 1);
  }
  return [...all].map(([text, count]) => ({ text, count })).sort((one, other) => other.count - one.count);
}
