//! Questions within a view and a unit of work: each is bounded, and each counts.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::page::{Direction, Page, PageRequest};
use portwright_domain::ports::{
    CommitToken, Consistency, ReadView, SessionQueries, Store, UnitOfWork, Unobserved, UserQueries,
};
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{Email, User, UserFilter, UserId, UserSort};
use portwright_layers::{Layers, StorePolicy};
use portwright_memory::MemoryStore;
use portwright_testkit::builders::{a_session_of, a_user};

use crate::stage::{POLICY, is_late_after, is_refusal};

/// Opens views at once, whose questions it never answers.
struct Mute(MemoryStore);

#[async_trait]
impl Store for Mute {
    async fn read(&self, _: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        Ok(Box::new(MuteView))
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        self.0.begin().await
    }
}

struct MuteView;

impl ReadView for MuteView {
    fn users(&mut self) -> &mut dyn UserQueries {
        self
    }

    fn sessions(&mut self) -> &mut dyn SessionQueries {
        self
    }

    fn seen(&self) -> Option<CommitToken> {
        None
    }
}

#[async_trait]
impl UserQueries for MuteView {
    async fn find(&mut self, _: UserId) -> Result<Option<User>, PortError> {
        pending().await
    }

    async fn find_by_email(&mut self, _: &Email) -> Result<Option<User>, PortError> {
        pending().await
    }

    async fn list(
        &mut self,
        _: &UserFilter,
        _: UserSort,
        _: Direction,
        _: &PageRequest,
    ) -> Result<Page<User>, PortError> {
        pending().await
    }
}

#[async_trait]
impl SessionQueries for MuteView {
    async fn find_with_user(&mut self, _: SessionId) -> Result<Option<(Session, User)>, PortError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn look_ups_without_an_answer_are_late_and_open_the_breaker_of_their_freshness() {
    let layers = Layers::new(Arc::new(Unobserved));
    let question = POLICY.deadline * 3;
    let policy = StorePolicy { policy: POLICY, question, commit: question };
    let store = layers.store(Arc::new(Mute(MemoryStore::new())), policy);
    let user = a_user().build();
    let (session, user) = (a_session_of(&user).build().id, user.id);
    for _ in 0..POLICY.thresholds.calls {
        is_late_after(question, store.session(session)).await;
    }
    assert!(is_refusal(&store.session(session).await, "store.strong"));
    assert!(is_refusal(&store.user(user, Consistency::Strong).await, "store.strong"));
    for _ in 0..POLICY.thresholds.calls {
        is_late_after(question, store.user(user, Consistency::Eventual)).await;
    }
    assert!(is_refusal(&store.user(user, Consistency::Eventual).await, "store.reads"));
}

#[tokio::test(start_paused = true)]
async fn questions_without_an_answer_are_late_and_open_the_breaker_that_let_them_in() {
    let layers = Layers::new(Arc::new(Unobserved));
    let question = POLICY.deadline * 3;
    let policy = StorePolicy { policy: POLICY, question, commit: question };
    let store = layers.store(Arc::new(Mute(MemoryStore::new())), policy);
    let user = a_user().build();
    for _ in 0..5 {
        let mut view = store.read(Consistency::Strong).await.expect("it opens");
        is_late_after(question, view.users().find(user.id)).await;
    }
    assert!(is_refusal(&store.read(Consistency::Strong).await, "store.strong"));
    store.read(Consistency::Eventual).await.expect("other reads go on");
    let mut unit = store.begin().await.expect("writes go on");
    unit.users().insert(&user).await.expect("it inserts");
    unit.commit().await.expect("it commits");
}
