//! The place that `waypost run` takes a config from, as the command line says it: a path, or an etcd.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use waypost_config::diagnostic::Diagnostic;
use waypost_config::{Kind, local};
use waypost_plan::certificate_files::CertificateFiles;
use waypost_plan::etcd::{EtcdEndpoint, EtcdPrefix, EtcdSource, EtcdTls};
use waypost_plan::settings::Settings;

use crate::cli::{EtcdArgs, Run};
use crate::source::Source;
use crate::texts::Texts;

/// A place of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file, or a directory of files.
    Path(PathBuf),
    /// An etcd that several instances share.
    Etcd(Box<EtcdOrigin>),
}

/// An etcd, and what is this instance's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EtcdOrigin {
    pub(crate) source: EtcdSource,
    /// The local file, whose keys come before those of the shared texts.
    pub(crate) local: Option<waypost_config::Source>,
    /// The instance's own settings, which count as long as there is no shared config.
    pub(crate) settings: Settings,
    /// The directory that relative names of files count from; empty for the working directory.
    pub(crate) directory: PathBuf,
}

/// A place that is none.
#[derive(Debug)]
pub(crate) enum OriginError {
    /// The local file has errors.
    Refused {
        diagnostics: Vec<Diagnostic>,
        texts: Texts,
    },
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for OriginError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Origin {
    /// The place that `arguments` name.
    ///
    /// # Errors
    /// As [`Origin::named`].
    pub(crate) fn of(arguments: &Run) -> Result<Self, OriginError> {
        Self::named(&arguments.path, &arguments.etcd)
    }

    /// The place that `config` names: a URL, which `etcd` has the way to, or a path. A file there may lead on to an etcd.
    ///
    /// # Errors
    /// The URL is none, or the file that leads on has errors.
    pub(crate) fn named(config: &Path, etcd: &EtcdArgs) -> Result<Self, OriginError> {
        let Some((scheme, rest)) = url(config) else {
            if etcd.is_given() {
                let message = "`--ca`, `--cert`, `--key`, `--user-file` and `--certificates-key` go with a URL \
                               `etcd://HOST:PORT/PREFIX`; a file that leads to etcd has them under `source`";
                return Err(anyhow!(message).into());
            }
            return Self::at(config);
        };
        require_etcd(&config.display().to_string())?;
        let (endpoints, prefix) =
            parse(scheme, rest).with_context(|| format!("`{}` is no place of a config", config.display()))?;
        let EtcdArgs {
            ca,
            cert,
            key,
            user_file,
            certificates_key,
        } = etcd;
        let files = [ca, cert, key, user_file, certificates_key];
        let [ca, cert, key, user_file, certificates_key] = files.map(|path| name_of(path.as_deref()));
        let (ca, certificate) = (ca?, cert?.zip(key?));
        let has_files = ca.is_some() || certificate.is_some();
        let tls = has_files.then(|| EtcdTls {
            ca,
            certificate: certificate.map(|(cert, key)| CertificateFiles { cert, key }),
        });
        Ok(Self::Etcd(Box::new(EtcdOrigin {
            source: EtcdSource {
                endpoints,
                prefix,
                tls,
                user_file: user_file?,
                certificates_key: certificates_key?,
            },
            local: None,
            settings: Settings::default(),
            directory: PathBuf::new(),
        })))
    }

    /// The place that a path leads to: itself, unless it is a file with `source`.
    fn at(path: &Path) -> Result<Self, OriginError> {
        let itself = || Ok(Self::Path(path.to_owned()));
        let disk = Source::at(path);
        // A file that cannot be read is reported by who serves it.
        let Ok((texts, _)) = disk.read() else {
            return itself();
        };
        let env = |name: &str| std::env::var(name).ok();
        let local = match (&texts.sources[..], texts.kind) {
            ([text], Kind::File) => local::read(text, &env),
            _ => None,
        };
        match local {
            None => itself(),
            Some(Err(diagnostics)) => Err(OriginError::Refused { diagnostics, texts }),
            Some(Ok(local)) => {
                require_etcd(&format!("`source: {{ etcd: … }}` in `{}`", path.display()))?;
                Ok(Self::Etcd(Box::new(EtcdOrigin {
                    source: local.source,
                    local: texts.sources.into_iter().next(),
                    settings: local.settings,
                    directory: disk.material_directory(),
                })))
            }
        }
    }
}

/// The name of a file, as a config would have it.
fn name_of(path: Option<&Path>) -> anyhow::Result<Option<Box<str>>> {
    let named = path.map(|path| {
        let name = path.to_str().map(Box::from);
        name.ok_or_else(|| anyhow!("the name of `{}` is not UTF-8", path.display()))
    });
    named.transpose()
}

/// Scheme and rest of a URL; `None` for a path.
pub(crate) fn url(path: &Path) -> Option<(&str, &str)> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    is_scheme.then_some((scheme, rest))
}

