//! The tour: one request after the other, each with what it sends, what comes back, and why that matters.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::client::{Answer, Ask, Client};
use super::guest::{Credentials, Session};
use super::screen::{Screen, Standing, Style, readable};
use super::{no_answer, refused};
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::passphrase;

/// How long a client waits in one call, as its preference says.
const WAIT: u64 = 5;
/// How long a job may take that is followed.
const JOB: Duration = Duration::from_mins(2);
/// How long cleaning up may take.
const LAST: Duration = Duration::from_secs(10);
/// What is counted while a client waits, and how many primes there are.
const LIGHT: (u64, u64) = (1_000_000, 78_498);
/// What is counted while a client follows, and how many primes there are.
const HEAVY: (u64, u64) = (50_000_000, 3_001_134);

/// A tour, and what it has made so far.
pub(super) struct Tour {
    client: Client,
    screen: Screen,
    number: u32,
    step: &'static str,
    session: Option<Session>,
    /// The path of the user that it made.
    user: Option<String>,
    /// The path of the job that it started.
    job: Option<String>,
}

impl Tour {
    pub(super) const fn new(client: Client, screen: Screen) -> Self {
        Self { client, screen, number: 0, step: "", session: None, user: None, job: None }
    }

    /// Goes through all steps.
    ///
    /// # Errors
    /// The first step that did not do what it promises.
    pub(super) async fn run(&mut self, credentials: &Credentials) -> Result<(), Failure> {
        self.sign_in(credentials).await?;
        self.users().await?;
        self.reads().await?;
        self.job_waited_for().await?;
        self.job_followed().await?;
        self.refusal().await?;
        self.rate_limit().await?;
        self.leave().await?;
        let done = format!("All {} steps did what they promise.", self.number);
        self.screen.line(&format!("\n{}", self.screen.paint(Style::Good, &done)))?;
        self.screen
            .line("Next: `portwright demo stress`, or `portwright serve` and the API explorer at /docs.")
    }

    /// Removes what a tour that ended early has left.
    pub(super) async fn clean_up(&mut self) {
        let paths = [self.job.take(), self.user.take()];
        let asks = paths.into_iter().flatten().map(Ask::delete);
        let asks = asks.chain(self.session.take().map(|session| session.end()));
        let all = async {
            for ask in asks {
                // What cannot be removed now is told by the step that failed before.
                let _ = self.client.send(ask).await;
            }
        };
        let _ = timeout(LAST, all).await;
    }

    async fn sign_in(&mut self, credentials: &Credentials) -> Result<(), Failure> {
        let answer = self.ask("Sign in", credentials.ask()).await?;
        let session = Session::begin(&mut self.client, credentials, &answer)?;
        let (role, minutes) = (session.role.clone(), answer.body["expiresIn"].as_u64().unwrap_or(0) / 60);
        self.session = Some(session);
        self.told(
            &answer,
            200,
            &format!("{} ({role}) has a token for {minutes} minutes", credentials.email),
            "The token is signed and short-lived; a session that is ended ends it, too, at once.",
        )?;
        if role == "admin" {
            return Ok(());
        }
        let problem =
            Problem::new(format!("{} may not create users, which the tour does", credentials.email));
        Err(Failure::new(Exit::Failed, problem.fix("sign in as an administrator")))
    }

    async fn users(&mut self) -> Result<(), Failure> {
        // A passphrase tells this tour from all others, too.
        let (password, tag) = (passphrase::generate()?, passphrase::generate()?);
        let user = json!({
            "email": format!("{tag}@example.com"),
            "password": password,
            "firstName": "Ada",
            "lastName": "Lovelace",
        });
        let create = Ask::post("/users", user).with("idempotency-key", &tag);

        let first = self.ask("Create a user", create.clone()).await?;
        let id = first.text("/id").unwrap_or_default().to_owned();
        if first.status.as_u16() == 201 {
            self.user = Some(format!("/users/{id}"));
        }
        self.told(
            &first,
            201,
            first.header("location").unwrap_or_default(),
            "The request carries an idempotency key, for the day on which its answer gets lost.",
        )?;

        let again = self.ask("Send the same again", create).await?;
        let same = again.text("/id") == Some(&id);
        self.told(
            &again,
            201,
            if same { "the same user as before" } else { "another user" },
            "A create that is sent twice happens once: who gets no answer simply sends it again.",
        )?;
        self.holds(same, "the key made two users")?;

        let found = self.ask("Find the user", Ask::get(format!("/users?search={tag}"))).await?;
        let total = found.body["pagination"]["total"].as_u64();
        self.told(
            &found,
            200,
            &format!("{} found", total.unwrap_or_default()),
            "Lists are searched, filtered, sorted and paged; a cursor walks through all while others come and go.",
        )?;
        self.holds(total == Some(1), "not exactly one user was found")
    }

