//! Sessions in memory.

use async_trait::async_trait;
use portwright_domain::PortError;
use portwright_domain::Timestamp;
use portwright_domain::ports::{SessionQueries, SessionRepository};
use portwright_domain::session::{Generation, Session, SessionId};
use portwright_domain::user::{User, UserId};

use crate::store::{Rows, SWEEP};

#[async_trait]
impl SessionQueries for Rows {
    async fn find_with_user(&mut self, id: SessionId) -> Result<Option<(Session, User)>, PortError> {
        let tables = self.get();
        let session = tables.sessions.get(&id);
        let found = session.and_then(|session| Some((session, tables.users.get(&session.user_id)?)));
        Ok(found.map(|(session, user)| (session.clone(), User::clone(user))))
    }
}

#[async_trait]
impl SessionRepository for Rows {
    async fn insert(&mut self, session: &Session) -> Result<(), PortError> {
        const OPERATION: &str = "sessions.insert";
        let tables = self.get();
        if !tables.users.contains_key(&session.user_id) {
            return Err(PortError::conflict(OPERATION, "sessions.user"));
        }
        if tables.sessions.contains_key(&session.id) {
            return Err(PortError::conflict(OPERATION, "sessions.id"));
        }
        self.change().sessions.insert(session.id, session.clone());
        Ok(())
    }

    async fn rotate(&mut self, session: &Session, from: Generation) -> Result<bool, PortError> {
        let stored = self.change().sessions.get_mut(&session.id).filter(|stored| stored.generation == from);
        let Some(stored) = stored else {
            return Ok(false);
        };
        stored.generation = session.generation;
        stored.expires_at = session.expires_at;
        Ok(true)
    }

    async fn remove(&mut self, id: SessionId) -> Result<bool, PortError> {
        Ok(self.change().sessions.remove(&id).is_some())
    }

    async fn remove_all(&mut self, user: UserId, keep: Option<SessionId>) -> Result<u64, PortError> {
        let sessions = &mut self.change().sessions;
        let before = sessions.len();
        sessions.retain(|id, session| session.user_id != user || Some(*id) == keep);
        Ok((before - sessions.len()) as u64)
    }

    async fn remove_expired(&mut self, now: Timestamp) -> Result<u64, PortError> {
        let sessions = &mut self.change().sessions;
        Ok(sessions.extract_if(.., |_, session| session.has_expired(now)).take(SWEEP).count() as u64)
    }
}
