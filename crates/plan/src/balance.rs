//! Load balancing: the rule by which a service's endpoints share its requests.

/// The rule by which the endpoints in use share requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// The one with fewer requests in flight, of two drawn by weight.
    LeastRequest,
    /// Drawn by weight.
    Random,
    /// The same for requests with the same value; round robin for those without one.
    Hash(HashKey),
}

/// The value of a request that `hash` keeps at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header by lower-case name, its lines joined by `, `.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie(Box<str>),
    /// The client's address.
    ClientIp,
    /// The path in its normal form, without query.
    Path,
}
