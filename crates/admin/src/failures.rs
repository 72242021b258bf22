//! The latest failed requests of each route, within a bound for all.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use waypost_policy::status::RequestStatus;
use waypost_proxy::observe::failed::FailedRequest;

/// Samples of a route.
pub(crate) const OF_ROUTE_MAX: usize = 20;
/// The memory of all samples.
const BYTES_MAX: usize = 4 << 20;
/// Bytes that an allocation or an entry of a map takes beyond what is in it.
const OVERHEAD: usize = 32;

/// The latest failed requests.
#[derive(Debug)]
pub(crate) struct Failures {
    bytes_max: usize,
    bytes: usize,
    /// By the order in which they came.
    all: BTreeMap<u64, Arc<FailedRequest>>,
    /// The keys in `all`, the oldest first.
    of_routes: HashMap<Arc<str>, VecDeque<u64>>,
    next: u64,
}

impl Default for Failures {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

impl Failures {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            all: BTreeMap::new(),
            of_routes: HashMap::new(),
            next: 0,
        }
    }

    /// Adds a sample. If its route has too many, the oldest of the most frequent kind goes: a kind that is rare stays.
    pub(crate) fn add(&mut self, failed: FailedRequest) {
        let route = Arc::clone(&failed.route);
        self.bytes += bytes(&failed);
        self.all.insert(self.next, Arc::new(failed));
        let of_route = self.of_routes.entry(Arc::clone(&route)).or_default();
        of_route.push_back(self.next);
        self.next += 1;
        if of_route.len() > OF_ROUTE_MAX
            && let Some(goes) = most_frequent(&self.all, of_route)
        {
            self.remove(goes);
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.all.keys().next().copied()
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, key: u64) {
        let Some(failed) = self.all.remove(&key) else {
            return;
        };
        self.bytes -= bytes(&failed);
        if let Some(of_route) = self.of_routes.get_mut(&failed.route) {
            of_route.retain(|other| *other != key);
            if of_route.is_empty() {
                self.of_routes.remove(&failed.route);
            }
        }
    }

    /// The samples of a route, the latest first.
    pub(crate) fn of_route(&self, route: &str) -> Vec<Arc<FailedRequest>> {
        let keys = self.of_routes.get(route).into_iter().flatten().rev();
        keys.filter_map(|key| self.all.get(key)).map(Arc::clone).collect()
    }
}

/// The kind of a failure.
fn kind(failed: &FailedRequest) -> (RequestStatus, &str, Option<&str>, Option<&str>) {
    (
        failed.status,
        failed.reason,
        failed.service.as_deref(),
        failed.endpoint.as_deref(),
    )
}

/// The oldest of the most frequent kind.
fn most_frequent(all: &BTreeMap<u64, Arc<FailedRequest>>, keys: &VecDeque<u64>) -> Option<u64> {
    let known = || keys.iter().filter_map(|key| Some((*key, kind(all.get(key)?))));
    let count = |of| known().filter(|(_, other)| *other == of).count();
    // Of equals, `max_by_key` takes the last one.
    let oldest = known().rev().max_by_key(|(_, of)| count(*of));
    oldest.map(|(key, _)| key)
}

/// The memory of a sample.
fn bytes(failed: &FailedRequest) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, |text| text.capacity() + OVERHEAD);
    let headers = failed.headers.iter().flatten();
    let headers = headers.map(|(name, value)| {
        size_of::<(String, Option<String>)>() + name.capacity() + OVERHEAD + optional(value)
    });
    size_of::<FailedRequest>()
        + 4 * OVERHEAD
        + failed.method.capacity()
        + failed.host.capacity()
        + failed.path.capacity()
        + optional(&failed.endpoint)
        + optional(&failed.detail)
        + optional(&failed.request_id)
        + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    fn failed(route: &str, status: u16, path: &str) -> FailedRequest {
        FailedRequest {
            time: Timestamp::UNIX_EPOCH,
            method: "GET".to_owned(),
            host: "a".to_owned(),
            path: path.to_owned(),
            route: route.into(),
            service: None,
            endpoint: None,
            status: RequestStatus::http(status),
            ended_by: "service",
            reason: "complete",
            detail: None,
            duration: Duration::ZERO,
            revision: 1,
            request_id: None,
            headers: Some(vec![("host".to_owned(), None)]),
        }
    }

    fn paths(failures: &Failures, route: &str) -> Vec<String> {
        let all = failures.of_route(route);
        all.iter().map(|failed| failed.path.clone()).collect()
    }

    #[test]
    fn latest_of_each_route_stay_and_rare_ones_too() {
        let mut failures = Failures::default();
        failures.add(failed("r", 502, "/rare"));
        for at in 0..100 {
            failures.add(failed("r", 503, &format!("/{at}")));
        }
        failures.add(failed("s", 503, "/s"));
        let paths_of_r = paths(&failures, "r");
        assert_eq!(paths_of_r.len(), OF_ROUTE_MAX);
        assert_eq!((&*paths_of_r[0], &*paths_of_r[18]), ("/99", "/81"));
        assert_eq!(paths_of_r[19], "/rare");
        assert_eq!(paths(&failures, "s"), ["/s"]);
        assert_eq!(paths(&failures, "t"), Vec::<String>::new());
    }

    #[test]
    fn memory_of_all_is_bounded() {
        let mut failures = Failures::new(20_000);
        for at in 0..1000 {
            failures.add(failed(&format!("r{at}"), 503, &"/x".repeat(at % 300)));
            assert!(failures.bytes <= 20_000);
        }
        let (all, of_routes) = (failures.all.len(), failures.of_routes.len());
        assert!(all > 10 && all == of_routes, "{all} of {of_routes}");
        assert_eq!(failures.of_route("r999").len(), 1);
        let known: usize = failures.all.values().map(|failed| bytes(failed)).sum();
        assert_eq!(failures.bytes, known);
    }
}
