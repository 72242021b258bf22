//! JSON Web Tokens (RFC 7519, in the compact form of RFC 7515), and the key sets that verify them (RFC 7517).

pub mod bearer;
pub mod cache;
pub mod key;
pub mod key_set;
pub mod live;
mod pem;
#[cfg(test)]
mod testing;
pub mod verify;
