//! Users, roles and permissions of a cluster.

use crate::client::Client;
use crate::error::Error;
use crate::key::KeyRange;
use crate::messages::auth as message;
use crate::options::User;

/// A permission of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The allowed kinds of access.
    pub kind: PermissionKind,
    /// The keys that it is for.
    pub keys: KeyRange,
}

/// Kinds of access that a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionKind {
    /// Reading and watching.
    Read,
    /// Writing and deleting.
    Write,
    /// Both.
    ReadWrite,
}

impl Client {
    /// Lets the cluster ask for users from now on. There has to be a user `root` with the role `root`.
    ///
    /// # Errors
    /// There is none; else as every call that writes.
    pub async fn enable_auth(&self) -> Result<(), Error> {
        self.channel.call(&message::AuthEnableRequest {}).await?;
        Ok(())
    }

    /// Lets the cluster no longer ask for users.
    ///
    /// # Errors
    /// As every call that writes.
    pub async fn disable_auth(&self) -> Result<(), Error> {
        self.channel.call(&message::AuthDisableRequest {}).await?;
        Ok(())
    }

    /// Adds a user, without a role.
    ///
    /// # Errors
    /// It exists; else as every call that writes.
    pub async fn add_user(&self, user: &User) -> Result<(), Error> {
        let request = message::AuthUserAddRequest {
            name: user.name.clone(),
            password: user.password.clone(),
        };
        self.channel.call(&request).await?;
        Ok(())
    }

    /// Adds a role, without a permission.
    ///
    /// # Errors
    /// It exists; else as every call that writes.
    pub async fn add_role(&self, role: &str) -> Result<(), Error> {
        let request = message::AuthRoleAddRequest {
            name: role.to_owned(),
        };
        self.channel.call(&request).await?;
        Ok(())
    }

    /// Gives a user a role.
    ///
    /// # Errors
    /// One of them does not exist; else as every call that writes.
    pub async fn grant_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = message::AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        };
        self.channel.call(&request).await?;
        Ok(())
    }

    /// Gives a role a permission. It replaces one for the same keys.
    ///
    /// # Errors
    /// There is no such role; else as every call that writes.
    pub async fn grant_permission(&self, role: &str, permission: &Permission) -> Result<(), Error> {
        let kind = match permission.kind {
            PermissionKind::Read => message::PermissionType::Read,
            PermissionKind::Write => message::PermissionType::Write,
            PermissionKind::ReadWrite => message::PermissionType::ReadWrite,
        };
        let request = message::AuthRoleGrantPermissionRequest {
            name: role.to_owned(),
            perm: Some(message::Permission {
                kind: kind.into(),
                key: permission.keys.start().to_vec(),
                range_end: permission.keys.end().to_vec(),
            }),
        };
        self.channel.call(&request).await?;
        Ok(())
    }
}
