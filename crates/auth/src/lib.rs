//! Verifies what clients show to prove who they are: tokens, keys and passwords. Pure: bytes and the time come in as
//! arguments, and files and key sets as texts.

pub mod basic;
pub mod claims;
pub mod identity;
pub mod json;
pub mod key_file;
pub mod password;
pub mod recent;
pub mod token;