/// The endpoints and the prefix of a URL.
fn parse(scheme: &str, rest: &str) -> anyhow::Result<(Vec<EtcdEndpoint>, EtcdPrefix)> {
    let written_so = match scheme {
        "etcd" => "",
        "https" => "https://",
        "http" => bail!("write `etcd://{rest}`; with TLS `https://{rest}`"),
        _ => bail!("a config is a file, a directory, or in etcd: `etcd://HOST:PORT,HOST:PORT/PREFIX`"),
    };
    let (members, prefix) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let endpoints = members.split(',').map(|member| {
        let endpoint = format!("{written_so}{member}").parse();
        endpoint.map_err(|error| {
            let hint = match member.contains('@') {
                true => "; name and password stand in the file of `--user-file`",
                false => "",
            };
            anyhow!("`{member}` is not an endpoint of etcd: {error}{hint}")
        })
    });
    let endpoints = endpoints.collect::<anyhow::Result<Vec<EtcdEndpoint>>>()?;
    if prefix.trim_matches('/').is_empty() {
        bail!("the prefix is missing, such as `{scheme}://{members}/waypost/prod`");
    }
    if let Some(place) = prefix.find(['?', '#']) {
        bail!(
            "`{}` behind the prefix means nothing; hint: `--ca`, `--cert`, `--key` and `--user-file` have what else is needed",
            &prefix[place..]
        );
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let parsed = prefix.parse();
    Ok((
        endpoints,
        parsed.map_err(|error| anyhow!("`{prefix}` is not a prefix: {error}"))?,
    ))
}

/// Refuses `what` where the binary knows no etcd.
pub(crate) fn require_etcd(what: &str) -> anyhow::Result<()> {
    match cfg!(feature = "etcd") {
        true => Ok(()),
        false => bail!("{what}: this binary knows no etcd, since it was built without the feature `etcd`"),
    }
}

/// Name and password in a text of one line.
pub(crate) fn user_of(text: &str) -> Option<(&str, &str)> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (name, password) = line.split_once(':')?;
    let is_user = !name.is_empty() && !password.is_empty() && !line.contains(['\n', '\r']);
    is_user.then_some((name, password))
}

/// Without what is secret.
impl fmt::Display for EtcdOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<&str> = self.source.endpoints.iter().map(EtcdEndpoint::as_str).collect();
        write!(f, "etcd at {}, {}", endpoints.join(", "), self.source.prefix)
    }
}

#[cfg(feature = "etcd")]
mod options {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use anyhow::{Context as _, anyhow};
    use waypost_etcd::options::{Endpoint, Options, User, UserAnew};
    use waypost_tls::client::{ClientTls, Trust};
    use waypost_tls::identity::Identity;

    use super::{EtcdOrigin, user_of};
    use crate::fleet::seal::{self, Seal};
    use crate::source::disk::material;

    impl EtcdOrigin {
        /// The key that certificates are sealed with, if there is one.
        ///
        /// # Errors
        /// The file cannot be read, or has none.
        pub(crate) fn seal(&self) -> anyhow::Result<Option<Seal>> {
            let name = self.source.certificates_key.as_deref();
            let seal = name.map(|name| {
                let path = self.locate(name);
                let (_, text) = material::read(&self.directory, name, material::FILE_BYTES_MAX);
                let text = text.with_context(|| format!("`{}` cannot be read", path.display()))?;
                Seal::read(&text)
                    .with_context(|| format!("`{}` cannot be used; hint: {}", path.display(), seal::HELP))
            });
            seal.transpose()
        }

