//! [`Pooled`]: a connection that never goes back dirty.
//!
//! The driver's own pool gives connections out again whose last statement was abandoned half-way, inside somebody
//! else's transaction, so ours takes back only what is known to be at rest: each statement stands between
//! [`Pooled::ask`] and [`Pooled::heard`], and whoever is dropped in between has spoiled the connection. It is closed,
//! by which the server rolls back.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Object;
use portwright_domain::{ErrorKind, PortError};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::error::{Trouble, port_error, trouble_of};
use crate::lsn::Place;
use crate::routing::{Freshness, Route, Routing};
use crate::seen::place_in;

/// Asks a question of a [`Pooled`], and asks it again where that can help: see [`Pooled::heard`].
macro_rules! asked {
    ($pooled:expr, $operation:expr, $connection:ident => $question:expr) => {
        loop {
            let within = $pooled.patience();
            let $connection = $pooled.ask($operation)?;
            let answer = $crate::pooled::bounded(within, $question).await;
            if let Some(answer) = $pooled.heard($operation, answer).await {
                break answer;
            }
        }
    };
}
pub(crate) use asked;

/// The answer to a statement, for as long as it may take: the server bounds it, but may be out of reach.
pub(crate) async fn bounded<T>(
    within: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(within, statement).await.unwrap_or_else(|_elapsed| {
        let slow = std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer");
        Err(sqlx::Error::Io(slow))
    })
}

/// A connection that belongs to one view or one unit of work.
pub(crate) struct Pooled {
    route: Option<Route>,
    routing: Arc<Routing>,
    trouble: Option<ErrorKind>,
    in_transaction: bool,
    /// How fresh another server must be that is asked instead; `None` if no other may be.
    elsewhere: Option<Freshness>,
    /// Covers everything that was shown.
    seen: Option<Place>,
}

impl Pooled {
    /// For questions that change nothing and stand alone, so that another server can answer them as well.
    pub(crate) const fn view(route: Route, wanted: Freshness, routing: Arc<Routing>) -> Self {
        let elsewhere = Some(wanted);
        Self { route: Some(route), routing, trouble: None, in_transaction: false, elsewhere, seen: None }
    }

    /// For a transaction, which lives and dies with its connection.
    pub(crate) const fn unit(route: Route, routing: Arc<Routing>) -> Self {
        Self {
            route: Some(route),
            routing,
            trouble: None,
            in_transaction: false,
            elsewhere: None,
            seen: None,
        }
    }

    /// How long to wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.routing.patience()
    }

    /// The connection, for one statement.
    pub(crate) fn ask(&mut self, operation: &'static str) -> Result<&mut PgConnection, PortError> {
        let abandoned = ErrorKind::Unavailable;
        match (self.trouble.replace(abandoned), &mut self.route) {
            (None, Some(route)) => Ok(&mut route.connection),
            (trouble, _) => {
                let kind = trouble.unwrap_or(abandoned);
                self.trouble = Some(kind);
                Err(PortError::new(kind, operation, "an earlier statement failed or was abandoned"))
            }
        }
    }

    /// The answer of that statement. `None`: a view found its server gone, or its replica in a conflict with what it
    /// replays, and is to be asked again, of somebody else. Any error ends a transaction.
    pub(crate) async fn heard<T>(
        &mut self,
        operation: &'static str,
        answer: Result<T, sqlx::Error>,
    ) -> Option<Result<T, PortError>> {
        let error = match answer {
            Ok(answer) => {
                self.trouble = None;
                return Some(Ok(answer));
            }
            Err(error) => error,
        };
        let server_is_gone = trouble_of(&error) == Trouble::Server;
        if let Some(route) = &self.route
            && server_is_gone
        {
            self.routing.doubt(route.server);
        }
        let error = port_error(operation, error);
        self.trouble = Some(error.kind());
        let is_worth_it = server_is_gone || error.kind() == ErrorKind::Contended;
        if let Some(wanted) = self.elsewhere.take().filter(|_| is_worth_it) {
            self.discard();
            if let Ok(route) = self.routing.instead(operation, wanted).await {
                (self.route, self.trouble) = (Some(route), None);
                return None;
            }
        }
        Some(Err(error))
    }

    /// Notes the place that came along with an answer in its column `place`; see [`crate::seen`].
    pub(crate) fn saw(&mut self, operation: &'static str, row: &PgRow) -> Result<(), PortError> {
        let answer = row.try_get::<&str, _>("place").map_err(|error| port_error(operation, error))?;
        let timeline = self.route.as_ref().map_or(0, |route| self.routing.followed_by(route.server));
        let nowhere =
            || PortError::new(ErrorKind::Corrupt, operation, "the server does not say where its log is");
        let place = place_in(answer, timeline).ok_or_else(nowhere)?;
        self.seen = Some(self.seen.map_or(place, |seen| seen.or_further(place)));
        Ok(())
    }

    /// A place that covers everything it has shown; `None` while that is nothing.
    pub(crate) const fn seen(&self) -> Option<Place> {
        self.seen
    }

    /// A transaction is open from now on.
    pub(crate) const fn begun(&mut self) {
        self.in_transaction = true;
    }

    /// No transaction is open any more.
    pub(crate) const fn ended(&mut self) {
        self.in_transaction = false;
    }

    /// Whether anything may be asked of it.
    pub(crate) const fn is_usable(&self) -> bool {
        self.trouble.is_none() && self.route.is_some()
    }

    fn discard(&mut self) {
        if let Some(route) = self.route.take() {
            drop(Object::take(route.connection));
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if self.in_transaction || self.trouble.is_some() {
            self.discard();
        }
    }
}
