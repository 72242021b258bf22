//! Assignments of values, apart from host and path, for which some alternatives hold and others fail.
//!
//! Each variable (the method, a header, an attribute, a cookie, a query parameter, the client's address) gets a few
//! candidate values that represent all others: the texts in conditions on it, one that is in no condition, and
//! absence. Then a search chooses a value for each variable, so that every avoided alternative has a failing
//! condition. Regexes have no such candidates. Examples of them are tried, and a *wild* value, which may or may not
//! exist, distinguishes "there is none" from "none was found".

mod cookie_header;
mod search;
mod values;

use std::net::IpAddr;

use hashbrown::HashSet;

use crate::alternative::Alternative;
use crate::attribute::Attribute;
use crate::overlap::assignment::cookie_header::CookieHeader;
use crate::overlap::assignment::search::{STEPS_MAX, pick};
use crate::overlap::assignment::values::Value;
use crate::overlap::entrance::{self, Entrance};

/// A part of a request that gets a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Variable<'a> {
    Method,
    Header(&'a str),
    Attribute(Attribute),
    Cookie(&'a str),
    Query(&'a str),
    ClientIp,
    /// The listener and the client's scheme, which depend on one another.
    Entrance,
}

/// Values of a request. Variables without a value are absent.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    pub(super) method: Option<String>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) attributes: Vec<(Attribute, Vec<u8>)>,
    pub(super) query: Option<String>,
    pub(super) client_ip: Option<IpAddr>,
    /// The index of an entrance.
    pub(super) entrance: Option<usize>,
}

/// The result of a search.
#[derive(Debug)]
pub(super) enum Solution<'a> {
    /// Values that solve the problem.
    Found(Assignment),
    /// There is no solution. `empty` is a variable for which the required conditions alone leave no value.
    Nothing { empty: Option<Variable<'a>> },
    /// None was found, but values for a regex may exist.
    Regex,
    /// The search hit its limit.
    TooMany,
}

struct Problem<'a, 's> {
    required: &'s [&'a Alternative],
    avoided: &'s [&'a Alternative],
    /// The ways in, by index.
    entrances: &'s [(usize, &'s Entrance)],
    variables: Vec<Variable<'a>>,
    cookie_header: CookieHeader,
}

/// Finds values for which all of `required` and none of `avoided` hold, apart from host and path. Without `entrances`,
/// conditions on them are left out.
pub(super) fn find<'a>(
    required: &[&'a Alternative],
    avoided: &[&'a Alternative],
    entrances: Option<&[(usize, &Entrance)]>,
) -> Solution<'a> {
    let mut variables = Vec::new();
    let mut seen = HashSet::new();
    for alternative in required.iter().chain(avoided) {
        for variable in variables_of(alternative) {
            let is_left_out = variable == Variable::Entrance && entrances.is_none();
            if !is_left_out && seen.insert(variable) {
                variables.push(variable);
            }
        }
    }
    let mut problem = Problem {
        required,
        avoided,
        entrances: entrances.unwrap_or_default(),
        variables,
        cookie_header: CookieHeader::Free,
    };
    let mut worst = Solution::Nothing { empty: None };
    let texts = || problem.texts(Variable::Header("cookie"));
    for cookie_header in CookieHeader::candidates(&problem.variables, texts) {
        problem.cookie_header = cookie_header;
        match (problem.search(), &worst) {
            (Solution::Found(assignment), _) => return Solution::Found(assignment),
            (Solution::TooMany, _) => worst = Solution::TooMany,
            (Solution::Regex, Solution::Nothing { .. }) => worst = Solution::Regex,
            (Solution::Nothing { empty }, Solution::Nothing { empty: None }) => {
                worst = Solution::Nothing { empty };
            }
            _ => {}
        }
    }
    worst
}

