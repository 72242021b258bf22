//! One worker's connections to one endpoint that wait for the next exchange, or carry many at a time.

pub mod idle;
pub mod shared;
#[cfg(test)]
mod tests;
