//! Sessions: register, sign in, stay signed in, change the password, sign out.
//!
//! A refresh token is sealed, not stored: it names its session and its generation. What is older than the session's
//! generation was used before, so somebody has a copy, and the session ends (RFC 9700, section 4.14.2).

use std::sync::Arc;
use std::time::Duration;

use portwright_domain::access::{Principal, Role};
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{
    AccessToken, Clock, Consistency, Event, IdGenerator, Observer, PasswordHasher, Purpose, Sealer, Store,
    TokenIssuer, UnitOfWork, Verdict,
};
use portwright_domain::session::{Claims, Generation, Session, SessionId};
use portwright_domain::user::{Email, PasswordHash, PersonName, User, UserId};
use portwright_domain::{PortError, Race, Timestamp};
use uuid::Uuid;

use crate::services::Policy;
use crate::sign_in_limit::{Exhausted, SignInLimit};
use crate::transact;
use crate::transact::{Committed, MaybeContended, Transactions, race_for_user};
use crate::users::NewUser;

/// Why a use case on sessions did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody may register.
    #[error("registration is closed")]
    RegistrationClosed,
    /// Another user has that address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Address and password do not belong together, or the account is not active; which of it is not told.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// The password given as the current one is not.
    #[error("the current password is wrong")]
    WrongPassword,
    /// Too many wrong passwords; try again after this time.
    #[error("too many failed sign-ins")]
    TooManyFailures(Duration),
    /// The token proves nothing, or no longer.
    #[error("not signed in")]
    Unauthenticated,
    /// The outside world failed.
    #[error(transparent)]
    Port(PortError),
}

impl From<PortError> for SessionError {
    fn from(error: PortError) -> Self {
        if error.conflicts_on("users.email") { Self::EmailTaken } else { Self::Port(error) }
    }
}

impl From<Exhausted> for SessionError {
    fn from(Exhausted(after): Exhausted) -> Self {
        Self::TooManyFailures(after)
    }
}

impl MaybeContended for SessionError {
    fn lost_race(&self) -> Option<Race> {
        match self {
            Self::Port(error) => race_for_user(error),
            _ => None,
        }
    }
}

/// Somebody is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// For the next requests.
    pub access_token: AccessToken,
    /// How long the access token is valid.
    pub expires_in: Duration,
    /// For the next access token; to be kept as secret as a password.
    pub refresh_token: AccessToken,
    /// Who signed in.
    pub user: User,
}

/// A person who registers.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Unique.
    pub email: Email,
    /// The password.
    pub password: NewPassword,
    /// Given name.
    pub first_name: PersonName,
    /// Family name.
    pub last_name: PersonName,
}

/// Who a valid access token belongs to.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// For the access table.
    pub principal: Principal,
    /// The user as stored.
    pub user: User,
}

/// What sessions are made with.
pub(crate) struct Tools {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transactions: Transactions,
    pub(crate) hasher: Arc<dyn PasswordHasher>,
    pub(crate) tokens: Arc<dyn TokenIssuer>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGenerator>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// The use cases on sessions.
pub struct Sessions {
    tools: Tools,
    policy: Policy,
    limit: SignInLimit,
}

impl Sessions {
    pub(crate) fn new(tools: Tools, policy: Policy, limit: SignInLimit) -> Self {
        Self { tools, policy, limit }
    }

    /// Creates an account with the role `user` and signs it in.
    pub async fn register(&self, person: Registration) -> Result<Committed<SignedIn>, SessionError> {
        if !self.policy.registration_open {
            return Err(SessionError::RegistrationClosed);
        }
        let Registration { email, password, first_name, last_name } = person;
        let hash = self.tools.hasher.hash(&password).await?;
        let new = NewUser { email, password, first_name, last_name, role: Role::User, is_active: true };
        let mut user = new.complete(hash, &*self.tools.ids, &*self.tools.clock);
        user.last_login = Some(user.created_at);
        let session = self.begin_session(user.id);
        let done: Result<Committed<()>, SessionError> =
            transact!(self.tools.transactions, "sessions.register", |uow| register_in(uow, &user, &session)
                .await);
        let token = done?.token;
        Ok(Committed { value: self.signed_in(&session, user)?, token })
    }

