//! Parameters in the texts of a policy: every route that uses it has to bind them.

use waypost_plan::value::ValueName;
use waypost_plan::value::parse::{self, Braces, Resolved};
use waypost_route::path::PathPattern;

use crate::collections::Named;
use crate::diagnostic::Code;
use crate::document::route::HeaderEdits;
use crate::document::route::Policy;
use crate::either::TextOr;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::{nearest, variable};
use crate::values::Text;

/// Something that a policy needs of the path of every route that uses it.
pub(super) struct Needed {
    /// The key of the policy.
    pub(super) key: &'static str,
    what: What,
    /// Place where it stands.
    span: Span,
}

/// The part of a path that is needed.
enum What {
    /// The parameter of this name.
    Parameter(Box<str>),
    /// A prefix, in front of `/*`.
    Prefix,
}

/// Returns what a policy needs.
pub(super) fn needed(written: &Policy) -> Vec<Needed> {
    let mut needed = Vec::new();
    if let Some(rewrite) = written.rewrite.as_ref().and_then(|rewrite| rewrite.given()) {
        let given = rewrite.value;
        if let Some(prefix) = &given.prefix {
            needed.push(Needed {
                key: "rewrite",
                what: What::Prefix,
                span: prefix.key,
            });
        }
        for text in [&given.prefix, &given.path, &given.host].into_iter().flatten() {
            add("rewrite", text, &mut needed);
        }
        match given.query.as_ref().map(|query| &query.value) {
            Some(TextOr::Text(text)) => add("rewrite", text, &mut needed),
            Some(TextOr::Mapping(edits)) => {
                for named in [&edits.set, &edits.add].into_iter().flatten() {
                    add_named("rewrite", named, &mut needed);
                }
            }
            None => {}
        }
    }
    let mut headers = |key: &'static str, edits: Option<At<&HeaderEdits>>| {
        let edits = edits
            .iter()
            .flat_map(|edits| [&edits.value.set, &edits.value.add]);
        for named in edits.flatten() {
            add_named(key, named, &mut needed);
        }
    };
    let edits = written.request_headers.as_ref();
    headers("request_headers", edits.and_then(|edits| edits.given()));
    let edits = written.response_headers.as_ref();
    headers("response_headers", edits.and_then(|edits| edits.given()));
    needed
}

fn add_named(key: &'static str, named: &At<Named<Text>>, needed: &mut Vec<Needed>) {
    for (_, text) in &named.value.0 {
        add(key, text, needed);
    }
}

/// Adds the names in `text` that are no values of every request.
fn add(key: &'static str, text: &At<Text>, needed: &mut Vec<Needed>) {
    // Mistakes in it are reported where it is lowered.
    let _ = parse::template(&text.value, Braces::Text, variable::length_at, |name, range| {
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let begins = !name.starts_with(|c: char| c.is_ascii_digit());
        // A name that `auth` brings is reported as such.
        if is_name && begins && !name.is_empty() && name != "identity" && ValueName::listed(name).is_none() {
            needed.push(Needed {
                key,
                what: What::Parameter(name.into()),
                span: text.span.within(&text.value, range),
            });
        }
        Resolved::Text
    });
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
    /// Reports what the paths of a route lack. `place` is where the route or a listener uses `policy`.
    pub(super) fn check(&self, policy: &str, place: Span, patterns: &[Pattern], problems: &mut Problems) {
        match &self.what {
            What::Prefix => {
                for closed in patterns.iter().filter(|pattern| !pattern.pattern.is_open()) {
                    problems
                        .add(
                            Code::BadRewrite,
                            place,
                            format!(
                                "the policy {} replaces a prefix, so it needs a path that ends in `/*`",
                                quote(policy)
                            ),
                        )
                        .label(closed.span, "this one does not")
                        .label(self.span, "the prefix")
                        .help("end the pattern in `/*`, or write `rewrite: off` for this route");
                }
            }
            What::Parameter(name) => self.check_parameter(name, policy, place, patterns, problems),
        }
    }

    fn check_parameter(
        &self,
        name: &str,
        policy: &str,
        place: Span,
        patterns: &[Pattern],
        problems: &mut Problems,
    ) {
        let lacks = |pattern: &&Pattern| !pattern.pattern.names().contains(&name);
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
        problems
            .add(
                Code::UnknownValue,
                place,
                format!(
                    "the policy {} needs `{{{name}}}`, which the path of this route does not bind",
                    quote(policy)
                ),
            )
            .label(pattern.span, label)
            .label(self.span, "it stands here")
            .help(help);
    }
}
