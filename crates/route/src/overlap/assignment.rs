//! Values for all that conditions look at beside host and path, so that some alternatives hold and others
//! fail.
//!
//! Each variable (the method, a header, a cookie, a query parameter, the client's address) gets a few
//! candidate values that stand for all others: the texts that are compared with it, one that is in no
//! condition, and none at all. Then a search picks a value for each, so that every alternative to be avoided
//! has a condition that fails. Only a regex has no such candidates; examples of it are tried, and a *wild*
//! value, which may or may not exist, tells "there is none" from "none was found".

use std::net::IpAddr;

use hashbrown::HashSet;

use crate::alternative::Alternative;
use crate::condition::{FieldCondition, ValueCondition};
use crate::cookie;
use crate::overlap::{address, example, is_refused_method};

/// The most steps of one search.
const STEPS_MAX: usize = 20_000;

/// What there is to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Variable<'a> {
    Method,
    Header(&'a str),
    Cookie(&'a str),
    Query(&'a str),
    ClientIp,
}

/// A choice of values; what is not named is absent.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    pub(super) method: Option<String>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) query: Option<String>,
    pub(super) client_ip: Option<IpAddr>,
}

/// What a search came to.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// These values do it, as far as conditions were understood.
    Found(Assignment),
    /// There are none. `empty` is a variable that already the required conditions leave no value.
    Nothing { empty: Option<Variable<'a>> },
    /// None were found, but a regex may have some.
    Regex,
    /// The search was given up.
    TooMany,
}

/// How the `cookie` header relates to cookies, when there are conditions on both.
#[derive(Debug, Clone)]
enum CookieHeader {
    /// They do not meet: only one of the two kinds occurs.
    Free,
    /// There is no such header, and so no cookie.
    Absent,
    /// It is this text, and the cookies are what it says.
    Text(Vec<u8>),
    /// It is made of the cookies, and of one named so that it equals no text in a condition.
    Made(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Absent,
    Text(Vec<u8>),
    Ip(IpAddr),
    /// A `cookie` header made of cookies.
    Made,
    /// One that fails every condition that the required ones do not imply.
    Wild,
}

/// A value and the avoided alternatives that it makes fail.
#[derive(Debug)]
struct Choice {
    value: Value,
    fails: Bits,
}

/// A set of avoided alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bits(Vec<u64>);

struct Problem<'a, 's> {
    required: &'s [&'a Alternative],
    avoided: &'s [&'a Alternative],
    variables: Vec<Variable<'a>>,
    cookie_header: CookieHeader,
}