fn variables_of(alternative: &Alternative) -> impl Iterator<Item = Variable<'_>> {
    let method = (!alternative.methods.is_empty()).then_some(Variable::Method);
    let client_ip = (!alternative.client_ips.is_empty()).then_some(Variable::ClientIp);
    let headers = alternative
        .headers
        .iter()
        .map(|field| Variable::Header(&field.name));
    let attributes = alternative
        .attributes
        .iter()
        .filter(|condition| !condition.attribute.is_entrance())
        .map(|condition| Variable::Attribute(condition.attribute));
    let entrance = entrance::matters_to(alternative).then_some(Variable::Entrance);
    let cookies = alternative
        .cookies
        .iter()
        .map(|field| Variable::Cookie(&field.name));
    let query = alternative.query.iter().map(|field| Variable::Query(&field.name));
    method
        .into_iter()
        .chain(headers)
        .chain(attributes)
        .chain(cookies)
        .chain(query)
        .chain(client_ip)
        .chain(entrance)
}

impl<'a> Problem<'a, '_> {
    fn search(&self) -> Solution<'a> {
        let mut concrete = Vec::with_capacity(self.variables.len());
        let mut any_wild = false;
        let mut wild = Vec::with_capacity(self.variables.len());
        let mut empty = None;
        for &variable in &self.variables {
            let choices = self.choices(variable);
            let wild_choice = self.wild_choice(variable);
            if choices.is_empty() && wild_choice.is_none() {
                empty = Some(variable);
            }
            any_wild |= wild_choice.is_some();
            wild.push(wild_choice);
            concrete.push(choices);
        }
        if empty.is_some() {
            return Solution::Nothing { empty };
        }
        let mut steps = STEPS_MAX;
        match pick(&concrete, self.avoided.len(), &mut steps) {
            Some(picked) => {
                let values = picked
                    .iter()
                    .zip(&concrete)
                    .map(|(&at, choices)| &choices[at].value);
                return Solution::Found(self.assignment(values));
            }
            None if steps == 0 => return Solution::TooMany,
            None if !any_wild => return Solution::Nothing { empty: None },
            None => {}
        }
        for (choices, wild) in concrete.iter_mut().zip(wild) {
            choices.extend(wild);
        }
        match pick(&concrete, self.avoided.len(), &mut steps) {
            None if steps > 0 => Solution::Nothing { empty: None },
            None => Solution::TooMany,
            Some(_) => Solution::Regex,
        }
    }

    fn alternatives(&self) -> impl Iterator<Item = &'a Alternative> + '_ {
        self.required.iter().chain(self.avoided).copied()
    }

    fn assignment<'v>(&self, values: impl Iterator<Item = &'v Value>) -> Assignment {
        let mut assignment = Assignment::default();
        let mut cookies: Vec<Vec<u8>> = Vec::new();
        let mut query: Vec<String> = Vec::new();
        for (variable, value) in self.variables.iter().zip(values) {
            match (variable, value) {
                (Variable::Method, Value::Text(text)) => {
                    assignment.method = Some(String::from_utf8_lossy(text).into_owned());
                }
                (Variable::ClientIp, Value::Ip(address)) => assignment.client_ip = Some(*address),
                (Variable::Entrance, Value::Entrance(at)) => assignment.entrance = Some(*at),
                (Variable::Header(name), Value::Text(text)) => {
                    assignment.headers.push(((*name).to_owned(), text.clone()));
                }
                (Variable::Attribute(attribute), Value::Text(text)) => {
                    assignment.attributes.push((*attribute, text.clone()));
                }
                (Variable::Cookie(name), Value::Text(text)) => cookies.push(cookie_header::part(name, text)),
                (Variable::Query(name), Value::Text(text)) => {
                    query.push(format!("{}={}", encoded(name.as_bytes()), encoded(text)));
                }
                _ => {}
            }
        }
        match &self.cookie_header {
            CookieHeader::Made(name) => cookies.push(cookie_header::part(name, b"1")),
            // The header has them all already.
            CookieHeader::Text(_) => cookies.clear(),
            CookieHeader::Free | CookieHeader::Absent => {}
        }
        if !cookies.is_empty() {
            assignment
                .headers
                .push(("cookie".to_owned(), cookies.join(&b"; "[..])));
        }
        assignment.query = (!query.is_empty()).then(|| query.join("&"));
        assignment
    }
}

