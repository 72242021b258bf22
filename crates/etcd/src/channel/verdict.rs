//! The meaning of a failed attempt: what is known about the store, and if another attempt is lawful.

use std::error::Error as _;

use tonic::{Code, Status};

use super::line::SendError;
use crate::error::{Error, TooLarge};
use crate::revision::LeaseId;

/// The meaning of a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It makes no sense, or is not lawful, to try again.
    Final(Error),
    /// The user lacks a permission.
    Denied,
    /// Nothing was done, and another member may do it, or this one later.
    Elsewhere(String),
    /// Nothing was done, as the token is not valid.
    Renew(String),
}

/// A call, as far as the meaning of its failures depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    /// It can change the store.
    pub(crate) is_write: bool,
    /// The lease that it names.
    pub(crate) lease: Option<LeaseId>,
    /// The limit of its response.
    pub(crate) response_bytes_max: usize,
}

/// The beginning of tonic's own message about a response that is larger than allowed.
const RESPONSE_TOO_LARGE: &str = "Error, decoded message length too large";

/// The beginning of tonic's own message about a response in an encoding that was not asked for.
const ENCODED: &str = "Content is compressed";

/// The most characters of a server's words that are passed on.
const WORDS_CHARS_MAX: usize = 500;

/// Judges a failed attempt.
pub(crate) fn judge(status: &Status, subject: Subject) -> Verdict {
    let reason = || match status.message() {
        "" => format!("gRPC status {:?}", status.code()),
        message => plain(message),
    };
    // A server's status has no source: here, the connection broke, or nothing was sent.
    if let Some(source) = status.source() {
        return match source.downcast_ref::<SendError>() {
            Some(SendError { is_unsent: true, .. }) => Verdict::Elsewhere(reason()),
            _ => unanswered(reason(), subject),
        };
    }
    let lease = subject.lease.unwrap_or(LeaseId(0));
    let message = status.message();
    match (status.code(), message) {
        (Code::OutOfRange, message) if message.starts_with(RESPONSE_TOO_LARGE) => {
            let max = subject.response_bytes_max;
            answered_badly(Error::TooLarge(TooLarge::Response { max }), subject)
        }
        (Code::Unimplemented, message) if message.starts_with(ENCODED) => {
            answered_badly(Error::malformed(message), subject)
        }
        // Refused before anything is proposed, by a member that cannot propose.
        (
            _,
            "etcdserver: no leader"
            | "etcdserver: not capable"
            | "etcdserver: too many requests"
            | "etcdserver: rpc not supported for learner",
        ) => Verdict::Elsewhere(reason()),
        (
            _,
            "etcdserver: invalid auth token"
            | "etcdserver: revision of auth store is old"
            | "etcdserver: user name is empty",
        ) => Verdict::Renew(reason()),
        (Code::PermissionDenied, _) => Verdict::Denied,
        (Code::Unauthenticated, _)
        | (_, "etcdserver: authentication failed, invalid user ID or password") => {
            Verdict::Final(Error::Unauthenticated { reason: reason() })
        }
        (_, "etcdserver: mvcc: required revision has been compacted") => {
            Verdict::Final(Error::Compacted { revision: None })
        }
        (_, "etcdserver: mvcc: required revision is a future revision") => {
            Verdict::Final(Error::FutureRevision)
        }
        (_, "etcdserver: mvcc: database space exceeded") => Verdict::Final(Error::NoSpace),
        (_, "etcdserver: requested lease not found") => Verdict::Final(Error::LeaseNotFound { lease }),
        (_, "etcdserver: lease already exists") => Verdict::Final(Error::LeaseExists { lease }),
        (_, "etcdserver: request is too large") => Verdict::Final(Error::TooLarge(TooLarge::RequestAtServer)),
        (_, "etcdserver: too many operations in txn request") => {
            Verdict::Final(Error::TooLarge(TooLarge::Operations))
        }
        // Said by the framework of etcd's server before etcd sees the message.
        (Code::ResourceExhausted, message)
            if message.starts_with("grpc: received message larger than max") =>
        {
            Verdict::Final(Error::TooLarge(TooLarge::RequestAtServer))
        }
        (
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented,
            _,
        ) => Verdict::Final(Error::Refused { reason: reason() }),
        // The others, timeouts of proposals among them, may be said of what was proposed.
        _ => unanswered(reason(), subject),
    }
}

/// The words of a server, without what a terminal would obey.
fn plain(words: &str) -> String {
    let mut plain = String::new();
    for char in words.chars().take(WORDS_CHARS_MAX) {
        match char.is_control() {
            true => plain.extend(char.escape_unicode()),
            false => plain.push(char),
        }
    }
    plain
}

