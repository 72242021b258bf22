//! Error pages: which one takes the place of an error, and its text.
//!
//! A page replaces body and content type, and perhaps the status; what else an error says, such as `proxy-status`, stays.
//! Calls of gRPC get no page, since their clients read `grpc-status`.

use std::borrow::Cow;

use waypost_plan::Plan;
use waypost_plan::error_pages::{self, ErrorPage, ErrorPages, ErrorsFrom, PageBody};
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::origin::Source;
use waypost_plan::policies::PolicySet;
use waypost_plan::route::Respond;
use waypost_plan::value::{ValueTemplate, Values};
use waypost_wire::write;

use crate::compiled::Compiled;
use crate::error_format::ErrorFormat;
use crate::failure::Failure;
use crate::page_files::PageFiles;

/// The pages in force: those of the policies in force, then those of the top level.
#[derive(Debug, Clone, Copy)]
pub struct PageScope<'p> {
    of_policies: &'p ErrorPages,
    plan: &'p Plan,
    files: &'p PageFiles,
}

/// The page that takes the place of an error.
#[derive(Debug, Clone)]
pub struct Page<'p> {
    /// The page as configured.
    pub configured: &'p ErrorPage,
    /// The place that it comes from; `None` for the top level.
    pub source: Option<&'p Source>,
    /// The status that the client gets.
    pub status: u16,
    /// The body; `None` if its file was not read.
    body: Option<Cow<'p, [u8]>>,
    /// The lines of its headers, in their order, where values of the request stand in one; empty for one that is not sent.
    lines: Vec<Vec<u8>>,
}

impl<'p> PageScope<'p> {
    /// The pages in force beside these policies.
    pub fn of(policies: &'p PolicySet, compiled: &'p Compiled) -> Self {
        Self {
            of_policies: &policies.errors,
            plan: compiled.plan(),
            files: compiled.page_files(),
        }
    }

    /// The page in place of an error of the gateway, in this format.
    pub fn of_failure(&self, failure: Failure, format: &ErrorFormat) -> Option<Page<'p>> {
        self.find(failure.status(), ErrorsFrom::Gateway, format)
    }

    /// The page in place of a response that a route configures without a body.
    pub fn of_respond(&self, respond: &Respond, format: &ErrorFormat) -> Option<Page<'p>> {
        match respond.body.as_literal() {
            Some("") => self.find(respond.status, ErrorsFrom::Gateway, format),
            _ => None,
        }
    }

    /// The page in place of a service's response with this status, to a request that is no call of gRPC.
    pub fn of_response(&self, status: u16) -> Option<Page<'p>> {
        self.find(status, ErrorsFrom::Service, &ErrorFormat::Text)
    }

    /// Returns true if a page takes the place of a service's response with this status, to a request that is no call.
    #[inline]
    pub fn replaces(&self, status: u16) -> bool {
        status >= 400 && self.configured(status, ErrorsFrom::Service).is_some()
    }

    /// The page for an error with this status, and the place that it comes from.
    #[cold]
    fn configured(&self, status: u16, from: ErrorsFrom) -> Option<(&'p ErrorPage, Option<&'p Source>)> {
        match self.of_policies.find(status, from) {
            Some((page, source)) => return Some((page, Some(source))),
            None if self.of_policies.are_last() => return None,
            None => {}
        }
        Some((
            error_pages::find(&self.plan.settings().errors, status, from)?,
            None,
        ))
    }

    fn find(&self, status: u16, from: ErrorsFrom, format: &ErrorFormat) -> Option<Page<'p>> {
        if matches!(format, ErrorFormat::Grpc(_)) {
            return None;
        }
        let (configured, source) = self.configured(status, from)?;
        let body = match &configured.body {
            // One with values is filled in afterwards.
            PageBody::Text(text) => Some(Cow::Borrowed(text.as_literal().unwrap_or_default().as_bytes())),
            PageBody::File(path) => {
                let text = self.files.text(path);
                text.map(|text| Cow::Owned(text.bytes().to_vec()))
            }
        };
        Some(Page {
            configured,
            source,
            status: configured.status.unwrap_or(status),
            body,
            lines: Vec::new(),
        })
    }
}

impl Page<'_> {
    /// Fills values of the request into its body and headers.
    pub fn fill(&mut self, values: &dyn Values) {
        if let PageBody::Text(text) = &self.configured.body
            && !text.is_literal()
        {
            let mut body = Vec::new();
            text.fill(values, &mut body);
            self.body = Some(Cow::Owned(body));
        }
        let headers = &self.configured.headers;
        if headers.has_templates() {
            let line = |(name, value): (&str, &ValueTemplate)| {
                let mut line = Vec::new();
                value.fill_header(name, values, &mut line);
                line
            };
            self.lines = headers.lines().map(line).collect();
        }
    }

    /// The body that is sent; `None` if its file was not read.
    pub fn body(&self) -> Option<&[u8]> {
        match self.is_bodiless() {
            true => Some(b""),
            false => self.body.as_deref(),
        }
    }

    /// Appends its headers, but for those that `edits` remove or replace.
    pub(crate) fn write_headers(&self, edits: &HeaderEdits, out: &mut Vec<u8>) {
        for (at, (name, value)) in self.configured.headers.lines().enumerate() {
            match (self.lines.get(at), value.as_literal()) {
                _ if edits.drops(name.as_bytes()) => {}
                (Some(filled), _) => out.extend_from_slice(filled),
                (None, Some(value)) => write::field(out, name.as_bytes(), value.as_bytes()),
                (None, None) => {}
            }
        }
    }

    /// Returns true if responses of its status have no body.
    pub fn is_bodiless(&self) -> bool {
        matches!(self.status, 204 | 205 | 304)
    }
}
