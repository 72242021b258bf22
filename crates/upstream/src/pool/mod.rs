//! A worker's connections to an endpoint: idle HTTP/1 connections, and HTTP/2 connections shared by exchanges.

pub mod handover;
pub mod idle;
pub mod shared;
#[cfg(test)]
mod tests;
