//! Reading at least as fresh as a caller asks.

use portwright_domain::ports::{CommitToken, Consistency, ReadView, Store};
use portwright_domain::{ErrorKind, PortError};

/// What a read showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// What was there.
    pub value: T,
    /// A later read that gives it back never sees an older state. `None` if none does anyway.
    pub token: Option<CommitToken>,
}

impl<T> Seen<T> {
    /// What this view has shown last.
    pub(crate) fn through(view: &dyn ReadView, value: T) -> Self {
        Self { value, token: view.seen() }
    }
}

/// Opens a view. A token that this store did not make (the service moved to another store since) is met by the newest
/// state, which no earlier commit can be newer than.
pub(crate) async fn view(
    store: &dyn Store,
    consistency: Consistency,
) -> Result<Box<dyn ReadView>, PortError> {
    match store.read(consistency).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => store.read(Consistency::Strong).await,
        answer => answer,
    }
}
