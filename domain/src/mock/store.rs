//! The store and what its transactions hand out.

use async_trait::async_trait;
use mockall::mock;

use crate::error::PortError;
use crate::idempotency::{IdempotencyKey, IdempotencyRecord, Progress};
use crate::job::{JobId, NewJob};
use crate::page::{Direction, Page, PageRequest};
use crate::ports::{
    CommitToken, Consistency, IdempotencyRepository, Outbox, ReadView, SessionQueries, SessionRepository,
    Store, UnitOfWork, UserQueries, UserRepository,
};
use crate::session::{Generation, Session, SessionId};
use crate::time::Timestamp;
use crate::user::{Email, PasswordHash, User, UserFilter, UserId, UserSort};

mock! {
    /// A store.
    #[derive(Debug)]
    pub Store {}

    #[async_trait]
    impl Store for Store {
        async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError>;
        async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError>;
    }
}

mock! {
    /// A read-only view.
    #[derive(Debug)]
    pub ReadView {}

    impl ReadView for ReadView {
        fn users(&mut self) -> &mut dyn UserQueries;
        fn sessions(&mut self) -> &mut dyn SessionQueries;
        fn seen(&self) -> Option<CommitToken>;
    }
}

mock! {
    /// A read-write transaction.
    #[derive(Debug)]
    pub UnitOfWork {}

    #[async_trait]
    impl UnitOfWork for UnitOfWork {
        fn users(&mut self) -> &mut dyn UserRepository;
        fn sessions(&mut self) -> &mut dyn SessionRepository;
        fn idempotency(&mut self) -> &mut dyn IdempotencyRepository;
        fn outbox(&mut self) -> &mut dyn Outbox;
        async fn commit(self: Box<Self>) -> Result<CommitToken, PortError>;
        async fn rollback(self: Box<Self>) -> Result<(), PortError>;
    }
}

mock! {
    /// A reader of users.
    #[derive(Debug)]
    pub UserQueries {}

    #[async_trait]
    impl UserQueries for UserQueries {
        async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError>;
        async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError>;
        async fn list(
            &mut self,
            filter: &UserFilter,
            sort: UserSort,
            direction: Direction,
            page: &PageRequest,
        ) -> Result<Page<User>, PortError>;
    }
}

mock! {
    /// A writer of users.
    #[derive(Debug)]
    pub UserRepository {}

    #[async_trait]
    impl UserQueries for UserRepository {
        async fn find(&mut self, id: UserId) -> Result<Option<User>, PortError>;
        async fn find_by_email(&mut self, email: &Email) -> Result<Option<User>, PortError>;
        async fn list(
            &mut self,
            filter: &UserFilter,
            sort: UserSort,
            direction: Direction,
            page: &PageRequest,
        ) -> Result<Page<User>, PortError>;
    }

    #[async_trait]
    impl UserRepository for UserRepository {
        async fn insert(&mut self, user: &User) -> Result<(), PortError>;
        async fn update(&mut self, user: &User) -> Result<(), PortError>;
        async fn record_login(&mut self, id: UserId, at: Timestamp) -> Result<(), PortError>;
        async fn rehash(&mut self, id: UserId, from: &PasswordHash, to: &PasswordHash)
            -> Result<(), PortError>;
        async fn remove(&mut self, id: UserId) -> Result<bool, PortError>;
        async fn active_admins_besides(&mut self, id: UserId) -> Result<u64, PortError>;
    }
}

mock! {
    /// A reader of sessions.
    #[derive(Debug)]
    pub SessionQueries {}

    #[async_trait]
    impl SessionQueries for SessionQueries {
        async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError>;
    }
}

mock! {
    /// A writer of sessions.
    #[derive(Debug)]
    pub SessionRepository {}

    #[async_trait]
    impl SessionQueries for SessionRepository {
        async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError>;
    }

    #[async_trait]
    impl SessionRepository for SessionRepository {
        async fn insert(&mut self, session: &Session) -> Result<(), PortError>;
        async fn rotate(&mut self, session: &Session, from: Generation) -> Result<bool, PortError>;
        async fn remove(&mut self, id: SessionId) -> Result<bool, PortError>;
        async fn remove_all(&mut self, user: UserId, keep: Option<SessionId>) -> Result<u64, PortError>;
        async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError>;
    }
}

mock! {
    /// Idempotency keys.
    #[derive(Debug)]
    pub IdempotencyRepository {}

    #[async_trait]
    impl IdempotencyRepository for IdempotencyRepository {
        async fn find(&mut self, key: &IdempotencyKey) -> Result<Option<IdempotencyRecord>, PortError>;
        async fn insert(&mut self, record: &IdempotencyRecord) -> Result<(), PortError>;
        async fn update(
            &mut self,
            key: &IdempotencyKey,
            progress: &Progress,
            expires_at: Timestamp,
        ) -> Result<bool, PortError>;
        async fn remove(&mut self, key: &IdempotencyKey) -> Result<bool, PortError>;
        async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError>;
    }
}

mock! {
    /// An outbox.
    #[derive(Debug)]
    pub Outbox {}

    #[async_trait]
    impl Outbox for Outbox {
        async fn enqueue(&mut self, job: &NewJob) -> Result<(), PortError>;
        async fn pending(&mut self, max: u32) -> Result<Vec<NewJob>, PortError>;
        async fn hand_over(&mut self, jobs: &[JobId]) -> Result<(), PortError>;
        async fn handed_over(
            &mut self,
            after: Option<JobId>,
            max: u32,
        ) -> Result<Vec<NewJob>, PortError>;
        async fn remove(&mut self, jobs: &[JobId]) -> Result<(), PortError>;
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use uuid::Uuid;

    use super::*;
    use crate::error::ErrorKind;

    fn now<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("a mock answers at once"),
        }
    }

    #[test]
    fn a_unit_of_work_hands_out_mocks_and_fails_on_cue() {
        let mut store = MockStore::new();
        store.expect_begin().times(1).returning(|| {
            let mut users = MockUserRepository::new();
            users.expect_remove().returning(|_| Ok(true));
            let mut unit = MockUnitOfWork::new();
            unit.expect_users().return_var(Box::new(users));
            unit.expect_commit().returning(|| {
                Err(PortError::new(ErrorKind::Contended, "store.commit", "somebody was faster"))
            });
            Ok(Box::new(unit))
        });

        let store: &dyn Store = &store;
        let mut unit = now(store.begin()).expect("it begins");
        assert!(now(unit.users().remove(UserId(Uuid::nil()))).expect("it works"));
        assert_eq!(now(unit.commit()).expect_err("it fails").kind(), ErrorKind::Contended);
    }
}
