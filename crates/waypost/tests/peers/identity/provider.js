// An OpenID provider (npm `oidc-provider`) that a test speaks with by lines: each line on standard input is a command, each
// line on standard output its result as JSON. The first line of output has the issuer.

import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

// Standard output is for results.
console.info = console.error;
console.warn = console.error;

/** The resource that access tokens are for. */
const AUDIENCE = "urn:shop";
const ALGORITHMS = ["RS256", "PS256", "ES256"];

/** The generation of keys: each has new ones, with new ids. */
let generation = 0;
let handler = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => handler(request, response));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

/** New keys, one for each algorithm. */
function keys() {
  generation += 1;
  return ALGORITHMS.map((alg) => {
    const { privateKey } = alg === "ES256"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
    return { ...privateKey.export({ format: "jwk" }), alg, use: "sig", kid: `${alg}-${generation}` };
  });
}

/** Begins to sign with new keys; the old ones are gone. */
function rotate() {
  const provider = new Provider(issuer, {
    jwks: { keys: keys() },
    clients: ALGORITHMS.map((alg) => ({
      client_id: `machine-${alg}`,
      client_secret: "secret",
      grant_types: ["client_credentials", "authorization_code"],
      response_types: ["code"],
      redirect_uris: ["https://app.example.com/callback"],
      token_endpoint_auth_method: "client_secret_post",
    })),
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    scopes: ["openid", "orders:read", "orders:write"],
    cookies: { keys: ["one"] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    extraTokenClaims: (_, token) => ({
      groups: token.accountId ? ["staff"] : ["machines"],
      name: "Ada 🦀",
    }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource, client) => ({
          scope: "orders:read orders:write",
          audience: resource,
          accessTokenTTL: 600,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: client.clientId.replace("machine-", "") } },
        }),
      },
    },
  });
  const callback = provider.callback();
  handler = async (request, response) => {
    if (!request.url.startsWith("/interaction/")) {
      return callback(request, response);
    }
    // Ada logs in, and agrees to all that is asked.
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === "login") {
      return provider.interactionFinished(request, response, { login: { accountId: "ada" } });
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    grant.addResourceScope(AUDIENCE, params.scope);
    return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
  };
  return { generation };
}

/** A POST of a form to the token endpoint. */
async function token(form) {
  const response = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams(form) });
  const body = await response.json();
  if (!response.ok) {
    throw new Error(JSON.stringify(body));
  }
  return { token: body.access_token };
}

/** A token of a machine. */
const machine = (alg, scope = "orders:read") => token({
  grant_type: "client_credentials",
  client_id: `machine-${alg}`,
  client_secret: "secret",
  resource: AUDIENCE,
  scope,
});

/** A token of Ada, by the code flow with PKCE, as a browser takes it. */
async function person(alg) {
  const verifier = randomBytes(32).toString("base64url");
  const query = new URLSearchParams({
    client_id: `machine-${alg}`,
    response_type: "code",
    redirect_uri: "https://app.example.com/callback",
    scope: "openid orders:read orders:write",
    resource: AUDIENCE,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const jar = new Map();
  let url = `${issuer}/auth?${query}`;
  for (let hop = 0; hop < 10; hop += 1) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const location = response.headers.get("location");
    if (!location) {
      throw new Error(`${response.status} ${await response.text()}`);
    }
    url = new URL(location, url).href;
    if (url.startsWith("https://app.example.com/callback")) {
      return token({
        grant_type: "authorization_code",
        client_id: `machine-${alg}`,
        client_secret: "secret",
        code: new URL(url).searchParams.get("code"),
        redirect_uri: "https://app.example.com/callback",
        code_verifier: verifier,
      });
    }
  }
  throw new Error("the flow does not end");
}

const commands = { machine, person, rotate };
const say = (result) => process.stdout.write(`${JSON.stringify(result)}\n`);
rotate();
say({ issuer });
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = line.split(" ");
  try {
    say(await commands[name](...rest));
  } catch (error) {
    say({ error: String(error.stack) });
  }
}
process.exit(0);
