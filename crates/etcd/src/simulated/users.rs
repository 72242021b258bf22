//! Users, roles and tokens, as etcd has them with simple tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::refusal::Refusal;
use crate::error::Access;
use crate::key::KeyRange;
use crate::messages::auth::{Permission, PermissionType};

/// The user, and the role, that may do everything.
const ROOT: &str = "root";

/// The time that a token is good for without being used.
const TOKEN_TTL: Duration = Duration::from_secs(300);

/// Users and roles.
#[derive(Debug, Default)]
pub(super) struct Users {
    is_enabled: bool,
    users: BTreeMap<String, Account>,
    roles: BTreeMap<String, Vec<Permission>>,
    tokens: BTreeMap<String, Session>,
    tokens_given: u64,
}

#[derive(Debug)]
struct Account {
    password: String,
    roles: BTreeSet<String>,
}

#[derive(Debug)]
struct Session {
    user: String,
    ends: Duration,
}

/// The user of a call; `None` if it shows no token.
pub(super) type Caller = Option<String>;

impl Users {
    /// The user of a token.
    pub(super) fn caller(&mut self, token: Option<&str>, now: Duration) -> Result<Caller, Refusal> {
        let Some(token) = token.filter(|_| self.is_enabled) else {
            return Ok(None);
        };
        let session = self
            .tokens
            .get_mut(token)
            .filter(|session| session.ends > now)
            .ok_or(Refusal::InvalidToken)?;
        session.ends = now + TOKEN_TTL;
        Ok(Some(session.user.clone()))
    }

    pub(super) fn authenticate(
        &mut self,
        name: &str,
        password: &str,
        now: Duration,
    ) -> Result<String, Refusal> {
        if !self.is_enabled {
            return Err(Refusal::AuthNotEnabled);
        }
        if self
            .users
            .get(name)
            .is_none_or(|account| account.password != password)
        {
            return Err(Refusal::AuthFailed);
        }
        self.tokens_given += 1;
        let token = format!("SimulatedToken__.{}", self.tokens_given);
        let session = Session {
            user: name.to_owned(),
            ends: now + TOKEN_TTL,
        };
        self.tokens.insert(token.clone(), session);
        Ok(token)
    }

    pub(super) fn set_password(&mut self, name: &str, password: &str) {
        if let Some(account) = self.users.get_mut(name) {
            password.clone_into(&mut account.password);
        }
        self.tokens.retain(|_, session| session.user != name);
    }

    pub(super) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn enable(&mut self) -> Result<(), Refusal> {
        let root = self.users.get(ROOT).ok_or(Refusal::RootUserMissing)?;
        if !root.roles.contains(ROOT) {
            return Err(Refusal::RootRoleMissing);
        }
        self.is_enabled = true;
        Ok(())
    }

    pub(super) fn disable(&mut self) -> Result<(), Refusal> {
        self.is_enabled = false;
        self.tokens.clear();
        Ok(())
    }

