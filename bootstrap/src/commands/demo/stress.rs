//! Heavy jobs in parallel, while somebody else asks the API how it is.
//!
//! All of it is within half of what the rate limit leaves the user: who runs this against a server that others use, as the
//! same user, takes nothing from them that they would miss. What is asked most, `/health/live`, costs nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Answer, Ask, Client};
use super::guest::{Credentials, Session};
use super::latency::{Latencies, Pace, Series, measure};
use super::screen::{Screen, Standing, Style, readable};
use super::{no_answer, refused};
use crate::cli::Stress;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};

/// How long the API is watched before the jobs begin.
const QUIET: Duration = Duration::from_secs(3);
/// How long all jobs may take.
const LONGEST: Duration = Duration::from_mins(9);
/// How often bars are drawn again.
const FRAME: Duration = Duration::from_millis(100);
/// How long cleaning up may take.
const LAST: Duration = Duration::from_secs(10);
/// An answer within this time is quick, whatever it was before.
const QUICK: Duration = Duration::from_millis(20);
/// How many times as long as before an answer may take.
const TIMES: u32 = 5;
/// A job is made, followed, and perhaps stopped.
const REQUESTS_OF_JOB: usize = 3;

/// Jobs in parallel, and what has been made of them so far.
pub(super) struct Parallel {
    client: Client,
    screen: Screen,
    stress: Stress,
    /// Whether nobody else uses the server.
    alone: bool,
    session: Option<Session>,
    /// The paths of the jobs, and how each is.
    jobs: Vec<String>,
    board: Arc<watch::Sender<Vec<Standing>>>,
}

impl Parallel {
    pub(super) fn new(client: Client, screen: Screen, stress: Stress, alone: bool) -> Self {
        let board = Arc::new(watch::Sender::new(Vec::new()));
        Self { client, screen, stress, alone, session: None, jobs: Vec::new(), board }
    }

    /// Runs the jobs, and judges: `Failed` if the API did not stay quick.
    pub(super) async fn run(&mut self, credentials: &Credentials) -> Result<Exit, Failure> {
        let Stress { jobs, below } = self.stress;
        let session = Session::quietly(&mut self.client, credentials).await?;
        let me = format!("/users/{}", session.user);
        self.session = Some(session);
        let (quiet_pace, loaded_pace) = self.plan().await?;

        self.screen.line("\nFirst the API alone, for three seconds …")?;
        let (quiet, ()) = measure(&self.client, &me, quiet_pace, sleep(QUIET)).await;
        self.screen.line(&format!("… then while {jobs} jobs count the primes below {below}:\n"))?;
        let began = Instant::now();
        for _ in 0..jobs {
            self.begin_job().await?;
        }
        let work = timeout(LONGEST, self.watch());
        let (loaded, watched) = measure(&self.client, &me, loaded_pace, work).await;
        watched.unwrap_or_else(|_elapsed| {
            let what = format!("the jobs are not done after {} s", LONGEST.as_secs());
            Err(Failure::new(Exit::Failed, Problem::new(what).fix("lower --jobs or --below")))
        })?;
        self.all_found_the_same()?;
        self.screen.line(&format!("\nAll jobs succeeded after {}.\n", readable(began.elapsed())))?;
        self.judge(&quiet, &loaded)
    }

    /// Stops what still runs, and signs out.
    pub(super) async fn clean_up(&mut self) {
        let standings = self.board.borrow().clone();
        let jobs = self.jobs.drain(..).zip(standings).filter(|(_, standing)| !standing.is_over());
        let jobs: Vec<String> = jobs.map(|(job, _)| job).collect();
        let all = async {
            let mut stopped = 0;
            for job in &jobs {
                let answer = self.client.send(Ask::delete(job)).await;
                stopped += usize::from(answer.is_ok_and(|answer| answer.status.is_success()));
            }
            if let Some(session) = self.session.take() {
                let _ = self.client.send(session.end()).await;
            }
            stopped
        };
        let stopped = timeout(LAST, all).await.unwrap_or_default();
        if !jobs.is_empty() {
            // The failure that led here is told next.
            let _ =
                self.screen.line(&format!("\n{stopped} of {} unfinished jobs were cancelled.", jobs.len()));
        }
    }

