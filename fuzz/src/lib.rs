//! What the fuzz targets share: hyper as the second opinion on what bytes mean, and choices made by bytes.

pub mod choices;
pub mod hyper_reads;
mod replay;
