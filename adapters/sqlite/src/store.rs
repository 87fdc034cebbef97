//! [`SqliteStore`]: one connection that writes, a few that read, all on one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use portwright_domain::ports::{
    CommitToken, Consistency, IdempotencyRepository, Outbox, ReadView, SessionQueries, SessionRepository,
    Store, UnitOfWork, UserQueries, UserRepository,
};
use portwright_domain::{ErrorKind, PortError};

use crate::config::SqliteConfig;
use crate::migrate;
use crate::open;
use crate::pool::{Pool, Pooled};
use crate::wal::Wal;

/// A file has one state, which every reader sees as soon as it is committed; so the proof of a commit says nothing but
/// whose it is.
const COMMIT_TOKEN: &str = "sqlite";

/// The store in one SQLite file.
///
/// A unit of work holds the only connection that writes, from its begin to its end: keep it short, and never begin one
/// while holding another, which would wait for itself until it gets `Contended`. Views neither wait for it nor delay it.
#[derive(Clone)]
pub struct SqliteStore {
    path: PathBuf,
    writer: Arc<Pool>,
    readers: Arc<Pool>,
    wal: Arc<Wal>,
}

impl SqliteStore {
    /// Opens the file, makes it if it is missing, checks it, and brings its tables up to date or makes sure that they
    /// are.
    ///
    /// # Errors
    /// `Misconfigured` if the file cannot be opened or written, or if its migrations are not this program's; `Corrupt`
    /// if it is damaged or no database; `Contended` if another process held it for too long. The file is left as it was.
    pub async fn init(config: &SqliteConfig) -> Result<Self, PortError> {
        let mut connection = open::first(config).await?;
        if config.migrate {
            migrate::apply(&mut connection, &migrate::MIGRATIONS).await?;
        } else {
            migrate::require_all(&mut connection).await?;
        }
        Ok(Self {
            writer: Pool::new(open::writer(&config.path), 1, config.wait, vec![connection]),
            readers: Pool::new(open::reader(&config.path), config.readers.max(1), config.wait, Vec::new()),
            wal: Arc::new(Wal::of(&config.path)),
            path: config.path.clone(),
        })
    }

    /// Waits for views and units of work to end, within the configured wait, and closes the file; whatever is asked of
    /// the store from now on is `Unavailable`. The last process to close it also folds the log into the file.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    pub(crate) async fn take_reader(&self, operation: &'static str) -> Result<Pooled, PortError> {
        self.readers.take(operation, ErrorKind::Unavailable).await
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn wal(&self) -> &Wal {
        &self.wal
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, consistency: Consistency) -> Result<Box<dyn ReadView>, PortError> {
        if let Consistency::After(token) = consistency
            && token.as_str() != COMMIT_TOKEN
        {
            return Err(PortError::new(
                ErrorKind::Unsupported,
                "store.read",
                "a commit token of another store",
            ));
        }
        Ok(Box::new(SqliteView(self.take_reader("store.read").await?)))
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, PortError> {
        let mut connection = self.writer.take("store.begin", ErrorKind::Contended).await?;
        if self.wal.is_large() {
            let answer = self.wal.truncate(connection.ask("store.begin")?).await;
            connection.heard("store.begin", answer)?;
        }
        // To take the write lock later would fail whenever somebody else has written in between.
        connection.begin("BEGIN IMMEDIATE").await?;
        Ok(Box::new(SqliteUnitOfWork(connection)))
    }
}

/// Each question is one statement, so it needs no transaction and sees the newest commit.
struct SqliteView(Pooled);

impl ReadView for SqliteView {
    fn users(&mut self) -> &mut dyn UserQueries {
        &mut self.0
    }

    fn sessions(&mut self) -> &mut dyn SessionQueries {
        &mut self.0
    }

    fn seen(&self) -> Option<CommitToken> {
        None
    }
}

struct SqliteUnitOfWork(Pooled);

#[async_trait]
impl UnitOfWork for SqliteUnitOfWork {
    fn users(&mut self) -> &mut dyn UserRepository {
        &mut self.0
    }

