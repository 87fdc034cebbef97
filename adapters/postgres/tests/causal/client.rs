//! One process of the test: clients that write, read what they wrote, and read what others write.

use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portwright_domain::ports::{CommitToken, Consistency, Event, Observer, Store};
use portwright_domain::user::{PersonName, User, UserId, Version};
use portwright_domain::{ErrorKind, PortError};
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_testkit::builders::UserBuilder;
use tokio::task::LocalSet;

/// How many clients a process has.
const CLIENTS: usize = 4;

/// So many pairs are told at once.
const BATCH: usize = 10;

/// What came of some pairs of a write and a read of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) pairs: usize,
    /// Reads of a client that did not show what it had written.
    pub(crate) stale: usize,
    /// Reads that showed less than an earlier one of the same client.
    pub(crate) gone_back: usize,
    /// Reads while the replicas were close, and those of them that replicas answered.
    pub(crate) calm_reads: usize,
    pub(crate) calm_on_replicas: usize,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pairs: self.pairs + other.pairs,
            stale: self.stale + other.stale,
            gone_back: self.gone_back + other.gone_back,
            calm_reads: self.calm_reads + other.calm_reads,
            calm_on_replicas: self.calm_on_replicas + other.calm_on_replicas,
        }
    }
}

impl Tally {
    fn tell(self) {
        let Self { pairs, stale, gone_back, calm_reads, calm_on_replicas } = self;
        eprintln!("tally {pairs} {stale} {gone_back} {calm_reads} {calm_on_replicas}");
    }

    /// What a process told in this line, if it is that.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.strip_prefix("tally ")?.split(' ').map_while(|number| number.parse().ok());
        Some(Self {
            pairs: numbers.next()?,
            stale: numbers.next()?,
            gone_back: numbers.next()?,
            calm_reads: numbers.next()?,
            calm_on_replicas: numbers.next()?,
        })
    }
}

/// Whether the replicas are close, and who answered since.
struct Weather {
    is_calm: AtomicBool,
    reads: AtomicUsize,
    on_replicas: AtomicUsize,
}

impl Observer for Weather {
    fn observe(&self, event: &Event<'_>) {
        if let Event::CausalRead { outcome } = event
            && self.is_calm.load(Ordering::SeqCst)
        {
            self.reads.fetch_add(1, Ordering::SeqCst);
            self.on_replicas.fetch_add(usize::from(*outcome != "primary"), Ordering::SeqCst);
        }
    }
}

/// Does the work that the text names: the number of the process, the pairs and the servers.
pub(crate) async fn run(work: &str) {
    let mut words = work.split(',');
    let mut number = || words.next().expect("a number").parse::<usize>().expect("a number");
    let (process, pairs) = (number(), number());
    let config = PostgresConfig::at(words).expect("URLs");
    let weather = Arc::new(Weather {
        is_calm: AtomicBool::new(true),
        reads: AtomicUsize::new(0),
        on_replicas: AtomicUsize::new(0),
    });
    let store = PostgresStore::init(&config, weather.clone()).await.expect("a store");
    let listening = weather.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            listening.is_calm.store(line == "calm", Ordering::SeqCst);
        }
    });

    let clients = LocalSet::new();
    let working = (0..CLIENTS).map(|client| {
        let client = Client::new(store.clone(), process * CLIENTS + client);
        clients.spawn_local(client.work(pairs.div_ceil(CLIENTS)))
    });
    let working: Vec<_> = working.collect();
    clients
        .run_until(async {
            for client in working {
                client.await.expect("it comes to its end");
            }
        })
        .await;
    Tally {
        calm_reads: weather.reads.load(Ordering::SeqCst),
        calm_on_replicas: weather.on_replicas.load(Ordering::SeqCst),
        ..Tally::default()
    }
    .tell();
    store.close().await;
}

/// A client with a user that only it changes, who watches the user of the client before it.
struct Client {
    store: PostgresStore,
    me: User,
    other: UserId,
    /// The newest it was given.
    token: Option<CommitToken>,
    seen_of_other: Version,
    tally: Tally,
}

fn user(number: usize) -> User {
    UserBuilder::number(u32::try_from(number).expect("a small number")).build()
}

impl Client {
    fn new(store: PostgresStore, number: usize) -> Self {
        let other = user(number.checked_sub(1).unwrap_or(number)).id;
        let (token, seen_of_other) = (None, Version(0));
        Self { store, me: user(number), other, token, seen_of_other, tally: Tally::default() }
    }

    async fn work(mut self, pairs: usize) {
        let store = self.store.clone();
        let me = self.me.clone();
        self.token = Some(
            until_done(async || {
                let mut unit = store.begin().await?;
                // Whose answer was lost, is there already.
                if unit.users().find(me.id).await?.is_none() {
                    unit.users().insert(&me).await?;
                }
                unit.commit().await
            })
            .await,
        );
        for pair in 1..=pairs {
            self.pair(pair).await;
            if pair % BATCH == 0 || pair == pairs {
                std::mem::take(&mut self.tally).tell();
            }
        }
    }

    /// Writes, reads that, reads it again, and looks at the other.
    async fn pair(&mut self, number: usize) {
        let (store, id) = (self.store.clone(), self.me.id);
        let written = PersonName::from_stored(number.to_string());
        let token = until_done(async || {
            let mut unit = store.begin().await?;
            let before = unit.users().find(id).await?.expect("it is there");
            let version = before.version.next();
            unit.users().update(&User { first_name: written.clone(), version, ..before }).await?;
            unit.commit().await
        })
        .await;
        self.token = Some(token);
        for _ in 0..2 {
            let shown = self.read(id).await;
            let is_it = shown.is_some_and(|user| user.first_name.as_str() == number.to_string());
            self.tally.stale += usize::from(!is_it);
        }
        let shown = self.read(self.other).await.map_or(Version(0), |user| user.version);
        self.tally.gone_back += usize::from(shown.0 < self.seen_of_other.0);
        self.seen_of_other = shown;
        self.tally.pairs += 1;
    }

    /// Reads with the newest token, and keeps the newer one.
    async fn read(&mut self, id: UserId) -> Option<User> {
        let (store, token) = (self.store.clone(), self.token.clone().expect("it has written"));
        let (found, seen) = until_done(async || {
            let mut view = store.read(Consistency::After(token.clone())).await?;
            let found = view.users().find(id).await?;
            Ok((found, view.seen().expect("a place")))
        })
        .await;
        self.token = Some(seen);
        found
    }
}

/// Tries until it is done: a server that goes is met by an error, which is no stale answer.
async fn until_done<T>(what: impl AsyncFn() -> Result<T, PortError>) -> T {
    for _ in 0..2_000 {
        match what().await {
            Ok(done) => return done,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Contended), "{error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is never done")
}
