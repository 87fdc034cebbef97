//! Jobs: who may do what, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portwright_application::JobError;
use portwright_domain::access::{Access, Action, Principal, Relation, Role, decide};
use portwright_domain::job::{Job, JobId, JobState, NewJob, Outcome, Progress, QueueName, WorkerId};
use portwright_domain::page::{Limit, PageRequest};
use portwright_domain::ports::job_queue::{JobFilter, LeaseRequest, REMEMBERED, Settlement, Verdict};
use portwright_domain::ports::{JobQueue, JobSource};
use portwright_domain::user::UserId;
use portwright_testkit::builders::JobBuilder;
use tokio::time::Instant;

use crate::world::World;

/// What may be asked for.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Get,
    Follow,
    Cancel,
    List,
    Retry,
    Queues,
    Pause,
    Resume,
}

/// Every deed with the action that the access table has for it.
const DEEDS: [(Deed, Action); 8] = [
    (Deed::Get, Action::ReadJob),
    (Deed::Follow, Action::ReadJob),
    (Deed::Cancel, Action::ReadJob),
    (Deed::List, Action::OperateJobs),
    (Deed::Retry, Action::OperateJobs),
    (Deed::Queues, Action::OperateJobs),
    (Deed::Pause, Action::OperateJobs),
    (Deed::Resume, Action::OperateJobs),
];

const FIRST_PAGE: PageRequest = PageRequest::Numbered { page: 1, limit: Limit::DEFAULT };

async fn attempt(world: &World, caller: Principal, deed: Deed, job: &Job) -> Result<(), JobError> {
    let (jobs, id, queue) = (&world.services.jobs, job.spec.id, &job.spec.queue);
    match deed {
        Deed::Get => jobs.get(caller, id).await.map(drop),
        Deed::Follow => jobs.follow(caller, job, Duration::ZERO).await.map(drop),
        Deed::Cancel => jobs.cancel(caller, id).await,
        Deed::List => jobs.list(caller, &JobFilter::default(), &FIRST_PAGE).await.map(drop),
        Deed::Retry => jobs.retry(caller, id).await.map(drop),
        Deed::Queues => jobs.queues(caller).await.map(drop),
        Deed::Pause => jobs.pause(caller, queue).await,
        Deed::Resume => jobs.resume(caller, queue).await,
    }
}

impl World {
    async fn enqueue(&self, job: NewJob) -> Job {
        self.queue.enqueue(std::slice::from_ref(&job)).await.expect("there is room");
        self.job(job.id).await
    }

    async fn job(&self, id: JobId) -> Job {
        self.queue.find(id).await.expect("find works").expect("it is known")
    }

    async fn job_of(&self, number: u32, owner: Option<UserId>) -> Job {
        let job = JobBuilder::number(number);
        self.enqueue(owner.into_iter().fold(job, JobBuilder::created_by).build()).await
    }

    /// Does this to a job that waits.
    async fn settle(&self, job: &Job, verdict: Verdict) {
        let worker = WorkerId::parse("one").expect("a valid name");
        let want = LeaseRequest {
            worker,
            tasks: vec![(job.spec.task.clone(), job.spec.version)],
            queues: Vec::new(),
            max: 1,
            lease: Duration::from_mins(1),
            wait: Duration::ZERO,
        };
        let exchange = self.queue.exchange(&[], &want).await.expect("exchange works");
        let lease = exchange.leased.first().expect("one is ready").lease.clone();
        assert_eq!(lease.job, job.spec.id);
        let settlement = Settlement { lease, verdict };
        self.queue.exchange(&[settlement], &LeaseRequest { max: 0, ..want }).await.expect("exchange works");
    }

    async fn end(&self, job: &Job, outcome: Outcome) {
        self.settle(job, Verdict::Finish(outcome)).await;
    }
}

fn done() -> Outcome {
    Outcome::Succeeded(Bytes::from_static(b"1"))
}

