//! Jobs: the queue stays a file of the data directory, so it stays where it is, or is copied to the other directory.

use std::path::{Path, PathBuf};

use portwright_sqlite::export::QueueExport;

use super::Tally;
use crate::compute::QUEUE_FILE;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// Jobs that are in memory at a time.
const BATCH: u32 = 500;

/// The queue's file, and where it goes.
pub(super) struct Carriage {
    from: PathBuf,
    to: PathBuf,
}

impl Carriage {
    pub(super) fn of(source: &Path, data_dir: &Path) -> Self {
        Self { from: source.join(QUEUE_FILE), to: data_dir.join(QUEUE_FILE) }
    }

    fn stays(&self) -> bool {
        self.from.canonicalize().ok() == self.to.canonicalize().ok()
    }

    /// Makes sure that no other queue is where this one goes.
    pub(super) fn require_room(&self) -> Result<(), Failure> {
        if !self.from.exists() || !self.to.exists() || self.stays() {
            return Ok(());
        }
        let problem = Problem::new(format!("there is another queue, {}", self.to.display()));
        Err(Failure::new(Exit::Config, problem.fix("move it away, or set DATA_DIR to an empty directory")))
    }

    /// Copies the file whole, unless it is there; answers how many jobs it has, finished ones included.
    pub(super) async fn carry(&self) -> Result<Tally, Failure> {
        let mut tally = Tally::of("jobs");
        if !self.from.exists() {
            return Ok(tally);
        }
        tally = tally_of(&self.from).await?;
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
        page.iter().for_each(|it| tally.add(&it.job));
    }
}
