//! `/auth`: register, sign in, refresh, sign out, the own account and its password.

pub(crate) mod body;

use std::sync::Arc;

use poem_openapi::{ApiResponse, OpenApi};
use portwright_application::{Committed, Sessions, SignedIn};
use portwright_domain::ports::Sealer;

use self::body::{CredentialsBody, PasswordChangeBody, RefreshTokenBody, RegistrationBody, SessionBody};
use crate::body::JsonBody;
use crate::consistency::sealed;
use crate::json::Json;
use crate::middleware::ClientAddress;
use crate::principal::Caller;
use crate::refusals::refusals;
use crate::tags::Tag;
use crate::users::body::UserBody;

/// The operations on sessions.
pub(crate) struct SessionsApi {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) sealer: Arc<dyn Sealer>,
}

#[derive(ApiResponse)]
enum RegisteredAnswer {
    /// Registered, and signed in.
    #[oai(status = 201)]
    Session(
        Json<SessionBody>,
        #[oai(header = "Consistency-Token")] String,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum SessionAnswer {
    /// Signed in.
    #[oai(status = 200)]
    Session(
        Json<SessionBody>,
        #[oai(header = "Consistency-Token")] String,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum MeAnswer {
    /// The own account.
    #[oai(status = 200)]
    User(Json<UserBody>, #[oai(header = "Cache-Control")] String),
}

#[derive(ApiResponse)]
enum LoggedOutAnswer {
    /// The session has ended, if the token was of this session.
    #[oai(status = 204)]
    Done(#[oai(header = "Consistency-Token")] Option<String>),
}

#[derive(ApiResponse)]
enum PasswordChangedAnswer {
    /// The password is changed, and all other sessions have ended.
    #[oai(status = 204)]
    Done(#[oai(header = "Consistency-Token")] String),
}

refusals!(RegisterRefused: MalformedBody, RegistrationClosed, EmailTaken, PayloadTooLarge, UnsupportedMediaType,
    ValidationFailed);
refusals!(LogInRefused: MalformedBody, InvalidCredentials, PayloadTooLarge, UnsupportedMediaType, ValidationFailed);
refusals!(RefreshRefused: MalformedBody, Unauthorized, PayloadTooLarge, UnsupportedMediaType, ValidationFailed);
refusals!(LogOutRefused: MalformedBody, Unauthorized, PayloadTooLarge, UnsupportedMediaType, ValidationFailed);
refusals!(MeRefused: Unauthorized);
refusals!(ChangePasswordRefused: MalformedBody, Unauthorized, PayloadTooLarge, UnsupportedMediaType, ValidationFailed);

/// Tokens are in it: nobody may keep it.
const SECRET: &str = "no-store";

#[expect(clippy::unused_async, reason = "every operation is asynchronous, whatever it does")]
#[OpenApi(prefix_path = "/auth", tag = "Tag::Auth")]
impl SessionsApi {
    /// Register
    ///
    /// For anyone, unless registration is closed. The account has the role `user`.
    #[oai(path = "/register", method = "post", operation_id = "register")]
    async fn register(&self, body: JsonBody<RegistrationBody>) -> Result<RegisteredAnswer, RegisterRefused> {
        let (session, token) = self.answer(self.sessions.register(body.0).await?);
        Ok(RegisteredAnswer::Session(session, token, SECRET.into()))
    }

    /// Sign in
    ///
    /// An unknown address, a wrong password and an inactive account get the same answer.
    #[oai(path = "/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        address: ClientAddress,
        body: JsonBody<CredentialsBody>,
    ) -> Result<SessionAnswer, LogInRefused> {
        let address = address.network().to_string();
        let signed_in = self.sessions.log_in(&body.0.email, &body.0.password, &address).await?;
        let (session, token) = self.answer(signed_in);
        Ok(SessionAnswer::Session(session, token, SECRET.into()))
    }

    /// Refresh a session
    ///
    /// A refresh token works once. Using it again ends the session: somebody has a copy.
    #[oai(path = "/refresh", method = "post", operation_id = "refresh")]
    async fn refresh(&self, body: JsonBody<RefreshTokenBody>) -> Result<SessionAnswer, RefreshRefused> {
        let (session, token) = self.answer(self.sessions.refresh(&body.0).await?);
        Ok(SessionAnswer::Session(session, token, SECRET.into()))
    }

    /// Sign out
    ///
    /// The session's access and refresh tokens are refused at once. Another session's refresh token ends nothing.
    #[oai(path = "/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        caller: Caller,
        body: JsonBody<RefreshTokenBody>,
    ) -> Result<LoggedOutAnswer, LogOutRefused> {
        let ended = self.sessions.log_out(caller.0.principal, &body.0).await?;
        Ok(LoggedOutAnswer::Done(ended.map(|ended| sealed(&*self.sealer, &ended.token))))
    }

    /// The own account
    #[oai(path = "/me", method = "get", operation_id = "me")]
    async fn me(&self, caller: Caller) -> Result<MeAnswer, MeRefused> {
        Ok(MeAnswer::User(Json(caller.0.user.into()), "private, no-cache".into()))
    }

    /// Change the own password
    ///
    /// All other sessions end.
    #[oai(path = "/password", method = "post", operation_id = "changePassword")]
    async fn change_password(
        &self,
        caller: Caller,
        address: ClientAddress,
        body: JsonBody<PasswordChangeBody>,
    ) -> Result<PasswordChangedAnswer, ChangePasswordRefused> {
        let address = address.network().to_string();
        let done = self.sessions.change_password(&caller.0, &body.0.current, &body.0.new, &address).await?;
        Ok(PasswordChangedAnswer::Done(sealed(&*self.sealer, &done.token)))
    }
}

impl SessionsApi {
    fn answer(&self, signed_in: Committed<SignedIn>) -> (Json<SessionBody>, String) {
        let Committed { value, token } = signed_in;
        (Json(value.into()), sealed(&*self.sealer, &token))
    }
}
