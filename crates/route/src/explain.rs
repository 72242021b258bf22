//! Why a route takes a request, and why the others do not.

use crate::alternative::Condition;
use crate::request::Request;
use crate::table::Table;

/// Which alternatives are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those whose host pattern covers the request's host.
    HostCovers,
    /// All of the table.
    All,
}

/// One alternative and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered<'t> {
    /// The index of the route among those that the table was made from.
    pub route: usize,
    /// The index of the alternative in that route.
    pub alternative: usize,
    /// The first condition that fails, in the order host, path, method, headers, cookies, query,
    /// client_ip; `None` when all hold. The first alternative with `None` takes the request.
    pub failed: Option<Condition<'t>>,
}

impl Table {
    /// The alternatives that came into question for `request`, in rank order, the winner and later ones
    /// included.
    ///
    /// It asks every alternative for its conditions, as [`Table::find`] does with those that it has left,
    /// so it is as slow as the table is long.
    pub fn explain(&self, request: &Request<'_>, scope: Scope) -> Vec<Considered<'_>> {
        let mut scratch = Vec::new();
        let mut considered = Vec::new();
        for found in self.in_rank_order() {
            let alternative = self.alternative(found);
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

    /// `expected` is a line for each alternative: its route, and the condition that failed with what it
    /// wants and saw.
    fn check(routes: &str, request: &str, scope: Scope, expected: &[&str]) {
        let table = Table::new(testing::routes(routes)).unwrap();
        let asked = testing::request(request);
        let request = asked.request();
        let lines: Vec<String> = table
            .explain(&request, scope)
            .iter()
            .map(|considered| {
                let name = &table.routes()[considered.route].name;
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
    fn every_alternative_that_covers_the_host_comes_in_rank_order() {
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
    fn the_other_hosts_come_in_their_place_when_asked_for() {
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
