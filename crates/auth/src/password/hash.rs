//! A hash of a password, and the limits on the time that it takes.

use argon2::{Argon2, Params};
use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;
use password_hash::PasswordVerifier as _;
use password_hash::phc::PasswordHash;
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq as _;

/// The greatest cost of bcrypt: about a second.
pub const BCRYPT_COST_MAX: u32 = 14;
/// The greatest number of rounds of SHA-crypt: about a second.
pub const ROUNDS_MAX: u32 = 1_000_000;
/// The most memory of Argon2, in KiB, as in the second choice of RFC 9106 §4.
pub const ARGON2_MEMORY_MAX: u32 = 64 << 10;
/// The most passes of Argon2 over its memory.
pub const ARGON2_PASSES_MAX: u32 = 10;
/// The most lanes of Argon2. They are computed one after the other.
pub const ARGON2_LANES_MAX: u32 = 64;
/// The number of rounds of SHA-crypt where none is given.
const ROUNDS_DEFAULT: u32 = 5000;
/// The smallest number of rounds of SHA-crypt.
const ROUNDS_MIN: u32 = 1000;
/// The bytes of a password that bcrypt heeds.
const BCRYPT_BYTES: usize = 72;

/// bcrypt's own base64. Some programs leave bits of the last character of a salt set.
const BCRYPT_BASE64: GeneralPurpose =
    GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// A hash of a password.
pub(super) enum Hash {
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        hash: [u8; 23],
    },
    Sha(Box<str>),
    Argon2(Box<PasswordHash>),
}

/// The reason that a hash is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is of a kind that does not protect passwords.
    #[error("{0} does not protect passwords, make it anew with `htpasswd -B`")]
    Weak(&'static str),
    /// It is of a kind that is not known.
    #[error(
        "the hash is none of bcrypt (`$2y$`), SHA-crypt (`$5$`, `$6$`) and Argon2 (`$argon2id$`), make it anew with `htpasswd -B`"
    )]
    Unknown,
    /// It is not complete, or has a mistake.
    #[error("the {0} hash is incomplete or has a mistake, make it anew with `htpasswd -B`")]
    Malformed(&'static str),
    /// It takes too long or too much memory to verify.
    #[error("the {what} {found} is more than {max}, which would let clients keep the gateway busy")]
    Costly {
        /// The measure.
        what: &'static str,
        /// The value.
        found: u32,
        /// The greatest value.
        max: u32,
    },
}

impl Hash {
    /// Reads a hash by its beginning.
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let kind = text
            .strip_prefix('$')
            .and_then(|rest| rest.split('$').next())
            .unwrap_or_default();
        match kind {
            "2a" | "2b" | "2y" => bcrypt(text).ok_or(HashError::Malformed("bcrypt"))?,
            "5" => sha(text, 43),
            "6" => sha(text, 86),
            "argon2id" | "argon2i" | "argon2d" => argon2(text),
            "apr1" | "1" => Err(HashError::Weak("MD5 (`$apr1$`, `$1$`)")),
            "2x" => Err(HashError::Weak("the faulty bcrypt `$2x$`")),
            "" if text.starts_with("{SHA}") || text.starts_with("{SSHA}") => {
                Err(HashError::Weak("SHA-1 (`{SHA}`)"))
            }
            "" if text.starts_with("{PLAIN}") => Err(HashError::Weak("a password in plain text")),
            "" if is_des(text) => Err(HashError::Weak("DES (`crypt`), or a password in plain text,")),
            "" => Err(HashError::Weak("a password in plain text")),
            _ => Err(HashError::Unknown),
        }
    }

    /// Returns true if it is that of `password`, in constant time.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt { cost, salt, hash } => {
                // It ends with NUL, as a string of C does.
                let mut key = [0; BCRYPT_BYTES];
                let length = password.len().min(BCRYPT_BYTES);
                key[..length].copy_from_slice(&password[..length]);
                let key = &key[..(length + 1).min(BCRYPT_BYTES)];
                let made = bcrypt::bcrypt(*cost, *salt, key);
                made[..hash.len()].ct_eq(hash).into()
            }
            Self::Sha(text) => ShaCrypt::default().verify_password(password, &**text).is_ok(),
            Self::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
        }
    }
}

/// Returns true for what may be a hash of the DES-based `crypt`.
fn is_des(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    text.len() == 13 && text.bytes().all(is_base64)
}

/// `$2b$COST$`, 22 characters of salt, 31 of hash; `None` for anything else.
fn bcrypt(text: &str) -> Option<Result<Hash, HashError>> {
    let (cost, rest) = text.get(4..)?.split_once('$')?;
    let cost: u32 = (cost.len() == 2).then(|| decimal(cost))??;
    let (salt, hash) = rest.split_at_checked(22)?;
    let (salt, hash) = (bcrypt_bytes(salt)?, bcrypt_bytes(hash)?);
    Some(match cost {
        ..4 | 32.. => return None,
        cost if cost > BCRYPT_COST_MAX => Err(HashError::Costly {
            what: "cost of bcrypt",
            found: cost,
            max: BCRYPT_COST_MAX,
        }),
        cost => Ok(Hash::Bcrypt { cost, salt, hash }),
    })
}

fn bcrypt_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    BCRYPT_BASE64.decode(text).ok()?.try_into().ok()
}

/// `$5$[rounds=N$]SALT$HASH`, with a hash of `characters`.
fn sha(text: &str, characters: usize) -> Result<Hash, HashError> {
    let malformed = || HashError::Malformed("SHA-crypt");
    let mut parts = text.split('$').skip(2).peekable();
    let rounds = parts.next_if(|part| part.starts_with("rounds="));
    let rounds = match rounds.and_then(|part| part.strip_prefix("rounds=")) {
        None => ROUNDS_DEFAULT,
        Some(rounds) => decimal(rounds).ok_or_else(malformed)?,
    };
    let (Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    if salt.is_empty() || salt.len() > 16 || hash.len() != characters || !hash.bytes().all(is_base64) {
        return Err(malformed());
    }
    match rounds {
        ..ROUNDS_MIN => Err(malformed()),
        ROUNDS_MIN..=ROUNDS_MAX => Ok(Hash::Sha(text.into())),
        _ => Err(HashError::Costly {
            what: "number of rounds of SHA-crypt",
            found: rounds,
            max: ROUNDS_MAX,
        }),
    }
}

/// A hash of Argon2 as the PHC writes it.
fn argon2(text: &str) -> Result<Hash, HashError> {
    let malformed = || HashError::Malformed("Argon2");
    let hash = PasswordHash::new(text).map_err(|_| malformed())?;
    let params = Params::try_from(&hash).map_err(|_| malformed())?;
    let is_known = matches!(hash.version, None | Some(16 | 19));
    if !is_known || hash.salt.is_none() || hash.hash.is_none() {
        return Err(malformed());
    }
    for (what, found, max) in [
        ("memory of Argon2, in KiB,", params.m_cost(), ARGON2_MEMORY_MAX),
        ("number of passes of Argon2", params.t_cost(), ARGON2_PASSES_MAX),
        ("number of lanes of Argon2", params.p_cost(), ARGON2_LANES_MAX),
    ] {
        if found > max {
            return Err(HashError::Costly { what, found, max });
        }
    }
    Ok(Hash::Argon2(Box::new(hash)))
}

/// A decimal number without a sign; one beyond `u32` is the greatest.
fn decimal(text: &str) -> Option<u32> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().unwrap_or(u32::MAX))
}
