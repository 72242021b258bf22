//! Edits of a configuration's text that leave all else of it as it is: comments, order, layout.

use waypost_plan::Plan;
use waypost_plan::difference::Difference;
use waypost_plan::route::Action;

use crate::document::Document;
use crate::document::route::Route;
use crate::either::To;
use crate::keys::Read;
use crate::place::{Place, Span};
use crate::problems::Problems;
use crate::yaml::Parsed;
use crate::{Kind, Refused, Source, load_over, yaml};

/// The declared weights of a route, by service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteWeights {
    /// The route.
    pub route: String,
    /// The weight of each service of its split.
    pub weights: Vec<(String, u64)>,
}

/// A change that cannot be made to the text. Nothing is changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text has errors.
    #[error("the config has errors, such as {0}")]
    Invalid(String),
    /// The text has no such weight.
    #[error("the config has no weight of `{service}` in the route `{route}`")]
    NoWeight {
        /// The route.
        route: String,
        /// The service.
        service: String,
    },
    /// The weight is not written there as a number.
    #[error(
        "{}:{}:{}: the weight of `{service}` is not written as a number here, but comes from a variable or an alias",
        place.file, place.line, place.column
    )]
    Computed {
        /// The service.
        service: String,
        /// The place of the weight.
        place: Box<Place>,
    },
    /// The text would mean something else, too, such as where a weight is shared by an anchor.
    #[error("the edit would change more than these weights")]
    ChangesMore,
}

/// A number in a source, and the one that takes its place.
struct Replacement {
    file: usize,
    start: usize,
    end: usize,
    weight: u64,
}

/// Sets declared weights. The texts that come back mean the same but for these. `local` is the file with what is one instance's
/// alone; it stays as it is.
///
/// # Errors
/// If that is not possible by replacing the numbers.
pub fn set_weights(
    sources: &[Source],
    kind: Kind,
    local: Option<&Source>,
    env: &dyn Fn(&str) -> Option<String>,
    routes: &[RouteWeights],
) -> Result<Vec<Source>, EditError> {
    let before = load_over(sources, kind, local, env)
        .map_err(|refused| invalid(&refused))?
        .plan;
    let mut replacements = Vec::new();
    let mut problems = Problems::new(sources.iter().map(|source| source.name.as_str().into()).collect());
    let documents: Vec<Document> = sources
        .iter()
        .enumerate()
        .filter_map(|(file, source)| {
            let file = u32::try_from(file).ok()?;
            match yaml::parse(file, source, env, &mut problems) {
                Parsed::Mapping(root) => Document::read(&root, &mut problems),
                Parsed::Nothing | Parsed::Broken => None,
            }
        })
        .collect();
    for wanted in routes {
        let route = documents
            .iter()
            .flat_map(|document| document.routes.iter().flat_map(|routes| &routes.value.0))
            .find(|route| is_named(&route.value, &wanted.route));
        for (service, weight) in &wanted.weights {
            let no_weight = || EditError::NoWeight {
                route: wanted.route.clone(),
                service: service.clone(),
            };
            let (span, written) = route
                .and_then(|route| weight_of(&route.value, service))
                .ok_or_else(no_weight)?;
            if written == *weight {
                continue;
            }
            let source = &sources[span.file as usize];
            let found = range(&source.text, span).map(|range| unquoted(&source.text, range));
            let found = found.filter(|(start, end)| {
                let text = &source.text[*start..*end];
                str::from_utf8(text).is_ok_and(|text| text.parse() == Ok(written))
            });
            let (start, end) = found.ok_or_else(|| EditError::Computed {
                service: service.clone(),
                place: Box::new(span.place(problems.files())),
            })?;
            replacements.push(Replacement {
                file: span.file as usize,
                start,
                end,
                weight: *weight,
            });
        }
    }
    let edited = replaced(sources, replacements);
    let after = load_over(&edited, kind, local, env)
        .map_err(|_| EditError::ChangesMore)?
        .plan;
    match changes_only(&before, &after, routes) {
        true => Ok(edited),
        false => Err(EditError::ChangesMore),
    }
}

