//! [`Writer`]: one put.

use std::sync::Arc;

use opendal::raw::oio;
use opendal::{Buffer, Metadata};

use super::draft::Draft;
use super::on_a_thread;
use super::tree::Tree;

/// Writes a draft; closing publishes it, dropping or aborting discards it.
pub(crate) struct Writer {
    tree: Arc<Tree>,
    key: String,
    /// Made with the first byte, or at the end of a body that has none.
    draft: Option<Arc<Draft>>,
}

impl Writer {
    pub(crate) fn new(tree: Arc<Tree>, key: &str) -> Self {
        Self { tree, key: key.to_owned(), draft: None }
    }

    async fn draft(&mut self) -> opendal::Result<Arc<Draft>> {
        if let Some(draft) = &self.draft {
            return Ok(draft.clone());
        }
        let tree = self.tree.clone();
        let draft = Arc::new(on_a_thread(move || Draft::new(tree)).await?);
        self.draft = Some(draft.clone());
        Ok(draft)
    }
}

impl oio::Write for Writer {
    async fn write(&mut self, part: Buffer) -> opendal::Result<()> {
        let draft = self.draft().await?;
        on_a_thread(move || part.into_iter().try_for_each(|bytes| draft.write(&bytes))).await
    }

    async fn close(&mut self) -> opendal::Result<Metadata> {
        let (draft, key) = (self.draft().await?, self.key.clone());
        on_a_thread(move || draft.publish(&key)?.metadata()).await
    }

    async fn abort(&mut self) -> opendal::Result<()> {
        match self.draft.take() {
            None => Ok(()),
            Some(draft) => {
                draft.give_up();
                on_a_thread(move || {
                    drop(draft);
                    Ok(())
                })
                .await
            }
        }
    }
}

impl Drop for Writer {
    /// Removing a large file takes a moment, for which nothing else must wait.
    fn drop(&mut self) {
        let Some(draft) = self.draft.take() else { return };
        draft.give_up();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(draft))),
            Err(_) => drop(draft),
        }
    }
}
