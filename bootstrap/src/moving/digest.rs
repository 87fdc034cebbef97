//! [`Tally`]: how much there is of something, and a digest of all of it, which does not depend on who keeps it.

use std::fmt::Write;

use portwright_domain::Timestamp;
use portwright_domain::idempotency::{IdempotencyRecord, Progress};
use portwright_domain::job::NewJob;
use portwright_domain::session::Session;
use portwright_domain::user::User;
use ring::digest::{Context, SHA256};

use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// How much there is of one kind, and its digest.
#[derive(Clone)]
pub(crate) struct Tally {
    /// What is counted, in the plural.
    pub(crate) name: &'static str,
    /// How many.
    pub(crate) count: u64,
    /// What became of it, where that is not to be carried.
    pub(crate) note: Option<String>,
    digest: Context,
}

impl Tally {
    pub(super) fn of(name: &'static str) -> Self {
        Self { name, count: 0, note: None, digest: Context::new(&SHA256) }
    }

    /// Counts one more.
    pub(super) fn add(&mut self, one: &impl Countable) {
        self.count += 1;
        one.feed(&mut Fields(&mut self.digest));
    }

    /// The SHA-256 digest of everything that was counted, in its order.
    pub(crate) fn digest(&self) -> String {
        let digest = self.digest.clone().finish();
        digest.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Makes sure that this is what was read back.
    ///
    /// # Errors
    /// `Failed`, saying what differs.
    pub(super) fn require(&self, read_back: &Self) -> Result<(), Failure> {
        let (name, there, here) = (self.name, read_back.count, self.count);
        let what = if there != here {
            format!("{there} {name} are there, and {here} were carried")
        } else if self.digest() != read_back.digest() {
            format!("the {here} {name} that are there are not those that were carried")
        } else {
            return Ok(());
        };
        let fix =
            "the source is as it was: empty the target, and begin again; nothing may write to it meanwhile";
        Err(Failure::new(Exit::Failed, Problem::new(what).fix(fix)))
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally").field("name", &self.name).field("count", &self.count).finish_non_exhaustive()
    }
}

/// Something whose every field counts.
pub(super) trait Countable {
    fn feed(&self, fields: &mut Fields<'_>);
}

/// Takes fields one after the other, each with its length, so that no two lists of fields are alike.
pub(super) struct Fields<'a>(&'a mut Context);

impl Fields<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(bytes);
    }

    pub(super) fn number(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    fn maybe<T>(&mut self, value: Option<T>, feed: impl FnOnce(&mut Self, T)) {
        self.number(i64::from(value.is_some()));
        if let Some(value) = value {
            feed(self, value);
        }
    }
}

impl Countable for User {
    fn feed(&self, to: &mut Fields<'_>) {
        to.bytes(self.id.0.as_bytes());
        for text in
            [self.email.as_str(), self.first_name.as_str(), self.last_name.as_str(), self.role.as_str()]
        {
            to.bytes(text.as_bytes());
        }
        to.bytes(self.password.expose().as_bytes());
        to.number(i64::from(self.is_active));
        to.number(i64::from(self.is_email_verified));
        to.maybe(self.avatar, |to, avatar| {
            to.bytes(avatar.id.0.as_bytes());
            to.bytes(avatar.kind.media_type().as_bytes());
        });
        to.maybe(self.avatar_upload, |to, upload| to.bytes(upload.0.as_bytes()));
        to.maybe(self.last_login.map(Timestamp::unix_micros), Fields::number);
        to.number(self.created_at.unix_micros());
        to.number(self.updated_at.unix_micros());
        to.number(self.version.0.into());
    }
}

impl Countable for Session {
    fn feed(&self, to: &mut Fields<'_>) {
        to.bytes(self.id.0.as_bytes());
        to.bytes(self.user_id.0.as_bytes());
        to.number(self.generation.0.into());
        to.number(self.created_at.unix_micros());
        to.number(self.expires_at.unix_micros());
    }
}

impl Countable for IdempotencyRecord {
    fn feed(&self, to: &mut Fields<'_>) {
        to.bytes(self.key.scope.as_bytes());
        to.bytes(self.key.key.as_bytes());
        to.bytes(&self.fingerprint.0);
        to.number(self.begun_at.unix_micros());
        to.number(self.expires_at.unix_micros());
        match &self.progress {
            Progress::Running => to.number(0),
            Progress::Withheld => to.number(1),
            Progress::Answered(answer) => {
                to.number(2);
                to.number(answer.status.into());
                for (name, value) in &answer.headers {
                    to.bytes(name.as_bytes());
                    to.bytes(value.as_bytes());
                }
                to.bytes(&answer.body);
            }
        }
    }
}

impl Countable for NewJob {
    fn feed(&self, to: &mut Fields<'_>) {
        // Every field of it is in its JSON, in one order.
        to.bytes(serde_json::json!(self).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use portwright_testkit::builders::{a_job, a_session_of, a_user, users};

    use super::*;

    fn tally(all: &[impl Countable]) -> Tally {
        let mut tally = Tally::of("things");
        for one in all {
            tally.add(one);
        }
        tally
    }

    #[test]
    fn what_is_the_same_has_the_same_digest_and_anything_else_another() {
        let before = users(3);
        tally(&before).require(&tally(&before)).expect("the same");
        let mut changed = before.clone();
        changed[1].version = changed[1].version.next();
        let failure = tally(&before).require(&tally(&changed)).expect_err("changed");
        assert_eq!(failure.exit(), Exit::Failed);
        assert!(failure.to_string().contains("are not those that were carried"), "{failure}");
        let failure = tally(&before).require(&tally(&before[1..])).expect_err("fewer");
        assert!(failure.to_string().contains("2 things are there, and 3 were carried"), "{failure}");
        let mut swapped = before.clone();
        swapped.swap(0, 1);
        tally(&before).require(&tally(&swapped)).expect_err("the order counts");
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let names = |first, last| tally(&[a_user().named(first, last).build()]).digest();
        assert_ne!(names("Ann", "Abel"), names("AnnA", "bel"));
        assert_ne!(
            tally(&[a_session_of(&a_user().build()).build()]).digest(),
            tally(&[a_job().build()]).digest()
        );
    }
}
