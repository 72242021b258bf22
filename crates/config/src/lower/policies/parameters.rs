//! Names in the texts of a policy that the routes that use it bind: parameters, which every one of them has to bind, and
//! names of the list of values, which a parameter takes the place of.

use waypost_plan::value::ValueName;
use waypost_plan::value::listed::ListedNames;
use waypost_plan::value::parse::{self, Braces, Resolved};
use waypost_route::path::PathPattern;

use crate::collections::Named;
use crate::diagnostic::Code;
use crate::document::listener::Listener;
use crate::document::route::HeaderEdits;
use crate::document::route::Policy;
use crate::either::TextOr;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::place::Span;
use crate::problems::Problems;
use crate::suggest::{nearest, variable};
use crate::values::Text;

/// The key of error pages.
pub(super) const ERRORS: &str = "errors";

/// Something that a policy needs of the path of every route that uses it.
pub(super) struct Needed {
    /// The key of the policy.
    pub(super) key: &'static str,
    what: What,
    /// Place where it stands.
    pub(super) span: Span,
}

/// The part of a path that is needed.
enum What {
    /// The parameter of this name.
    Parameter(Box<str>),
    /// A prefix, in front of `/*`.
    Prefix,
}

/// A name of the list of values in a text.
pub(super) struct Listed {
    /// The key of the policy or the listener.
    pub(super) key: &'static str,
    name: Box<str>,
    /// Place where it stands.
    span: Span,
}

/// The names in the texts of a policy or a listener.
#[derive(Default)]
pub(super) struct Names {
    pub(super) needed: Vec<Needed>,
    pub(super) listed: Vec<Listed>,
}

impl Names {
    /// The names in the texts of a policy.
    pub(super) fn of(written: &Policy) -> Self {
        let mut names = Self::default();
        if let Some(rewrite) = written.rewrite.as_ref().and_then(|rewrite| rewrite.given()) {
            let given = rewrite.value;
            if let Some(prefix) = &given.prefix {
                names.needed.push(Needed {
                    key: "rewrite",
                    what: What::Prefix,
                    span: prefix.key,
                });
            }
            for text in [&given.prefix, &given.path, &given.host].into_iter().flatten() {
                names.add("rewrite", text);
            }
            match given.query.as_ref().map(|query| &query.value) {
                Some(TextOr::Text(text)) => names.add("rewrite", text),
                Some(TextOr::Mapping(edits)) => names.add_all("rewrite", [&edits.set, &edits.add]),
                None => {}
            }
        }
        let requests = written.request_headers.as_ref();
        names.add_edits("request_headers", requests.and_then(|edits| edits.given()));
        let responses = written.response_headers.as_ref();
        names.add_edits("response_headers", responses.and_then(|edits| edits.given()));
        let pages = written.errors.as_ref().and_then(|errors| errors.given());
        for page in pages.iter().flat_map(|pages| &pages.value.0) {
            if let Some(body) = page.value.body.as_deref() {
                names.add(ERRORS, body);
            }
            for (_, text) in page.value.headers.iter().flat_map(|headers| &headers.value.0) {
                names.add(ERRORS, text);
            }
        }
        names
    }

    /// The names in the texts of a listener, but for those of its error pages, which are not for routes alone.
    pub(super) fn of_listener(written: &Listener) -> Self {
        let mut names = Self::default();
        for (key, edits) in [
            ("request_headers", &written.request_headers),
            ("response_headers", &written.response_headers),
        ] {
            names.add_edits(key, edits.as_ref().map(|edits| edits.with(&edits.value)));
        }
        names
    }

    /// The listed ones, as a set.
    pub(super) fn listed_names(&self) -> ListedNames {
        ListedNames::among(self.listed.iter().map(|listed| &*listed.name))
    }

    fn add_edits(&mut self, key: &'static str, edits: Option<At<&HeaderEdits>>) {
        if let Some(edits) = edits {
            self.add_all(key, [&edits.value.set, &edits.value.add]);
        }
    }

    fn add_all(&mut self, key: &'static str, texts: [&Option<Box<At<Named<Text>>>>; 2]) {
        for named in texts.into_iter().flatten() {
            for (_, text) in &named.value.0 {
                self.add(key, text);
            }
        }
    }