    async fn reads(&mut self) -> Result<(), Failure> {
        let path = self.user.clone().unwrap_or_default();
        let read = self.ask("Read the user", Ask::get(&path)).await?;
        let version = read.header("etag").unwrap_or_default().to_owned();
        self.told(
            &read,
            200,
            &format!("ETag {version}"),
            "The ETag is the version that was read. If-Match refuses to change another one.",
        )?;
        let again =
            self.ask("Read only what has changed", Ask::get(path).with("if-none-match", version)).await?;
        self.told(
            &again,
            304,
            "nothing has changed, and nothing is sent",
            "A client keeps what it has read, and never shows something stale.",
        )
    }

    async fn job_waited_for(&mut self) -> Result<(), Failure> {
        let (below, primes) = LIGHT;
        let ask = Ask::post("/compute/primes", json!({"below": below}))
            .with("prefer", format!("wait={WAIT}"))
            .waiting(Duration::from_secs(WAIT));
        let answer = self.ask("Call a heavy task and wait for it", ask).await?;
        if answer.status.as_u16() == 202 {
            self.told(
                &answer,
                202,
                "not done yet",
                "Who has waited long enough gets the job, to come back for it.",
            )?;
            return self.follow(&answer, primes).await;
        }
        let count = answer.body["result"]["count"].as_u64();
        self.told(
            &answer,
            200,
            &format!("{} primes below {below}", count.unwrap_or_default()),
            "A worker process did it. It may crash, or be killed: the job would go on in another one.",
        )?;
        self.holds(count == Some(primes), "that is not the number of primes")
    }

    async fn job_followed(&mut self) -> Result<(), Failure> {
        let (below, primes) = HEAVY;
        let ask = Ask::post("/compute/primes", json!({"below": below})).with("prefer", "respond-async");
        let answer = self.ask("Call it and do not wait", ask).await?;
        self.told(
            &answer,
            202,
            answer.header("location").unwrap_or_default(),
            "The answer is a job: durable as soon as it is told, and it can be read, followed and stopped.",
        )?;
        self.follow(&answer, primes).await
    }

    /// Follows the job of an answer until it has found so many primes.
    async fn follow(&mut self, answer: &Answer, primes: u64) -> Result<(), Failure> {
        let job = answer.header("location").unwrap_or_default().to_owned();
        self.job = Some(job.clone());
        self.begin("Follow the job", "GET", &format!("{job}/events"), "")?;
        let began = Instant::now();
        let followed = timeout(JOB, self.events(&job)).await;
        let last = followed.unwrap_or_else(|_elapsed| {
            let what = format!("the job is not done after {} s", JOB.as_secs());
            Err(self.unmet(&what, "do workers run? `portwright health` tells"))
        })?;
        if last.is_over() {
            self.job = None;
        }
        let found = format!("{} primes", last.count.unwrap_or_default());
        self.came("200 OK", began.elapsed(), &format!("{}, {found}", last.state))?;
        self.why("Server-sent events tell every change; a client that comes back sees what it has missed.")?;
        self.holds(last.count == Some(primes), "that is not the number of primes")
    }

    async fn events(&self, job: &str) -> Result<Standing, Failure> {
        let no_event = |error| no_answer(self.step, &error);
        let (status, mut events) = self.client.follow(&format!("{job}/events")).await.map_err(no_event)?;
        self.holds(status.as_u16() == 200, &format!("the server answered {status}"))?;
        let mut last = Standing::default();
        while let Some(event) = events.next().await.map_err(no_event)? {
            let now = Standing::of(&event);
            let bar = [format!("   {}", now.bar())];
            if self.screen.is_terminal && last == Standing::default() {
                self.screen.draw_first(&bar)?;
            } else if self.screen.is_terminal {
                self.screen.draw_again(&bar)?;
            } else if last.state != now.state {
                self.screen.line(&bar.concat())?;
            }
            last = now;
        }
        Ok(last)
    }

