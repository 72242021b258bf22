//! The place of the config, for a local file that leads elsewhere.

use crate::collections::NonEmptyList;
use crate::document::Document;
use crate::keys::Presence::{Optional, Required};
use crate::keys::keys;
use crate::values::Text;

keys! {
    root Document;

    /// Place that the configuration is in, for a local file that leads there.
    ///
    /// Such a file is a single one, given to `waypost run`. Beside `source` it has what is this instance's alone: `admin`,
    /// `state`, `workers`, `access_log`, and `listeners` with their `bind`. These come before what the shared configuration
    /// says; a listener's `bind` replaces that of the shared listener of the same `name`.
    Source, "a `source`" {
        /// An etcd that several instances share.
        etcd: Etcd = Required, "{ endpoints: [10.0.0.1:2379], prefix: /waypost/prod }";
    }

    /// An etcd, and the prefix there.
    Etcd, "an `etcd`" {
        /// Members of the cluster: host and port, or a URL with `http` or `https`.
        ///
        /// The first that answers is used as long as it does. The default port is 2379.
        endpoints: NonEmptyList<Text> = Required, "[10.0.0.1:2379, 10.0.0.2:2379, 10.0.0.3:2379]";
        /// Prefix of the keys; the configuration is under `PREFIX/config/`.
        prefix: Text = Required, "/waypost/prod";
        /// TLS to members, except those with `http`. Those with `https` have it without this key, too.
        tls: EtcdTls = Optional, "{ ca: ca.pem, cert: gateway.pem, key: gateway.key }";
        /// File with one line `NAME:PASSWORD`, the user at etcd.
        ///
        /// A relative path is relative to the directory of this file, or to the working directory if there is no such file.
        user_file: Text = Optional, "/etc/waypost/etcd-user";
        /// File with the key that certificates of `acme` are sealed with in etcd: 32 random bytes in base64, on one line. All
        /// instances have the same.
        ///
        /// A relative path is as that of `user_file`. `openssl rand -base64 32` makes one.
        certificates_key: Text = Optional, "/etc/waypost/certificates-key";
    }

    /// TLS to etcd. Relative paths are relative to the directory of this file, or to the working directory if there is no such
    /// file.
    EtcdTls, "the `tls` of an etcd" {
        /// File with the certificates (PEM) of the authorities that sign the members' certificates.
        ///
        /// Defaults to those that the platform trusts.
        ca: Text = Optional, "/etc/waypost/etcd-ca.pem";
        /// File with the certificate (PEM) that is shown to etcd, and its chain.
        cert: Text = Optional, "/etc/waypost/gateway.pem";
        /// File with the key of that certificate (PEM).
        key: Text = Optional, "/etc/waypost/gateway.key";
    }
}
