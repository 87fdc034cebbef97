//! Reading at least as fresh as a caller asks.

use portwright_domain::ports::{Consistency, ReadView, Store};
use portwright_domain::{ErrorKind, PortError};

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
