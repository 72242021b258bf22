//! Keys under a fleet's prefix.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::plain::is_plain;
use crate::text::{Digest, PARTS_MAX};

/// The longest prefix in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// The longest key behind the prefix in bytes.
const KEY_BYTES_MAX: usize = 4096;

/// The longest id of an instance.
pub const INSTANCE_CHARS_MAX: usize = 64;

/// The prefix that a fleet's keys are under, such as `/waypost/prod`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// A text that is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// It does not begin with a slash, or is nothing else.
    #[error("a prefix begins with `/` and a name")]
    NoSlash,
    /// A name between slashes is empty.
    #[error("a prefix has no empty name in it, and no `/` at its end")]
    Empty,
    /// It has a character that is not visible ASCII.
    #[error("a prefix has visible ASCII characters only")]
    Character,
    /// It is too long.
    #[error("a prefix has {PREFIX_BYTES_MAX} bytes at most")]
    TooLong,
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text.len() > PREFIX_BYTES_MAX {
            return Err(PrefixError::TooLong);
        }
        let names = match text.strip_prefix('/') {
            None | Some("") => return Err(PrefixError::NoSlash),
            Some(names) => names,
        };
        if names.split('/').any(str::is_empty) {
            return Err(PrefixError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PrefixError::Character);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `config/NAME.yaml`: a text of the config, or where its parts are.
    Config(ConfigName),
    /// `texts/HASH/K`: a part of a large text, counted from 0.
    Text(Digest, u32),
    /// `revisions/N`: an applied config.
    Revision(u64),
    /// `dials/ROUTE`: the live weights of a split.
    Dial(String),
    /// `endpoints/SERVICE/ENDPOINT`: a drained endpoint.
    Endpoint {
        /// The service.
        service: String,
        /// The endpoint.
        endpoint: String,
    },
    /// `rollouts/ROUTE`: the state of a rollout.
    Rollout(String),
    /// `instances/ID`: an instance that lives.
    Instance(String),
    /// `leader/LEASE`: a candidate of the election.
    Candidate(String),
    /// `canary`: a config that some instances try first.
    Canary,
    /// `sweep`: written whenever texts are swept, so that who refers to texts at the same time notices.
    Sweep,
    /// `certificates/NAME`: something sealed that the leader has ordered.
    Certificate(String),
}

/// The longest name of a file.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// The name of a text of the config: a file name that ends in `.yaml` or `.yml` and is not hidden, as in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigName(String);

impl ConfigName {
    /// Returns `None` if a directory would not read a file of that name.
    pub fn new(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"))?;
        let is_name = !stem.is_empty()
            && name.len() <= FILE_NAME_BYTES_MAX
            && !name.starts_with('.')
            && !name.contains('/')
            && !name.contains(char::is_control);
        is_name.then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ConfigName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        Self::new(&name).ok_or("a text's name is that of a file that ends in `.yaml` or `.yml`")
    }
}

impl From<ConfigName> for String {
    fn from(name: ConfigName) -> Self {
        name.0
    }
}

/// A folder of keys, which can be read and watched as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Folder {
    /// All keys of the fleet.
    All,
    /// Texts of the config.
    Config,
    /// Parts of large texts.
    Texts,
    /// Applied configs.
    Revisions,
    /// Live weights.
    Dials,
    /// Drained endpoints.
    Endpoints,
    /// States of rollouts.
    Rollouts,
    /// Instances that live.
    Instances,
    /// Candidates of the election.
    Leader,
    /// Sealed certificates.
    Certificates,
}

impl Folder {
    /// Its name, with a slash behind it.
    fn name(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Config => "config/",
            Self::Texts => "texts/",
            Self::Revisions => "revisions/",
            Self::Dials => "dials/",
            Self::Endpoints => "endpoints/",
            Self::Rollouts => "rollouts/",
            Self::Instances => "instances/",
            Self::Leader => "leader/",
            Self::Certificates => "certificates/",
        }
    }
}

impl Prefix {
    /// The beginning of all keys of a folder.
    pub fn folder(&self, folder: Folder) -> String {
        format!("{self}/{}", folder.name())
    }

    /// A key as the store has it.
    pub fn encode(&self, key: &Key) -> String {
        let (folder, rest): (Folder, Cow<'_, str>) = match key {
            Key::Config(name) => (Folder::Config, name.as_str().into()),
            Key::Text(digest, part) => (Folder::Texts, format!("{digest}/{part}").into()),
            Key::Revision(number) => (Folder::Revisions, number.to_string().into()),
            Key::Dial(route) => (Folder::Dials, escape(route)),
            Key::Endpoint { service, endpoint } => (
                Folder::Endpoints,
                format!("{}/{}", escape(service), escape(endpoint)).into(),
            ),
            Key::Rollout(route) => (Folder::Rollouts, escape(route)),
            Key::Instance(id) => (Folder::Instances, escape(id)),
            Key::Candidate(lease) => (Folder::Leader, escape(lease)),
            Key::Canary => (Folder::All, "canary".into()),
            Key::Sweep => (Folder::All, "sweep".into()),
            Key::Certificate(name) => (Folder::Certificates, escape(name)),
        };
        format!("{}{rest}", self.folder(folder))
    }

