//! Error pages: bodies in place of those of errors.

use std::sync::Arc;

use crate::failures::StatusSet;
use crate::header_edits::HeaderEdits;
use crate::origin::Source;
use crate::value::ValueTemplate;
use crate::value::listed::ListedNames;

/// Statuses of the gateway's own errors, as `waypost_policy::failure` makes them.
pub const GATEWAY_STATUSES: [u16; 16] = [
    400, 401, 403, 404, 408, 413, 414, 421, 429, 431, 500, 501, 502, 503, 504, 505,
];

/// The error pages in force for a route, or for a listener before any route is known; those of the top level come after.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorPages {
    /// The lists of the places that have some, the nearest first.
    lists: Vec<(Source, Arc<[ErrorPage]>)>,
    /// True if no others come after them.
    is_last: bool,
}

/// An error page: what it takes the place of, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// Statuses of the errors.
    pub statuses: StatusSet,
    /// The party that they come from.
    pub from: ErrorsFrom,
    /// The body.
    pub body: PageBody,
    /// `content-type` of the body.
    pub content_type: Box<str>,
    /// The status that the client gets; `None` for that of the error.
    pub status: Option<u16>,
    /// Headers that are set.
    pub headers: HeaderEdits,
}

/// The party that an error comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorsFrom {
    /// The gateway itself.
    #[default]
    Gateway,
    /// The service.
    Service,
}

/// The body of an error page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageBody {
    /// This text.
    Text(ValueTemplate),
    /// The text of a file; the path is as configured.
    File(Box<str>),
}

impl ErrorPages {
    /// No pages.
    pub const NONE: Self = Self {
        lists: Vec::new(),
        is_last: false,
    };

    /// Adds the pages of a nearer place, which come before the others.
    pub fn put_nearer(&mut self, source: Source, pages: Arc<[ErrorPage]>) {
        self.lists.insert(0, (source, pages));
    }

    /// Takes away the pages of all outer places.
    pub fn take_away(&mut self) {
        self.lists.clear();
        self.is_last = true;
    }

    /// Puts parameters in the place of the values of these names, in the pages of policies that the route uses: those of
    /// listeners are for requests without a route, too.
    pub(crate) fn shadow(&mut self, names: ListedNames) {
        for (source, pages) in &mut self.lists {
            if matches!(source, Source::Policy(_)) && pages.iter().any(ErrorPage::has_values) {
                let shadowed = pages.iter().cloned().map(|mut page| {
                    page.shadow(names);
                    page
                });
                *pages = shadowed.collect();
            }
        }
    }

    /// Returns true if no others come after them, as those of the top level.
    pub fn are_last(&self) -> bool {
        self.is_last
    }

    /// The first page for an error with this status, and the place that it comes from.
    pub fn find(&self, status: u16, from: ErrorsFrom) -> Option<(&ErrorPage, &Source)> {
        let mut lists = self.lists.iter();
        lists.find_map(|(source, pages)| Some((find(pages, status, from)?, source)))
    }

    /// All pages.
    pub fn iter(&self) -> impl Iterator<Item = &ErrorPage> {
        self.lists.iter().flat_map(|(_, pages)| pages.iter())
    }
}

impl ErrorPage {
    /// Returns true if its body or its headers have names of values in them.
    pub fn has_values(&self) -> bool {
        self.headers.has_templates() || matches!(&self.body, PageBody::Text(text) if !text.is_literal())
    }

    fn shadow(&mut self, names: ListedNames) {
        self.headers.shadow(names);
        if let PageBody::Text(text) = &mut self.body {
            text.shadow(names);
        }
    }

    /// The file of its body.
    pub fn file(&self) -> Option<&str> {
        match &self.body {
            PageBody::File(path) => Some(path),
            PageBody::Text(_) => None,
        }
    }
}

/// The first of `pages` for an error with this status.
pub fn find(pages: &[ErrorPage], status: u16, from: ErrorsFrom) -> Option<&ErrorPage> {
    let mut pages = pages.iter();
    pages.find(|page| page.from == from && page.statuses.contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(statuses: std::ops::RangeInclusive<u16>, from: ErrorsFrom, text: &str) -> ErrorPage {
        let mut set = StatusSet::default();
        set.add(statuses);
        ErrorPage {
            statuses: set,
            from,
            body: PageBody::Text(text.into()),
            content_type: "text/plain".into(),
            status: None,
            headers: HeaderEdits::NONE,
        }
    }

    #[test]
    fn nearest_page_counts_and_the_first_of_a_list() {
        use ErrorsFrom::{Gateway, Service};
        let mut pages = ErrorPages::NONE;
        pages.put_nearer(
            Source::Listener,
            [
                page(500..=599, Gateway, "listener"),
                page(503..=503, Gateway, "never"),
                page(404..=404, Service, "of service"),
            ]
            .into(),
        );
        pages.put_nearer(Source::Route, [page(503..=503, Gateway, "route")].into());
        let found = |pages: &ErrorPages, status, from| {
            let (page, source) = pages.find(status, from)?;
            let PageBody::Text(text) = &page.body else {
                return None;
            };
            Some((text.as_literal()?.to_owned(), source.clone()))
        };
        for (status, from, expected) in [
            (503, Gateway, Some(("route", Source::Route))),
            (502, Gateway, Some(("listener", Source::Listener))),
            (404, Gateway, None),
            (404, Service, Some(("of service", Source::Listener))),
            (503, Service, None),
        ] {
            let expected = expected.map(|(text, source)| (text.to_owned(), source));
            assert_eq!(found(&pages, status, from), expected, "{status}");
        }
        assert!(!pages.are_last());
        pages.take_away();
        assert!(pages.are_last());
        assert_eq!(found(&pages, 503, Gateway), None);
    }
}
