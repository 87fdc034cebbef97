//! The JSON of users: what clients get, and what they may send.

use poem_openapi::{Enum, Object};
use portwright_application::users::{NewUser, UserChange};
use portwright_domain::Invalid;
use portwright_domain::access::Role;
use portwright_domain::password::NewPassword;
use portwright_domain::user::{Email, PersonName, User};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::body::JsonShape;
use crate::fields::{Fields, boolean, text};
use crate::moment::Moment;
use crate::paging::Pagination;

/// What a user may do: `user` only what concerns the own account, `moderator` also sees every user, `admin` everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "Role", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) enum RoleName {
    Admin,
    Moderator,
    User,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Moderator => Self::Moderator,
            Role::User => Self::User,
        }
    }
}

/// A user.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "User", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserBody {
    id: Uuid,
    /// As it was given; addresses that differ only in case or Unicode form are one address.
    email: String,
    first_name: String,
    last_name: String,
    role: RoleName,
    /// A user who is not active cannot sign in.
    is_active: bool,
    is_email_verified: bool,
    /// The last sign-in.
    last_login: Option<Moment>,
    created_at: Moment,
    /// When anything but `lastLogin` last changed.
    updated_at: Moment,
    /// Where the picture is, if there is one.
    avatar_url: Option<String>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            email: user.email.as_str().to_owned(),
            first_name: user.first_name.as_str().to_owned(),
            last_name: user.last_name.as_str().to_owned(),
            role: user.role.into(),
            is_active: user.is_active,
            is_email_verified: user.is_email_verified,
            last_login: user.last_login.map(Moment),
            created_at: Moment(user.created_at),
            updated_at: Moment(user.updated_at),
            avatar_url: user.avatar.map(|_| format!("/users/{}/avatar", user.id)),
        }
    }
}

/// One page of users.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "UserPage")]
pub(crate) struct UserPage {
    pub(crate) data: Vec<UserBody>,
    pub(crate) pagination: Pagination,
}

/// A user to be created.
#[derive(Debug, Object)]
#[oai(rename = "NewUser", rename_all = "camelCase")]
pub(crate) struct NewUserBody {
    #[oai(validator(max_length = 254))]
    email: String,
    /// Any Unicode, none of the common passwords.
    #[oai(validator(min_length = 8, max_length = 128))]
    password: String,
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: String,
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: String,
    /// `user` if absent.
    role: Option<RoleName>,
    /// `true` if absent.
    is_active: Option<bool>,
}

impl JsonShape for NewUserBody {
    type Parsed = NewUser;

    fn read(fields: &mut Fields) -> Option<NewUser> {
        let email = fields.required("email", text(Email::parse));
        let password = fields.required("password", text(NewPassword::parse));
        let first_name = fields.required("firstName", text(PersonName::parse));
        let last_name = fields.required("lastName", text(PersonName::parse));
        let role = fields.optional("role", role);
        let is_active = fields.optional("isActive", boolean);
        Some(NewUser {
            email: email?,
            password: password?,
            first_name: first_name?,
            last_name: last_name?,
            role: role?.unwrap_or(Role::User),
            is_active: is_active?.unwrap_or(true),
        })
    }
}

/// What is to be different about a user; what is absent stays as it is.
#[derive(Debug, Object)]
#[oai(rename = "UserChange", rename_all = "camelCase")]
pub(crate) struct UserChangeBody {
    #[oai(validator(max_length = 254))]
    email: Option<String>,
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: Option<String>,
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: Option<String>,
    /// For admins. Another role ends the user's sessions.
    role: Option<RoleName>,
    /// For admins. `false` ends the user's sessions.
    is_active: Option<bool>,
}

impl JsonShape for UserChangeBody {
    type Parsed = UserChange;

    fn read(fields: &mut Fields) -> Option<UserChange> {
        let email = fields.optional("email", text(Email::parse));
        let first_name = fields.optional("firstName", text(PersonName::parse));
        let last_name = fields.optional("lastName", text(PersonName::parse));
        let role = fields.optional("role", role);
        let is_active = fields.optional("isActive", boolean);
        Some(UserChange {
            email: email?,
            first_name: first_name?,
            last_name: last_name?,
            role: role?,
            is_active: is_active?,
        })
    }
}

pub(crate) fn role(value: &Value) -> Result<Role, Invalid> {
    text(|name| {
        name.parse().map_err(|unknown: portwright_domain::access::RoleUnknown| {
            Invalid::new("unknown-role", unknown.to_string())
        })
    })(value)
}
