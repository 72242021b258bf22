//! Diagnostics: errors and warnings about a configuration, as data.

use std::fmt;

use crate::place::Place;

/// An error or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of mistake, stable for scripts.
    pub code: Code,
    /// The code's severity.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// The place of the mistake, then related places; empty if there is no file.
    pub labels: Vec<Label>,
    /// A hint for mending it.
    pub help: Option<String>,
    /// A change of the text that mends it.
    pub suggestion: Option<Suggestion>,
}

/// A change of the text: the replacement of one key or one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The place of the key or value.
    pub place: Place,
    /// The key or value there. Where a variable or an alias brings it, something else is written at the place.
    pub written: String,
    /// The YAML that takes its place.
    pub replacement: String,
    /// The confidence that it is what was meant.
    pub confidence: Confidence,
}

/// The confidence in a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confidence {
    /// It means what was written; `waypost check --fix` applies it.
    Certain,
    /// It is probably meant.
    Probable,
}

/// A place with a short text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub place: Place,
    /// Text beside the underlined part of the line; may be empty.
    pub text: String,
}

/// The severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted.
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

/// Declares [`Code`], with the severity, word and meaning of each code.
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

            /// The severity of its diagnostics.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$code => Severity::$severity,)+
                }
            }

            /// The meaning, for the reference.
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
    /// A tab in indentation, where YAML requires spaces.
    TabIndentation Error "tab-indentation",
    /// Lists and mappings nest more than 64 deep.
    NestedTooDeep Error "nested-too-deep",
    /// An alias without a preceding anchor, or aliases that expand to too many values.
    Alias Error "alias",
    /// An unsupported YAML feature: tags, merge keys, keys that are not text.
    UnsupportedYaml Error "unsupported-yaml",
    /// More than one YAML document in a file.
    SeveralDocuments Error "several-documents",
    /// Nothing but comments in the file, or in all files of the directory, or no file at all.
    EmptyFile Error "empty-file",
    /// A key twice in one mapping, or in two files of which only one may have it.
    DuplicateKey Error "duplicate-key",
    /// An environment variable that is unset or empty, without a default.
    UnsetVariable Error "unset-variable",
    /// A key that is not part of this mapping.
    UnknownKey Error "unknown-key",
    /// A key that belongs into another file: `source` in a shared one, or what all instances share in a local one.
    MisplacedKey Error "misplaced-key",
    /// A required key is missing.
    MissingKey Error "missing-key",
    /// A value of the wrong type, such as text instead of a list.
    WrongType Error "wrong-type",
    /// A key without a value.
    NullValue Error "null-value",
    /// An empty list where items are required.
    EmptyList Error "empty-list",
    /// Text that is not one of the allowed words.
    UnknownWord Error "unknown-word",
    /// Text that does not have the required form.
    BadValue Error "bad-value",
    /// A number, duration or size that is too small or too large.
    OutOfRange Error "out-of-range",
    /// Keys that exclude one another.
    ConflictingKeys Error "conflicting-keys",
    /// An admin address that other machines can reach, without a `token_file`.
    OpenAdmin Error "open-admin",
    /// No listener is configured.
    NoListeners Error "no-listeners",
    /// A name or an address that is already taken.
    DuplicateName Error "duplicate-name",
    /// A name with invalid characters, or an invalid length.
    BadName Error "bad-name",
    /// No service has this name.
    UnknownService Error "unknown-service",
    /// No route has this name.
    UnknownRoute Error "unknown-route",
    /// A name in braces that is no value of a request.
    UnknownValue Error "unknown-value",
    /// A parameter of a path that has the name of another value of the request.
    ShadowedValue Warning "shadowed-value",
    /// No plan of rollouts has this name.
    UnknownRollout Error "unknown-rollout",
    /// No policy has this name.
    UnknownPolicy Error "unknown-policy",
    /// A rollout that cannot be made: its steps do not rise, its route has no split, or nothing is judged or compared.
    BadRollout Error "bad-rollout",
    /// A judge that tolerates nothing, or everything, so that nothing can be proved.
    NoMargin Warning "no-margin",
    /// A step of a rollout whose proof takes longer than the rollout waits for it.
    SlowProof Warning "slow-proof",
    /// Keys that do nothing beside the others, or without another.
    NoEffect Warning "no-effect",
    /// No listener has this name or address.
    UnknownListener Error "unknown-listener",
    /// An invalid address to listen on.
    BadBind Error "bad-bind",
    /// An invalid endpoint URL, or one with more than scheme, host and port.
    BadEndpoint Error "bad-endpoint",
    /// A host or host pattern that cannot match any request.
    BadHost Error "bad-host",
    /// An origin that no page has, or any.
    BadOrigin Error "bad-origin",
    /// A path pattern that cannot match any request, or a path that no request can have.
    BadPath Error "bad-path",
    /// A regular expression that does not compile.
    BadRegex Error "bad-regex",
    /// An invalid method, or an invalid name of a header, query parameter or cookie.
    BadCondition Error "bad-condition",
    /// An invalid address or network, or one with host bits set.
    BadNetwork Error "bad-network",
    /// A rewrite that can never give a valid path.
    BadRewrite Error "bad-rewrite",
    /// A header edit that is not allowed.
    BadHeaderEdit Error "bad-header-edit",
    /// An error page that cannot be sent: a status twice, a path that names no file, or a file of more than 1 MiB.
    BadErrorPage Error "bad-error-page",
    /// An error page for which there is no error: the gateway never makes it, or an earlier page takes it.
    UnusedErrorPage Warning "unused-error-page",
    /// A redirect that leads every request back to its own URL.
    RedirectLoop Error "redirect-loop",
    /// Conditions that no request can fulfil.
    ImpossibleMatch Error "impossible-match",
    /// A value that means something at another gateway, and is plain text here.
    ForeignValue Warning "foreign-value",
    /// A credential that stands in the configuration as the value that a header must have.
    PlainCredential Warning "plain-credential",
    /// An edit that writes what clients choose into a header that `auth` writes.
    ForgeableHeader Warning "forgeable-header",
    /// A condition that holds for an empty value.
    EmptyCondition Warning "empty-condition",
    /// A method in lower case, which no client sends.
    LowerCaseMethod Warning "lower-case-method",
    /// A body that is never sent, since responses with this status have none.
    IgnoredBody Warning "ignored-body",
    /// A service that no route refers to.
    UnusedService Warning "unused-service",
    /// A policy that no route and no listener uses.
    UnusedPolicy Warning "unused-policy",
    /// Routes of one deal that cannot agree: splits of different sizes, or different sticky keys.
    UnevenDeal Warning "uneven-deal",
    /// Two routes that differ in declaration order only.
    AmbiguousRoutes Warning "ambiguous-routes",
    /// A route, or an alternative of one, that no request can reach.
    UnreachableRoute Warning "unreachable-route",
    /// A file that the configuration names cannot be read.
    UnreadableFile Error "unreadable-file",
    /// An unusable certificate or key.
    BadCertificate Error "bad-certificate",
    /// A file of keys with a line that is none.
    BadKeyFile Error "bad-key-file",
    /// A password file with a line that is none, or with a hash that protects nothing.
    BadPasswordFile Error "bad-password-file",
    /// A certificate that has expired, expires soon, or is not yet valid.
    CertificateTime Warning "certificate-time",
    /// A certificate that covers no host of its listener, or a host that no certificate covers.
    CertificateNames Warning "certificate-names",
    /// A service under TLS whose certificates are not verified.
    InsecureService Warning "insecure-service",
    /// A service at a public name that gets the `Host` of clients, with nothing said of it.
    ForeignHost Warning "foreign-host",
    /// A match of gRPC calls whose route leads to a service without HTTP/2, which gRPC requires.
    GrpcWithoutHttp2 Warning "grpc-without-http2",
    /// A test of the configuration that fails.
    TestFailed Error "test-failed",
    /// Too many mistakes; the rest is not listed.
    TooManyMistakes Error "too-many-mistakes",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns a diagnostic at `place` with the code's severity.
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
        suggestion: None,
    }
}

