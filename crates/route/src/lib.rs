//! Route matching.
//!
//! Routes are plain values and a request is borrowed bytes. The result is the route that wins, or the reason why each
//! route does not match. The crate has no I/O, clock, randomness, async or serde.
//!
//! In reading order: [`host`], [`path`], [`condition`] and [`attribute`] define the conditions of a route;
//! [`alternative`] combines them; [`request`] is their input. [`rank`] defines which alternative wins.
//! [`reference`](mod@reference) finds it the slow and simple way, [`table`] the fast way. [`explain`] gives the
//! reasons, [`overlap`] finds unreachable and ambiguous alternatives, and [`split`] picks an arm of a weighted route.
//!
//! ```
//! use std::net::Ipv4Addr;
//!
//! use waypost_route::Route;
//! use waypost_route::alternative::Alternative;
//! use waypost_route::attribute::NoAttributes;
//! use waypost_route::path::PathPattern;
//! use waypost_route::request::Request;
//! use waypost_route::table::{Scratch, Table};
//!
//! let route = |name: &str, path: &str| -> Result<Route, Box<dyn std::error::Error>> {
//!     let path = PathPattern::parse(path)?;
//!     let alternatives = [Alternative { path, ..Alternative::default() }].into();
//!     Ok(Route { name: name.into(), alternatives })
//! };
//! let routes = vec![route("shop", "/shop/*")?, route("cart", "/shop/{id}/cart")?];
//! let table = Table::new(routes.clone())?;
//!
//! let headers: Vec<(String, Vec<u8>)> = Vec::new();
//! let request = Request {
//!     host: Some(b"api.example.com"),
//!     path: b"/shop/7/cart",
//!     query: None,
//!     method: b"GET",
//!     client_ip: Ipv4Addr::LOCALHOST.into(),
//!     headers: &headers,
//!     attributes: &NoAttributes,
//! };
//! let found = table.find(&request, &mut Scratch::new()).expect("`cart` matches");
//! assert_eq!(&*routes[found.route].name, "cart");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alternative;
pub mod attribute;
pub mod condition;
pub mod cookie;
pub mod explain;
pub mod host;
pub mod overlap;
pub mod path;
pub mod query;
pub mod rank;
pub mod reference;
pub mod regex;
pub mod request;
pub mod split;
pub mod table;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use crate::alternative::Alternative;

/// A route for matching: its name and alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Name, unique in its table.
    pub name: Arc<str>,
    /// Alternatives, of which one must match; never empty. Each path of each host of a list has its own.
    pub alternatives: Arc<[Alternative]>,
}
