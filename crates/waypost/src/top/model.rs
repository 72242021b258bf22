//! The state of `waypost top`: the latest picture of the gateway, and the place of its reader in it.

use std::time::Instant;

use waypost_admin::access::Role;
use waypost_admin::api::failures::FailureView;
use waypost_admin::api::lately::SparklineView;
use waypost_admin::api::routes::RouteDetail;
use waypost_admin::api::status::Status;
use waypost_admin::api::timeline::TimelineView;
use waypost_admin::api::whoami::ClientView;
use waypost_admin::command::ArmView;
use waypost_admin::events::marks::Mark;
use waypost_admin::reasons::Reason;
use waypost_admin::rollout::RolloutView;
use waypost_admin::stats::RouteStats;

use super::dial::Dial;

/// A picture of the gateway.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) status: Status,
    /// The client, as the gateway knows it.
    pub(super) client: ClientView,
    /// All requests.
    pub(super) whole: TimelineView,
    /// Changes, the latest first.
    pub(super) changes: Vec<Mark>,
    pub(super) listing: Listing,
    /// The route that is looked at.
    pub(super) route: Option<RoutePicture>,
    /// The time between two pictures.
    pub(super) every_seconds: f64,
}

/// The routes that are listed: the worst first.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    /// The search that they are the answer to.
    pub(super) search: String,
    pub(super) rows: Vec<Row>,
    /// Routes that match; those that are not listed have fewer failures and requests.
    pub(super) matching: usize,
    /// Instances of the fleet that the figures are without.
    pub(super) missing: Vec<String>,
    /// The mistake in the search.
    pub(super) trouble: Option<String>,
}

/// A route in the list, with figures of the last minute.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) name: String,
    /// `forward`, `redirect`, `respond` or `passthrough`.
    pub(super) action: String,
    pub(super) matches: Vec<String>,
    pub(super) arms: Vec<ArmView>,
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// Requests that a rule refused.
    pub(super) refused: u64,
    /// Requests per second.
    pub(super) rate: f64,
    pub(super) p99_ms: Option<f64>,
    /// The reason why it needs a look.
    pub(super) reason: Option<Reason>,
    /// The rollout under way.
    pub(super) rollout: Option<String>,
    pub(super) history: Option<SparklineView>,
}

/// A route with its arms side by side.
#[derive(Debug, Clone)]
pub(super) struct RoutePicture {
    pub(super) detail: RouteDetail,
    /// The arms over the last minute.
    pub(super) stats: RouteStats,
    pub(super) history: TimelineView,
    /// The rollout under way, or the last one.
    pub(super) rollout: Option<RolloutView>,
    /// Failed requests, the latest first.
    pub(super) failures: Vec<FailureView>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Page {
    #[default]
    Overview,
    Route(String),
}

/// A line that is typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Input {
    pub(super) text: String,
    /// True while it is an earlier one, which the first character replaces.
    pub(super) is_earlier: bool,
}

impl Input {
    /// A line that begins as this earlier one.
    pub(super) fn with(earlier: &str) -> Self {
        Self {
            text: earlier.to_owned(),
            is_earlier: !earlier.is_empty(),
        }
    }
}

/// A text that covers the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) from: usize,
}

/// The thing that takes the keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Focus {
    #[default]
    Page,
    Search,
    /// The request to explain is typed.
    Question(Input),
    Dial(Dial),
    Reading(Reading),
}

/// The state.
#[derive(Debug, Clone)]
pub(super) struct App {
    /// The admin address.
    pub(super) admin: String,
    /// The option that names it to other commands, if they need one.
    pub(super) admin_option: String,
    pub(super) picture: Picture,
    /// The time of the picture.
    pub(super) taken: Instant,
    /// The reason why there is no newer picture.
    pub(super) lost: Option<String>,
    pub(super) page: Page,
    pub(super) focus: Focus,
    pub(super) search: String,
    /// The route that is selected; the first one until one is selected.
    pub(super) selected: Option<String>,
    /// The first arm that is shown.
    pub(super) first_arm: usize,
    /// A word on what was done last.
    pub(super) notice: Option<String>,
    /// The last request that was explained.
    pub(super) question: String,
    /// True if it is printed, so that there are no keys.
    pub(super) is_printed: bool,
}