#[tokio::test(start_paused = true)]
async fn every_use_case_asks_the_access_table() {
    for role in Role::ALL {
        for (deed, action) in DEEDS {
            for relation in [Relation::Own, Relation::Others] {
                let world = World::new();
                let caller = world.person("caller", role).await;
                let other = world.user("other", Role::User).await;
                for owner in [Some(caller.id()), Some(other.id), None] {
                    let is_own = owner == Some(caller.id());
                    if is_own != (relation == Relation::Own) {
                        continue;
                    }
                    let number = if owner.is_some() { 1 } else { 2 };
                    let job = world.job_of(number, owner).await;
                    if matches!(deed, Deed::Retry) {
                        world.queue.cancel(job.spec.id).await.expect("cancel works");
                    }
                    let before = world.job(job.spec.id).await;
                    let answer = attempt(&world, caller.principal(), deed, &before).await;
                    let as_decided = match decide(role, action, relation) {
                        Access::Granted => answer.is_ok(),
                        Access::Forbidden => matches!(answer, Err(JobError::Forbidden)),
                        Access::Hidden => matches!(answer, Err(JobError::NotFound)),
                    };
                    assert!(as_decided, "{role} {deed:?} {relation:?}: {answer:?}");
                    if answer.is_err() {
                        assert_eq!(world.job(job.spec.id).await, before, "it was refused");
                        let queues = world.queue.queues().await.expect("queues works");
                        assert!(queues.iter().all(|queue| !queue.paused), "it was refused");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_removed_job_is_gone_for_whoever_could_see_it_and_was_never_there_for_others() {
    let world = World::new();
    let (ada, eve) = (world.person("ada", Role::User).await, world.person("eve", Role::Moderator).await);
    let admin = world.person("root", Role::Admin).await;
    let (of_ada, of_nobody) = (world.job_of(1, Some(ada.id())).await, world.job_of(2, None).await);
    world.end(&of_ada, done()).await;
    world.end(&of_nobody, done()).await;
    world.clock.advance(Duration::from_hours(24));
    world.queue.reclaim().await.expect("reclaim works");

    for (caller, job, is_told) in [
        (&ada, &of_ada, true),
        (&admin, &of_ada, true),
        (&eve, &of_ada, false),
        (&ada, &of_nobody, false),
        (&admin, &of_nobody, true),
    ] {
        for deed in [Deed::Get, Deed::Follow, Deed::Cancel] {
            let answer = attempt(&world, caller.principal(), deed, job).await.expect_err("it is not there");
            let is_removed = matches!(answer, JobError::Removed);
            assert_eq!(is_removed, is_told, "{deed:?}: {answer:?}");
            assert!(is_removed || matches!(answer, JobError::NotFound), "{deed:?}: {answer:?}");
        }
    }
    let retried = world.services.jobs.retry(admin.principal(), of_ada.spec.id).await;
    assert!(matches!(retried, Err(JobError::Removed)), "{retried:?}");
    world.clock.advance(REMEMBERED);
    let answer = world.services.jobs.get(ada.principal(), of_ada.spec.id).await;
    assert!(matches!(answer, Err(JobError::NotFound)), "{answer:?}");
}

#[tokio::test]
async fn what_never_was_is_not_found() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await;
    let mut never = world.job_of(1, None).await;
    never.spec.id = JobBuilder::number(9).build().id;
    for deed in [Deed::Get, Deed::Follow, Deed::Cancel, Deed::Retry] {
        let answer = attempt(&world, admin.principal(), deed, &never).await;
        assert!(matches!(answer, Err(JobError::NotFound)), "{deed:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_job_that_waits_is_stopped_and_one_that_has_ended_is_not() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let job = world.job_of(1, Some(ada.id())).await;
    world.services.jobs.cancel(ada.principal(), job.spec.id).await.expect("it waits");
    assert_eq!(world.job(job.spec.id).await.state, JobState::Cancelled);
    let again = world.services.jobs.cancel(ada.principal(), job.spec.id).await;
    assert!(matches!(again, Err(JobError::Finished)), "{again:?}");
}

#[tokio::test]
async fn what_ended_without_success_runs_again_and_nothing_else_does() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await.principal();
    let jobs = &world.services.jobs;
    let failed = world.job_of(1, None).await;
    world.end(&failed, Outcome::Failed(Bytes::from_static(b"{}"))).await;
    let retried = jobs.retry(admin, failed.spec.id).await.expect("it failed");
    assert_eq!((retried.state, retried.attempts), (JobState::Ready, 0));
    assert!(matches!(jobs.retry(admin, failed.spec.id).await, Err(JobError::NotFailed)), "it waits");
    world.end(&failed, done()).await;
    assert!(matches!(jobs.retry(admin, failed.spec.id).await, Err(JobError::NotFailed)), "it succeeded");
}

#[tokio::test]
async fn a_job_whose_key_another_one_holds_does_not_run_again() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await.principal();
    let first = world.enqueue(JobBuilder::number(1).unique_by("the-key").build()).await;
    world.services.jobs.cancel(admin, first.spec.id).await.expect("it waits");
    world.enqueue(JobBuilder::number(2).unique_by("the-key").build()).await;
    let retried = world.services.jobs.retry(admin, first.spec.id).await;
    assert!(matches!(retried, Err(JobError::Held)), "{retried:?}");
}

#[tokio::test]
async fn queues_show_what_waits_and_whether_they_are_paused() {
    let world = World::new();
    let admin = world.person("root", Role::Admin).await.principal();
    let (jobs, job) = (&world.services.jobs, world.job_of(1, None).await);
    let idle = QueueName::parse("idle").expect("a valid name");
    for _ in 0..2 {
        jobs.pause(admin, &idle).await.expect("pause works, also again");
    }
    let queues = jobs.queues(admin).await.expect("queues works");
    let facts: Vec<_> = queues.iter().map(|queue| (queue.name.as_str(), queue.paused, queue.ready)).collect();
    assert_eq!(facts, [(job.spec.queue.as_str(), false, 1), ("idle", true, 0)]);
    for _ in 0..2 {
        jobs.resume(admin, &idle).await.expect("resume works, also again");
    }
    assert_eq!(jobs.queues(admin).await.expect("queues works").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_is_told_of_each_change_and_waits_no_longer_than_asked() {
    let world = World::new();
    let ada = world.person("ada", Role::User).await;
    let (jobs, caller) = (world.services.jobs.clone(), ada.principal());
    let seen = world.job_of(1, Some(ada.id())).await;

    let asked_at = Instant::now();
    let wait = Duration::from_secs(15);
    let unchanged = jobs.follow(caller, &seen, wait).await.expect("it is there");
    assert_eq!(unchanged, seen);
    assert!((wait..wait + Duration::from_secs(1)).contains(&asked_at.elapsed()), "{:?}", asked_at.elapsed());

    let world = Arc::new(world);
    let (end, job) = (world.clone(), seen.clone());
    let ending = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        end.end(&job, done()).await;
    };
    let (changed, ()) = tokio::join!(jobs.follow(caller, &seen, wait), ending);
    let changed = changed.expect("it is there");
    assert_eq!((changed.state, changed.progress), (JobState::Succeeded, Progress::default()));
    assert!(asked_at.elapsed() < wait + Duration::from_secs(3), "{:?}", asked_at.elapsed());
}