    /// The key that the store has as `bytes`; `None` if it is none of the fleet's, or is written in another way than by
    /// [`encode`](Self::encode), so that no two keys of a store mean the same.
    pub fn decode(&self, bytes: &[u8]) -> Option<Key> {
        if bytes.len() > PREFIX_BYTES_MAX + KEY_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let rest = text.strip_prefix(&self.0)?.strip_prefix('/')?;
        let key = match rest.split_once('/') {
            None if rest == "canary" => Key::Canary,
            None if rest == "sweep" => Key::Sweep,
            None => return None,
            Some(("config", name)) => Key::Config(ConfigName::new(name)?),
            Some(("texts", rest)) => {
                let (digest, part) = rest.split_once('/')?;
                let part = part.parse().ok().filter(|part| *part < PARTS_MAX)?;
                Key::Text(digest.parse().ok()?, part)
            }
            Some(("revisions", number)) => Key::Revision(number.parse().ok()?),
            Some(("dials", route)) => Key::Dial(unescape(route)?),
            Some(("endpoints", rest)) => {
                let (service, endpoint) = rest.split_once('/')?;
                Key::Endpoint {
                    service: unescape(service)?,
                    endpoint: unescape(endpoint)?,
                }
            }
            Some(("rollouts", route)) => Key::Rollout(unescape(route)?),
            Some(("instances", id)) => Key::Instance(is_instance(id).then(|| id.to_owned())?),
            Some(("leader", lease)) => Key::Candidate(unescape(lease)?),
            Some(("certificates", name)) => Key::Certificate(unescape(name)?),
            Some(_) => return None,
        };
        (self.encode(&key) == text).then_some(key)
    }

    /// The reason why a key that [`decode`](Self::decode) does not know is none, if it lies where only the fleet's keys are.
    pub fn why_astray(&self, bytes: &[u8]) -> Option<&'static str> {
        let folders = [
            Folder::Texts,
            Folder::Revisions,
            Folder::Dials,
            Folder::Endpoints,
            Folder::Rollouts,
            Folder::Instances,
            Folder::Leader,
            Folder::Certificates,
        ];
        let is_in = |folder: &str| bytes.starts_with(folder.as_bytes());
        let is_below = |key: &Key| is_in(&format!("{}/", self.encode(key)));
        if is_in(&self.folder(Folder::Config)) {
            return Some(
                "it is no text of the config: that has the name of a file that ends in `.yaml` or `.yml`, does not begin \
                 with a dot, and has 255 bytes at most",
            );
        }
        let is_astray = folders.into_iter().any(|folder| is_in(&self.folder(folder)))
            || is_below(&Key::Canary)
            || is_below(&Key::Sweep);
        is_astray.then_some("nothing has this name in a fleet")
    }
}

/// Returns true if a text may be the id of an instance: 1 to 64 letters, digits, hyphens, dots and underscores.
pub fn is_instance(text: &str) -> bool {
    (1..=INSTANCE_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// A name without slashes.
fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['/', '%']) {
        name.replace('%', "%25").replace('/', "%2F").into()
    } else {
        name.into()
    }
}