/// Percent-encodes `text` for a query.
fn encoded(text: &[u8]) -> String {
    let mut encoded = String::new();
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Each line is an alternative. The first is required, the others are avoided.
    fn check(lines: &[&str], expected: &str) {
        let text: String = lines.iter().map(|line| format!("r {line}\n")).collect();
        let routes = testing::routes(&text);
        let (required, avoided) = routes[0].alternatives.split_first().unwrap();
        let avoided: Vec<&Alternative> = avoided.iter().collect();
        let alternatives = routes[0].alternatives.iter();
        let entrances = entrance::of_conditions(alternatives);
        let entrances: Vec<(usize, &Entrance)> = entrances.iter().enumerate().collect();
        let solution = match find(&[required], &avoided, Some(&entrances)) {
            Solution::Found(_) => "found",
            Solution::Nothing { .. } => "nothing",
            Solution::Regex => "regex",
            Solution::TooMany => "too many",
        };
        assert_eq!(solution, expected, "{lines:?}");
    }

    #[test]
    fn avoided_alternatives_fail_by_one_condition() {
        check(&["/", "GET"], "found");
        check(&["GET", "GET"], "nothing");
        check(&["GET", "/"], "nothing");
        check(&["GET", "GET h:x=1", "GET h:x=!", "GET h:x=*"], "nothing");
        check(&["GET", "GET h:x=1", "GET h:x=!"], "found");
        check(&["/", "h:x=*", "h:x=!"], "nothing");
        check(&["/", "q:x=*", "c:x=!"], "found");
        check(&["ip:10.0.0.0/8", "ip:10.0.0.0/9", "ip:10.128.0.0/9"], "nothing");
        check(&["ip:10.0.0.0/8", "ip:10.0.0.0/9"], "found");
        check(&["h:x=1 h:x=2"], "nothing");
        check(&["c:s=1", "c:s=1 h:y=*", "c:s=* h:y=!"], "nothing");
        check(&["a:san=1", "a:san=1 h:y=*", "a:san=* h:y=!"], "nothing");
        check(&["a:san=*", "a:san=1"], "found");
        check(&["a:san=*", "a:subject=*"], "found");
        check(&["/", "a:scheme=http", "a:scheme=https"], "nothing");
        check(&["/", "a:listener=x", "a:listener=y"], "found");
        check(&["a:listener=x|y", "a:listener=x", "a:listener=y|z"], "nothing");
        check(
            &["a:listener=x|y", "a:listener=x", "a:listener=y a:scheme=http"],
            "found",
        );
        check(&["CONNECT,TRACE"], "nothing");
        check(&["CONNECT,PUT"], "found");
        check(&["CONNECT,PUT", "PUT"], "nothing");
    }

    #[test]
    fn cookies_and_the_cookie_header_are_consistent() {
        check(&["h:cookie=! c:s=*"], "nothing");
        check(&["h:cookie=s=1 c:s=2"], "nothing");
        check(&["h:cookie=s=1 c:s=1"], "found");
        check(&["h:cookie=*", "c:s=*", "c:s=!"], "nothing");
        check(&["c:s=1", "h:cookie=s=1"], "found");
        check(&["c:s=1", "h:cookie=*"], "nothing");
    }

    #[test]
    fn regexes_are_decided_by_examples() {
        check(&["h:x=1", "h:x=~^1"], "nothing");
        check(&["h:x=~^1", "h:x=~^1"], "nothing");
        check(&["h:x=~^1", "h:x=*"], "nothing");
        check(&["h:x=~^1", "h:x=1"], "found");
        check(&["h:x=*", "h:x=~a"], "found");
        check(&["h:x=*", "h:x=~"], "regex");
        check(&["h:x=a", "h:x=~b"], "found");
        check(&["h:x=a h:x=~b"], "nothing");
    }
}