    async fn refusal(&mut self) -> Result<(), Failure> {
        let wrong = json!({"email": "nobody", "password": "password1", "firstName": "Ada", "admin": true});
        let answer = self.ask("Send nonsense", Ask::post("/users", wrong)).await?;
        let errors = answer.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let told =
            |error: &Value| Some(format!("{} {}", error["pointer"].as_str()?, error["code"].as_str()?));
        let all: Vec<String> = errors.iter().filter_map(told).collect();
        self.told(
            &answer,
            422,
            &all.join(", "),
            "Everything that is wrong is told at once, for people and for programs, and nothing is half done.",
        )?;
        let typed =
            answer.header("content-type").is_some_and(|it| it.starts_with("application/problem+json"));
        self.holds(typed && all.len() == 4, "not everything was told")
    }

    async fn rate_limit(&mut self) -> Result<(), Failure> {
        let answer = self.ask("Ask how many requests are left", Ask::get("/auth/me")).await?;
        let [limit, left] =
            ["x-ratelimit-limit", "x-ratelimit-remaining"].map(|name| answer.header(name).unwrap_or("?"));
        self.told(
            &answer,
            200,
            &format!("{left} of {limit} are left in this window"),
            "Every client has a share, and every answer tells what is left of it. Health checks are free.",
        )
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        let path = self.user.clone().unwrap_or_default();
        let answer = self.ask("Clean up", Ask::delete(path)).await?;
        if answer.status.as_u16() == 204 {
            self.user = None;
        }
        self.told(&answer, 204, "the user is gone", "The tour leaves nothing but its finished jobs.")?;
        let Some(session) = self.session.clone() else { return Ok(()) };
        let answer = self.ask("Sign out", session.end()).await?;
        self.session = None;
        self.told(
            &answer,
            204,
            "the session has ended",
            "Its tokens are refused from now on, by every process.",
        )
    }

    /// Prints what a step sends, sends it, and answers what came back.
    async fn ask(&mut self, step: &'static str, ask: Ask) -> Result<Answer, Failure> {
        let headers = ask.headers.iter().map(|(name, value)| format!("   {name}: {value}"));
        self.begin(step, ask.method.as_str(), &ask.path, &headers.collect::<Vec<_>>().concat())?;
        self.client.send(ask).await.map_err(|error| no_answer(step, &error))
    }

    fn begin(&mut self, step: &'static str, method: &str, path: &str, headers: &str) -> Result<(), Failure> {
        self.number += 1;
        self.step = step;
        let title = self.screen.paint(Style::Bold, &format!("{:>2} {step}", self.number));
        let headers = self.screen.paint(Style::Dim, headers);
        self.screen.line(&format!("\n{title}\n   → {method} {path}{headers}"))
    }

    /// Prints what came back and why it matters, if it has the status that was promised.
    fn told(&self, answer: &Answer, promised: u16, line: &str, why: &str) -> Result<(), Failure> {
        if answer.status.as_u16() != promised {
            return Err(refused(self.step, answer));
        }
        self.came(&answer.status.to_string(), answer.took, line)?;
        self.why(why)
    }

    fn came(&self, status: &str, took: Duration, line: &str) -> Result<(), Failure> {
        let status = self.screen.paint(Style::Good, status);
        self.screen.line(&format!("   ← {status} in {}: {line}", readable(took)))
    }

    fn why(&self, why: &str) -> Result<(), Failure> {
        self.screen.line(&format!("   {}", self.screen.paint(Style::Dim, why)))
    }

    fn holds(&self, promise: bool, otherwise: &str) -> Result<(), Failure> {
        if promise { Ok(()) } else { Err(self.unmet(otherwise, "this should not be: please report it")) }
    }

    fn unmet(&self, what: &str, fix: &str) -> Failure {
        Failure::new(Exit::Failed, Problem::new(format!("{}: {what}", self.step)).fix(fix))
    }
}
