//! Reading the files by which clients are known.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use waypost_auth::key_file::KeyFile;
use waypost_config::diagnostic::Code;
use waypost_config::files::Mention;
use waypost_plan::Plan;
use waypost_plan::auth::Way;
use waypost_proxy::generation::AuthMaterials;
use waypost_tls::peer::fingerprint;

use super::read::{Reading, unreadable};

/// The size limit of a file of keys, some 500,000 of them.
const KEY_FILE_BYTES_MAX: usize = 64 << 20;

/// The last good version of all files.
#[derive(Debug, Default)]
pub(super) struct KnownAuth {
    /// The keys of each file, with the fingerprint of its text.
    keys: HashMap<Box<str>, (String, Arc<KeyFile>)>,
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
        AuthMaterials { keys: keys.collect() }
    }

    /// The keys of a file: of its present version, or else of the last good one.
    fn keys(&mut self, path: &str, named: &[Mention]) -> Option<Arc<KeyFile>> {
        let known = self.certificates.auth.keys.get(path).cloned();
        let read = self.file(path).and_then(|text| match text.len() {
            ..=KEY_FILE_BYTES_MAX => Ok(text),
            _ => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is larger than 64 MiB",
            )),
        });
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
}