impl App {
    pub(super) fn new(admin: String, admin_option: String, picture: Picture, now: Instant) -> Self {
        Self {
            admin,
            admin_option,
            page: picture.route.as_ref().map_or(Page::Overview, |route| {
                Page::Route(route.detail.route.name.clone())
            }),
            picture,
            taken: now,
            lost: None,
            focus: Focus::Page,
            search: String::new(),
            selected: None,
            first_arm: 0,
            notice: None,
            question: String::new(),
            is_printed: false,
        }
    }

    /// Takes a new picture.
    pub(super) fn renew(&mut self, picture: Picture, now: Instant) {
        // A picture that was under way when the reader went elsewhere has nothing of that page.
        let old_route = self.picture.route.take();
        let old_listing = std::mem::take(&mut self.picture.listing);
        self.picture = picture;
        if self.picture.route.is_none() && matches!(self.page, Page::Route(_)) {
            self.picture.route = old_route;
        }
        if self.picture.listing.search != self.search && old_listing.search == self.search {
            self.picture.listing = old_listing;
        }
        self.taken = now;
        self.lost = None;
    }

    /// The rows that match the search.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let listing = &self.picture.listing;
        // The gateway searches; until it has answered, the rows that are there are looked through.
        let wanted = self.search.to_lowercase();
        let words: Vec<&str> = match listing.search == self.search {
            true => Vec::new(),
            false => wanted.split_whitespace().collect(),
        };
        let rows = listing.rows.iter();
        rows.filter(|row| words.iter().all(|word| row.is_found_by(word)))
            .collect()
    }

    /// The position of the selected row.
    pub(super) fn position(&self, rows: &[&Row]) -> usize {
        let selected = self.selected.as_ref();
        let position = selected.and_then(|name| rows.iter().position(|row| row.name == *name));
        position.unwrap_or(0)
    }

    /// The route that a key is about: the page's, or the selected one.
    pub(super) fn subject(&self) -> Option<String> {
        match &self.page {
            Page::Route(route) => Some(route.clone()),
            Page::Overview => {
                let rows = self.rows();
                rows.get(self.position(&rows)).map(|row| row.name.clone())
            }
        }
    }

    /// The picture of the route on the page.
    pub(super) fn route(&self) -> Option<&RoutePicture> {
        let Page::Route(name) = &self.page else {
            return None;
        };
        let route = self.picture.route.as_ref();
        route.filter(|route| route.detail.route.name == *name)
    }

    /// The reason why nothing may be changed.
    pub(super) fn read_only(&self) -> Option<String> {
        (self.picture.client.role == Role::Read).then(|| {
            format!(
                "the token `{}` only reads: its line in `token_file` ends in `read`",
                self.picture.client.name
            )
        })
    }
}

impl Row {
    /// Looks for a word of a search in lower case; conditions on hosts, services and states are left to the gateway.
    fn is_found_by(&self, word: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(word);
        let is_condition = word.contains(':') || ["failing", "dialed", "rollout"].contains(&word);
        is_condition || has(&self.name) || self.matches.iter().any(|text| has(text))
    }

    /// The share of failed requests.
    pub(super) fn share(&self) -> f64 {
        self.failures as f64 / self.requests.max(1) as f64
    }

    /// True if requests fail now, by the gateway's judgement.
    pub(super) fn is_failing(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| !reason.past)
    }

    /// The service that fails more than the others.
    pub(super) fn worst(&self) -> Option<&str> {
        self.reason.as_ref()?.service.as_deref()
    }

    /// True if live weights differ from the declared ones.
    pub(super) fn is_dialed(&self) -> bool {
        self.arms.iter().any(|arm| arm.live != arm.declared)
    }
}
