//! Shared code of the fuzz targets: hyper as a second parser, and structured choices from bytes.

pub mod choices;
pub mod hyper_reads;
mod replay;
