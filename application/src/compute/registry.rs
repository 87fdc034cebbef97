//! [`TaskRegistry`]: every task of the product, in one list that callers, workers, operators and tests read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use portwright_domain::job::{Priority, QueueName, TaskName};

use super::context::TaskContext;
use super::envelope::{Args, PayloadInvalid};
use super::task::{ComputeService, Running, TaskSpec};

/// Which service runs which task.
#[derive(Default)]
pub struct TaskRegistry {
    tasks: BTreeMap<&'static str, Served>,
}

/// A task together with the service that runs it.
pub(super) struct Served {
    pub(super) name: TaskName,
    pub(super) spec: &'static TaskSpec,
    check: fn(&Args) -> Result<(), PayloadInvalid>,
    run: Box<dyn Fn(Args, TaskContext) -> Running + Send + Sync>,
}

impl Served {
    pub(super) fn run(&self, args: Args, context: TaskContext) -> Running {
        (self.run)(args, context)
    }
}

impl TaskRegistry {
    /// Adds all tasks of a service.
    ///
    /// # Panics
    /// If there is a task of that name already, or a specification is out of its bounds: a mistake in the program, to
    /// be seen at its start.
    #[must_use]
    pub fn serve<S: ComputeService>(mut self, service: &Arc<S>) -> Self {
        for task in S::TASKS {
            let spec = &task.spec;
            let name = checked(spec);
            let service = service.clone();
            let run = Box::new(move |args, context| (task.run)(service.clone(), args, context));
            let taken = self.tasks.insert(spec.name, Served { name, spec, check: task.check, run });
            assert!(taken.is_none(), "two tasks are called {}", spec.name);
        }
        self
    }

    /// The name of every task.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.tasks.keys().copied()
    }

    /// Every task, by name.
    pub fn describe(&self) -> impl Iterator<Item = &'static TaskSpec> {
        self.tasks.values().map(|served| served.spec)
    }

    /// Whether a task could read these arguments; nothing is run. For what is kept outside of the queue: goldens and
    /// dumps.
    ///
    /// # Errors
    /// If there is no such task, or the arguments are not what it takes.
    pub fn check(&self, task: &str, args: &Args) -> Result<(), PayloadInvalid> {
        self.find(task).map_or_else(|| Err(args.refused()), |served| (served.check)(args))
    }

    pub(super) fn find(&self, task: &str) -> Option<&Served> {
        self.tasks.get(task)
    }

    /// Every task with the newest version that it reads.
    pub(super) fn wanted(&self) -> Vec<(TaskName, u32)> {
        self.tasks.values().map(|served| (served.name.clone(), served.spec.version)).collect()
    }
}

fn checked(spec: &TaskSpec) -> TaskName {
    let bounds = [
        QueueName::parse(spec.queue).is_ok(),
        Priority::parse(spec.priority).is_ok(),
        spec.version > 0,
        spec.attempts != Some(0),
        spec.timeout.is_none_or(|timeout| !timeout.is_zero()),
    ];
    let name = TaskName::parse(spec.name);
    match name {
        Ok(name) if bounds == [true; 5] => name,
        _ => panic!("the specification of the task {:?} is out of its bounds: {spec:?}", spec.name),
    }
}

impl fmt::Debug for TaskRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tasks.keys()).finish()
    }
}
