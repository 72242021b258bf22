//! Words for certificates, and for those who issue them.

use super::{Mapping, Words};

pub(super) const MAPPINGS: &[Mapping] = words! {
    "a certificate": {
        "cert" = [
            "certificate", "cert_file", "crt", "crt_file", "ssl_certificate", "certificate_chain", "chain", "certificate_file",
            "pem", "path",
        ], "`cert: @api.crt@`";
        "key" = ["private_key", "key_file", "ssl_certificate_key", "keyfile", "key_path", "secret_key"], "`key: @api.key@`";
        "acme" = [
            "letsencrypt", "lets_encrypt", "cert_resolver", "resolver", "issuer", "issuers", "automatic", "auto", "automation",
            "acme_certificate", "managed", "certbot", "on_demand",
        ], "`acme: {}`";
        "" = ["snis", "sni", "hosts", "domains", "stores"],
            "leave it out: the names in the certificate decide who gets it; those of one that is ordered are `acme: { hosts: [api.example.com] }`";
        "" = ["email", "directory", "eab", "ca_server"], "it stands inside: `acme: {}`";
    }
    "the `client_cert` of a service": {
        "cert" = [
            "certificate", "cert_file", "crt", "crt_file", "proxy_ssl_certificate", "certificate_chain", "chain",
            "certificate_file", "pem", "path",
        ], "`cert: @gateway.crt@`";
        "key" = ["private_key", "key_file", "proxy_ssl_certificate_key", "keyfile", "key_path", "secret_key"],
            "`key: @gateway.key@`";
        "" = ["acme", "letsencrypt", "cert_resolver", "issuer"],
            "certificates are ordered for listeners alone; here they are in files: `{ cert: gateway.crt, key: gateway.key }`";
    }
    "an `etcd`": {
        "user_file" = ["user", "username", "user_name", "password", "auth", "credentials", "basic_auth"],
            "`user_file: /etc/waypost/etcd-user`, a file with one line `NAME:PASSWORD`";
        "endpoints" = ["endpoint", "members", "hosts", "servers", "urls", "addresses"], "`endpoints: [10.0.0.1:2379]`";
        "prefix" = ["root_key", "key_prefix", "namespace"], "`prefix: /waypost/prod`";
    }
    "an `acme`": {
        "email" = ["contact", "contacts", "account_email", "mail", "e_mail", "acme_email", "registration_email"],
            "";
        "directory" = [
            "ca_server", "server", "directory_url", "acme_ca", "dir", "endpoint", "url", "issuer", "acme_url", "acme_server",
            "ca_url", "uri",
        ], "`directory: @https://ca.internal/acme/acme/directory@`";
        "hosts" = [
            "domains", "domain", "names", "name", "sans", "san", "subjects", "subject", "server_name", "server_names", "main",
            "dns_names", "host", "identifiers",
        ], "`hosts: [api.example.com]`";
        "eab" = [
            "external_account", "external_account_binding", "external_account_key", "eab_kid", "eab_hmac", "eab_hmac_encoded",
            "eab_key", "eab_key_id", "kid", "hmac_encoded",
        ], "`eab: { kid: kid-1, key_file: eab.key }`";
        "ca" = [
            "ca_certificates", "ca_cert", "trusted_roots", "trusted_roots_pem_files", "acme_ca_root", "ca_file", "root", "roots",
            "root_ca", "ca_bundle", "ca_root", "cacert",
        ], "`ca: @root.pem@`";
        "" = ["storage", "storage_dir", "storage_path", "cache", "cache_dir", "state", "path", "account_key"],
            "leave it out: the account and what was issued are kept in the gateway's `state`";
        "" = [
            "tls_challenge", "http_challenge", "challenge", "challenges", "challenge_type", "http", "tls_alpn", "solvers",
            "entry_point", "disable_http_challenge", "disable_tls_alpn_challenge", "alt_http_port", "alt_tlsalpn_port",
        ], "leave it out: both challenges are answered, in TLS (TLS-ALPN-01) and over HTTP (HTTP-01)";
        "" = ["dns_challenge", "dns", "dns_provider", "dns01", "dns_01", "provider", "wildcard", "wildcards"],
            "the gateway answers no challenge in the DNS; for wildcards, let a client such as certbot renew the files of a `{ cert: wild.crt, key: wild.key }`";
        "" = ["key_type", "key_algorithm", "rsa", "rsa_key_size", "preferred_chain", "profile", "key"],
            "leave it out: keys are of P-256, and the authority chooses the chain";
        "" = [
            "renew", "renew_before", "renewal", "renewal_window_ratio", "renew_interval", "renew_before_days", "ari",
            "certificates_duration", "lifetime", "days",
        ], "leave it out: a certificate is renewed when two thirds of its life are over, or when the authority says so";
        "" = ["staging", "test", "use_staging"],
            "`directory: https://acme-staging-v02.api.letsencrypt.org/directory` is the one of Let's Encrypt for trying things out";
        "" = ["agree_tos", "agree", "tos", "terms_of_service_agreed", "accept_tos", "accept_terms"],
            "leave it out: to order is to agree to the authority's terms of service";
        "" = ["enabled", "enable"], "leave it out: `acme: {}` is enough";
    }
    "an `eab`": {
        "kid" = ["key_id", "id", "eab_kid", "keyid", "account"], "`kid: @kid-1@`";
        "key_file" = [
            "key", "hmac", "hmac_encoded", "mac_key", "hmac_key", "key_path", "eab_hmac_encoded", "eab_hmac", "secret", "file",
        ], "`key_file: eab.key`, a file that has the key";
    }
};
