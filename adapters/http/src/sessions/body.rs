//! The JSON of sessions: what clients get, and what they may send.

use poem_openapi::Object;
use portwright_application::SignedIn;
use portwright_application::sessions::Registration;
use portwright_domain::Invalid;
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::user::{Email, PersonName};
use serde::Serialize;

use crate::body::JsonShape;
use crate::fields::{Fields, text};
use crate::users::body::UserBody;

/// A session: tokens, and whose they are.
#[derive(Object, Serialize)]
#[oai(rename = "Session", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionBody {
    /// For `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// How many seconds the access token is valid.
    expires_in: u64,
    /// Gets the next session, once.
    refresh_token: String,
    user: UserBody,
}

impl From<SignedIn> for SessionBody {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            access_token: signed_in.access_token.expose().to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: signed_in.expires_in.as_secs(),
            refresh_token: signed_in.refresh_token.expose().to_owned(),
            user: signed_in.user.into(),
        }
    }
}

/// A person who registers.
#[derive(Object)]
#[oai(rename = "Registration", rename_all = "camelCase")]
pub(crate) struct RegistrationBody {
    #[oai(validator(max_length = 254))]
    email: String,
    /// Any Unicode, none of the common passwords.
    #[oai(validator(min_length = 8, max_length = 128))]
    password: String,
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: String,
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: String,
}

impl JsonShape for RegistrationBody {
    type Parsed = Registration;

    fn read(fields: &mut Fields) -> Option<Registration> {
        let email = fields.required("email", text(Email::parse));
        let password = fields.required("password", text(NewPassword::parse));
        let first_name = fields.required("firstName", text(PersonName::parse));
        let last_name = fields.required("lastName", text(PersonName::parse));
        Some(Registration {
            email: email?,
            password: password?,
            first_name: first_name?,
            last_name: last_name?,
        })
    }
}

/// E-mail address and password.
#[derive(Object)]
#[oai(rename = "Credentials")]
pub(crate) struct CredentialsBody {
    email: String,
    #[oai(validator(max_length = 1024))]
    password: String,
}

/// What signing in takes. The address is not judged: one that nobody can have is one that nobody has.
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: Password,
}

impl JsonShape for CredentialsBody {
    type Parsed = Credentials;

    fn read(fields: &mut Fields) -> Option<Credentials> {
        let email = fields.required("email", text(given));
        let password = fields.required("password", text(Password::typed));
        Some(Credentials { email: email?, password: password? })
    }
}

/// A refresh token.
#[derive(Object)]
#[oai(rename = "RefreshToken", rename_all = "camelCase")]
pub(crate) struct RefreshTokenBody {
    refresh_token: String,
}

impl JsonShape for RefreshTokenBody {
    type Parsed = String;

    fn read(fields: &mut Fields) -> Option<String> {
        fields.required("refreshToken", text(given))
    }
}

/// The present password and the next one.
#[derive(Object)]
#[oai(rename = "PasswordChange", rename_all = "camelCase")]
pub(crate) struct PasswordChangeBody {
    #[oai(validator(max_length = 1024))]
    current_password: String,
    /// Any Unicode, none of the common passwords.
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

/// What changing the password takes.
pub(crate) struct PasswordChange {
    pub(crate) current: Password,
    pub(crate) new: NewPassword,
}

impl JsonShape for PasswordChangeBody {
    type Parsed = PasswordChange;

    fn read(fields: &mut Fields) -> Option<PasswordChange> {
        let current = fields.required("currentPassword", text(Password::typed));
        let new = fields.required("newPassword", text(NewPassword::parse));
        Some(PasswordChange { current: current?, new: new? })
    }
}

/// Any text; what it means is decided elsewhere.
#[expect(clippy::unnecessary_wraps, reason = "has the form of the parsers that refuse")]
fn given(text: &str) -> Result<String, Invalid> {
    Ok(text.to_owned())
}