/// Finds values for which all of `required` and none of `avoided` hold, host and path apart.
pub(super) fn find<'a>(required: &[&'a Alternative], avoided: &[&'a Alternative]) -> Outcome<'a> {
    let mut variables = Vec::new();
    let mut seen = HashSet::new();
    for alternative in required.iter().chain(avoided) {
        for variable in variables_of(alternative) {
            if seen.insert(variable) {
                variables.push(variable);
            }
        }
    }
    let mut problem = Problem {
        required,
        avoided,
        variables,
        cookie_header: CookieHeader::Free,
    };
    let mut worst = Outcome::Nothing { empty: None };
    for cookie_header in problem.cookie_headers() {
        problem.cookie_header = cookie_header;
        match (problem.search(), &worst) {
            (Outcome::Found(assignment), _) => return Outcome::Found(assignment),
            (Outcome::TooMany, _) => worst = Outcome::TooMany,
            (Outcome::Regex, Outcome::Nothing { .. }) => worst = Outcome::Regex,
            (Outcome::Nothing { empty }, Outcome::Nothing { empty: None }) => {
                worst = Outcome::Nothing { empty };
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
    let cookies = alternative
        .cookies
        .iter()
        .map(|field| Variable::Cookie(&field.name));
    let query = alternative.query.iter().map(|field| Variable::Query(&field.name));
    method
        .into_iter()
        .chain(headers)
        .chain(cookies)
        .chain(query)
        .chain(client_ip)
}

impl<'a> Problem<'a, '_> {
    fn cookie_headers(&self) -> Vec<CookieHeader> {
        let header = Variable::Header("cookie");
        let any_cookie = self
            .variables
            .iter()
            .any(|variable| matches!(variable, Variable::Cookie(_)));
        if !any_cookie || !self.variables.contains(&header) {
            return vec![CookieHeader::Free];
        }
        let texts = self.texts(header);
        let mut name = "x".to_owned();
        let needs_other = |name: &str| {
            self.variables.contains(&Variable::Cookie(name))
                || texts
                    .iter()
                    .any(|text| memchr::memmem::find(text, name.as_bytes()).is_some())
        };
        while needs_other(&name) {
            name.push('x');
        }
        let texts = texts.into_iter().map(CookieHeader::Text);
        [CookieHeader::Absent, CookieHeader::Made(name)]
            .into_iter()
            .chain(texts)
            .collect()
    }

    fn search(&self) -> Outcome<'a> {
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
            return Outcome::Nothing { empty };
        }
        let mut steps = STEPS_MAX;
        match pick(&concrete, self.avoided.len(), &mut steps) {
            Some(picked) => {
                let values = picked
                    .iter()
                    .zip(&concrete)
                    .map(|(&at, choices)| &choices[at].value);
                return Outcome::Found(self.assignment(values));
            }
            None if steps == 0 => return Outcome::TooMany,
            None if !any_wild => return Outcome::Nothing { empty: None },
            None => {}
        }
        for (choices, wild) in concrete.iter_mut().zip(wild) {
            choices.extend(wild);
        }
        match pick(&concrete, self.avoided.len(), &mut steps) {
            None if steps > 0 => Outcome::Nothing { empty: None },
            None => Outcome::TooMany,
            Some(_) => Outcome::Regex,
        }
    }

    /// The values of `variable` that fulfil what is required, without those that make fewer alternatives
    /// fail than another.
    fn choices(&self, variable: Variable<'a>) -> Vec<Choice> {
        let mut choices: Vec<Choice> = Vec::new();
        for value in self.candidates(variable) {
            if !self
                .required
                .iter()
                .all(|alternative| holds(alternative, variable, &value))
            {
                continue;
            }
            let mut fails = Bits::empty(self.avoided.len());
            for (index, alternative) in self.avoided.iter().enumerate() {
                if !holds(alternative, variable, &value) {
                    fails.insert(index);
                }
            }
            if !choices.iter().any(|choice| choice.fails.contains(&fails)) {
                choices.retain(|choice| !fails.contains(&choice.fails));
                choices.push(Choice { value, fails });
            }
        }
        choices
    }

    /// `None` when the candidates of `variable` stand for all values.
    fn wild_choice(&self, variable: Variable<'a>) -> Option<Choice> {
        let is_regex = |value: &ValueCondition| matches!(value, ValueCondition::Matches(_));
        let pins =
            |value: &ValueCondition| matches!(value, ValueCondition::Equals(_) | ValueCondition::Absent);
        let given = match (&self.cookie_header, variable) {
            // What the header says about cookies is known, unless it is made of them.
            (
                CookieHeader::Absent | CookieHeader::Text(_),
                Variable::Cookie(_) | Variable::Header("cookie"),
            ) => {
                return None;
            }
            _ => self
                .required
                .iter()
                .flat_map(|alternative| conditions(alternative, variable)),
        };
        let given: Vec<&ValueCondition> = given.collect();
        let avoided = || {
            self.avoided
                .iter()
                .flat_map(|alternative| conditions(alternative, variable))
        };
        if given.iter().any(|value| pins(value)) || !given.iter().copied().chain(avoided()).any(is_regex) {
            return None;
        }
        let implied = |value: &ValueCondition| {
            given.contains(&value) || (*value == ValueCondition::Present && !given.is_empty())
        };
        let mut fails = Bits::empty(self.avoided.len());
        for (index, alternative) in self.avoided.iter().enumerate() {
            if conditions(alternative, variable).any(|value| !implied(value)) {
                fails.insert(index);
            }
        }
        Some(Choice {
            value: Value::Wild,
            fails,
        })
    }

    fn candidates(&self, variable: Variable<'a>) -> Vec<Value> {
        match variable {
            Variable::Method => self.methods(),
            Variable::ClientIp => {
                let networks = self
                    .alternatives()
                    .flat_map(|alternative| &alternative.client_ips);
                address::representatives(networks)
                    .into_iter()
                    .map(Value::Ip)
                    .collect()
            }
            Variable::Header("cookie") => match &self.cookie_header {
                CookieHeader::Free => self.optional_texts(variable),
                CookieHeader::Absent => vec![Value::Absent],
                CookieHeader::Text(text) => vec![Value::Text(text.clone())],
                CookieHeader::Made(_) => vec![Value::Made],
            },
            Variable::Cookie(name) => match &self.cookie_header {
                CookieHeader::Free | CookieHeader::Made(_) => self.optional_texts(variable),
                CookieHeader::Absent => vec![Value::Absent],
                CookieHeader::Text(text) => vec![cookie_in(text, name)],
            },
            Variable::Header(_) | Variable::Query(_) => self.optional_texts(variable),
        }
    }

    fn optional_texts(&self, variable: Variable<'a>) -> Vec<Value> {
        let texts = self.texts(variable).into_iter().map(Value::Text);
        std::iter::once(Value::Absent).chain(texts).collect()
    }

    fn methods(&self) -> Vec<Value> {
        let named = self.alternatives().flat_map(|alternative| &alternative.methods);
        let mut methods: Vec<&str> = vec!["GET"];
        let taken = |method: &&str| is_token(method) && !is_refused_method(method);
        methods.extend(named.map(|method| &**method).filter(taken));
        let other = ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
        let mut fresh = other
            .into_iter()
            .find(|method| !methods.contains(method))
            .unwrap_or("X")
            .to_owned();
        while methods.contains(&fresh.as_str()) {
            fresh.push('X');
        }
        let mut seen = HashSet::new();
        methods.push(&fresh);
        methods.retain(|method| seen.insert(*method));
        methods
            .into_iter()
            .map(|method| Value::Text(method.into()))
            .collect()
    }

    /// The texts that stand for all values of `variable`, as far as they can be sent.
    fn texts(&self, variable: Variable<'a>) -> Vec<Vec<u8>> {
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut regexes = HashSet::new();
        let mut add = |text: &[u8]| {
            if can_be_sent(variable, text) && seen.insert(text.to_vec()) {
                texts.push(text.to_vec());
            }
        };
        let all = || {
            self.alternatives()
                .flat_map(|alternative| conditions(alternative, variable))
        };
        for value in all() {
            match value {
                ValueCondition::Equals(text) => add(text.as_bytes()),
                ValueCondition::Matches(regex) if regexes.insert(regex) => {
                    example::of(regex).iter().for_each(|text| add(text));
                }
                ValueCondition::Matches(_) | ValueCondition::Present | ValueCondition::Absent => {}
            }
        }
        let known: HashSet<&[u8]> = all()
            .filter_map(|value| match value {
                ValueCondition::Equals(text) => Some(text.as_bytes()),
                _ => None,
            })
            .collect();
        // One fresh text is enough but for regexes, which others may get around.
        for base in ["x", "7", "~", ""]
            .iter()
            .take(if regexes.is_empty() { 1 } else { 4 })
        {
            let mut fresh = (*base).to_owned();
            while known.contains(fresh.as_bytes()) {
                fresh.push('x');
            }
            add(fresh.as_bytes());
        }
        texts
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
                (Variable::Header(name), Value::Text(text)) => {
                    assignment.headers.push(((*name).to_owned(), text.clone()));
                }
                (Variable::Cookie(name), Value::Text(text)) => cookies.push(cookie_part(name, text)),
                (Variable::Query(name), Value::Text(text)) => {
                    query.push(format!("{}={}", encoded(name.as_bytes()), encoded(text)));
                }
                _ => {}
            }
        }
        match &self.cookie_header {
            CookieHeader::Made(name) => cookies.push(cookie_part(name, b"1")),
            // The header says it all already.
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

/// The conditions of `alternative` on the value of a field; none for the method and the client's address.
fn conditions<'a>(
    alternative: &'a Alternative,
    variable: Variable<'_>,
) -> impl Iterator<Item = &'a ValueCondition> {
    let (fields, name): (&[FieldCondition], &str) = match variable {
        Variable::Header(name) => (&alternative.headers, name),
        Variable::Cookie(name) => (&alternative.cookies, name),
        Variable::Query(name) => (&alternative.query, name),
        Variable::Method | Variable::ClientIp => (&[], ""),
    };
    fields
        .iter()
        .filter(move |field| *field.name == *name)
        .map(|field| &field.value)
}

