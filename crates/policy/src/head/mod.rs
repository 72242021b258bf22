//! The heads that the gateway writes: every one is written anew from parsed fields.

mod cookies;
pub mod downstream;
pub mod edits;
pub mod local;
pub mod reverse;
#[cfg(test)]
mod tests;
pub mod upstream;
