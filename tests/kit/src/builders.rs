//! Complete things with as few words as a test has to say: `a_user().with_role(Role::Admin).build()`.
//!
//! Every builder takes its identity and its unique fields from one number, so that two things with different numbers
//! never collide: `users(10)` are ten different users, and the user of number 3 is the same in every run.

use std::time::Duration;

use bytes::Bytes;
use portwright_domain::Timestamp;
use portwright_domain::access::Role;
use portwright_domain::job::{Backoff, JobId, NewJob, Priority, QueueName, TaskName, UniqueKey};
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::user::{Email, PasswordHash, PersonName, User, UserId, Version};
use uuid::{Builder, Uuid};

use crate::clock::ManualClock;

/// User number 1: active, of role [`Role::User`], created at [`ManualClock::START`].
pub fn a_user() -> UserBuilder {
    UserBuilder::number(1)
}

/// Users number 1 to `count`, each created a second after the one before.
#[must_use]
pub fn users(count: u32) -> Vec<User> {
    (1..=count)
        .map(|number| {
            let later = Duration::from_secs(u64::from(number) - 1);
            UserBuilder::number(number).created_at(ManualClock::START.plus(later)).build()
        })
        .collect()
}

/// A session of `user` that began at [`ManualClock::START`] and lasts a day.
pub fn a_session_of(user: &User) -> SessionBuilder {
    SessionBuilder::number(1, user)
}

/// Job number 1: of task `test.echo` in queue `default`, to be run at once, three attempts without a wait.
pub fn a_job() -> JobBuilder {
    JobBuilder::number(1)
}

/// Jobs number 1 to `count`.
#[must_use]
pub fn jobs(count: u32) -> Vec<NewJob> {
    (1..=count).map(|number| JobBuilder::number(number).build()).collect()
}

/// A UUID of version 7 for a thing of this kind and number.
fn id(kind: u8, number: u32) -> Uuid {
    let millis = u64::try_from(ManualClock::START.unix_micros() / 1_000).unwrap_or(0);
    let mut random = [0; 10];
    random[5] = kind;
    random[6..].copy_from_slice(&number.to_be_bytes());
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Makes a [`User`].
#[derive(Debug, Clone)]
#[must_use]
pub struct UserBuilder(User);

impl UserBuilder {
    /// The user of this number, at `user<number>@example.com`.
    pub fn number(number: u32) -> Self {
        Self(User {
            id: UserId(id(1, number)),
            email: email(&format!("user{number}@example.com")),
            first_name: name("Ada"),
            last_name: name("Lovelace"),
            role: Role::User,
            is_active: true,
            is_email_verified: false,
            password: PasswordHash::new("$test$not-a-hash".to_owned()),
            avatar: None,
            avatar_upload: None,
            last_login: None,
            created_at: ManualClock::START,
            updated_at: ManualClock::START,
            version: Version::FIRST,
        })
    }

    /// Has this identity.
    pub fn with_id(mut self, id: UserId) -> Self {
        self.0.id = id;
        self
    }

    /// Is at this address. Panics if it is none.
    pub fn with_email(mut self, text: &str) -> Self {
        self.0.email = email(text);
        self
    }

    /// Has these names. Panics if one is none.
    pub fn named(mut self, first: &str, last: &str) -> Self {
        self.0.first_name = name(first);
        self.0.last_name = name(last);
        self
    }

    /// Has this role.
    pub fn with_role(mut self, role: Role) -> Self {
        self.0.role = role;
        self
    }

    /// Cannot sign in.
    pub fn inactive(mut self) -> Self {
        self.0.is_active = false;
        self
    }

    /// Has proved the address.
    pub fn verified(mut self) -> Self {
        self.0.is_email_verified = true;
        self
    }

    /// Has this password hash.
    pub fn with_password(mut self, hash: PasswordHash) -> Self {
        self.0.password = hash;
        self
    }

    /// Signed in last at this moment.
    pub fn last_seen(mut self, at: Timestamp) -> Self {
        self.0.last_login = Some(at);
        self
    }

    /// Was created, and changed last, at this moment.
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.0.created_at = at;
        self.0.updated_at = at;
        self
    }

    /// Changed last at this moment.
    pub fn updated_at(mut self, at: Timestamp) -> Self {
        self.0.updated_at = at;
        self
    }

    /// Stands at this version.
    pub fn at_version(mut self, version: Version) -> Self {
        self.0.version = version;
        self
    }

    /// The user.
    #[must_use]
    pub fn build(self) -> User {
        self.0
    }
}

