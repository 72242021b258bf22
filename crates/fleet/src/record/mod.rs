//! Records: the values under the fleet's keys, as JSON.
//!
//! Fields that a version does not know are ignored, so that two versions can live in one fleet. Everything else that makes
//! no sense is refused with a reason: what lies in a store may have been put there by anyone.

pub mod canary;
pub mod certificate;
pub mod dial;
pub mod drain;
pub mod instance;
pub mod revision;
pub mod rollout;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plain::{is_plain, plain};
use crate::store::TRANSACTION_BYTES_MAX;

/// The longest name of a route, service, endpoint, instance or user in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// The longest sentence in characters.
const SENTENCE_CHARS_MAX: usize = 2000;

/// The longest reason for a refusal in characters: parts of a hostile value are quoted in it.
const WHY_CHARS_MAX: usize = 240;

/// Weights of services, in the order of a split's arms.
pub type Weights = Vec<(String, u64)>;

/// An id that its writer gives to a write, so that it can be found again when its outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriteId(String);

/// A value that is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is too large.
    #[error("it has {0} bytes, and {TRANSACTION_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// It is not the JSON of the record.
    #[error("{0}")]
    Json(String),
    /// A field makes no sense.
    #[error("`{field}`: {why}")]
    Field {
        /// The field.
        field: &'static str,
        /// The reason.
        why: &'static str,
    },
}

/// A value under a key, as JSON.
pub trait Record: Serialize + DeserializeOwned {
    /// Checks what the types of the fields do not say.
    ///
    /// # Errors
    /// A field makes no sense.
    fn check(&self) -> Result<(), RecordError>;

    /// Spells out what a terminal would obey in sentences of others, and cuts those that are too long to be read.
    fn clean(&mut self) {}

    /// The id of the write that it comes from.
    fn write(&self) -> Option<&WriteId>;

    /// Reads a value.
    ///
    /// # Errors
    /// It is too large, not the JSON of such a record, or a field makes no sense.
    fn read(value: &[u8]) -> Result<Self, RecordError> {
        if value.len() > TRANSACTION_BYTES_MAX {
            return Err(RecordError::TooLarge(value.len()));
        }
        let mut record: Self = serde_json::from_slice(value).map_err(|error| {
            let why = error.to_string();
            RecordError::Json(why.chars().take(WHY_CHARS_MAX).collect())
        })?;
        record.clean();
        record.check()?;
        Ok(record)
    }

    /// The value of the record; empty, which no reader accepts, where a key of a map in it is no text.
    fn to_value(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl WriteId {
    /// Returns `None` unless it has 1 to 64 letters, digits and hyphens.
    pub fn new(text: &str) -> Option<Self> {
        let is_id = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_id.then(|| Self(text.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for WriteId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::new(&text).ok_or("an id has 1 to 64 letters, digits and hyphens")
    }
}

impl From<WriteId> for String {
    fn from(id: WriteId) -> Self {
        id.0
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Refuses a field unless `is_right`.
fn ensure(is_right: bool, field: &'static str, why: &'static str) -> Result<(), RecordError> {
    match is_right {
        true => Ok(()),
        false => Err(RecordError::Field { field, why }),
    }
}

/// Refuses a name that is empty, too long, or has control characters.
fn name(text: &str, field: &'static str) -> Result<(), RecordError> {
    ensure(!text.is_empty(), field, "it is empty")?;
    ensure(text.len() <= NAME_BYTES_MAX, field, "it is too long")?;
    ensure(text.chars().all(is_plain), field, "it has a control character")
}

/// Refuses a name that is longer than most.
fn short(text: &str, bytes_max: usize, field: &'static str) -> Result<(), RecordError> {
    ensure(text.len() <= bytes_max, field, "it is too long")?;
    name(text, field)
}

/// Cleans a sentence.
fn clean_sentence(text: &mut String) {
    *text = plain(text, SENTENCE_CHARS_MAX);
}

/// Cleans all texts in a value.
fn clean_value(value: &mut Value) {
    match value {
        Value::String(text) if !text.chars().all(is_plain) => *text = plain(text, usize::MAX),
        Value::Array(items) => items.iter_mut().for_each(clean_value),
        Value::Object(fields) => fields.values_mut().for_each(clean_value),
        _ => {}
    }
}

/// Refuses a list with too many members.
fn at_most<T>(list: &[T], max: usize, field: &'static str) -> Result<(), RecordError> {
    ensure(list.len() <= max, field, "it has too many members")
}

#[cfg(test)]
mod tests;