/// A name as it was; `None` if it is empty, or has a character that a terminal would obey.
fn unescape(text: &str) -> Option<String> {
    let is_name = !text.is_empty() && text.chars().all(is_plain);
    is_name.then(|| text.replace("%2F", "/").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> Prefix {
        "/waypost/prod".parse().unwrap()
    }

    #[test]
    fn text_has_a_name_if_a_directory_would_read_the_file() {
        let [longest, longer] = [250, 251].map(|stem| format!("{}.yaml", "x".repeat(stem)));
        for (name, expected) in [
            ("main.yaml", true),
            (&longest, true),
            (&longer, false),
            ("b\\s.yml", true),
            ("é *?.yaml", true),
            (".main.yaml", false),
            ("main.txt", false),
            ("a/main.yaml", false),
            ("a\n.yaml", false),
            (".yaml", false),
        ] {
            assert_eq!(ConfigName::new(name).is_some(), expected, "{name:?}");
        }
    }

    #[test]
    fn keys_are_where_the_layout_says() {
        let digest = Digest::of(b"");
        let text = format!("/waypost/prod/texts/{digest}/3");
        for (key, expected) in [
            (
                Key::Config(ConfigName::new("main.yaml").unwrap()),
                "/waypost/prod/config/main.yaml",
            ),
            (Key::Text(digest, 3), &*text),
            (Key::Revision(12), "/waypost/prod/revisions/12"),
            (Key::Dial("users".to_owned()), "/waypost/prod/dials/users"),
            (Key::Dial("a/b%".to_owned()), "/waypost/prod/dials/a%2Fb%25"),
            (
                Key::Endpoint {
                    service: "users-v2".to_owned(),
                    endpoint: "http://10.0.0.1:80".to_owned(),
                },
                "/waypost/prod/endpoints/users-v2/http:%2F%2F10.0.0.1:80",
            ),
            (Key::Rollout("users".to_owned()), "/waypost/prod/rollouts/users"),
            (Key::Instance("i1".to_owned()), "/waypost/prod/instances/i1"),
            (Key::Candidate("1f".to_owned()), "/waypost/prod/leader/1f"),
            (Key::Canary, "/waypost/prod/canary"),
            (Key::Sweep, "/waypost/prod/sweep"),
            (
                Key::Certificate("account".to_owned()),
                "/waypost/prod/certificates/account",
            ),
        ] {
            assert_eq!(prefix().encode(&key), expected);
            assert_eq!(prefix().decode(expected.as_bytes()), Some(key));
        }
    }

    #[test]
    fn other_keys_are_none_of_the_fleets() {
        for key in [
            "",
            "/waypost/prod",
            "/waypost/prod/",
            "/waypost/production/canary",
            "/waypost/prod/unknown/x",
            "/waypost/prod/canary/x",
            "/waypost/prod/config/main.json",
            "/waypost/prod/config/.yaml",
            "/waypost/prod/config/.main.yaml",
            "/waypost/prod/config/a/b.yaml",
            "/waypost/prod/revisions/",
            "/waypost/prod/revisions/01",
            "/waypost/prod/revisions/+1",
            "/waypost/prod/revisions/-1",
            "/waypost/prod/revisions/99999999999999999999",
            "/waypost/prod/dials/",
            "/waypost/prod/dials/a/b",
            "/waypost/prod/dials/a%2fb",
            "/waypost/prod/dials/100%",
            "/waypost/prod/endpoints/users",
            "/waypost/prod/endpoints//x",
            "/waypost/prod/dials/a\u{1b}[31m",
            "/waypost/prod/endpoints/users/a\n",
            "/waypost/prod/instances/",
            "/waypost/prod/instances/a b",
            "/waypost/prod/instances/a%2Fb",
            "/waypost/prod/instances/\u{202e}x",
            "/waypost/prod/leader/1\u{7}",
            "/waypost/prod/texts/abc/0",
        ] {
            assert_eq!(prefix().decode(key.as_bytes()), None, "{key}");
        }
        assert_eq!(prefix().decode(b"/waypost/prod/dials/\xff"), None);
        let longest = format!("/waypost/prod/instances/{}", "x".repeat(64));
        assert!(prefix().decode(longest.as_bytes()).is_some());
        assert_eq!(prefix().decode(format!("{longest}x").as_bytes()), None);
        let long = format!("/waypost/prod/dials/{}", "x".repeat(5000));
        assert_eq!(prefix().decode(long.as_bytes()), None);
    }

    #[test]
    fn prefixes_are_names_between_slashes() {
        for (text, expected) in [
            ("/waypost", Ok(())),
            ("/waypost/prod", Ok(())),
            ("", Err(PrefixError::NoSlash)),
            ("/", Err(PrefixError::NoSlash)),
            ("waypost", Err(PrefixError::NoSlash)),
            ("/waypost/", Err(PrefixError::Empty)),
            ("//waypost", Err(PrefixError::Empty)),
            ("/way post", Err(PrefixError::Character)),
            ("/wäypost", Err(PrefixError::Character)),
        ] {
            assert_eq!(text.parse::<Prefix>().map(drop), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(name in "[a-z/%2F5.:-]{1,12}", other in "\\PC{1,12}", id in "[A-Za-z0-9._-]{1,64}") {
            for key in [
                Key::Dial(name.clone()),
                Key::Instance(id),
                Key::Endpoint { service: name, endpoint: other },
            ] {
                let text = prefix().encode(&key);
                prop_assert_eq!(prefix().decode(text.as_bytes()), Some(key));
            }
        }

        #[test]
        fn every_key_is_written_in_one_way(rest in "(config|dials|endpoints|revisions|texts)/[a-z0-9%/.F2]{0,12}") {
            let text = format!("/waypost/prod/{rest}");
            if let Some(key) = prefix().decode(text.as_bytes()) {
                prop_assert_eq!(prefix().encode(&key), text);
            }
        }
    }
}
