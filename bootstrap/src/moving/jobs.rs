//! Jobs: where the queue stays a file of the data directory, the file stays or is copied; where it is another queue, jobs
//! that have not ended are enqueued there.

use std::path::{Path, PathBuf};

use portwright_domain::job::{Enqueued, JobState, NewJob};
use portwright_domain::ports::JobQueue;
use portwright_sqlite::export::{QueueExport, QueuedJob};

use super::Tally;
use crate::compute::QUEUE_FILE;
use crate::config::{Config, Queue};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::open_queue::{OpenQueue, away, describe};
use crate::wiring::Ambient;

/// Jobs that are in memory at a time.
const BATCH: u32 = 500;

/// The queue's file, and where its jobs go.
pub(super) struct Carriage<'a> {
    from: PathBuf,
    to: PathBuf,
    config: &'a Config,
}

impl<'a> Carriage<'a> {
    pub(super) fn of(source: &Path, config: &'a Config) -> Self {
        Self { from: source.join(QUEUE_FILE), to: config.data_dir.join(QUEUE_FILE), config }
    }

    fn stays(&self) -> bool {
        self.from.canonicalize().ok() == self.to.canonicalize().ok()
    }

    /// Makes sure that no other queue's file is where this one goes.
    pub(super) fn require_room(&self) -> Result<(), Failure> {
        let is_free = !self.to.exists() || self.stays() || self.config.queue != Queue::Embedded;
        if is_free || !self.from.exists() {
            return Ok(());
        }
        let problem = Problem::new(format!("there is another queue, {}", self.to.display()));
        Err(Failure::new(Exit::Config, problem.fix("move it away, or set DATA_DIR to an empty directory")))
    }

    /// Carries the jobs and compares them; answers how many there are.
    pub(super) async fn carry(&self) -> Result<Tally, Failure> {
        if !self.from.exists() {
            return Ok(Tally::of("jobs"));
        }
        match &self.config.queue {
            Queue::Embedded => self.copy().await,
            queue @ Queue::Redis(_) => {
                let opened = OpenQueue::reach(self.config, &Ambient::system()).await;
                let target = opened.map_err(|error| away(self.config, &error))?;
                let mut tally = enqueue(&QueueExport::of(&self.from), &*target.queue).await?;
                let ended = tally.note.clone().unwrap_or_default();
                tally.note = Some(format!("wait in {}{ended}", describe(queue)));
                Ok(tally)
            }
        }
    }

    /// Copies the file whole, unless it is there; finished jobs are counted, too.
    async fn copy(&self) -> Result<Tally, Failure> {
        let mut tally = tally_of(&self.from).await?;
        let to = self.to.display();
        if self.stays() {
            tally.note = Some(format!("stay in {to}"));
            return Ok(tally);
        }
        if !self.to.exists() {
            QueueExport::of(&self.from).copy_to(&self.to).await?;
        }
        tally.require(&tally_of(&self.to).await?)?;
        tally.note = Some(format!("copied to {to}"));
        Ok(tally)
    }
}

async fn tally_of(file: &Path) -> Result<Tally, Failure> {
    let (export, mut tally, mut after) = (QueueExport::of(file), Tally::of("jobs"), None);
    loop {
        let page = export.jobs(after.as_ref(), BATCH).await?;
        let Some(last) = page.last() else { return Ok(tally) };
        after = Some(last.number);
        for it in &page {
            tally.add(&it.job);
        }
    }
}

/// Enqueues what has not ended, in its order, and reads it back. A job that was tried already has all its attempts again.
/// The note says how many have ended and stay behind.
async fn enqueue(export: &QueueExport, target: &dyn JobQueue) -> Result<Tally, Failure> {
    let (mut tally, mut there) = (Tally::of("jobs"), Tally::of("jobs"));
    let (mut after, mut ended) = (None, 0_u64);
    for queue in export.paused().await? {
        target.set_paused(&queue, true).await?;
    }
    loop {
        let page = export.jobs(after.as_ref(), BATCH).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.number);
        let (waiting, over): (Vec<QueuedJob>, Vec<_>) = page.into_iter().partition(|it| !has_ended(it.state));
        ended += u64::try_from(over.len()).unwrap_or(u64::MAX);
        let waiting: Vec<NewJob> = waiting.into_iter().map(|it| it.job).collect();
        for (job, came) in waiting.iter().zip(target.enqueue(&waiting).await?) {
            if let Enqueued::Held(other) = came {
                let what = format!("job {} is not taken: {other} holds its unique key there", job.id);
                let fix = "cancel that one, and begin again; the source is as it was";
                return Err(Failure::new(Exit::Failed, Problem::new(what).fix(fix)));
            }
            tally.add(job);
            if let Some(found) = target.find(job.id).await? {
                there.add(&found.spec);
            }
        }
    }
    tally.require(&there)?;
    tally.note = (ended > 0).then(|| format!("; {ended} that have ended stay behind"));
    Ok(tally)
}

const fn has_ended(state: JobState) -> bool {
    !matches!(state, JobState::Scheduled | JobState::Ready | JobState::Running)
}