/// A call without an answer. A read can be asked again; a write may have been carried out.
pub(crate) fn unanswered(reason: String, subject: Subject) -> Verdict {
    if subject.is_write {
        Verdict::Final(Error::OutcomeUnknown { reason })
    } else {
        Verdict::Elsewhere(reason)
    }
}

/// A call with an answer that cannot be used. For a write, it does not matter why.
pub(crate) fn answered_badly(error: Error, subject: Subject) -> Verdict {
    if subject.is_write {
        Verdict::Final(Error::OutcomeUnknown {
            reason: error.to_string(),
        })
    } else {
        Verdict::Final(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, message: &str, read: &Verdict, write: &Verdict) {
        let judged = |is_write| {
            judge(
                &Status::new(code, message),
                Subject {
                    is_write,
                    lease: Some(LeaseId(5)),
                    response_bytes_max: 9,
                },
            )
        };
        assert_eq!(&judged(false), read, "read: {message}");
        assert_eq!(&judged(true), write, "write: {message}");
    }

    fn check_same(code: Code, message: &str, expected: &Verdict) {
        check(code, message, expected, expected);
    }

    #[test]
    fn a_write_whose_outcome_is_open_is_not_tried_again() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "any other"),
            (Code::Unknown, "context canceled"),
            (Code::DeadlineExceeded, "context deadline exceeded"),
            (Code::Cancelled, "cancelled"),
            (Code::Internal, "Missing response message."),
            (Code::ResourceExhausted, "unknown"),
        ] {
            let reason = message.to_owned();
            check(
                code,
                message,
                &Verdict::Elsewhere(reason.clone()),
                &Verdict::Final(Error::OutcomeUnknown { reason }),
            );
        }
    }

    #[test]
    fn refusals_before_a_proposal_allow_another_attempt() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: no leader"),
            (Code::ResourceExhausted, "etcdserver: too many requests"),
        ] {
            check_same(code, message, &Verdict::Elsewhere(message.to_owned()));
        }
        for (code, message) in [
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old"),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
        ] {
            check_same(code, message, &Verdict::Renew(message.to_owned()));
        }
    }

    #[test]
    fn refusals_have_their_kinds() {
        for (code, message, error) in [
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Error::Compacted { revision: None },
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                Error::FutureRevision,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Error::NoSpace,
            ),
            (
                Code::NotFound,
                "etcdserver: requested lease not found",
                Error::LeaseNotFound { lease: LeaseId(5) },
            ),
            (
                Code::FailedPrecondition,
                "etcdserver: lease already exists",
                Error::LeaseExists { lease: LeaseId(5) },
            ),
            (
                Code::InvalidArgument,
                "etcdserver: request is too large",
                Error::TooLarge(TooLarge::RequestAtServer),
            ),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (9 vs. 8)",
                Error::TooLarge(TooLarge::RequestAtServer),
            ),
            (
                Code::InvalidArgument,
                "etcdserver: key is not provided",
                Error::Refused {
                    reason: "etcdserver: key is not provided".to_owned(),
                },
            ),
            (
                Code::Unimplemented,
                "unknown service",
                Error::Refused {
                    reason: "unknown service".to_owned(),
                },
            ),
        ] {
            check_same(code, message, &Verdict::Final(error));
        }
        check_same(
            Code::PermissionDenied,
            "etcdserver: permission denied",
            &Verdict::Denied,
        );
    }

    #[test]
    fn words_of_a_server_are_no_commands_to_a_terminal() {
        let message = format!("\u{1b}[31mno{}", "!".repeat(1000));
        let Verdict::Elsewhere(reason) = judge(
            &Status::new(Code::Unavailable, message),
            Subject {
                is_write: false,
                lease: None,
                response_bytes_max: 9,
            },
        ) else {
            panic!("it is asked elsewhere");
        };
        assert!(reason.starts_with("\\u{1b}[31mno!!"), "{reason}");
        assert!(reason.len() < 600 && !reason.contains('\u{1b}'));
    }

    #[test]
    fn an_answer_that_cannot_be_used_leaves_the_outcome_of_a_write_open() {
        let message = "Error, decoded message length too large: found 10 bytes, the limit is: 9 bytes";
        let error = Error::TooLarge(TooLarge::Response { max: 9 });
        let reason = error.to_string();
        check(
            Code::OutOfRange,
            message,
            &Verdict::Final(error),
            &Verdict::Final(Error::OutcomeUnknown { reason }),
        );
        let message = "Content is compressed with `gzip` which isn't supported";
        let error = Error::malformed(message);
        let reason = error.to_string();
        check(
            Code::Unimplemented,
            message,
            &Verdict::Final(error),
            &Verdict::Final(Error::OutcomeUnknown { reason }),
        );
    }
}
