//! Programs that the benchmarks run beside the gateways.
//!
//! `service` responds, `call-service` responds to gRPC calls, `floor` is a minimal relay, and `load` sends requests
//! at a given rate. `tokens` makes tokens. None is part of the product, and none is tuned further than needed to not be the bottleneck.

pub mod message;
pub mod poller;
