//! Reading at least as fresh as a caller asks.

use portwright_domain::ports::{Consistency, ReadView, Seen, Store};
use portwright_domain::session::{Session, SessionId};
use portwright_domain::user::{User, UserId};
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

/// One user, with the same care for tokens.
pub(crate) async fn user(
    store: &dyn Store,
    id: UserId,
    consistency: Consistency,
) -> Result<Seen<Option<User>>, PortError> {
    match store.user(id, consistency).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => store.user(id, Consistency::Strong).await,
        answer => answer,
    }
}

/// A session and whose it is, in the newest state: what has ended counts no more.
///
/// Where nobody knows the newest state, nobody can end a session either, and who has one may go on reading what others
/// know. If they do not know the session, it may be newer than what they know. Whatever is changed is changed in the
/// newest state, and waits for it.
pub(crate) async fn session(store: &dyn Store, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
    match store.session(id).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let known = store.read(Consistency::Eventual).await?.sessions().find_with_user(id).await?;
            known.map(Some).ok_or(error)
        }
        answer => answer,
    }
}