/// The first error of texts that are refused.
fn invalid(refused: &Refused) -> EditError {
    let error = refused
        .diagnostics
        .iter()
        .find(|diagnostic| diagnostic.is_error());
    EditError::Invalid(error.map_or_else(String::new, |error| {
        let place = error.labels.first().map(|label| &label.place);
        let place = place.map(|place| format!("{}:{}:{}: ", place.file, place.line, place.column));
        format!("{}{}", place.unwrap_or_default(), error.message)
    }))
}

fn is_named(route: &Route, name: &str) -> bool {
    route.name.as_ref().is_some_and(|given| *given.value == *name)
}

/// The weight of a service in a route's split, with its place.
fn weight_of(route: &Route, service: &str) -> Option<(Span, u64)> {
    let To::Split(split) = &route.to.as_ref()?.value else {
        return None;
    };
    let (_, weight) = split.0.iter().find(|(name, _)| **name == *service)?;
    Some((weight.span, weight.value))
}

fn replaced(sources: &[Source], mut replacements: Vec<Replacement>) -> Vec<Source> {
    let mut edited = sources.to_vec();
    // From behind, so that the places in front stay where they are.
    replacements.sort_by_key(|replacement| (replacement.file, replacement.start));
    for replacement in replacements.iter().rev() {
        let source = &mut edited[replacement.file];
        let mut text = source.text.to_vec();
        let digits = replacement.weight.to_string().into_bytes();
        text.splice(replacement.start..replacement.end, digits);
        source.text = text.into();
    }
    edited
}

/// The range of a span of one line, in bytes.
pub(crate) fn range(text: &[u8], span: Span) -> Option<(usize, usize)> {
    if span.line != span.end_line {
        return None;
    }
    let mark = if text.starts_with("\u{feff}".as_bytes()) {
        3
    } else {
        0
    };
    let text = str::from_utf8(text.get(mark..)?).ok()?;
    let mut line_start = 0;
    for _ in 1..span.line {
        line_start += line_length(&text[line_start..])?;
    }
    let line = &text[line_start..];
    let offset = |column: u32| {
        let column = usize::try_from(column).ok()?.checked_sub(1)?;
        let mut ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        ends.nth(column)
    };
    Some((
        mark + line_start + offset(span.column)?,
        mark + line_start + offset(span.end_column)?,
    ))
}

/// The range without the quotes around it.
pub(crate) fn unquoted(text: &[u8], (start, end): (usize, usize)) -> (usize, usize) {
    match text[start..end] {
        [b'\'', _, .., b'\''] | [b'"', _, .., b'"'] => (start + 1, end - 1),
        _ => (start, end),
    }
}

/// The length of the first line with its line break, which YAML allows to be LF, CR LF or CR.
fn line_length(text: &str) -> Option<usize> {
    let end = text.find(['\n', '\r'])?;
    let is_pair = text[end..].starts_with("\r\n");
    Some(end + if is_pair { 2 } else { 1 })
}

