//! What is wrong with a configuration, as data.

use std::fmt;

use crate::place::Place;

/// One mistake, or one thing that looks like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of mistake: a word that scripts may rely on.
    pub code: Code,
    /// Whether the configuration is refused.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where: the first is where the mistake is, the others are what it has to do with. None when there is
    /// no file to speak of.
    pub labels: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
}

/// A place and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub place: Place,
    /// A few words beside the underlined text; may be empty.
    pub text: String,
}

/// Whether a diagnostic refuses the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// It is refused.
    Error,
    /// It is accepted.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Declares [`Code`] with the word of each code, so that neither can lack the other.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident $severity:ident $word:literal,)+) => {
        /// The kinds of diagnostics. A code keeps its word and its severity for good.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// Every code, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// The code's word, as printed.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)+
                }
            }

            /// Whether it refuses a configuration.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$code => Severity::$severity,)+
                }
            }

            /// What it means, for the reference.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    /// The file is larger than 16 MiB.
    FileTooLarge Error "file-too-large",
    /// The file is not UTF-8 text.
    NotUtf8 Error "not-utf8",
    /// The text is not YAML.
    Syntax Error "syntax",
    /// A tab where YAML wants spaces.
    TabIndentation Error "tab-indentation",
    /// Collections stand more than 64 deep in each other.
    NestedTooDeep Error "nested-too-deep",
    /// An alias names no finished anchor, or all aliases together stand for too much.
    Alias Error "alias",
    /// A part of YAML that Waypost leaves out: tags, merge keys, keys that are not text.
    UnsupportedYaml Error "unsupported-yaml",
    /// More than one YAML document in a file.
    SeveralDocuments Error "several-documents",
    /// There is nothing in the file, or no file at all.
    EmptyFile Error "empty-file",
    /// One key twice in a mapping, or in two files where only one may have it.
    DuplicateKey Error "duplicate-key",
    /// An environment variable that is not set and has no default.
    UnsetVariable Error "unset-variable",
    /// A key that has no meaning where it stands.
    UnknownKey Error "unknown-key",
    /// A key without which the rest means nothing.
    MissingKey Error "missing-key",
    /// Text where a list should be, and the like.
    WrongType Error "wrong-type",
    /// Nothing where a value should be.
    NullValue Error "null-value",
    /// A list that has to say something is empty.
    EmptyList Error "empty-list",
    /// Text that is none of the words that may stand there.
    UnknownWord Error "unknown-word",
    /// A text that is not of the form it has to have.
    BadValue Error "bad-value",
    /// A number, duration or size that is too small or too large.
    OutOfRange Error "out-of-range",
    /// Keys that exclude each other.
    ConflictingKeys Error "conflicting-keys",
    /// An admin address that other machines can reach, without a token.
    OpenAdmin Error "open-admin",
    /// There is nothing to listen on.
    NoListeners Error "no-listeners",
    /// Two things of one kind share a name or an address.
    DuplicateName Error "duplicate-name",
    /// A name with characters that names do not have.
    BadName Error "bad-name",
    /// No service has this name.
    UnknownService Error "unknown-service",
    /// No route has this name.
    UnknownRoute Error "unknown-route",
    /// No listener has this name or address.
    UnknownListener Error "unknown-listener",
    /// An address to listen on that is none.
    BadBind Error "bad-bind",
    /// A URL of an endpoint that is none, or has more than scheme, host and port.
    BadEndpoint Error "bad-endpoint",
    /// A host or host pattern that no request could have.
    BadHost Error "bad-host",
    /// A path pattern that no request could match.
    BadPath Error "bad-path",
    /// A regular expression that does not compile.
    BadRegex Error "bad-regex",
    /// A method, or the name of a header, query parameter or cookie, that cannot exist.
    BadCondition Error "bad-condition",
    /// An address or network that is none, or has host bits set.
    BadNetwork Error "bad-network",
    /// A rewritten path that could not come about.
    BadRewrite Error "bad-rewrite",
    /// An edit of a header that is not allowed.
    BadHeaderEdit Error "bad-header-edit",
    /// Conditions that no request fulfils.
    ImpossibleMatch Error "impossible-match",
    /// A method in lower case, which no client sends.
    LowerCaseMethod Warning "lower-case-method",
    /// A body that is never sent, since answers of this status have none.
    IgnoredBody Warning "ignored-body",
    /// A service that no route names.
    UnusedService Warning "unused-service",
    /// Two routes that only the order of declaration separates.
    AmbiguousRoutes Warning "ambiguous-routes",
    /// A route, or an alternative of one, that no request can reach.
    UnreachableRoute Warning "unreachable-route",
    /// A file that the configuration names cannot be read.
    UnreadableFile Error "unreadable-file",
    /// A certificate, or its key, that cannot be used.
    BadCertificate Error "bad-certificate",
    /// A certificate that has ended, is about to, or has not begun.
    CertificateTime Warning "certificate-time",
    /// A certificate for names that no host of its listener matches, or a host that none of them is for.
    CertificateNames Warning "certificate-names",
    /// A service under TLS whose certificates are not checked.
    InsecureService Warning "insecure-service",
    /// A test of the configuration that does not hold.
    TestFailed Error "test-failed",
    /// So many mistakes that the search for more was given up.
    TooManyMistakes Error "too-many-mistakes",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A diagnostic at `place`; its severity is the code's.
pub fn diagnostic(code: Code, place: Place, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        code,
        severity: code.severity(),
        message: message.into(),
        labels: vec![Label {
            place,
            text: String::new(),
        }],
        help: None,
    }
}

impl Diagnostic {
    /// Whether it refuses the configuration.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The diagnostic as JSON: `{ code, severity, message, file, line, column, end_line, end_column,
    /// labels, help }`, the place being the first label's.
    pub fn to_json(&self) -> serde_json::Value {
        let place = |place: &Place| {
            serde_json::json!({
                "file": &*place.file,
                "line": place.line,
                "column": place.column,
                "end_line": place.end_line,
                "end_column": place.end_column,
            })
        };
        let labels: Vec<serde_json::Value> = self
            .labels
            .iter()
            .map(|label| {
                let mut value = place(&label.place);
                value["text"] = label.text.as_str().into();
                value
            })
            .collect();
        let mut value = serde_json::json!({
            "code": self.code.as_str(),
            "severity": self.severity.as_str(),
            "message": self.message,
        });
        if let (Some(object), Some(first)) = (value.as_object_mut(), self.labels.first())
            && let serde_json::Value::Object(first) = place(&first.place)
        {
            object.extend(first);
        }
        value["labels"] = labels.into();
        value["help"] = self.help.clone().into();
        value
    }
}

/// All of `diagnostics` as one JSON list.
pub fn to_json(diagnostics: &[Diagnostic]) -> serde_json::Value {
    diagnostics.iter().map(Diagnostic::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_kebab_case() {
        let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for word in &words {
            assert!(
                word.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