    fn sessions(&mut self) -> &mut dyn SessionRepository {
        &mut self.0
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepository {
        &mut self.0
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        &mut self.0
    }

    async fn commit(mut self: Box<Self>) -> Result<CommitToken, PortError> {
        self.0.commit().await?;
        Ok(CommitToken::new(COMMIT_TOKEN.to_owned()))
    }

    async fn rollback(self: Box<Self>) -> Result<(), PortError> {
        self.0.rollback().await
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use portwright_domain::job::NewJob;
    use portwright_testkit::builders::{JobBuilder, a_job, a_user, users};

    use super::*;

    async fn store_in(folder: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::init(&SqliteConfig::at(folder.path().join("test.db"))).await.expect("a store")
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_and_recovers() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_in(&folder).await;
        // SQLite reports this limit as it reports a full disk. It belongs to the connection.
        let mut writer = store.writer.take("test", ErrorKind::Contended).await.expect("the writer");
        let limit =
            sqlx::query("PRAGMA max_page_count = 60").execute(writer.ask("test").expect("usable")).await;
        writer.heard("test", limit).expect("a limit");
        drop(writer);

        let large = |n| JobBuilder::number(n).with_payload(vec![7; NewJob::MAX_PAYLOAD]).build();
        let mut unit = store.begin().await.expect("begin works");
        unit.users().insert(&a_user().build()).await.expect("there is room for this");
        let full = unit.outbox().enqueue(&large(1)).await.expect_err("the disk is full");
        assert_eq!((full.kind(), full.detail()), (ErrorKind::Unavailable, "the disk is full"));
        let after = unit.users().remove(a_user().build().id).await.expect_err("no half transactions");
        assert_eq!(after.kind(), ErrorKind::Unavailable);
        assert_eq!(unit.commit().await.expect_err("no half transactions").kind(), ErrorKind::Unavailable);

        let mut unit = store.begin().await.expect("begin works");
        assert_eq!(unit.users().find(a_user().build().id).await.expect("find works"), None);
        unit.outbox().enqueue(&large(2)).await.expect("there is room again");
        unit.commit().await.expect("commit works");
    }

    #[tokio::test]
    async fn a_unit_of_work_with_an_abandoned_statement_does_not_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_in(&folder).await;
        let mut unit = store.begin().await.expect("begin works");
        unit.outbox().enqueue(&a_job().build()).await.expect("enqueue works");
        // The driver works on another thread; now and then it is so fast that there is nothing to abandon.
        let mut context = Context::from_waker(Waker::noop());
        let user = users(1_000).into_iter().find(|user| {
            let mut insert = unit.users().insert(user);
            insert.as_mut().poll(&mut context).is_pending()
        });
        let user = user.expect("one that was abandoned");
        assert_eq!(unit.commit().await.expect_err("who knows what happened").kind(), ErrorKind::Unavailable);

        let mut unit = store.begin().await.expect("begin works");
        assert_eq!(unit.users().find(user.id).await.expect("find works"), None);
        assert_eq!(unit.outbox().pending(1).await.expect("pending works"), []);
    }

    #[tokio::test]
    async fn a_view_is_answered_while_a_unit_of_work_is_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_in(&folder).await;
        let mut unit = store.begin().await.expect("begin works");
        unit.users().insert(&a_user().build()).await.expect("insert works");
        let mut view = store.read(Consistency::Eventual).await.expect("read works");
        assert_eq!(view.users().find(a_user().build().id).await.expect("find works"), None);
    }

    #[tokio::test]
    async fn waiting_for_the_writer_ends_contended_and_for_a_reader_unavailable() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = SqliteConfig {
            readers: 1,
            wait: std::time::Duration::from_millis(20),
            ..SqliteConfig::at(folder.path().join("test.db"))
        };
        let store = SqliteStore::init(&config).await.expect("a store");
        let _unit = store.begin().await.expect("begin works");
        assert_eq!(store.begin().await.err().map(|error| error.kind()), Some(ErrorKind::Contended));
        let _view = store.read(Consistency::Strong).await.expect("read works");
        let refused = store.read(Consistency::Strong).await.err();
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Unavailable));
    }

    #[tokio::test]
    async fn a_closed_store_has_folded_its_log_and_answers_nothing_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_in(&folder).await;
        let mut unit = store.begin().await.expect("begin works");
        unit.users().insert(&a_user().build()).await.expect("insert works");
        unit.commit().await.expect("commit works");
        assert!(store.wal.size() > 0);

        store.close().await;
        assert_eq!(store.wal.size(), 0);
        assert_eq!(store.begin().await.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
        let refused = store.read(Consistency::Strong).await.err();
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Unavailable));
    }
}