/// Returns true if two plans differ in the weights of these routes alone, which are the wanted ones.
fn changes_only(before: &Plan, after: &Plan, routes: &[RouteWeights]) -> bool {
    let Difference {
        listeners,
        services,
        routes: changed,
        reordered,
        tests,
        rollouts,
        settings,
    } = Difference::between(before, after);
    let none = Difference::default();
    if (listeners, services) != (none.listeners, none.services) || reordered || tests || rollouts || settings
    {
        return false;
    }
    let is_wanted = |name: &str| routes.iter().any(|wanted| wanted.route == *name);
    let is_right = |wanted: &RouteWeights| {
        let mut known = after.routes().iter();
        let route = known.find(|route| *route.matching.name == *wanted.route);
        let Some(Action::Forward(forward)) = route.map(|route| &route.action) else {
            return false;
        };
        let names = forward.arms.iter().map(|id| &*after.service(*id).name);
        let declared = names.zip(forward.split.weights().iter().copied());
        let given = wanted.weights.iter().map(|(name, weight)| (&**name, *weight));
        declared.eq(given)
    };
    changed.added.is_empty()
        && changed.removed.is_empty()
        && changed.changed.iter().all(|name| is_wanted(name))
        && routes.iter().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "listeners: [{ bind: 127.0.0.1:0 }]
services: { v1: { endpoints: [] }, v2: { endpoints: [] } }
";

    fn edit(text: &str, weights: &[(&str, u64)]) -> Result<String, EditError> {
        edit_beside(None, text, weights)
    }

    fn edit_beside(local: Option<&str>, text: &str, weights: &[(&str, u64)]) -> Result<String, EditError> {
        let local = local.map(|text| Source {
            name: "local.yaml".into(),
            text: text.as_bytes().into(),
        });
        let sources = [Source {
            name: "waypost.yaml".into(),
            text: text.as_bytes().into(),
        }];
        let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight));
        let wanted = RouteWeights {
            route: "users".to_owned(),
            weights: weights.collect(),
        };
        let env = |name: &str| (name == "SHARE").then(|| "100".to_owned());
        let edited = set_weights(&sources, Kind::Directory, local.as_ref(), &env, &[wanted])?;
        Ok(String::from_utf8(edited[0].text.to_vec()).unwrap())
    }

    fn check(before: &str, after: &str) {
        let [before, after] = [before, after].map(|routes| format!("{REST}{routes}"));
        assert_eq!(edit(&before, &[("v1", 0), ("v2", 100)]), Ok(after.clone()));
        let marked = edit(&format!("\u{feff}{before}"), &[("v1", 0), ("v2", 100)]);
        assert_eq!(marked, Ok(format!("\u{feff}{after}")));
    }

    #[test]
    fn all_but_the_numbers_stays_as_it_is() {
        check(
            "routes: # ours\n- { name: users, to: { v1: 100, v2: 0 } } # the split\n",
            "routes: # ours\n- { name: users, to: { v1: 0, v2: 100 } } # the split\n",
        );
        check(
            "routes:\r\n  - to:   # grün\r\n      v1:  99   # old\r\n      \"v2\": '1'\r\n    name: users\r\n",
            "routes:\r\n  - to:   # grün\r\n      v1:  0   # old\r\n      \"v2\": '100'\r\n    name: users\r\n",
        );
        check(
            "{ routes: [{\"name\":\"users\",\"to\":{\"v1\":5,\"v2\":100}}] }".trim_matches(['{', '}', ' ']),
            "{ routes: [{\"name\":\"users\",\"to\":{\"v1\":0,\"v2\":100}}] }".trim_matches(['{', '}', ' ']),
        );
    }

    #[test]
    fn listeners_may_be_in_the_local_file() {
        let shared = "services: { v1: { endpoints: [] }, v2: { endpoints: [] } }\n\
                      routes: [{ name: users, to: { v1: 100, v2: 0 } }]\n";
        let weights = [("v1", 0), ("v2", 100)];
        let local = "source: { etcd: { endpoints: [127.0.0.1:2379], prefix: /a } }\nlisteners: [{ bind: 127.0.0.1:0 }]\n";
        let edited = edit_beside(Some(local), shared, &weights);
        assert_eq!(edited, Ok(shared.replace("v1: 100, v2: 0", "v1: 0, v2: 100")));
        let alone = edit(shared, &weights).unwrap_err().to_string();
        assert!(
            alone.starts_with("the config has errors, such as waypost.yaml:"),
            "{alone}"
        );
        assert!(alone.contains("listener"), "{alone}");
    }

    #[test]
    fn weights_that_are_not_numbers_are_refused() {
        let refused = |routes: &str| edit(&format!("{REST}{routes}"), &[("v1", 0), ("v2", 100)]).unwrap_err();
        let computed = refused("routes: [{ name: users, to: { v1: \"${SHARE}\", v2: 0 } }]");
        assert_eq!(
            computed.to_string(),
            "waypost.yaml:3:35: the weight of `v1` is not written as a number here, but comes from a variable or an alias"
        );
        assert!(matches!(
            refused(
                "routes: [{ name: x, match: { path: /x }, to: { v1: &a 1, v2: 0 } }, { name: users, to: { v1: *a, v2: 0 } }]"
            ),
            EditError::Computed { .. } | EditError::ChangesMore
        ));
        assert!(matches!(
            refused("routes: [{ name: users, match: { path: /x }, to: { v1: 1, v2: 0 } }, { <<: 1 }]"),
            EditError::Invalid(_)
        ));
        assert!(matches!(
            refused("routes: [{ name: users, to: v1 }, { name: x, match: { path: /x }, to: v2 }]"),
            EditError::NoWeight { .. }
        ));
    }
}
