//! A page of the services: those that a search finds, in an order, with the state of their endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use waypost_proxy::generation::Generation;
use waypost_upstream::health::EndpointState;
use waypost_upstream::service::ServiceState;

use super::{AddressDetail, AddressView, ServiceView, detail, views};
use crate::api::paging::{self, Part, Place};
use crate::problem::Problem;
use crate::state::AppState;

/// A page of the services that a search finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServicesPage {
    /// The services of this page.
    pub services: Vec<ServiceView<AddressDetail>>,
    /// Its place among all.
    #[serde(flatten)]
    pub place: Place,
}

/// The services: a list, or a page if the query asks for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Services {
    /// All services, without a query but `detail`.
    All(Vec<ServiceView<AddressView>>),
    /// Some of them.
    Page(ServicesPage),
}

/// The query. With anything but `detail`, a page is asked for.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServicesQuery {
    pub(super) detail: bool,
    search: Option<String>,
    unavailable: Option<bool>,
    sort: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
}

pub(super) const QUERY: &[(&str, &str, &str)] = &[
    (
        "detail",
        "boolean",
        "`true` adds state and counts to each address, as `/api/v1/services/{name}` has them; a page always has them",
    ),
    (
        "search",
        "string",
        "words that are all a part of the name, of an endpoint or of an address, in any case of letters. With this or any of the following parameters the response is a page rather than a list",
    ),
    (
        "unavailable",
        "boolean",
        "`true` for services alone that have an address that is not `up`, or none",
    ),
    (
        "sort",
        "string",
        "`name`, or `state`: those without an available address first, then those that lack one; the other way around with `-` in front. By default the order of the config, `config`",
    ),
    (
        "limit",
        "integer",
        "services on a page, up to 1000; by default 100",
    ),
    (
        "offset",
        "integer",
        "services before the page, as `next_offset` has it",
    ),
];

/// The order of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Config,
    Name,
    State,
}

/// A page that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// In lower case.
    words: Vec<String>,
    is_unavailable: bool,
    order: Order,
    is_reversed: bool,
    part: Part,
}

/// The availability of a service, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Availability {
    None,
    Some,
    /// Not known yet.
    Unknown,
    All,
}

impl Wanted {
    /// The page that a query asks for; `None` if it asks for a list.
    pub(super) fn from(query: &ServicesQuery) -> Result<Option<Self>, Problem> {
        let of_list = ServicesQuery {
            detail: query.detail,
            ..ServicesQuery::default()
        };
        if *query == of_list {
            return Ok(None);
        }
        let part = Part::of(query.offset, query.limit)?;
        let sort = query.sort.as_deref().unwrap_or("config");
        let (name, is_reversed) = paging::order(sort);
        let order = match name {
            "config" => Order::Config,
            "name" => Order::Name,
            "state" => Order::State,
            _ => {
                return Err(Problem::invalid(format!(
                    "`sort={sort}`: an order is `config`, `name` or `state`"
                )));
            }
        };
        let words = query.search.as_deref().unwrap_or_default().split_whitespace();
        Ok(Some(Self {
            words: words.map(str::to_lowercase).collect(),
            is_unavailable: query.unavailable == Some(true),
            order,
            is_reversed,
            part,
        }))
    }

    /// The positions of all services that are found, in order.
    fn positions(&self, generation: &Generation, now: Instant) -> Vec<usize> {
        let services = generation.services();
        let knows_state = self.is_unavailable || self.order == Order::State;
        let found = services
            .iter()
            .enumerate()
            .filter(|(_, running)| self.finds(running));
        let mut found: Vec<(Availability, usize)> = found
            .map(|(at, running)| match knows_state {
                true => (availability(running, now), at),
                false => (Availability::All, at),
            })
            .filter(|(availability, _)| !self.is_unavailable || *availability < Availability::All)
            .collect();
        match self.order {
            Order::Config => {}
            Order::Name => {
                let name = |at: usize| &*services[at].service().name;
                found.sort_by(|one, other| name(one.1).cmp(name(other.1)));
            }
            Order::State => found.sort_by_key(|(availability, _)| *availability),
        }
        if self.is_reversed {
            found.reverse();
        }
        found.into_iter().map(|(_, at)| at).collect()
    }

    fn finds(&self, running: &ServiceState) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let service = running.service();
        let mut text = service.name.to_lowercase();
        for endpoint in &service.endpoints {
            text.push('\n');
            text.push_str(&endpoint.text().to_lowercase());
        }
        for endpoint in &*running.endpoints() {
            text.push('\n');
            text.push_str(&endpoint.address.to_string());
        }
        self.words.iter().all(|word| text.contains(word))
    }
}

/// The availability of a service by the states of its addresses.
fn availability(running: &ServiceState, now: Instant) -> Availability {
    let (mut all, mut up, mut unknown) = (0, 0, 0);
    for endpoint in &*running.endpoints() {
        let state = running.status(endpoint, now).state;
        all += 1;
        up += usize::from(state == EndpointState::Up);
        unknown += usize::from(state == EndpointState::Unknown);
    }
    match (up, unknown) {
        (0, 1..) => Availability::Unknown,
        (0, 0) => Availability::None,
        _ if up < all => Availability::Some,
        _ => Availability::All,
    }
}

/// The page that is asked for.
pub(super) fn of(state: &AppState, generation: &Generation, wanted: &Wanted) -> ServicesPage {
    let found = wanted.positions(generation, Instant::now());
    let Part { offset, limit } = wanted.part;
    let on_page: Vec<usize> = found.iter().copied().skip(offset).take(limit).collect();
    let place = wanted.part.place(
        on_page.len(),
        found.len(),
        generation.services().len(),
        generation.number(),
    );
    ServicesPage {
        services: views(generation, &on_page, |running, endpoint, now| {
            detail(state, running, endpoint, now)
        }),
        place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_with_more_than_detail_asks_for_a_page() {
        let wanted = |query: ServicesQuery| Wanted::from(&query);
        let list = ServicesQuery {
            detail: true,
            ..ServicesQuery::default()
        };
        assert_eq!(wanted(list).unwrap(), None);
        let page = wanted(ServicesQuery {
            search: Some(" Users 10.0 ".to_owned()),
            sort: Some("-state".to_owned()),
            ..ServicesQuery::default()
        });
        let page = page.unwrap().unwrap();
        assert_eq!(page.words, ["users", "10.0"]);
        assert_eq!((page.order, page.is_reversed), (Order::State, true));
        for (sort, limit) in [("size", 1), ("name", 0)] {
            let refused = wanted(ServicesQuery {
                sort: Some(sort.to_owned()),
                limit: Some(limit),
                ..ServicesQuery::default()
            });
            assert_eq!(refused.unwrap_err().status, 422, "{sort} {limit}");
        }
    }
}