    /// Signs in. An unknown address, a wrong password and an inactive account get the same answer for the same work.
    ///
    /// `address` is where the attempt comes from; failures are counted for it, too.
    pub async fn log_in(
        &self,
        email: &str,
        password: &Password,
        address: &str,
    ) -> Result<Committed<SignedIn>, SessionError> {
        let guard = self.limit.guard(email, address);
        guard.check().await?;
        let user = match Email::parse(email) {
            Ok(email) => {
                // Strong, because a password that was just changed must not sign in on a replica that lags.
                let mut view = self.tools.store.read(Consistency::Strong).await?;
                view.users().find_by_email(&email).await?
            }
            Err(_) => None,
        };
        let Some(user) = user else {
            self.tools.hasher.verify_nobody(password).await?;
            return self.refused(guard.count_failure().await);
        };
        let verdict = self.tools.hasher.verify(password, &user.password).await?;
        if verdict == Verdict::Mismatch || !user.is_active {
            return self.refused(guard.count_failure().await);
        }
        guard.check().await?;
        let stronger = match verdict {
            Verdict::MatchOutdated => self.rehashed(password).await,
            Verdict::Match | Verdict::Mismatch => None,
        };
        let session = self.begin_session(user.id);
        let done: Result<Committed<Option<User>>, SessionError> =
            transact!(self.tools.transactions, "sessions.log_in", |uow| {
                log_in_in(uow, &user, &session, stronger.as_ref()).await
            });
        let Committed { value, token } = done?;
        // Between the check and the transaction the account was removed, deactivated or given another password.
        let Some(user) = value else { return Err(SessionError::InvalidCredentials) };
        self.tools.observer.observe(&Event::SignedIn);
        Ok(Committed { value: self.signed_in(&session, user)?, token })
    }

    /// The hash of today's parameters. The sign-in does without it if the hasher cannot make it now; the next will try
    /// again.
    async fn rehashed(&self, password: &Password) -> Option<PasswordHash> {
        let hash = self.tools.hasher.hash(&NewPassword::accepted_before(password.clone())).await;
        hash.inspect_err(|error| tracing::warn!(%error, "an outdated password hash was kept")).ok()
    }

    fn refused<T>(&self, counted: Result<(), Exhausted>) -> Result<T, SessionError> {
        self.tools.observer.observe(&Event::SignInRefused);
        counted?;
        Err(SessionError::InvalidCredentials)
    }

    /// Whom an access token belongs to, as the store knows them now: a session that ended, a user that was removed or
    /// deactivated is refused at once, and a new role counts at once.
    pub async fn authenticate(&self, token: &str) -> Result<Authenticated, SessionError> {
        let now = self.tools.clock.now();
        let claims = self.tools.tokens.verify(token, now).map_err(|rejected| {
            tracing::debug!(reason = %rejected, "access token refused");
            SessionError::Unauthenticated
        })?;
        let mut view = self.tools.store.read(Consistency::Strong).await?;
        let found = view.sessions().find_with_user(claims.session_id).await?;
        let (session, user) = found
            .filter(|(session, user)| {
                !session.has_expired(now) && user.is_active && user.id == claims.user_id
            })
            .ok_or(SessionError::Unauthenticated)?;
        let principal = Principal { user_id: user.id, role: user.role, session_id: session.id };
        Ok(Authenticated { principal, user })
    }

    /// Exchanges a refresh token for a new pair. Of many calls with one token, one succeeds; every other is a reuse.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Committed<SignedIn>, SessionError> {
        let (id, generation) = self.open_refresh_token(refresh_token).ok_or(SessionError::Unauthenticated)?;
        let now = self.tools.clock.now();
        let done: Result<Committed<Refreshed>, SessionError> =
            transact!(self.tools.transactions, "sessions.refresh", |uow| {
                self.refresh_in(uow, id, generation, now).await
            });
        // The end of a session whose token was used again is committed, although the call fails.
        let Committed { value, token } = done?;
        match value {
            Refreshed::Yes(both) => {
                let (session, user) = *both;
                Ok(Committed { value: self.signed_in(&session, user)?, token })
            }
            Refreshed::Reused => {
                self.tools.observer.observe(&Event::RefreshReused);
                tracing::warn!(session_id = %id, "a refresh token was used again; the session was ended");
                Err(SessionError::Unauthenticated)
            }
            Refreshed::No => Err(SessionError::Unauthenticated),
        }
    }

