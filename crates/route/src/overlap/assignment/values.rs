//! Candidate values: a few for each variable, which represent all others.

use std::net::IpAddr;

use hashbrown::HashSet;

use crate::alternative::{Alternative, covers_ip};
use crate::condition::{FieldCondition, ValueCondition};
use crate::overlap::assignment::cookie_header::{self, CookieHeader};
use crate::overlap::assignment::search::{Bits, Choice};
use crate::overlap::assignment::{Problem, Variable};
use crate::overlap::{address, example};
use crate::request::is_refused_method;

/// A value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Absent,
    Text(Vec<u8>),
    Ip(IpAddr),
    /// An entrance, by index.
    Entrance(usize),
    /// A `cookie` header made of the cookies.
    Made,
    /// A hypothetical value that fails every condition not implied by the required ones.
    Wild,
}

impl<'a> Problem<'a, '_> {
    /// Returns the values of `variable` that fulfil the required conditions, except those that are dominated: with
    /// another value, the same alternatives and more fail.
    pub(super) fn choices(&self, variable: Variable<'a>) -> Vec<Choice<Value>> {
        let mut choices: Vec<Choice<Value>> = Vec::new();
        for value in self.candidates(variable) {
            if !self
                .required
                .iter()
                .all(|alternative| self.holds(alternative, variable, &value))
            {
                continue;
            }
            let mut fails = Bits::empty(self.avoided.len());
            for (index, alternative) in self.avoided.iter().enumerate() {
                if !self.holds(alternative, variable, &value) {
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

    /// Returns the wild choice; `None` if the candidates of `variable` represent all values.
    pub(super) fn wild_choice(&self, variable: Variable<'a>) -> Option<Choice<Value>> {
        let is_regex = |value: &ValueCondition| matches!(value, ValueCondition::Matches(_));
        let pins = |value: &ValueCondition| {
            use ValueCondition as V;
            matches!(value, V::Equals(_) | V::OneOf(_) | V::Absent)
        };
        let given = match (&self.cookie_header, variable) {
            // The header determines the cookies, unless it is made of them.
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

    /// Returns true if all conditions of `alternative` on `variable` hold for `value`.
    fn holds(&self, alternative: &Alternative, variable: Variable<'_>, value: &Value) -> bool {
        match value {
            Value::Entrance(at) => {
                let mut entrances = self.entrances.iter();
                entrances.any(|(index, entrance)| index == at && entrance.fulfils(alternative))
            }
            _ => holds(alternative, variable, value),
        }
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
            Variable::Entrance => {
                let entrances = self.entrances.iter();
                entrances.map(|(index, _)| Value::Entrance(*index)).collect()
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
                CookieHeader::Text(text) => {
                    vec![cookie_header::value(text, name).map_or(Value::Absent, Value::Text)]
                }
            },
            Variable::Header(_) | Variable::Attribute(_) | Variable::Query(_) => {
                self.optional_texts(variable)
            }
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

    /// Returns the texts that represent all values of `variable` and can be sent.
    pub(super) fn texts(&self, variable: Variable<'a>) -> Vec<Vec<u8>> {
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
                ValueCondition::Equals(_) | ValueCondition::OneOf(_) => {
                    value.texts().iter().for_each(|text| add(text.as_bytes()));
                }
                ValueCondition::Matches(regex) if regexes.insert(regex) => {
                    example::of(regex).iter().for_each(|text| add(text));
                }
                ValueCondition::Matches(_) | ValueCondition::Present | ValueCondition::Absent => {}
            }
        }
        let known: HashSet<&[u8]> = all()
            .flat_map(ValueCondition::texts)
            .map(|text| text.as_bytes())
            .collect();
        // One fresh text is enough, except for regexes, which others may avoid.
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
}

/// Returns the conditions of `alternative` on the value of a field; none for the method and the client's address.
fn conditions<'a>(
    alternative: &'a Alternative,
    variable: Variable<'_>,
) -> impl Iterator<Item = &'a ValueCondition> {
    let (fields, name): (&[FieldCondition], &str) = match variable {
        Variable::Header(name) => (&alternative.headers, name),
        Variable::Cookie(name) => (&alternative.cookies, name),
        Variable::Query(name) => (&alternative.query, name),
        Variable::Attribute(_) | Variable::Method | Variable::ClientIp | Variable::Entrance => (&[], ""),
    };
    let fields = fields.iter().filter(move |field| *field.name == *name);
    let attributes = alternative
        .attributes
        .iter()
        .filter(move |condition| variable == Variable::Attribute(condition.attribute));
    fields
        .map(|field| &field.value)
        .chain(attributes.map(|condition| &condition.value))
}

/// Returns true if all conditions of `alternative` on `variable` hold for `value`.
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
            alternative.client_ips.is_empty() || covers_ip(&alternative.client_ips, *address)
        }
        (_, Value::Made) => conditions(alternative, variable).all(|condition| match condition {
            // It equals no text in a condition. Whether a regex matches shows when the witness is run.
            ValueCondition::Present => true,
            _ => false,
        }),
        (_, Value::Text(text)) => {
            conditions(alternative, variable).all(|condition| condition.holds(Some(text)))
        }
        _ => conditions(alternative, variable).all(|condition| condition.holds(None)),
    }
}

/// Returns true if a request can have `text` as the value of `variable`.
fn can_be_sent(variable: Variable<'_>, text: &[u8]) -> bool {
    let clean = || std::str::from_utf8(text).is_ok_and(|text| !text.bytes().any(|b| b < b' ' || b == 0x7f));
    match variable {
        Variable::Header(_) | Variable::Attribute(_) => clean() && text.trim_ascii().len() == text.len(),
        Variable::Cookie(name) => {
            let line = cookie_header::part(name, text);
            clean() && cookie_header::value(&line, name).as_deref() == Some(text)
        }
        Variable::Query(_) | Variable::Method | Variable::ClientIp | Variable::Entrance => true,
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