    /// How often the user may be read before and while the jobs run.
    async fn plan(&self) -> Result<(Pace, Pace), Failure> {
        let answer = self.client.send(Ask::get("/auth/me")).await;
        let answer = answer.map_err(|error| no_answer("ask for the rate limit", &error))?;
        if !answer.status.is_success() {
            return Err(refused("ask for the rate limit", &answer));
        }
        if self.alone {
            let often = Pace { every: Duration::from_millis(50), most: usize::MAX };
            return Ok((often, often));
        }
        let left = answer.header("x-ratelimit-remaining").and_then(|left| left.parse().ok());
        let jobs = usize::try_from(self.stress.jobs).unwrap_or(usize::MAX);
        let Some(reads) = reads(left.unwrap_or(usize::MAX), jobs) else {
            return Err(too_many(self.stress.jobs, &answer));
        };
        let shared = "This server has other clients: the demo asks for no more than half of what the rate limit leaves \
                      its user.";
        self.screen.line(shared)?;
        Ok(paces(reads))
    }

    async fn begin_job(&mut self) -> Result<(), Failure> {
        let body = json!({"below": self.stress.below});
        let ask = Ask::post("/compute/primes", body).with("prefer", "respond-async");
        let answer = self.client.send(ask).await.map_err(|error| no_answer("start a job", &error))?;
        let (202, Some(job)) = (answer.status.as_u16(), answer.header("location")) else {
            return Err(refused("start a job", &answer));
        };
        self.jobs.push(job.to_owned());
        self.board.send_modify(|board| board.push(Standing::of(&answer.body)));
        Ok(())
    }

    /// Follows all jobs and shows how they are, until the last one has ended.
    async fn watch(&self) -> Result<(), Failure> {
        let mut followers = JoinSet::new();
        for (at, job) in self.jobs.iter().enumerate() {
            followers.spawn(follow(self.client.clone(), job.clone(), at, self.board.clone()));
        }
        let mut shown = self.board.borrow().clone();
        if self.screen.is_terminal {
            self.screen.draw_first(&bars(&shown))?;
        }
        loop {
            let ended = tokio::select! {
                followed = followers.join_next() => match followed {
                    Some(Ok(followed)) => { followed?; false }
                    Some(Err(panicked)) => {
                        return Err(Failure::new(Exit::Bug, Problem::new(panicked.to_string())));
                    }
                    None => true,
                },
                () = sleep(FRAME) => false,
            };
            let board = self.board.borrow().clone();
            self.show(&shown, &board)?;
            shown = board;
            if ended {
                return Ok(());
            }
        }
    }

    /// Bars on a terminal; elsewhere a line for each job that has another state, or another quarter behind it.
    fn show(&self, before: &[Standing], now: &[Standing]) -> Result<(), Failure> {
        if self.screen.is_terminal {
            return self.screen.draw_again(&bars(now));
        }
        let step = |standing: &Standing| (standing.state.clone(), standing.percent / 25);
        for ((before, now), bar) in before.iter().zip(now).zip(bars(now)) {
            if step(before) != step(now) {
                self.screen.line(&bar)?;
            }
        }
        Ok(())
    }

    fn all_found_the_same(&self) -> Result<(), Failure> {
        let board = self.board.borrow();
        let failed = |what| Err(Failure::new(Exit::Failed, Problem::new(what)));
        if let Some(at) = board.iter().position(|job| job.state != "succeeded") {
            return failed(format!("job {} of {} did not succeed", at + 1, board.len()));
        }
        let first = board.first().and_then(|job| job.count);
        if first.is_none() || board.iter().any(|job| job.count != first) {
            return failed("the jobs did not all find the same number of primes".to_owned());
        }
        Ok(())
    }

