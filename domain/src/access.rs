//! Roles, and the whole table of who may do what, as one pure function: [`decide`].
//!
//! Two rules of the API stand behind it: an operation that a role may never do is *forbidden*; an object that the
//! caller may not even see is *hidden*, and answers like one that does not exist.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::session::SessionId;
use crate::user::UserId;

/// What a user is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Its own account only.
    User,
    /// Also sees every user.
    Moderator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::User, Self::Moderator, Self::Admin];

    /// The stable name in stores and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no role of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of user, moderator, admin")]
pub struct RoleUnknown;

impl FromStr for Role {
    type Err = RoleUnknown;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == name).ok_or(RoleUnknown)
    }
}

/// Who is calling: the signed-in user, as the store knows them at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user_id: UserId,
    /// The role that the user has now, whatever the token was issued for.
    pub role: Role,
    /// The session that the call belongs to.
    pub session_id: SessionId,
}

impl Principal {
    /// How this caller stands to what `owner` owns.
    #[must_use]
    pub fn relation_to(&self, owner: UserId) -> Relation {
        if self.user_id == owner { Relation::Own } else { Relation::Others }
    }
}

/// Something that a signed-in caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See the list of users.
    ListUsers,
    /// See one user.
    ReadUser,
    /// Create a user.
    CreateUser,
    /// Change e-mail address and names.
    ChangeProfile,
    /// Change role and activity.
    ChangeStanding,
    /// Remove a user.
    RemoveUser,
    /// Create users from a file, or write them into one, and read that.
    TransferUsers,
    /// See one job, or stop it.
    ReadJob,
    /// See the list of jobs, see queues, pause and resume them, and have a job run again.
    OperateJobs,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::ListUsers,
        Self::ReadUser,
        Self::CreateUser,
        Self::ChangeProfile,
        Self::ChangeStanding,
        Self::RemoveUser,
        Self::TransferUsers,
        Self::ReadJob,
        Self::OperateJobs,
    ];
}

/// How the caller stands to the object of an action. What concerns no single object is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// It is the caller's own.
    Own,
    /// It is somebody else's.
    Others,
}

/// The answer to "may they?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Yes.
    Granted,
    /// No, and the caller may know that the object exists.
    Forbidden,
    /// No, and the answer is the one for an object that does not exist.
    Hidden,
}

/// May somebody with this role do this to an object of this owner? The whole table:
///
/// | | admin | moderator | user |
/// |---|---|---|---|
/// | list users | yes | yes | forbidden |
/// | read a user | yes | yes | own, else hidden |
/// | create a user | yes | forbidden | forbidden |
/// | change a profile | yes | own, else forbidden | own, else hidden |
/// | change role or activity | yes | forbidden | forbidden |
/// | remove a user | yes | forbidden | forbidden |
/// | import or export users | yes | forbidden | forbidden |
/// | see or stop a job | yes | own, else hidden | own, else hidden |
/// | operate jobs and queues | yes | forbidden | forbidden |
///
/// A job is its creator's; one that nobody asked for is somebody else's to everyone.
#[must_use]
pub const fn decide(role: Role, action: Action, relation: Relation) -> Access {
    use Access::{Forbidden, Granted, Hidden};
    match (action, role, relation) {
        (_, Role::Admin, _)
        | (Action::ListUsers | Action::ReadUser, Role::Moderator, _)
        | (Action::ReadUser | Action::ChangeProfile | Action::ReadJob, _, Relation::Own) => Granted,
        (Action::ReadUser | Action::ChangeProfile, Role::User, Relation::Others)
        | (Action::ReadJob, _, Relation::Others) => Hidden,
        (
            Action::ListUsers
            | Action::CreateUser
            | Action::ChangeProfile
            | Action::ChangeStanding
            | Action::RemoveUser
            | Action::TransferUsers
            | Action::OperateJobs,
            Role::Moderator | Role::User,
            _,
        ) => Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_in_the_documentation() {
        use Access::{Forbidden as F, Granted as G, Hidden as H};
        use Relation::{Others, Own};
        let expected = [
            // own and others, for admin, moderator, user
            (Action::ListUsers, [G, G, G, G, F, F]),
            (Action::ReadUser, [G, G, G, G, G, H]),
            (Action::CreateUser, [G, G, F, F, F, F]),
            (Action::ChangeProfile, [G, G, G, F, G, H]),
            (Action::ChangeStanding, [G, G, F, F, F, F]),
            (Action::RemoveUser, [G, G, F, F, F, F]),
            (Action::TransferUsers, [G, G, F, F, F, F]),
            (Action::ReadJob, [G, G, G, H, G, H]),
            (Action::OperateJobs, [G, G, F, F, F, F]),
        ];
        assert_eq!(expected.map(|(action, _)| action), Action::ALL);
        for (action, row) in expected {
            let cells = [Role::Admin, Role::Moderator, Role::User]
                .into_iter()
                .flat_map(|role| [Own, Others].map(|relation| decide(role, action, relation)));
            assert!(cells.eq(row), "{action:?}");
        }
    }

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("Admin".parse::<Role>(), Err(RoleUnknown));
    }
}
