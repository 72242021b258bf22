//! What benchmarks run beside the gateways that they compare.
//!
//! `service` answers, `call-service` answers calls of gRPC, `floor` relays as a gateway does and does nothing else, and
//! `load` asks at a given pace. None of them is part of the product, and none is tuned beyond what keeps it out of the way.

pub mod message;
pub mod poller;