    async fn refresh_in(
        &self,
        uow: &mut dyn UnitOfWork,
        id: SessionId,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Refreshed, SessionError> {
        let Some((session, user)) = uow.sessions().find_with_user(id).await? else {
            return Ok(Refreshed::No);
        };
        if session.has_expired(now) || !user.is_active {
            uow.sessions().remove(id).await?;
            return Ok(Refreshed::No);
        }
        let refreshed = session.refreshed(now, self.policy.session);
        if !uow.sessions().rotate(&refreshed, generation).await? {
            uow.sessions().remove(id).await?;
            return Ok(Refreshed::Reused);
        }
        Ok(Refreshed::Yes(Box::new((refreshed, user))))
    }

    /// Ends the caller's session, if the refresh token is of that session; another's ends nothing.
    pub async fn log_out(
        &self,
        caller: Principal,
        refresh_token: &str,
    ) -> Result<Option<Committed<()>>, SessionError> {
        match self.open_refresh_token(refresh_token) {
            Some((id, _)) if id == caller.session_id => {
                let done: Result<Committed<()>, SessionError> =
                    transact!(self.tools.transactions, "sessions.log_out", |uow| {
                        uow.sessions().remove(id).await.map(drop).map_err(SessionError::from)
                    });
                done.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Changes the caller's password and ends all its other sessions. Wrong current passwords count as failed sign-ins.
    pub async fn change_password(
        &self,
        caller: &Authenticated,
        current: &Password,
        new: &NewPassword,
        address: &str,
    ) -> Result<Committed<()>, SessionError> {
        let guard = self.limit.guard(caller.user.email.as_str(), address);
        guard.check().await?;
        if self.tools.hasher.verify(current, &caller.user.password).await? == Verdict::Mismatch {
            guard.count_failure().await?;
            return Err(SessionError::WrongPassword);
        }
        guard.check().await?;
        let hash = self.tools.hasher.hash(new).await?;
        let now = self.tools.clock.now();
        transact!(self.tools.transactions, "sessions.change_password", |uow| {
            change_password_in(uow, caller, &hash, now).await
        })
    }

    fn begin_session(&self, user_id: UserId) -> Session {
        Session::begin(SessionId(self.tools.ids.next()), user_id, self.tools.clock.now(), self.policy.session)
    }

    fn signed_in(&self, session: &Session, user: User) -> Result<SignedIn, SessionError> {
        let issued_at = Timestamp::from_unix_micros(self.tools.clock.now().unix_seconds() * 1_000_000);
        let claims = Claims {
            user_id: user.id,
            session_id: session.id,
            token_id: self.tools.ids.next(),
            issued_at,
            expires_at: issued_at.plus(self.policy.access_ttl),
        };
        let mut content = session.id.0.as_bytes().to_vec();
        content.extend(session.generation.0.to_be_bytes());
        Ok(SignedIn {
            access_token: self.tools.tokens.issue(&claims)?,
            expires_in: self.policy.access_ttl,
            refresh_token: AccessToken::new(self.tools.sealer.seal(Purpose::RefreshToken, &content)),
            user,
        })
    }

    fn open_refresh_token(&self, token: &str) -> Option<(SessionId, Generation)> {
        let content = self.tools.sealer.open(Purpose::RefreshToken, token)?;
        let (id, generation) = content.split_at_checked(16)?;
        let generation = u32::from_be_bytes(generation.try_into().ok()?);
        Some((SessionId(Uuid::from_slice(id).ok()?), Generation(generation)))
    }
}

enum Refreshed {
    Yes(Box<(Session, User)>),
    Reused,
    No,
}

async fn register_in(uow: &mut dyn UnitOfWork, user: &User, session: &Session) -> Result<(), SessionError> {
    uow.users().insert(user).await?;
    Ok(uow.sessions().insert(session).await?)
}

/// Records the sign-in, if the account is still as it was when the password was checked.
async fn log_in_in(
    uow: &mut dyn UnitOfWork,
    checked: &User,
    session: &Session,
    stronger: Option<&PasswordHash>,
) -> Result<Option<User>, SessionError> {
    let Some(mut user) = uow.users().find(checked.id).await? else { return Ok(None) };
    if !user.is_active || has_another_password(&user, checked) {
        return Ok(None);
    }
    if let Some(hash) = stronger {
        uow.users().rehash(user.id, &checked.password, hash).await?;
    }
    uow.users().record_login(user.id, session.created_at).await?;
    uow.sessions().remove_expired(session.created_at).await?;
    uow.sessions().insert(session).await?;
    user.last_login = Some(session.created_at);
    Ok(Some(user))
}

async fn change_password_in(
    uow: &mut dyn UnitOfWork,
    caller: &Authenticated,
    hash: &PasswordHash,
    now: Timestamp,
) -> Result<(), SessionError> {
    let session = caller.principal.session_id;
    // Whoever was signed out, deactivated or removed since the call began has no session any more.
    let Some((_, stored)) = uow.sessions().find_with_user(session).await? else {
        return Err(SessionError::Unauthenticated);
    };
    // What was given as the current password no longer is.
    if has_another_password(&stored, &caller.user) {
        return Err(SessionError::WrongPassword);
    }
    let user = User { password: hash.clone(), updated_at: now, version: stored.version.next(), ..stored };
    uow.users().update(&user).await?;
    uow.sessions().remove_all(user.id, Some(session)).await?;
    Ok(())
}

/// Whether the password was changed since it was checked. Another hash at the same version is the same password, hashed
/// anew by a sign-in that came between.
fn has_another_password(stored: &User, checked: &User) -> bool {
    stored.password != checked.password && stored.version != checked.version
}
