//! Reading the files by which clients are known.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use waypost_auth::key_file::KeyFile;
use waypost_auth::password::PasswordFile;
use waypost_auth::recent::DigestKey;
use waypost_auth::token::key_set::{KeySet, KeySetError, Origin};
use waypost_auth::token::live::LiveKeys;
use waypost_config::diagnostic::Code;
use waypost_config::files::Mention;
use waypost_plan::Plan;
use waypost_plan::auth::Way;
use waypost_proxy::generation::AuthMaterials;
use waypost_tls::peer::fingerprint;

use super::read::{Reading, unreadable};

/// The size limit of a file of keys, some 500,000 of them.
pub(crate) const KEY_FILE_BYTES_MAX: u64 = 64 << 20;

/// The size limit of a password file, some 50,000 users.
pub(crate) const PASSWORD_FILE_BYTES_MAX: usize = 4 << 20;

/// The last good version of all files.
#[derive(Debug, Default)]
pub(super) struct KnownAuth {
    /// The keys of each file, with the fingerprint of its text.
    keys: HashMap<Box<str>, (String, Arc<KeyFile>)>,
    /// The keys of issuers in each file, with the fingerprint of its text.
    issuers: HashMap<Box<str>, (String, Arc<LiveKeys>)>,
    /// The users of each password file, with the fingerprint of its text.
    users: HashMap<Box<str>, (String, Arc<PasswordFile>)>,
}