impl Diagnostic {
    /// Returns true if the configuration is refused.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Returns true if its suggestion is certain.
    pub fn is_mendable(&self) -> bool {
        let suggestion = self.suggestion.as_ref();
        suggestion.is_some_and(|suggestion| suggestion.confidence == Confidence::Certain)
    }

    /// Returns the diagnostic as JSON: `{ code, severity, message, file, line, column, end_line, end_column,
    /// labels, help, suggestion? }`, the place being the first label's.
    pub fn to_json(&self) -> serde_json::Value {
        let labels: Vec<serde_json::Value> = self
            .labels
            .iter()
            .map(|label| {
                let mut value = place_to_json(&label.place);
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
            && let serde_json::Value::Object(first) = place_to_json(&first.place)
        {
            object.extend(first);
        }
        value["labels"] = labels.into();
        value["help"] = self.help.clone().into();
        if let Some(suggestion) = &self.suggestion {
            value["suggestion"] = suggestion.to_json();
        }
        value
    }
}

impl Suggestion {
    /// Returns the suggestion as JSON: `{ file, line, column, end_line, end_column, replacement, certain }`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut value = place_to_json(&self.place);
        value["replacement"] = self.replacement.as_str().into();
        value["certain"] = (self.confidence == Confidence::Certain).into();
        value
    }
}

fn place_to_json(place: &Place) -> serde_json::Value {
    serde_json::json!({
        "file": &*place.file,
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
    })
}

/// Returns `diagnostics` as a JSON list.
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
