//! Jobs that do nothing, and a worker that does them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portwright_domain::job::{Backoff, JobId, NewJob, Outcome, Priority, QueueName, TaskName, WorkerId};
use portwright_domain::ports::job_queue::{LeaseRequest, Settlement, Verdict};
use portwright_domain::ports::{IdGenerator, JobSource};
use portwright_memory::{SystemClock, UuidV7};

/// Makes jobs with a payload of 64 bytes.
#[derive(Clone)]
pub struct Jobs(Arc<UuidV7>);

impl Jobs {
    /// Of the task that [`work`] knows.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "there is nothing to choose")]
    pub fn new() -> Self {
        Self(Arc::new(UuidV7::new(Arc::new(SystemClock))))
    }

    /// Another one.
    #[must_use]
    pub fn next(&self) -> NewJob {
        NewJob {
            id: JobId(self.0.next()),
            task: task(),
            version: 1,
            queue: QueueName::parse("default").expect("a name"),
            priority: Priority::default(),
            payload: Bytes::from_static(&[7; 64]),
            max_attempts: 3,
            backoff: Backoff::Fixed(Duration::from_secs(1)),
            timeout: Duration::from_mins(1),
            scheduled_for: None,
            unique: None,
            created_by: None,
            trace: None,
        }
    }
}

fn task() -> TaskName {
    TaskName::parse("bench.nothing").expect("a name")
}

/// Does so many jobs, with so many places.
pub async fn work(source: &Arc<impl JobSource>, name: &str, places: usize, jobs: usize) {
    let want = want(name, places);
    let (mut settle, mut done) = (Vec::new(), 0);
    while done < jobs {
        let exchange = source.exchange(&settle, &want).await.expect("it exchanges");
        done += exchange.settled.len();
        settle.clear();
        for leased in exchange.leased {
            settle.push(Settlement {
                lease: leased.lease,
                verdict: Verdict::Finish(Outcome::Succeeded(leased.job.payload)),
            });
        }
    }
}

/// Works for as long as it is polled.
pub async fn serve(source: Arc<impl JobSource>) {
    work(&source, "serving", 32, usize::MAX).await;
}

/// What a worker with so many places asks for.
#[must_use]
pub fn want(name: &str, places: usize) -> LeaseRequest {
    LeaseRequest {
        worker: WorkerId::parse(name).expect("a name"),
        tasks: vec![(task(), 1)],
        queues: Vec::new(),
        max: u32::try_from(places).expect("few"),
        lease: Duration::from_secs(30),
        wait: Duration::from_secs(10),
    }
}