impl Reading<'_> {
    /// Reads the files of `plan`. `named` has their mentions, if they are known.
    pub(super) fn auth(&mut self, plan: &Plan, named: &[Mention]) -> AuthMaterials {
        let ways = plan.auths().flat_map(|auth| &auth.ways);
        let paths: BTreeSet<&str> = ways.filter_map(Way::key_file).collect();
        let keys = paths.into_iter().filter_map(|path| {
            let keys = self.keys(path, named)?;
            Some((path.into(), keys))
        });
        let keys = keys.collect();
        let mut issuers = Vec::new();
        for source in plan.key_sources() {
            if let Some(path) = source.file()
                && let Some(read) = self.issuer(path, plan, named)
            {
                issuers.push((source.clone(), read));
            }
        }
        let ways = plan.auths().flat_map(|auth| &auth.ways);
        let paths: BTreeSet<&str> = ways.filter_map(Way::password_file).collect();
        let users = paths.into_iter().filter_map(|path| {
            let users = self.users(path, named)?;
            Some((path.into(), users))
        });
        AuthMaterials {
            keys,
            issuers,
            users: users.collect(),
        }
    }

    /// The keys of an issuer in a file: of its present version, or else of the last good one.
    fn issuer(&mut self, path: &str, plan: &Plan, named: &[Mention]) -> Option<Arc<LiveKeys>> {
        let known = self.certificates.auth.issuers.get(path).cloned();
        let parsed = match self.file(path) {
            Ok(text) => {
                let print = fingerprint(&text);
                match &known {
                    // Another way may accept other algorithms than when it was read.
                    Some((known, keys)) if *known == print => fitting(keys, path, plan)
                        .map(|()| None)
                        .map_err(|error| (Code::BadKeyFile, format!("`{path}`: {error}"))),
                    _ => KeySet::parse(&text, Origin::File)
                        .map(|set| Arc::new(LiveKeys::of(Arc::new(set))))
                        .and_then(|keys| fitting(&keys, path, plan).map(|()| Some((print, keys))))
                        .map_err(|error| (Code::BadKeyFile, format!("`{path}`: {error}"))),
                }
            }
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error))),
        };
        match (parsed, known) {
            (Ok(None), Some((_, keys))) => Some(keys),
            (Ok(new), _) => {
                let (print, keys) = new?;
                self.renewed = Some("the keys of issuers were read again");
                let known = (print, Arc::clone(&keys));
                self.certificates.auth.issuers.insert(path.into(), known);
                Some(keys)
            }
            (Err((_, message)), Some((_, keys))) if fitting(&keys, path, plan).is_ok() => {
                self.watch.add_stale(message);
                Some(keys)
            }
            (Err((code, message)), _) => {
                let mentions = named.iter().filter(|mention| *mention.path == *path);
                let places = self.or_anywhere(mentions.map(|mention| mention.place.clone()).collect());
                let wanted = "it is a JSON Web Key Set, or has public keys or certificates in PEM";
                self.fail(places, code, &message, wanted);
                None
            }
        }
    }

    /// The keys of a file: of its present version, or else of the last good one.
    fn keys(&mut self, path: &str, named: &[Mention]) -> Option<Arc<KeyFile>> {
        let known = self.certificates.auth.keys.get(path).cloned();
        let (stamp, read) = self.source.read_large_material(path, KEY_FILE_BYTES_MAX);
        self.watch.add(stamp);
        let parsed = match read {
            Ok(text) => {
                let print = fingerprint(&text);
                if let Some((known, keys)) = &known
                    && *known == print
                {
                    return Some(Arc::clone(keys));
                }
                match KeyFile::parse(&text) {
                    Ok(keys) => Ok((print, keys)),
                    Err(error) => Err((Code::BadKeyFile, format!("`{path}`: {error}"))),
                }
            }
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error))),
        };
        match (parsed, known) {
            (Ok((print, keys)), _) => {
                self.renewed = Some("the keys of clients were read again");
                let keys = Arc::new(keys);
                let known = (print, Arc::clone(&keys));
                self.certificates.auth.keys.insert(path.into(), known);
                Some(keys)
            }
            (Err((_, message)), Some((_, keys))) => {
                self.watch.add_stale(message);
                Some(keys)
            }
            (Err((code, message)), None) => {
                let mentions = named.iter().filter(|mention| *mention.path == *path);
                let places = self.or_anywhere(mentions.map(|mention| mention.place.clone()).collect());
                let wanted = "a line is `NAME HASH [GROUP,…]`, as `waypost hash-key NAME` makes it";
                self.fail(places, code, &message, wanted);
                None
            }
        }
    }

    /// The users of a password file: of its present version, or else of the last good one.
    fn users(&mut self, path: &str, named: &[Mention]) -> Option<Arc<PasswordFile>> {
        let known = self.certificates.auth.users.get(path).cloned();
        let read = self.file(path).and_then(|text| match text.len() {
            ..=PASSWORD_FILE_BYTES_MAX => Ok(text),
            _ => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is larger than 4 MiB",
            )),
        });
        let parsed = match read {
            Ok(text) => {
                let print = fingerprint(&text);
                if let Some((known, users)) = &known
                    && *known == print
                {
                    return Some(Arc::clone(users));
                }
                match DigestKey::random().map(|key| PasswordFile::parse(&text, key)) {
                    Some(Ok(users)) => Ok((print, users)),
                    Some(Err(error)) => Err((Code::BadPasswordFile, format!("`{path}`: {error}"))),
                    // A key that can be guessed would give away what is remembered.
                    None => Err((
                        Code::BadPasswordFile,
                        format!("`{path}`: the system gives no random numbers"),
                    )),
                }
            }
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error))),
        };
        match (parsed, known) {
            (Ok((print, users)), _) => {
                self.renewed = Some("the passwords of users were read again");
                let users = Arc::new(users);
                let known = (print, Arc::clone(&users));
                self.certificates.auth.users.insert(path.into(), known);
                Some(users)
            }
            (Err((_, message)), Some((_, users))) => {
                self.watch.add_stale(message);
                Some(users)
            }
            (Err((code, message)), None) => {
                let mentions = named.iter().filter(|mention| *mention.path == *path);
                let places = self.or_anywhere(mentions.map(|mention| mention.place.clone()).collect());
                let wanted = "a line is `USER:HASH`, as `htpasswd -B FILE USER` writes it";
                self.fail(places, code, &message, wanted);
                None
            }
        }
    }
}

/// Checks that every way with the file at `path` has a key there for an algorithm that it accepts.
fn fitting(keys: &LiveKeys, path: &str, plan: &Plan) -> Result<(), KeySetError> {
    let Some(set) = keys.get() else { return Ok(()) };
    for way in plan.auths().flat_map(|auth| &auth.ways) {
        if let Way::Jwt(jwt) = way
            && jwt.keys.file() == Some(path)
        {
            set.check_algorithms(&jwt.rules.algorithms)?;
        }
    }
    Ok(())
}