/// Whether all that `alternative` asks of `variable` holds for `value`.
fn holds(alternative: &Alternative, variable: Variable<'_>, value: &Value) -> bool {
    match (variable, value) {
        (Variable::Method, Value::Text(text)) => {
            alternative.methods.is_empty()
                || alternative
                    .methods
                    .iter()
                    .any(|method| method.as_bytes() == text.as_slice())
        }
        (Variable::ClientIp, Value::Ip(address)) => {
            alternative.client_ips.is_empty()
                || alternative
                    .client_ips
                    .iter()
                    .any(|network| network.contains(address))
        }
        (_, Value::Made) => conditions(alternative, variable).all(|condition| match condition {
            // It is no text of any condition; whether a regex is found in it shows when it is run.
            ValueCondition::Equals(_) | ValueCondition::Absent | ValueCondition::Matches(_) => false,
            ValueCondition::Present => true,
        }),
        (_, Value::Text(text)) => {
            conditions(alternative, variable).all(|condition| condition.holds(Some(text)))
        }
        _ => conditions(alternative, variable).all(|condition| condition.holds(None)),
    }
}

/// Whether `text` can be the value of `variable` in a request.
fn can_be_sent(variable: Variable<'_>, text: &[u8]) -> bool {
    let clean = || std::str::from_utf8(text).is_ok_and(|text| !text.bytes().any(|b| b < b' ' || b == 0x7f));
    match variable {
        Variable::Header(_) => clean() && text.trim_ascii().len() == text.len(),
        Variable::Cookie(name) => {
            let line = cookie_part(name, text);
            clean() && cookie_in(&line, name) == Value::Text(text.to_vec())
        }
        Variable::Query(_) | Variable::Method | Variable::ClientIp => true,
    }
}

