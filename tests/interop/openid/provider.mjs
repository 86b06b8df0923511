// A certified OpenID provider (panva's oidc-provider, with the pages that it brings along) at a loopback port, over TLS.
// The first line of stdin is its configuration, as JSON. It says "ready" on stdout, and ends when stdin does: whoever
// started it cannot leave it behind.
import { createServer } from "node:https";
import { createInterface } from "node:readline";

import Provider from "oidc-provider";

const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit());
lines.once("line", (line) => serve(JSON.parse(line)));

function serve({ issuer, port, certificate, key, jwks, clientId, users, cookieKey, strict }) {
  const client = {
    client_id: clientId,
    client_name: "mica",
    application_type: "native", // any port of the loopback address (RFC 8252 §7.3)
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
    response_types: ["code"],
    redirect_uris: ["http://127.0.0.1"],
    id_token_signed_response_alg: jwks.keys[0].alg,
  };
  const provider = new Provider(issuer, {
    clients: [client],
    jwks,
    cookies: { keys: [cookieKey] },
    claims: { openid: ["sub", "groups"], email: ["email", "email_verified"] },
    // Most providers put the claims of the scopes into identity tokens; Core §5.4 has them fetched elsewhere.
    conformIdTokenClaims: strict,
    features: {
      claimsParameter: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
    },
    findAccount: (_, id) => users[id] && { accountId: id, claims: () => ({ sub: id, ...users[id] }) },
    pkce: { required: () => true, methods: ["S256"] },
  });
  createServer({ cert: certificate, key }, provider.callback()).listen(port, "127.0.0.1", () => console.log("ready"));
}
