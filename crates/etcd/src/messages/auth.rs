//! Users, roles and permissions.

use std::fmt;

use super::ResponseHeader;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct AuthEnableRequest {}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct AuthDisableRequest {}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) password: String,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct AuthenticateResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub(crate) token: String,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct AuthUserAddRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) password: String,
}

/// Messages with secrets do not print them.
macro_rules! without_secrets {
    ($($message:ident),*) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        })*
    };
}

without_secrets!(AuthenticateRequest, AuthenticateResponse, AuthUserAddRequest);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthUserGetRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthUserGetResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) roles: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthUserGrantRoleRequest {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) role: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthRoleAddRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthRoleGetRequest {
    #[prost(string, tag = "1")]
    pub(crate) role: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthRoleGetResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) perm: Vec<Permission>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthRoleGrantPermissionRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) perm: Option<Permission>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Permission {
    #[prost(enumeration = "PermissionType", tag = "1")]
    pub(crate) kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) range_end: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum PermissionType {
    Read = 0,
    Write = 1,
    ReadWrite = 2,
}
