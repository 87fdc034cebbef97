//! [`Pages`]: the file of an export, page by page, as the storage asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use portwright_domain::job::Progress;
use portwright_domain::page::{Direction, Limit, PageRequest, Position, Rest};
use portwright_domain::ports::{Consistency, ObjectBody, Store};
use portwright_domain::user::{UserFilter, UserSort};
use portwright_domain::{ErrorKind, PortError};

use super::ExportFormat;
use crate::compute::TaskContext;

/// Where the walk stands.
enum Walk {
    /// Nothing is written.
    Begins,
    /// It goes on behind this row.
    Behind(Position),
    /// Everybody is written.
    Ended,
}

/// Walks over users in the order of their creation, with a view of its own for each page, so that none is open for long.
pub(super) struct Pages {
    store: Arc<dyn Store>,
    filter: UserFilter,
    format: ExportFormat,
    context: TaskContext,
    total: u64,
    /// How many users are written.
    rows: Arc<AtomicU64>,
    walk: Walk,
}

impl Pages {
    pub(super) const fn new(
        store: Arc<dyn Store>,
        filter: UserFilter,
        format: ExportFormat,
        context: TaskContext,
        total: u64,
        rows: Arc<AtomicU64>,
    ) -> Self {
        Self { store, filter, format, context, total, rows, walk: Walk::Begins }
    }
}

#[async_trait]
impl ObjectBody for Pages {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        if self.context.is_cancelled() {
            return Err(PortError::new(ErrorKind::Unavailable, "exports.write", "told to stop"));
        }
        let (mut text, after) = match std::mem::replace(&mut self.walk, Walk::Ended) {
            Walk::Begins => (self.format.header().to_owned(), None),
            Walk::Behind(position) => (String::new(), Some(position)),
            Walk::Ended => return Ok(None),
        };
        let page = PageRequest::Walk { after, limit: Limit::MAX };
        let mut view = self.store.read(Consistency::Strong).await?;
        let page = view.users().list(&self.filter, UserSort::CreatedAt, Direction::Ascending, &page).await?;
        drop(view);
        for user in &page.rows {
            self.format.write(user, &mut text);
        }
        let written = page.rows.len() as u64;
        let done = self.rows.fetch_add(written, Ordering::Relaxed) + written;
        if let Rest::Next(Some(position)) = page.rest {
            self.walk = Walk::Behind(position);
        }
        // Others come and go meanwhile.
        let total = if matches!(self.walk, Walk::Ended) { done } else { self.total.max(done) };
        self.context.report(Progress { done, total: Some(total), message: None });
        Ok(Some(text.into()))
    }
}
