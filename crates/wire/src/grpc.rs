//! gRPC status codes, as the field `grpc-status` carries them.

/// The status code of a gRPC call, 0 to 16.
///
/// Source: "Status codes and their use in gRPC", gRPC core documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrpcCode(u8);

impl GrpcCode {
    /// The call succeeded.
    pub const OK: Self = Self(0);
    /// The caller cancelled the call.
    pub const CANCELLED: Self = Self(1);
    /// The status is missing or has no known meaning.
    pub const UNKNOWN: Self = Self(2);
    /// The deadline passed.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// The caller lacks a permission.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// A quota or a limit is exhausted.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// The method is not implemented.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// A fault of the server.
    pub const INTERNAL: Self = Self(13);
    /// The server cannot be reached at the moment.
    pub const UNAVAILABLE: Self = Self(14);
    /// Data is lost.
    pub const DATA_LOSS: Self = Self(15);
    /// The caller is not authenticated.
    pub const UNAUTHENTICATED: Self = Self(16);

    /// The greatest code.
    pub const MAX: Self = Self::UNAUTHENTICATED;

    /// The code with this number; `None` above [`GrpcCode::MAX`].
    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// The code that a value of `grpc-status` gives. A value that is no known code is [`GrpcCode::UNKNOWN`], as for
    /// clients of gRPC.
    pub fn parse(value: &[u8]) -> Self {
        let number = match value {
            [digit @ b'0'..=b'9'] => digit - b'0',
            [b'1', digit @ b'0'..=b'6'] => 10 + digit - b'0',
            _ => return Self::UNKNOWN,
        };
        Self(number)
    }

    /// The number, as written in `grpc-status`.
    pub fn number(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_code_are_unknown() {
        for number in 0..=16_u8 {
            assert_eq!(GrpcCode::parse(number.to_string().as_bytes()), GrpcCode(number));
        }
        for value in ["", "17", "100", "-1", "+1", "01", "1 ", "OK", "\u{661}"] {
            assert_eq!(GrpcCode::parse(value.as_bytes()), GrpcCode::UNKNOWN, "{value:?}");
        }
        assert_eq!(
            (GrpcCode::new(16), GrpcCode::new(17)),
            (Some(GrpcCode::MAX), None)
        );
    }
}
