//! Jobs that were leased to a worker that went away before it heard of them: they are handed back at once, instead of
//! waiting for a lease that the same worker may renew for ever.

use portwright_domain::PortError;
use portwright_domain::job::Lease;
use portwright_domain::ports::job_queue::{Exchange, Settlement, Verdict};
use rusqlite::Result;
use tokio::sync::oneshot;

use super::tick::Tick;
use super::writer::{Failure, Inbox, Message, Work};

/// What an exchange is answered, and with which commit.
pub(super) type Answer = Result<(Exchange, u64), PortError>;

pub(super) fn leases(exchange: Exchange) -> Vec<Lease> {
    exchange.leased.into_iter().map(|leased| leased.lease).collect()
}

pub(super) struct HandBack(pub(super) Vec<Lease>);

impl Work for HandBack {
    fn run(&mut self, tick: &mut Tick<'_>) -> Result<()> {
        for lease in &self.0 {
            tick.settle(&Settlement { lease: lease.clone(), verdict: Verdict::Release })?;
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<u64, Failure>) -> Vec<Lease> {
        // After a failure once more.
        outcome.map_or(self.0, |_| Vec::new())
    }
}

/// The answer of an exchange, as long as nobody has read it. Whoever stops waiting drops this.
pub(super) struct Unread {
    pub(super) answered: oneshot::Receiver<Answer>,
    pub(super) inbox: Inbox,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.answered.close();
        if let Ok(Ok((exchange, _))) = self.answered.try_recv()
            && !exchange.leased.is_empty()
        {
            // An error is a writer that has ended, and with it all leases do.
            self.inbox.send(Message::Work(Box::new(HandBack(leases(exchange))))).ok();
        }
    }
}