/// Makes a [`Session`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SessionBuilder(Session);

impl SessionBuilder {
    /// The session of this number.
    pub fn number(number: u32, user: &User) -> Self {
        Self(Session {
            id: SessionId(id(2, number)),
            user_id: user.id,
            generation: Generation::FIRST,
            created_at: ManualClock::START,
            expires_at: ManualClock::START.plus(Duration::from_hours(24)),
        })
    }

    /// Has this identity.
    pub fn with_id(mut self, id: SessionId) -> Self {
        self.0.id = id;
        self
    }

    /// Stands at this generation.
    pub fn at_generation(mut self, generation: Generation) -> Self {
        self.0.generation = generation;
        self
    }

    /// Ends at this moment.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.0.expires_at = at;
        self
    }

    /// The session.
    #[must_use]
    pub fn build(self) -> Session {
        self.0
    }
}

/// Makes a [`NewJob`].
#[derive(Debug, Clone)]
#[must_use]
pub struct JobBuilder(NewJob);

impl JobBuilder {
    /// The job of this number, which is its payload, too.
    pub fn number(number: u32) -> Self {
        Self(NewJob {
            id: JobId(id(3, number)),
            task: task("test.echo"),
            version: 1,
            queue: queue("default"),
            priority: Priority::default(),
            payload: Bytes::from(number.to_string()),
            max_attempts: 3,
            backoff: Backoff::Fixed(Duration::ZERO),
            timeout: Duration::from_mins(1),
            scheduled_for: None,
            unique: None,
            created_by: None,
            trace: None,
        })
    }

    /// Has this identity.
    pub fn with_id(mut self, id: JobId) -> Self {
        self.0.id = id;
        self
    }

    /// Is of this task. Panics if it is no name.
    pub fn of_task(mut self, name: &str) -> Self {
        self.0.task = task(name);
        self
    }

    /// Has a payload of this version.
    pub fn at_version(mut self, version: u32) -> Self {
        self.0.version = version;
        self
    }

    /// Waits in this queue. Panics if it is no name.
    pub fn in_queue(mut self, name: &str) -> Self {
        self.0.queue = queue(name);
        self
    }

    /// Has this priority, from 0 to 15. Panics if it is out of these bounds.
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.0.priority = Priority::parse(priority).unwrap_or_else(|refusal| panic!("{priority}: {refusal}"));
        self
    }

    /// Has this payload.
    pub fn with_payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.0.payload = payload.into();
        self
    }

    /// May start this often.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.max_attempts = attempts;
        self
    }

    /// Waits like this between tries.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.0.backoff = backoff;
        self
    }

    /// May take this long.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Waits for this moment.
    pub fn scheduled_for(mut self, at: Timestamp) -> Self {
        self.0.scheduled_for = Some(at);
        self
    }

    /// Holds this unique key. Panics if it is no name.
    pub fn unique_by(mut self, key: &str) -> Self {
        let key = UniqueKey::parse(key).unwrap_or_else(|refusal| panic!("{key}: {refusal}"));
        self.0.unique = Some(key);
        self
    }

    /// Was asked for by this user.
    pub fn created_by(mut self, user: UserId) -> Self {
        self.0.created_by = Some(user);
        self
    }

    /// Belongs to the request of this `traceparent`.
    pub fn with_trace(mut self, trace: &str) -> Self {
        self.0.trace = Some(trace.to_owned());
        self
    }

    /// The job.
    #[must_use]
    pub fn build(self) -> NewJob {
        self.0
    }
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

fn name(text: &str) -> PersonName {
    PersonName::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

fn task(text: &str) -> TaskName {
    TaskName::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

fn queue(text: &str) -> QueueName {
    QueueName::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_of_different_kinds_or_numbers_never_collide() {
        let all = users(3);
        assert_eq!(all[0], a_user().build());
        assert_ne!(all[0].id, all[1].id);
        assert_ne!(all[0].email, all[1].email);
        assert_ne!(a_session_of(&all[0]).build().id.0, all[0].id.0);
        assert_ne!(jobs(2)[1].id, a_job().build().id);
        assert_eq!(all[0].id.0.get_version_num(), 7);
    }
}