    pub(super) fn add_user(&mut self, name: &str, password: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(Refusal::UserExists);
        }
        let account = Account {
            password: password.to_owned(),
            roles: BTreeSet::new(),
        };
        self.users.insert(name.to_owned(), account);
        Ok(())
    }

    pub(super) fn grant_role(&mut self, user: &str, role: &str) -> Result<(), Refusal> {
        let account = self.users.get_mut(user).ok_or(Refusal::UserNotFound)?;
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(Refusal::RoleNotFound);
        }
        account.roles.insert(role.to_owned());
        Ok(())
    }

    pub(super) fn add_role(&mut self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(Refusal::RoleExists);
        }
        self.roles.insert(name.to_owned(), Vec::new());
        Ok(())
    }

    pub(super) fn grant_permission(&mut self, role: &str, permission: Permission) -> Result<(), Refusal> {
        let permissions = self.roles.get_mut(role).ok_or(Refusal::RoleNotFound)?;
        let is_for_same =
            |other: &Permission| other.key == permission.key && other.range_end == permission.range_end;
        permissions.retain(|other| !is_for_same(other));
        permissions.push(permission);
        Ok(())
    }

    /// The roles of a user, which the user itself may see.
    pub(super) fn roles_of(&self, caller: &Caller, name: &str) -> Result<Vec<String>, Refusal> {
        if caller.as_deref() != Some(name) {
            self.administers(caller)?;
        }
        let account = self.users.get(name).ok_or(Refusal::UserNotFound)?;
        Ok(account.roles.iter().cloned().collect())
    }

    /// The permissions of a role, which its users may see.
    pub(super) fn permissions_of(&self, caller: &Caller, role: &str) -> Result<Vec<Permission>, Refusal> {
        let is_own = caller
            .as_ref()
            .and_then(|name| self.users.get(name))
            .is_some_and(|account| account.roles.contains(role));
        if !is_own {
            self.administers(caller)?;
        }
        self.roles.get(role).cloned().ok_or(Refusal::RoleNotFound)
    }

    /// The caller may administer users.
    pub(super) fn administers(&self, caller: &Caller) -> Result<(), Refusal> {
        if !self.is_enabled {
            return Ok(());
        }
        let name = caller.as_ref().ok_or(Refusal::UserEmpty)?;
        let is_root = self
            .users
            .get(name)
            .is_some_and(|account| account.roles.contains(ROOT));
        if is_root {
            Ok(())
        } else {
            Err(Refusal::PermissionDenied)
        }
    }

    /// The caller has all these permissions.
    pub(super) fn may(
        &self,
        caller: &Caller,
        accesses: impl IntoIterator<Item = (Access, KeyRange)>,
    ) -> Result<(), Refusal> {
        if !self.is_enabled {
            return Ok(());
        }
        let name = caller.as_ref().ok_or(Refusal::UserEmpty)?;
        let account = self.users.get(name).ok_or(Refusal::PermissionDenied)?;
        if account.roles.contains(ROOT) {
            return Ok(());
        }
        let permissions: Vec<&Permission> = account
            .roles
            .iter()
            .filter_map(|role| self.roles.get(role))
            .flatten()
            .collect();
        for (access, keys) in accesses {
            let fitting = permissions.iter().filter(|permission| {
                permission.kind() == PermissionType::ReadWrite
                    || (permission.kind() == PermissionType::Read) == (access == Access::Read)
            });
            let ranges: Vec<KeyRange> = fitting
                .map(|permission| KeyRange::between(&*permission.key, &*permission.range_end))
                .collect();
            if !is_covered(&keys, &ranges) {
                return Err(Refusal::PermissionDenied);
            }
        }
        Ok(())
    }
}

/// Returns true if `ranges` together contain all of `keys`.
fn is_covered(keys: &KeyRange, ranges: &[KeyRange]) -> bool {
    let mut rest = keys.clone();
    loop {
        if ranges.iter().any(|range| range.covers(&rest)) {
            return true;
        }
        // The range that contains the beginning and reaches furthest. A key alone reaches to the next possible key.
        let reach = ranges
            .iter()
            .filter(|range| range.contains(rest.start()))
            .map(|range| match range.end() {
                [] => [range.start(), &[0]].concat(),
                end => end.to_vec(),
            })
            .max();
        match reach {
            Some(reach) if &*reach > rest.start() && !rest.end().is_empty() => {
                rest = KeyRange::between(reach, rest.end());
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_that_meet_count_together() {
        let ranges = [
            KeyRange::between("a", "c"),
            KeyRange::between("c", "e"),
            KeyRange::key("x"),
        ];
        for (keys, expected) in [
            (KeyRange::key("a"), true),
            (KeyRange::between("a", "e"), true),
            (KeyRange::between("b", "d"), true),
            (KeyRange::between("b", "f"), false),
            (KeyRange::key("x"), true),
            (KeyRange::key("y"), false),
            (KeyRange::prefix("x"), false),
            (KeyRange::all(), false),
        ] {
            assert_eq!(is_covered(&keys, &ranges), expected, "{keys:?}");
        }
        assert!(is_covered(&KeyRange::prefix("x"), &[KeyRange::all()]));
    }
}
