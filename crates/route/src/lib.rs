//! Which route takes a request.
//!
//! This crate is the heart of Waypost and knows nothing of the rest: no I/O, no clock, no randomness, no
//! async, no serde. Routes go in as plain values, a request goes in as borrowed bytes, and the answer is
//! the route that wins, or for every route why not.
//!
//! A reader's order: [`host`], [`path`] and [`condition`] are what one alternative of a route asks for;
//! [`alternative`] puts them together; [`request`] is what they look at; [`rank`] says which alternative
//! wins, [`reference`](mod@reference) finds it the slow and plain way and [`table`] the fast one;
//! [`explain`] says why, and [`overlap`] what cannot be meant; [`split`] decides which service of a weighted route a roll of the dice lands on.
//!
//! ```
//! use std::net::Ipv4Addr;
//!
//! use waypost_route::Route;
//! use waypost_route::alternative::Alternative;
//! use waypost_route::path::PathPattern;
//! use waypost_route::request::Request;
//! use waypost_route::table::{Scratch, Table};
//!
//! let route = |name: &str, path: &str| -> Result<Route, Box<dyn std::error::Error>> {
//!     let path = PathPattern::parse(path)?;
//!     let alternatives = [Alternative { path, ..Alternative::default() }].into();
//!     Ok(Route { name: name.into(), alternatives })
//! };
//! let table = Table::new(vec![route("shop", "/shop/*")?, route("cart", "/shop/{id}/cart")?])?;
//!
//! let headers: Vec<(String, Vec<u8>)> = Vec::new();
//! let request = Request {
//!     host: Some(b"api.example.com"),
//!     path: b"/shop/7/cart",
//!     query: None,
//!     method: b"GET",
//!     client_ip: Ipv4Addr::LOCALHOST.into(),
//!     headers: &headers,
//! };
//! let found = table.find(&request, &mut Scratch::new()).expect("`cart` takes it");
//! assert_eq!(&*table.routes()[found.route].name, "cart");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alternative;
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

/// A route as matching knows it: a name and what it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The route's name, unique in its table.
    pub name: Arc<str>,
    /// Any of these; never empty. Each host of a `host` list has an alternative of its own.
    pub alternatives: Arc<[Alternative]>,
}
