//! Declaration and resolution of names, with suggestions for misspelt ones.

use std::collections::HashMap;
use std::rc::Rc;

use crate::diagnostic::Code;
use crate::keys::At;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::plain;
use crate::suggest::{self, nearest};

/// Maximum length of a name.
const NAME_CHARS_MAX: usize = 128;

pub(super) struct Names {
    /// The kind of item: `service`.
    noun: &'static str,
    unknown: Code,
    /// True if all names are known, so undeclared names are errors.
    complete: bool,
    declared: HashMap<Rc<str>, Span>,
}

/// Reports an invalid name.
pub(super) fn check(noun: &str, name: &str, span: Span, problems: &mut Problems) {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || !name.bytes().all(fits) {
        problems
            .add(
                Code::BadName,
                span,
                format!("{} is not a name for a {noun}", quote(name)),
            )
            .help("a name has letters, digits, `.`, `_` and `-`, and at least one of them");
    } else if name.len() > NAME_CHARS_MAX {
        problems.add(
            Code::BadName,
            span,
            format!("the name of a {noun} has {NAME_CHARS_MAX} characters at most"),
        );
    }
}

impl Names {
    pub(super) fn new(noun: &'static str, unknown: Code, complete: bool) -> Self {
        Self {
            noun,
            unknown,
            complete,
            declared: HashMap::new(),
        }
    }

    /// Declares a name; reports an invalid or duplicate one.
    pub(super) fn declare(&mut self, name: &Rc<str>, span: Span, problems: &mut Problems) {
        let noun = self.noun;
        check(noun, name, span, problems);
        if let Some(first) = self.declared.get(name) {
            problems
                .add(
                    Code::DuplicateName,
                    span,
                    format!("a {noun} named {} is declared already", quote(name)),
                )
                .label(*first, "first here")
                .help("give one of the two another name");
            return;
        }
        self.declared.insert(Rc::clone(name), span);
    }

    /// Adds an alternative name, such as the address of a listener.
    pub(super) fn also(&mut self, name: &Rc<str>, span: Span) {
        self.declared.entry(Rc::clone(name)).or_insert(span);
    }

    /// Returns the place where `name` is declared.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.declared.get(name).copied()
    }

    /// Returns true if `name` is declared, else reports it.
    pub(super) fn resolve(&self, name: &At<Rc<str>>, problems: &mut Problems) -> bool {
        self.resolve_at(&name.value, name.span, problems)
    }

    /// Like [`Names::resolve`], for a name that is a key.
    pub(super) fn resolve_at(&self, name: &str, span: Span, problems: &mut Problems) -> bool {
        if self.declared.contains_key(name) {
            return true;
        }
        if self.complete {
            let near = if problems.may_suggest() {
                nearest(name, self.declared.keys().map(|name| &**name))
            } else {
                None
            };
            let service = match self.unknown {
                Code::UnknownService => suggest::service::hint(name),
                _ => None,
            };
            let help = match near {
                _ if service.is_some() => service.unwrap_or_default(),
                Some(near) => format!("did you mean `{near}`?"),
                None if self.declared.is_empty() => format!("no {} is declared", self.noun),
                None => format!("declare it, or name one of the {}s that exist", self.noun),
            };
            let problem = problems
                .add(
                    self.unknown,
                    span,
                    format!("there is no {} named {}", self.noun, quote(name)),
                )
                .help(help);
            if let Some(near) = near {
                problem.propose(span, name, plain(near));
            }
        }
        false
    }
}
