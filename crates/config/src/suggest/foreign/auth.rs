//! Words for authentication.

use super::{Mapping, Words};

pub(super) const MAPPINGS: &[Mapping] = words! {
    "an `auth`": {
        "any" = ["any_of", "or", "one_of", "requires_any", "satisfy", "anyof", "multi_auth"],
            "`any: [{ jwt: … }, { key: … }]`; the first that the request carries credentials for decides";
        "allow" = [
            "authorization", "acl", "rules", "require", "rbac", "permissions", "whitelist", "consumer_restriction", "policies",
            "groups", "roles", "scopes", "scope", "claims", "users", "identity",
        ], "`allow: [{ groups: [admin] }, { claims: { scope: \"orders:read\" } }]`";
        "key" = [
            "key_auth", "api_key", "api_keys", "apikey", "apikeys", "keyauth", "keys", "api_key_auth", "hmac_auth", "token",
        ], "`key: { header: x-api-key, file: keys }`, with hashes that `waypost hash-key` makes";
        "jwt" = [
            "jwt_authn", "jwt_auth", "bearer", "bearer_token", "oidc", "openid_connect", "openid", "oauth", "oauth2",
            "oauth2_resource_server", "resource_server", "auth_jwt", "providers", "oauth2_introspection", "authz_keycloak",
        ], "`jwt: { issuer: https://id.example.com, audience: shop, keys: https://id.example.com/jwks.json }`";
        "basic" = [
            "basic_auth", "basicauth", "auth_basic", "http_basic", "htpasswd", "auth_basic_user_file", "digest_auth",
        ], "`basic: { file: users.htpasswd, realm: Shop }`";
        "ask" = [
            "forward_auth", "forwardauth", "auth_request", "ext_authz", "external", "external_auth", "extauth", "authelia", "opa",
            "oauth2_proxy", "auth_url", "http_service", "remote", "authentik",
        ], "`ask: { to: authelia, path: /verify, take: [remote-user] }`";
        "" = ["deny", "block"],
            "`allow` says who may pass, and all others get 403; `access: { deny: [10.9.0.0/16] }` is about addresses";
        "" = ["anonymous", "optional", "allow_missing", "allow_missing_or_failed", "mode", "enabled", "skip", "bypass"],
            "a request without credentials gets 401; a route without `auth`, or with `auth: off`, takes all others";
        "" = ["realm", "file", "header", "query", "cookie", "issuer", "audience"],
            "it stands inside a way: `basic`, `key` or `jwt`";
    }
    "a way": {
        "key" = ["key_auth", "api_key", "apikey"], "`key: { header: x-api-key, file: keys }`";
        "jwt" = ["jwt_authn", "bearer", "oidc", "openid_connect"],
            "`jwt: { issuer: https://id.example.com, audience: shop, keys: https://id.example.com/jwks.json }`";
        "basic" = ["basic_auth", "auth_basic"], "`basic: { file: users.htpasswd, realm: Shop }`";
        "ask" = ["forward_auth", "auth_request", "ext_authz"], "`ask: { to: authelia, path: /verify, take: [remote-user] }`";
        "" = ["allow"], "it stands beside `any`, for all ways: `auth: { any: […], allow: […] }`";
        "" = ["any", "all", "and"], "the list of `any` has ways only, and one that is carried decides alone";
    }
    "a `jwt`": {
        "issuer" = ["iss", "issuers", "trusted_issuer", "issuer_url"], "";
        "audience" = ["aud", "audiences", "client_id", "required_audience"], "";
        "keys" = [
            "jwks", "jwks_uri", "jwks_url", "jwk_set_uri", "jwk_set_url", "remote_jwks", "local_jwks", "jwk_set", "jwks_file",
            "public_key", "public_keys", "public_key_location", "rsa_public_key", "key", "certificate", "auth_jwt_key_file",
            "auth_jwt_key_request", "secret", "secret_key", "shared_secret", "signing_key", "key_file", "url",
        ], "`keys: https://id.example.com/jwks.json`, or a file with public keys; for a secret, one with a key of `kty: oct`";
        "" = ["discovery", "discovery_url", "issuer_uri", "well_known", "openid_configuration", "metadata_url", "authority"],
            "the document at that address names its `jwks_uri`, which is `keys`, and its `issuer`";
        "algorithms" = ["algorithm", "alg", "algs", "jws_algorithms", "signing_algorithms", "allowed_algorithms"],
            "`algorithms: [RS256, ES256]`";
        "leeway" = [
            "clock_skew", "clock_skew_seconds", "skew", "clock_tolerance", "tolerance", "auth_jwt_leeway", "lifetime_grace_period",
            "maximum_clock_skew",
        ], "`leeway: 30s`";
        "require_exp" = ["require_expiration", "claims_to_verify", "verify_exp", "requires_expiration"], "`require_exp: false`";
        "header" = ["from_headers", "header_names", "header_name", "token_header", "value_prefix"], "";
        "cookie" = ["from_cookies", "cookie_names", "cookie_name", "auth_jwt_cookie"], "";
        "query" = ["from_params", "uri_param_names", "query_param", "query_string", "param"], "";
        "claims" = [
            "claim_to_headers", "claims_to_headers", "claim_headers", "forward_headers", "output_claim_to_headers",
            "headers_from_claims", "upstream_headers", "forward_claims", "map_claims",
        ], "`claims: { sub: x-user-id }`, from the claim to the header";
        "groups" = ["roles", "roles_claim", "role_claim", "groups_claim", "authorities_claim_name", "roles_path", "scope_claim"],
            "`groups: realm_access.roles`, the claim that lists them";
        "forward" = ["pass_token", "forward_token", "hide_credentials", "keep_token", "preserve_token"], "`forward: true`";
        "" = ["scopes", "scope", "required_scopes", "scopes_required", "required_claims", "require", "allow"],
            "who of those known may pass is said beside the way: `allow: [{ claims: { scope: \"orders:read\" } }]`";
        "" = ["forward_payload_header", "payload_header", "payload_in_metadata"],
            "single claims are passed on, by name: `claims: { sub: x-user-id }`";
        "" = ["client_secret", "redirect_uri", "session", "login", "scopes_supported", "token_endpoint"],
            "nobody is logged in here: `ask` leaves that to a service such as oauth2-proxy";
        "" = ["cache_duration", "jwt_cache_config", "refresh_interval", "cache", "ttl"],
            "leave it out: the key set is fetched again as its `Cache-Control` says, and at once for an unknown `kid`";
    }
    "a `key`": {
        "header" = ["key_names", "header_name", "headers", "key_in_header", "name", "names"], "`header: x-api-key`";
        "query" = ["key_in_query", "query_param", "param", "query_name", "args"], "`query: apikey`";
        "cookie" = ["cookie_name", "cookies"], "";
        "file" = [
            "keys", "key", "key_file", "hash", "hashes", "consumers", "credentials", "values", "secret", "tokens", "users", "entries",
        ], "`file: keys`, with lines that `waypost hash-key NAME` makes, so that no key stands in the config";
        "forward" = ["hide_credentials", "keep", "preserve"], "`forward: true`";
        "" = ["prefix", "scheme", "anonymous", "run_on_preflight", "realm"],
            "leave it out: the whole value is the key, a request without one gets 401, and preflights of `cors` need none";
    }
    "a `basic`": {
        "file" = [
            "users", "users_file", "user_file", "htpasswd", "auth_basic_user_file", "usersfile", "credentials", "accounts",
            "password_file", "passwd",
        ], "`file: users.htpasswd`, with lines that `htpasswd -B` makes";
        "forward" = ["hide_credentials", "remove_header", "keep"], "`forward: true`";
        "" = ["header_field", "user_header"], "`request_headers: { set: { x-user: \"{identity}\" } }` passes the name on";
        "" = ["hash", "algorithm", "anonymous"],
            "leave it out: the file says it for each user";
    }
    "an `ask`": {
        "to" = ["service", "upstream", "backend", "cluster", "host", "server"], "`to: authelia`, a service";
        "" = ["address", "url", "uri", "http_service", "server_uri", "auth_url", "target", "endpoint"],
            "the address is that of a service: `to: authelia, path: /verify`";
        "path" = ["path_prefix", "location", "verify_path"], "`path: /verify`";
        "take" = [
            "auth_response_headers", "response_headers", "copy_headers", "allowed_upstream_headers", "upstream_headers",
            "auth_request_set", "headers_to_backend", "headers_to_add", "auth_response_headers_regex", "headers_to_upstream",
        ], "`take: [remote-user, remote-groups]`, each by its name";
        "send" = [
            "auth_request_headers", "request_headers", "allowed_headers", "headers_to_auth", "headers_to_forward",
            "include_headers", "forward_headers",
        ], "`send: [cookie, authorization]`";
        "open" = ["failure_mode_allow", "fail_open", "allow_degradation", "on_failure", "failure_policy"], "`open: true`";
        "cache" = ["cache_duration", "auth_cache_duration", "cache_ttl", "cache_key", "ttl"], "`cache: 10s`";
        "" = ["trust_forward_header", "trust_forward_headers", "trusted"],
            "leave it out: `trusted_proxies` of the listener says whose `x-forwarded-*` are believed";
        "" = ["client_headers", "headers_to_client", "allowed_client_headers", "add_auth_cookies_to_response"],
            "leave it out: what refuses a request is passed to the client whole";
        "" = ["method", "request_method", "forward_body", "with_request_body", "max_body_size", "preserve_request_method"],
            "leave it out: it is a GET without a body, and `x-forwarded-method` has the method";
        "" = ["signin", "auth_signin", "login_url", "redirect"],
            "a 302 of the service is passed to the client; for a 401, `errors: [{ status: 401, as: 302, headers: { location: … } }]`";
        "" = ["status_on_error", "tls", "ssl_verify", "keepalive"],
            "that is said of the service, or by `errors`";
    }
    "an entry of `allow`": {
        "identity" = [
            "user", "users", "sub", "subject", "name", "username", "usernames", "consumer", "consumers", "principal", "principals",
        ], "`identity: [ann, bob]`";
        "groups" = ["group", "role", "roles", "consumer_groups", "acl", "authorities"], "`groups: [admin]`";
        "" = ["scope", "scopes"], "a scope is a claim: `claims: { scope: \"orders:read\" }`";
        "claims" = ["claim", "token", "values", "rules", "email", "aud"], "`claims: { tier: gold }`";
        "" = ["ip", "client_ip", "address", "remote_ip", "source_ip"], "addresses are the business of `access: { allow: [10.0.0.0/8] }`";
        "" = ["path", "method", "methods", "paths", "verb"], "a route has the path and the method, and an `auth` of its own";
        "" = ["not", "deny"], "an entry is not negated: list who may pass";
    }
};