    /// Adds the names in `text`.
    fn add(&mut self, key: &'static str, text: &At<Text>) {
        // Mistakes in it are reported where it is lowered.
        let _ = parse::template(&text.value, Braces::Text, variable::length_at, |name, range| {
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let begins = !name.starts_with(|c: char| c.is_ascii_digit());
            // A name that `auth` brings is reported as such.
            if is_name && begins && !name.is_empty() && name != "identity" {
                let span = text.span.within(&text.value, range);
                match ValueName::listed(name) {
                    Some(_) => self.listed.push(Listed {
                        key,
                        name: name.into(),
                        span,
                    }),
                    None => self.needed.push(Needed {
                        key,
                        what: What::Parameter(name.into()),
                        span,
                    }),
                }
            }
            Resolved::Text
        });
    }
}

/// A pattern that binds all parameters that are needed, for the policy itself; `None` if it needs none.
pub(super) fn pattern(needed: &[Needed]) -> Option<Pattern> {
    let mut path = String::new();
    for needed in needed {
        if let What::Parameter(name) = &needed.what {
            let segment = format!("/{{{name}}}");
            if !path.contains(&segment) {
                path.push_str(&segment);
            }
        }
    }
    let span = needed.first()?.span;
    Some(Pattern {
        pattern: PathPattern::parse(&format!("{path}/*")).ok()?,
        span,
        written: true,
    })
}

impl Needed {
    /// Reports what a listener that uses the policy `who` at `place` cannot give.
    pub(super) fn refuse(&self, who: &str, place: Span, problems: &mut Problems) {
        if let What::Parameter(name) = &self.what {
            problems
                .add(
                    Code::UnknownValue,
                    place,
                    format!("{who} needs `{{{name}}}` in error pages, which a listener has for requests without a route too"),
                )
                .label(self.span, "it stands here")
                .help("use the policy on routes whose paths bind it");
        }
    }

    /// Reports what the paths of a route lack. `place` is where the route or a listener uses the policy `who`.
    pub(super) fn check(&self, who: &str, place: Span, patterns: &[&Pattern], problems: &mut Problems) {
        match &self.what {
            What::Prefix => {
                for closed in patterns.iter().filter(|pattern| !pattern.pattern.is_open()) {
                    problems
                        .add(
                            Code::BadRewrite,
                            place,
                            format!("{who} replaces a prefix, so it needs a path that ends in `/*`"),
                        )
                        .label(closed.span, "this one does not")
                        .label(self.span, "the prefix")
                        .help("end the pattern in `/*`, or write `rewrite: off` for this route");
                }
            }
            What::Parameter(name) => self.check_parameter(name, who, place, patterns, problems),
        }
    }

    fn check_parameter(
        &self,
        name: &str,
        who: &str,
        place: Span,
        patterns: &[&Pattern],
        problems: &mut Problems,
    ) {
        let lacks = |pattern: &&&Pattern| !pattern.pattern.names().contains(&name);
        let Some(pattern) = patterns.iter().find(lacks) else {
            return;
        };
        let label = match pattern.written {
            true => "not bound here",
            false => "there is no `path` here",
        };
        let listed: Vec<String> = ValueName::reference().map(|(name, _)| name).collect();
        let help = match nearest(name, pattern.pattern.names()) {
            Some(near) => format!("name it alike: the path has `{{{near}}}`"),
            None => match nearest(name, listed.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => format!(
                    "bind it in the pattern, as in `/users/{{{name}}}`, or write `{}: off` for this route",
                    self.key
                ),
            },
        };
        let mut problem = problems
            .add(
                Code::UnknownValue,
                place,
                format!("{who} needs `{{{name}}}`, which the path of a route does not bind"),
            )
            .label(pattern.span, label);
        if place != self.span {
            problem = problem.label(self.span, "it stands here");
        }
        problem.help(help);
    }
}

impl Listed {
    /// Warns where the paths of a route have a parameter of this name; reports one that only some of them have.
    pub(super) fn check(&self, who: &str, patterns: &[&Pattern], problems: &mut Problems) {
        let name = &*self.name;
        let binds = |pattern: &&&Pattern| pattern.pattern.names().contains(&name);
        let Some(bound) = patterns.iter().find(binds) else {
            return;
        };
        match patterns.iter().find(|pattern| !binds(pattern)) {
            None => problems
                .add(
                    Code::ShadowedValue,
                    bound.span,
                    format!(
                        "`{{{name}}}` of {who} is the parameter of the path here, not the value of that name"
                    ),
                )
                .label(self.span, "it stands here")
                .help("give the parameter another name, unless it is meant"),
            Some(unbound) => problems
                .add(
                    Code::UnknownValue,
                    bound.span,
                    format!("`{{{name}}}` of {who} is a parameter here, and not in every path of this route"),
                )
                .label(unbound.span, "not bound here")
                .label(self.span, "it stands here")
                .help("give the parameter another name, or make two routes of it"),
        };
    }
}