        /// The options of a client, with what its files say now.
        ///
        /// # Errors
        /// A file cannot be read or used.
        pub(crate) fn options(&self) -> anyhow::Result<Options> {
            let endpoints = self.source.endpoints.iter().map(|endpoint| {
                let parsed = endpoint.as_str().parse();
                parsed.map_err(|error| anyhow!("`{endpoint}` is not an endpoint of etcd: {error}"))
            });
            let endpoints = endpoints.collect::<anyhow::Result<Vec<Endpoint>>>()?;
            let user = self.source.user_file.as_deref();
            let anew = user.map(|name| {
                let (origin, name) = (self.clone(), name.to_owned());
                UserAnew(Arc::new(move || origin.user(&name).ok()))
            });
            Ok(Options {
                tls: self.tls()?,
                user: user.map(|name| self.user(name)).transpose()?,
                user_anew: anew,
                ..Options::new(endpoints)
            })
        }

        /// TLS, if an endpoint or a file asks for it.
        fn tls(&self) -> anyhow::Result<Option<ClientTls>> {
            let is_secure = self.source.endpoints.iter().any(|endpoint| endpoint.is_secure());
            if self.source.tls.is_none() && !is_secure {
                return Ok(None);
            }
            let files = self.source.tls.clone().unwrap_or_default();
            let file = |name: &str| -> anyhow::Result<Vec<u8>> {
                let path = self.locate(name);
                fs::read(&path).with_context(|| format!("`{}` cannot be read", path.display()))
            };
            let identity = files.certificate.map(|pair| {
                let identity = Identity::from_pem(&file(&pair.cert)?, &file(&pair.key)?);
                // The message has its cause.
                identity.map_err(|error| anyhow!("`{}` with `{}`: {error}", pair.cert, pair.key))
            });
            let identity = identity.transpose()?;
            let ca = files.ca.as_deref().map(file).transpose()?;
            let trust = ca.as_deref().map_or(Trust::Platform, Trust::Ca);
            let tls = ClientTls::new(trust, identity.as_ref());
            let tls = tls.map_err(|error| match &files.ca {
                Some(ca) => anyhow!("`{ca}`: {error}"),
                None => anyhow!("TLS towards etcd: {error}"),
            });
            Ok(Some(tls?))
        }

