//! Workers: who runs what the services leave for later.

use std::sync::Arc;

use portwright_application::compute::worker::Ending;
use portwright_application::compute::{Relay, Worker, WorkerOptions};
use portwright_application::task_registry;
use portwright_application::transact::Transactions;
use portwright_domain::job::WorkerId;
use tokio_util::sync::CancellationToken;

use super::World;

impl World {
    /// A worker that runs every task of the product.
    pub(crate) fn worker(&self, name: &str) -> Worker {
        let options = WorkerOptions::new(WorkerId::parse(name).expect("a valid name"));
        let tasks = Arc::new(task_registry(&self.services));
        Worker::new(self.queue.clone(), tasks, self.events.clone(), options)
    }

    /// Brings what was written in transactions to the queue, and runs whatever is ready; how many tries that took.
    pub(crate) async fn drain(&self) -> u64 {
        let transactions = Transactions::new(self.store.clone(), self.events.clone());
        let relay = Relay::new(transactions, self.queue.clone(), self.services.compute.bell().clone());
        relay.relay().await.expect("the queue is there");
        self.worker("drain").drain().await.expect("the queue is there")
    }

    /// Does this while a worker runs.
    pub(crate) async fn served<T>(&self, work: impl Future<Output = T>) -> T {
        let (worker, stop) = (self.worker("beside"), CancellationToken::new());
        let (answer, ending) = tokio::join!(
            async {
                let answer = work.await;
                stop.cancel();
                answer
            },
            worker.run(stop.clone(), CancellationToken::new())
        );
        assert_eq!(ending, Ending::Drained);
        answer
    }
}
