//! Explanations: why a route matches a request, and why the others do not.

use crate::alternative::Condition;
use crate::request::Request;
use crate::table::Table;

/// The alternatives to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Alternatives whose host pattern covers the host of the request.
    HostCovers,
    /// All alternatives.
    All,
}

/// An alternative with the reason why it does not match, if it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered<'t> {
    /// Position of the route.
    pub route: usize,
    /// Index of the alternative in that route.
    pub alternative: usize,
    /// The first condition that fails, in the order host, path, method, headers, attributes, cookies, query,
    /// client_ip, listener, scheme; `None` when all hold. The first alternative with `None` takes the request.
    pub failed: Option<Condition<'t>>,
}

impl Table {
    /// Returns the alternatives in `scope` for `request` in rank order, including the winner and those after
    /// it.
    ///
    /// Every alternative is evaluated with the same conditions as in [`Table::find`], so the time is linear in the
    /// size of the table.
    pub fn explain(&self, request: &Request<'_>, scope: Scope) -> Vec<Considered<'_>> {
        let mut scratch = Vec::new();
        let mut considered = Vec::new();
        for (found, alternative) in self.in_rank_order() {
            if scope == Scope::HostCovers && !alternative.host.covers(request.host) {
                continue;
            }
            considered.push(Considered {
                route: found.route,
                alternative: found.alternative,
                failed: alternative.first_failed(request, &mut scratch),
            });
        }
        considered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// `expected` has a line for each alternative: its route, and the failed condition with wanted and seen values.
    fn check(routes: &str, request: &str, scope: Scope, expected: &[&str]) {
        let table = Table::new(testing::routes(routes)).unwrap();
        let owned = testing::request(request);
        let request = owned.request();
        let lines: Vec<String> = table
            .explain(&request, scope)
            .iter()
            .map(|considered| {
                let name = &table.routes()[considered.route].1.name;
                match considered.failed {
                    None => format!("{name}.{} holds", considered.alternative),
                    Some(failed) => format!(
                        "{name}.{} {} wants {} saw {}",
                        considered.alternative,
                        failed.name(),
                        failed.wants(),
                        failed.saw(&request).as_deref().unwrap_or("nothing"),
                    ),
                }
            })
            .collect();
        assert_eq!(lines, expected);
    }

    const ROUTES: &str = "
        users   /users/*
        opt-in  /users/*  h:x-api-version=2
        opt-in  /users/*  c:beta=*  GET
        admin   admin.b   /*
        wide    *.b       /users/*  ip:10.0.0.0/8
        exact   /users/7  q:full=1";

    #[test]
    fn alternatives_that_cover_the_host_are_in_rank_order() {
        check(
            ROUTES,
            "GET a.b/users/7?full=0",
            Scope::HostCovers,
            &[
                "wide.0 client_ip wants 10.0.0.0/8 saw 127.0.0.1",
                "exact.0 query full wants 1 saw 0",
                "opt-in.1 cookie beta wants present saw nothing",
                "opt-in.0 header x-api-version wants 2 saw nothing",
                "users.0 holds",
            ],
        );
    }

    #[test]
    fn other_hosts_are_included_in_rank_order() {
        check(
            ROUTES,
            "POST /users h:X-Api-Version=2",
            Scope::All,
            &[
                "admin.0 host wants admin.b saw nothing",
                "wide.0 host wants *.b saw nothing",
                "exact.0 path wants /users/7 saw /users",
                "opt-in.1 method wants GET saw POST",
                "opt-in.0 holds",
                "users.0 holds",
            ],
        );
    }
}