        /// The user in a file of one line.
        fn user(&self, name: &str) -> anyhow::Result<User> {
            let path = self.locate(name);
            let text =
                fs::read_to_string(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
            let (name, password) = user_of(&text)
                .with_context(|| format!("`{}` is not one line `NAME:PASSWORD`", path.display()))?;
            Ok(User {
                name: name.to_owned(),
                password: password.to_owned(),
            })
        }

        fn locate(&self, name: &str) -> PathBuf {
            material::locate(&self.directory, name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place that a URL and options name, or the error.
    #[cfg(feature = "etcd")]
    fn origin(arguments: &[&str]) -> Result<EtcdOrigin, String> {
        use clap::Parser as _;

        use crate::cli::{Cli, Command};

        let cli = Cli::try_parse_from([&["waypost", "run"], arguments].concat());
        let Command::Run(run) = cli.map_err(|error| error.to_string())?.command else {
            return Err("another command".to_owned());
        };
        match Origin::of(&run) {
            Ok(Origin::Etcd(origin)) => Ok(*origin),
            Ok(Origin::Path(path)) => Err(path.display().to_string()),
            Err(OriginError::Failed(error)) => Err(format!("{error:#}")),
            Err(OriginError::Refused { diagnostics, .. }) => Err(format!("{diagnostics:?}")),
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn urls_name_members_and_a_prefix() {
        for (url, expected) in [
            (
                "etcd://10.0.0.1:2379,10.0.0.2:2379/waypost/prod",
                "etcd at 10.0.0.1:2379, 10.0.0.2:2379, /waypost/prod",
            ),
            ("etcd://etcd/w", "etcd at etcd, /w"),
            ("etcd://etcd/w/", "etcd at etcd, /w"),
            (
                "https://[::1]:1,b:2/w",
                "etcd at https://[::1]:1, https://b:2, /w",
            ),
        ] {
            let origin = origin(&[url]).unwrap();
            assert_eq!(origin.to_string(), expected);
            assert!(origin.options().is_ok());
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn wrong_urls_are_refused() {
        for (url, expected) in [
            ("http://a/w", "write `etcd://a/w`; with TLS `https://a/w`"),
            ("consul://a/w", "a config is a file, a directory, or in etcd"),
            (
                "etcd://a",
                "the prefix is missing, such as `etcd://a/waypost/prod`",
            ),
            ("etcd://a/", "the prefix is missing"),
            ("etcd://a//b", "`//b` is not a prefix: a prefix has no empty name"),
            ("etcd:///b", "`` is not an endpoint of etcd: its host"),
            ("etcd://a:x/b", "`a:x` is not an endpoint of etcd: its port"),
            ("etcd://a,,b/c", "`` is not an endpoint of etcd"),
            ("etcd://a/b?x=1", "`?x=1` behind the prefix means nothing"),
            ("etcd://a/b#c", "`#c` behind the prefix means nothing"),
            ("etcd://u:p@a/b", "stand in the file of `--user-file`"),
        ] {
            let error = origin(&[url]).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
        for (arguments, expected) in [
            (&["etcd://a/b", "--cert", "x"][..], "--key"),
            (&["etcd://a/b", "--key", "x"], "--cert"),
            (&["waypost.yaml", "--ca", "x"], "go with a URL"),
        ] {
            let error = origin(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn file_without_a_certificate_is_named_with_one_reason() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem").display().to_string();
        std::fs::write(&ca, "no certificate").unwrap();
        let origin = origin(&["https://etcd/w", "--ca", &ca]).unwrap();
        let error = format!("{:#}", origin.options().unwrap_err());
        assert_eq!(
            error,
            format!("`{ca}`: the trusted certificates cannot be used: there is no certificate in it")
        );
    }

    /// The rules of `plan`, by which configs are judged, are those of the crates that use the values.
    #[cfg(feature = "etcd")]
    #[test]
    fn endpoints_and_prefixes_have_one_meaning() {
        use waypost_etcd::options::Endpoint;
        use waypost_fleet::key::Prefix;

        for text in [
            "",
            "a",
            "a:1",
            "a:0",
            "a:x",
            "a:",
            "a:65536",
            "http://a",
            "https://a:1/",
            "etcd://a",
            "a/b",
            "a?",
            "[::1]",
            "[::1]:1",
            "[::1",
            "[a]",
            "::1",
            "u@a",
            "a b",
            "a_b.c-d:1",
            "https://[::1]:2379",
            "[::1]x",
        ] {
            assert_eq!(
                text.parse::<EtcdEndpoint>().is_ok(),
                text.parse::<Endpoint>().is_ok(),
                "{text}"
            );
        }
        let long = format!("/{}", "a".repeat(255));
        let longer = format!("/{}", "a".repeat(256));
        for text in [
            "", "/", "a", "/a", "/a/", "/a//b", "/a/b", "/a b", "/ä", &long, &longer,
        ] {
            assert_eq!(
                text.parse::<EtcdPrefix>().is_ok(),
                text.parse::<Prefix>().is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn users_are_one_line() {
        for (text, expected) in [
            ("waypost:secret\n", Some(("waypost", "secret"))),
            ("waypost:a:b c", Some(("waypost", "a:b c"))),
            ("waypost:secret\r\n", Some(("waypost", "secret"))),
            ("waypost", None),
            (":secret", None),
            ("waypost:", None),
            ("a:b\nc:d\n", None),
            ("", None),
        ] {
            assert_eq!(user_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn urls_are_not_paths() {
        for (text, expected) in [
            ("etcd://a/b", Some(("etcd", "a/b"))),
            ("waypost.yaml", None),
            ("conf.d/a://b", None),
            ("://a", None),
        ] {
            assert_eq!(url(Path::new(text)), expected, "{text}");
        }
    }
}
