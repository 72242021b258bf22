// Certificates as a test wants them, signed by themselves: X.509 (RFC 5280) in DER, by hand.

import { generateKeyPairSync, sign } from "node:crypto";

/** @param {number} tag @param {Uint8Array[]} parts */
function der(tag, ...parts) {
  const body = Buffer.concat(parts);
  const { length } = body;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), body]);
}

const SEQUENCE = 0x30;
/** ecdsa-with-SHA256 */
const ALGORITHM = der(SEQUENCE, Buffer.from("06082a8648ce3d040302", "hex"));
const COMMON_NAME = Buffer.from("0603550403", "hex");
const SUBJECT_ALT_NAME = Buffer.from("0603551d11", "hex");

/** @param {Date} time */
const generalized = (time) => der(0x18, Buffer.from(`${time.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`));

/** @param {string} text */
const named = (text) => der(SEQUENCE, der(0x31, der(SEQUENCE, COMMON_NAME, der(0x0c, Buffer.from(text)))));

/** @param {string} kind @param {Buffer} body */
const pem = (kind, body) => `-----BEGIN ${kind}-----\n${body.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${kind}-----\n`;

/**
 * A certificate for hosts, and its key.
 * @param {string[]} hosts
 * @param {number} hours until it ends; negative if it has
 * @returns {{ cert: string, key: string }}
 */
export function certificate(hosts, hours) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const end = new Date(Date.now() + hours * 3_600_000);
  const begin = new Date(Math.min(Date.now(), end.getTime()) - 30 * 86_400_000);
  const name = named("a test");
  const names = der(SEQUENCE, ...hosts.map((host) => der(0x82, Buffer.from(host))));
  const told = der(SEQUENCE,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ALGORITHM,
    name,
    der(SEQUENCE, generalized(begin), generalized(end)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, der(SEQUENCE, der(SEQUENCE, SUBJECT_ALT_NAME, der(0x04, names)))),
  );
  const signature = der(0x03, Buffer.from([0]), sign("sha256", told, privateKey));
  return {
    cert: pem("CERTIFICATE", der(SEQUENCE, told, ALGORITHM, signature)),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