    fn judge(&self, quiet: &Latencies, loaded: &Latencies) -> Result<Exit, Failure> {
        let rows = [("/health/live", &quiet.live, &loaded.live), ("/users/{me}", &quiet.read, &loaded.read)];
        self.screen.line(&row(["", "quiet p50", "p99", "loaded p50", "p99", "answers"]))?;
        let mut stayed_quick = true;
        for (path, quiet, loaded) in rows {
            let limit = limit(quiet);
            stayed_quick &= quiet.failed == 0 && loaded.is_within(limit);
            let shown = |series: &Series, percent| {
                series.percentile(percent).map_or_else(|| "-".to_owned(), readable)
            };
            let answers = format!("{} + {}", quiet.len(), loaded.len());
            let [q50, q99, l50, l99] =
                [shown(quiet, 50), shown(quiet, 99), shown(loaded, 50), shown(loaded, 99)];
            self.screen.line(&row([path, &q50, &q99, &l50, &l99, &answers]))?;
            let failed = quiet.failed + loaded.failed;
            if failed > 0 {
                self.screen.line(&format!("{path}: {failed} requests had no answer, or an error"))?;
            }
        }
        let rule = format!("(loaded p99 at most {TIMES} times the quiet one, or {})", readable(QUICK));
        let (style, verdict, exit) = if stayed_quick {
            (Style::Good, "The API stayed quick", Exit::Done)
        } else {
            (Style::Bad, "The API did not stay quick", Exit::Failed)
        };
        self.screen.line(&format!("\n{} {rule}", self.screen.paint(style, verdict)))?;
        Ok(exit)
    }
}

/// Follows a job to its end, and keeps the board up to date.
async fn follow(
    client: Client,
    job: String,
    at: usize,
    board: Arc<watch::Sender<Vec<Standing>>>,
) -> Result<(), Failure> {
    let lost = |error| no_answer("follow a job", &error);
    let (status, mut events) = client.follow(&format!("{job}/events")).await.map_err(lost)?;
    let mut is_over = false;
    while let Some(event) = events.next().await.map_err(lost)? {
        let now = Standing::of(&event);
        is_over = now.is_over();
        board.send_modify(|board| board.iter_mut().skip(at).take(1).for_each(|it| it.clone_from(&now)));
    }
    if is_over {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, Problem::new(format!("a job cannot be followed to its end ({status})"))))
}

/// How often a user may be read who has so many requests left and makes so many jobs; `None` if that is too many jobs.
fn reads(left: usize, jobs: usize) -> Option<usize> {
    // One more signs out.
    (left / 2).checked_sub(jobs * REQUESTS_OF_JOB + 1)
}

/// A third before the jobs, within the time for that, and the rest once a second.
fn paces(reads: usize) -> (Pace, Pace) {
    let before = reads / 3;
    let every = QUIET.div_f64(f64::from(u32::try_from(before.max(1)).unwrap_or(u32::MAX)));
    let every = every.max(Duration::from_millis(50));
    (Pace { every, most: before }, Pace { every: Duration::from_secs(1), most: reads - before })
}

fn too_many(jobs: u32, answer: &Answer) -> Failure {
    let [left, reset] =
        ["x-ratelimit-remaining", "ratelimit"].map(|name| answer.header(name).unwrap_or("unknown"));
    let seconds = reset.rsplit_once("t=").map_or("60", |(_, seconds)| seconds);
    let what = format!(
        "{jobs} jobs take more than half of the {left} requests that the rate limit leaves this user"
    );
    let fix = format!("wait {seconds} s, or make fewer --jobs");
    Failure::new(Exit::Failed, Problem::new(what).fix(fix))
}

/// The longest that is quick under load.
fn limit(quiet: &Series) -> Duration {
    quiet.percentile(99).map_or(QUICK, |p99| (p99 * TIMES).max(QUICK))
}

fn bars(board: &[Standing]) -> Vec<String> {
    board.iter().zip(1..).map(|(job, number)| format!("job {number:<2} {}", job.bar())).collect()
}

fn row([path, q50, q99, l50, l99, answers]: [&str; 6]) -> String {
    format!("{path:<14} {q50:>10} {q99:>10} {l50:>12} {l99:>10} {answers:>14}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_is_left_alone_and_jobs_that_do_not_fit_are_refused() {
        assert_eq!(reads(50, 5), Some(9));
        assert_eq!(reads(1_000, 5), Some(484));
        assert_eq!(reads(32, 5), Some(0));
        assert_eq!(reads(31, 5), None);
    }

    #[test]
    fn reads_are_spread_over_the_time_that_there_is() {
        let (quiet, loaded) = paces(9);
        assert_eq!((quiet.most, loaded.most), (3, 6));
        assert_eq!((quiet.every, loaded.every), (Duration::from_secs(1), Duration::from_secs(1)));
        assert_eq!(paces(0).0.most, 0);
        assert_eq!(paces(usize::MAX).0.every, Duration::from_millis(50));
    }

    #[test]
    fn what_is_quick_depends_on_how_quick_it_was() {
        assert_eq!(limit(&Series::default()), QUICK);
    }
}
