//! `waypost hash-key`: a key for a client, and its line for the file of keys.

use std::io::Read as _;

use anyhow::{Context as _, ensure};
use waypost_auth::key_file::{self, KeyFile};

use crate::{Outcome, output};

/// The length limit of a key that is given.
const KEY_BYTES_MAX: u64 = 4096;

/// Makes a key, or reads one from standard input, and prints its line; a key that was made comes in front, this once.
pub(crate) fn hash_key(name: &str, groups: &[String], is_given: bool) -> anyhow::Result<Outcome> {
    let (key, mut text) = match is_given {
        true => (given()?, String::new()),
        false => {
            let mut random = [0; 32];
            aws_lc_rs::rand::fill(&mut random).context("there are no random bytes")?;
            let key = key_file::key_of(random);
            let text = format!("{key}\n");
            (key, text)
        }
    };
    let line = key_file::line(name, &key, groups);
    let is_usable = KeyFile::parse(line.as_bytes()).is_ok_and(|file| file.len() == 1);
    let has_blank = |word: &str| word.is_empty() || word.contains([' ', '\t', ',']);
    ensure!(
        is_usable && !name.contains([' ', '\t']) && !groups.iter().any(|group| has_blank(group)),
        "a name has no blanks and does not begin with `#`; a group has no blanks and no comma"
    );
    text.push_str(&line);
    text.push('\n');
    output::print(&text)?;
    Ok(Outcome::Good)
}

/// The key on standard input, without the end of its line. One that no request can carry is refused: its hash would never
/// be found.
fn given() -> anyhow::Result<String> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(KEY_BYTES_MAX + 3);
    input
        .read_to_string(&mut text)
        .context("cannot read the key from standard input")?;
    let key = text.strip_suffix('\n').unwrap_or(&text);
    let key = key.strip_suffix('\r').unwrap_or(key);
    ensure!(!key.is_empty(), "there is no key on standard input");
    ensure!(
        key.len() as u64 <= KEY_BYTES_MAX,
        "the key on standard input has more than {KEY_BYTES_MAX} bytes"
    );
    ensure!(
        !key.contains(['\r', '\n']),
        "there are several lines on standard input; a key is one"
    );
    ensure!(
        key.trim() == key && !key.contains(char::is_control),
        "the key on standard input has blanks around it, or a control character: no request can carry it"
    );
    Ok(key.to_owned())
}
