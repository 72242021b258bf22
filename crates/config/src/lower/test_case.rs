//! Tests in a configuration.

use waypost_plan::test_case::{Expectation, ExpectedArms, TestCase};
use waypost_wire::token;

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::either::ArmsText;
use crate::keys::At;
use crate::lower::{Context, network};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::corrected;
use crate::values::Text;

/// Lowers all tests; adds the valid ones and returns their places.
pub(super) fn add_all(document: &Document, context: &mut Context<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    for written in document.tests.iter().flat_map(|tests| &tests.value.0) {
        if let Some(test) = test(&written.value, context) {
            context.builder.add_test(test);
            let request = written.value.request.as_ref();
            spans.push(request.map_or(written.span, |request| request.span));
        }
    }
    spans
}

fn test(written: &document::Test, context: &mut Context<'_>) -> Option<TestCase> {
    let request = written
        .request
        .as_ref()
        .and_then(|text| request(text, context.problems));
    let mut headers = Vec::new();
    for (name, value) in written.headers.iter().flat_map(|headers| &headers.value.0) {
        check_header(name, value, context.problems);
        headers.push(((**name).into(), (*value.value).into()));
    }
    let client_ip = written.client_ip.as_ref();
    let client_ip = client_ip.map(|client| network::address(client, context.problems));
    if let Some(listener) = &written.listener {
        context.listeners.resolve(listener, context.problems);
    }
    let expect = written.expect.as_ref().map(|expect| expectation(expect, context));
    let (method, url) = request?;
    if client_ip == Some(None) {
        return None;
    }
    Some(TestCase {
        method,
        url,
        headers,
        client_ip: client_ip.flatten(),
        listener: written.listener.as_ref().map(|listener| (*listener.value).into()),
        expect: expect?,
    })
}

/// A request of a test that is not `METHOD URL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestTextError {
    NoMethod,
    NoUrl,
    Method,
    Version,
    Blank,
    Scheme,
}

/// Lowers a request, `METHOD URL`.
fn request(written: &At<Text>, problems: &mut Problems) -> Option<(Box<str>, Box<str>)> {
    use RequestTextError as E;
    let text = written.value.trim();
    let error = match parse_request(text) {
        Ok((method, url)) => return Some((method.into(), url.into())),
        Err(error) => error,
    };
    let meant = corrected(text, |text| parse_request(text).map(drop), correct_request);
    let what = match error {
        E::NoMethod => "has no method",
        E::NoUrl => "has no URL",
        E::Method => "does not begin with a method",
        E::Version | E::Blank => "has a blank in its URL",
        E::Scheme => "has a URL without scheme",
    };
    let help = match (error, meant) {
        (E::NoUrl, Some(meant)) => format!("write `{meant}`, or `{text} http://host/path`"),
        (E::Version, Some(meant)) => format!("leave out what follows: `{meant}`"),
        (E::Scheme, Some(meant)) => {
            format!("write `{meant}`, or a path such as `/path` for a request without host")
        }
        (_, Some(meant)) => format!("write `{meant}`"),
        (E::Version | E::Blank, None) => "write a space as `%20`; headers go into `headers`".to_owned(),
        (_, None) => "write method and URL, as in `GET /orders/7`".to_owned(),
    };
    problems
        .add(Code::BadValue, written.span, format!("{} {what}", quote(text)))
        .help(help);
    None
}

/// Parses `METHOD URL`.
fn parse_request(text: &str) -> Result<(&str, &str), RequestTextError> {
    let Some((method, url)) = text.split_once(' ') else {
        return Err(if text.contains('/') {
            RequestTextError::NoMethod
        } else {
            RequestTextError::NoUrl
        });
    };
    let url = url.trim_start();
    if !token::is_token(method.as_bytes()) {
        return Err(RequestTextError::Method);
    }
    if let Some(odd) = url.find(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(if url[odd..].trim_start().starts_with("HTTP/") {
            RequestTextError::Version
        } else {
            RequestTextError::Blank
        });
    }
    if !url.starts_with('/') && !url.contains("://") && url != "*" {
        return Err(RequestTextError::Scheme);
    }
    Ok((method, url))
}

/// Mends one error of a request.
fn correct_request(text: &str, error: &RequestTextError) -> Option<String> {
    match error {
        RequestTextError::NoMethod => Some(format!("GET {text}")),
        RequestTextError::NoUrl => Some(format!("{text} /path")),
        RequestTextError::Version => {
            let (method, rest) = text.split_once(' ')?;
            Some(format!("{method} {}", rest.split_whitespace().next()?))
        }
        RequestTextError::Scheme => {
            let (method, url) = text.split_once(' ')?;
            Some(format!("{method} http://{}", url.trim_start()))
        }
        RequestTextError::Method | RequestTextError::Blank => None,
    }
}

fn check_header(name: &str, value: &At<Text>, problems: &mut Problems) {
    if !token::is_token(name.as_bytes()) {
        problems.add(
            Code::BadValue,
            value.key,
            format!("{} is not the name of a header", quote(name)),
        );
    }
    if value.value.contains(|c: char| c.is_ascii_control() && c != '\t') {
        problems.add(
            Code::BadValue,
            value.span,
            "the value of a header has no control characters",
        );
    }
}

fn expectation(written: &At<document::Expect>, context: &mut Context<'_>) -> Expectation {
    let given = &written.value;
    let text = |text: &Option<Box<At<Text>>>| text.as_ref().map(|text| Box::from(&*text.value));
    if let Some(name) = &given.route
        && let Some(route) = &name.value.0
    {
        context
            .routes
            .resolve(&name.with(route.clone()), context.problems);
    }
    if let Some(service) = &given.service {
        context.services.resolve(service, context.problems);
    }
    let arms = given.arms.as_ref().map(|arms| self::arms(&arms.value, context));
    let problems = &mut *context.problems;
    let status = given
        .status
        .as_ref()
        .map(|status| super::whole(status, 100, 599, problems));
    if let Some(path) = &given.path
        && !path.value.starts_with('/')
    {
        problems
            .add(Code::BadValue, path.span, "a path begins with `/`")
            .help("write the path alone, without host and query");
    }
    let expect = Expectation {
        outcome: given.outcome.as_ref().map(|outcome| outcome.value.0.into()),
        route: given
            .route
            .as_ref()
            .map(|route| route.value.0.as_ref().map(|name| Box::from(&**name))),
        service: text(&given.service),
        arms,
        status: status.and_then(|status| u16::try_from(status).ok()),
        path: text(&given.path),
        host: text(&given.host),
        location: text(&given.location),
        cors: given.cors.as_ref().map(|cors| cors.value),
    };
    if given.given.keys().next().is_none() {
        problems
            .add(Code::MissingKey, written.key, "the test expects nothing")
            .help("add what is expected, such as `route: NAME`");
    }
    expect
}

fn arms(written: &ArmsText, context: &mut Context<'_>) -> ExpectedArms {
    match written {
        ArmsText::Names(names) => {
            for name in &names.0 {
                context.services.resolve(name, context.problems);
            }
            ExpectedArms::Named(names.0.iter().map(|name| Box::from(&*name.value)).collect())
        }
        ArmsText::Weights(weights) => {
            for (name, weight) in &weights.0 {
                context.services.resolve_at(name, weight.key, context.problems);
            }
            let weights = weights.0.iter();
            ExpectedArms::Weighted(
                weights
                    .map(|(name, weight)| (Box::from(&**name), weight.value))
                    .collect(),
            )
        }
    }
}