fn cookie_part(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"=", value].concat()
}

/// The cookie called `name` in a `cookie` header of one line.
fn cookie_in(line: &[u8], name: &str) -> Value {
    let headers = vec![("cookie".to_owned(), line.to_vec())];
    let mut scratch = Vec::new();
    match cookie::find(&headers, name, &mut scratch) {
        Some(value) => Value::Text(value.to_vec()),
        None => Value::Absent,
    }
}

/// RFC 9110 §5.6.2.
fn is_token(method: &str) -> bool {
    let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !method.is_empty()
        && method
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
}

/// Percent-encoded, for a query.
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

/// One choice for each variable, so that together they make all of `avoided` alternatives fail; as indices.
///
/// `steps` goes down to 0 when the search is given up.
fn pick(variables: &[Vec<Choice>], avoided: usize, steps: &mut usize) -> Option<Vec<usize>> {
    // What the variables from k on can make fail at best.
    let mut reach = vec![Bits::empty(avoided); variables.len() + 1];
    for (index, choices) in variables.iter().enumerate().rev() {
        reach[index] = reach[index + 1].clone();
        for choice in choices {
            reach[index].insert_all(&choice.fails);
        }
    }
    let all = Bits::full(avoided);
    // Depth-first: `picked[k]` is the choice of variable k, `failed[k]` what those before it make fail.
    let mut picked: Vec<usize> = Vec::new();
    let mut failed = vec![Bits::empty(avoided)];
    let mut next = 0;
    loop {
        let depth = picked.len();
        if *steps == 0 {
            return None;
        }
        *steps -= 1;
        let hopeless = {
            let mut best = failed[depth].clone();
            best.insert_all(&reach[depth]);
            best != all
        };
        let choice = variables.get(depth).filter(|_| !hopeless);
        match choice.map(|choices| choices.get(next)) {
            None if !hopeless => return Some(picked),
            Some(Some(choice)) => {
                let mut after = failed[depth].clone();
                after.insert_all(&choice.fails);
                failed.push(after);
                picked.push(next);
                next = 0;
            }
            // Out of choices here: the next one of the variable before.
            None | Some(None) => {
                next = picked.pop()? + 1;
                failed.pop();
            }
        }
    }
}

impl Bits {
    fn empty(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn full(len: usize) -> Self {
        let mut bits = Self::empty(len);
        for index in 0..len {
            bits.insert(index);
        }
        bits
    }

    fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn insert_all(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    fn contains(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(mine, theirs)| mine & theirs == *theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Each line is an alternative; the first is required, the others are to be avoided.
    fn check(lines: &[&str], expected: &str) {
        let text: String = lines.iter().map(|line| format!("r {line}\n")).collect();
        let routes = testing::routes(&text);
        let (required, avoided) = routes[0].alternatives.split_first().unwrap();
        let avoided: Vec<&Alternative> = avoided.iter().collect();
        let outcome = match find(&[required], &avoided) {
            Outcome::Found(_) => "found",
            Outcome::Nothing { .. } => "nothing",
            Outcome::Regex => "regex",
            Outcome::TooMany => "too many",
        };
        assert_eq!(outcome, expected, "{lines:?}");
    }

    #[test]
    fn conditions_are_falsified_one_by_one_or_not_at_all() {
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
        check(&["CONNECT,TRACE"], "nothing");
        check(&["CONNECT,PUT"], "found");
        check(&["CONNECT,PUT", "PUT"], "nothing");
    }

    #[test]
    fn cookies_and_the_cookie_header_are_one() {
        check(&["h:cookie=! c:s=*"], "nothing");
        check(&["h:cookie=s=1 c:s=2"], "nothing");
        check(&["h:cookie=s=1 c:s=1"], "found");
        check(&["h:cookie=*", "c:s=*", "c:s=!"], "nothing");
        check(&["c:s=1", "h:cookie=s=1"], "found");
        check(&["c:s=1", "h:cookie=*"], "nothing");
    }

    #[test]
    fn a_regex_is_decided_where_it_can_be() {
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
