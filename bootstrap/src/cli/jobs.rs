//! The command lines of jobs and of those who run them.

use clap::{Args, Subcommand};
use portwright_domain::job::{JobId, JobState, QueueName, TaskName, WorkerId};
use uuid::Uuid;

/// How to work.
#[derive(Debug, Clone, Default, Args)]
pub struct WorkerCommand {
    /// Only jobs of these queues, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = queue, value_name = "QUEUE")]
    pub queues: Vec<QueueName>,
    /// How many jobs at a time, which wins over `COMPUTE_CONCURRENCY`.
    #[arg(long, help = "How many jobs at a time [env: COMPUTE_CONCURRENCY]")]
    pub concurrency: Option<u32>,
    /// The standard input is a lifeline, and the memory limit holds: a server starts it like this.
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Who it is, if not somebody new.
    #[arg(long, hide = true, value_parser = worker_id)]
    pub id: Option<WorkerId>,
}

/// What to do about jobs.
#[derive(Debug, Clone, Subcommand)]
pub enum Jobs {
    /// List jobs, the newest first
    Ls {
        /// Only those that stand like this: scheduled, ready, running, succeeded, failed, dead or cancelled
        #[arg(long, value_parser = job_state)]
        state: Option<JobState>,
        /// Only those of this task
        #[arg(long, value_parser = task)]
        task: Option<TaskName>,
        /// Only those of this queue
        #[arg(long, value_parser = queue)]
        queue: Option<QueueName>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Everything about one job
    Show {
        /// Which
        #[arg(value_parser = job_id)]
        id: JobId,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Run a job again that failed, is dead or was cancelled
    Retry {
        /// Which
        #[arg(value_parser = job_id)]
        id: JobId,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Stop a job that waits or runs
    Cancel {
        /// Which
        #[arg(value_parser = job_id)]
        id: JobId,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Start no more jobs of a queue; it still takes them
    Pause {
        /// Which
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Start jobs of a queue again
    Resume {
        /// Which
        #[arg(value_parser = queue)]
        queue: QueueName,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

fn queue(text: &str) -> Result<QueueName, String> {
    QueueName::parse(text).map_err(|invalid| invalid.to_string())
}

fn task(text: &str) -> Result<TaskName, String> {
    TaskName::parse(text).map_err(|invalid| invalid.to_string())
}

fn worker_id(text: &str) -> Result<WorkerId, String> {
    WorkerId::parse(text).map_err(|invalid| invalid.to_string())
}

fn job_id(text: &str) -> Result<JobId, String> {
    Uuid::parse_str(text).map(JobId).map_err(|error| error.to_string())
}

fn job_state(text: &str) -> Result<JobState, String> {
    let found = JobState::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| format!("one of {}", JobState::ALL.map(JobState::as_str).join(", ")))
}
