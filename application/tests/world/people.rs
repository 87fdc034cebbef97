//! Who lives in the world, and what they do.

use portwright_application::sessions::{Authenticated, Registration};
use portwright_application::users::{NewUser, UserChange};
use portwright_application::{Committed, SessionError, SignedIn, UserError};
use portwright_domain::access::{Principal, Role};
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{Consistency, PasswordHasher, UnitOfWork};
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{Email, PasswordHash, PersonName, User, UserId};
use portwright_memory::PlainHasher;

use super::World;

/// The password of everybody who did not choose another.
pub(crate) const PASSWORD: &str = "tango-velvet-harbor-91";
/// Where everybody is who does not say.
pub(crate) const ADDRESS: &str = "203.0.113.7";

/// Somebody who is signed in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) caller: Authenticated,
    pub(crate) tokens: SignedIn,
}

impl Person {
    pub(crate) fn id(&self) -> UserId {
        self.caller.user.id
    }

    pub(crate) fn principal(&self) -> Principal {
        self.caller.principal
    }

    pub(crate) fn access_token(&self) -> &str {
        self.tokens.access_token.expose()
    }

    pub(crate) fn refresh_token(&self) -> &str {
        self.tokens.refresh_token.expose()
    }
}

pub(crate) fn email(text: &str) -> Email {
    Email::parse(text).expect("an address")
}

/// `ada` lives at `ada@example.com`.
pub(crate) fn email_of(name: &str) -> Email {
    email(&format!("{name}@example.com"))
}

pub(crate) fn name(text: &str) -> PersonName {
    PersonName::parse(text).expect("a name")
}

pub(crate) fn typed(password: &str) -> Password {
    Password::typed(password).expect("a password")
}

pub(crate) fn chosen(password: &str) -> NewPassword {
    NewPassword::parse(password).expect("a good password")
}

/// What an admin knows of somebody before they are a user.
pub(crate) fn newcomer(name_of: &str, role: Role) -> NewUser {
    NewUser {
        email: email_of(name_of),
        password: chosen(PASSWORD),
        first_name: name(name_of),
        last_name: name("Lovelace"),
        role,
        is_active: true,
    }
}

/// What somebody at this address sends who registers.
pub(crate) fn registration(address: &str) -> Registration {
    Registration {
        email: email(address),
        password: chosen(PASSWORD),
        first_name: name("Ada"),
        last_name: name("Lovelace"),
    }
}

impl World {
    /// A user who has never signed in.
    pub(crate) async fn user(&self, name: &str, role: Role) -> User {
        self.services.operators.create(newcomer(name, role)).await.expect("creating works")
    }

    /// A user who is signed in.
    pub(crate) async fn person(&self, name: &str, role: Role) -> Person {
        self.user(name, role).await;
        self.sign_in(name).await
    }

    /// Signs in with [`PASSWORD`].
    pub(crate) async fn sign_in(&self, name: &str) -> Person {
        let tokens = self.try_sign_in(name, PASSWORD).await.expect("signing in works").value;
        self.person_with(tokens).await
    }

    pub(crate) async fn person_with(&self, tokens: SignedIn) -> Person {
        let caller = self.authenticate(tokens.access_token.expose()).await.expect("the token is valid");
        Person { caller, tokens }
    }

    pub(crate) async fn try_sign_in(
        &self,
        name: &str,
        password: &str,
    ) -> Result<Committed<SignedIn>, SessionError> {
        self.try_sign_in_from(ADDRESS, name, password).await
    }

    pub(crate) async fn try_sign_in_from(
        &self,
        address: &str,
        name: &str,
        password: &str,
    ) -> Result<Committed<SignedIn>, SessionError> {
        let email = format!("{name}@example.com");
        self.services.sessions.log_in(&email, &typed(password), address).await
    }

    pub(crate) async fn authenticate(&self, access_token: &str) -> Result<Authenticated, SessionError> {
        self.services.sessions.authenticate(access_token).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Committed<SignedIn>, SessionError> {
        self.services.sessions.refresh(refresh_token).await
    }

    /// Whether the session of these tokens goes on: asks with the access token, which leaves the session as it is.
    pub(crate) async fn is_signed_in(&self, person: &Person) -> bool {
        self.session_of(person).await.is_some() && self.authenticate(person.access_token()).await.is_ok()
    }

    /// Panics unless both tokens are refused.
    pub(crate) async fn assert_signed_out(&self, person: &Person) {
        let access = self.authenticate(person.access_token()).await;
        assert!(matches!(access, Err(SessionError::Unauthenticated)), "{access:?}");
        let refreshed = self.refresh(person.refresh_token()).await;
        assert!(matches!(refreshed, Err(SessionError::Unauthenticated)), "{refreshed:?}");
    }

    pub(crate) async fn session_of(&self, person: &Person) -> Option<Session> {
        self.stored_session(person.principal().session_id).await
    }

    pub(crate) async fn stored_session(&self, id: SessionId) -> Option<Session> {
        let mut view = self.store.read(Consistency::Strong).await.expect("reading works");
        view.sessions().find_with_user(id).await.expect("finding works").map(|(session, _)| session)
    }

    pub(crate) async fn stored_user(&self, id: UserId) -> Option<User> {
        let mut view = self.store.read(Consistency::Strong).await.expect("reading works");
        view.users().find(id).await.expect("finding works")
    }

    /// Gives a user a hash of the same password from before the parameters were raised.
    pub(crate) async fn outdate_hash(&self, id: UserId) -> PasswordHash {
        let hash = PlainHasher::outdated().hash(&chosen(PASSWORD)).await.expect("hashing works");
        let user = self.stored_user(id).await.expect("the user is there");
        let mut unit = self.unit().await;
        unit.users().rehash(id, &user.password, &hash).await.expect("rehashing works");
        unit.commit().await.expect("committing works");
        hash
    }

    /// What another process does, past the use cases.
    pub(crate) async fn unit(&self) -> Box<dyn UnitOfWork> {
        self.store.begin().await.expect("beginning works")
    }

    /// What an admin changes.
    pub(crate) async fn change_by(
        &self,
        admin: &Person,
        id: UserId,
        change: UserChange,
    ) -> Result<User, UserError> {
        let changed = self.services.users.change(admin.principal(), id, change, None).await;
        changed.map(|committed| committed.value)
    }
}
