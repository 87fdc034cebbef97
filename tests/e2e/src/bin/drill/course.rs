//! The course of a drill: everything is started, worked with, hurt, left alone, and looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portwright_testkit::Noise;
use tempfile::TempDir;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Ask, Client, Crew, DATABASE};
use crate::fault::name_of;
use crate::injector::Scene;
use crate::journal::Journal;
use crate::load::orders::{Orders, Primes};
use crate::load::people::People;
use crate::load::pictures::Pictures;
use crate::load::sessions::Sessions;
use crate::load::transfers::Transfers;
use crate::load::{jobs, probes};
use crate::machine;
use crate::options::Options;
use crate::plan::Plan;
use crate::stage::{EMAIL, Stage};
use crate::weather::{AFTERMATH, Weather};

/// How many clients there are of the kinds of which there are several.
const SEVERAL: usize = 3;
/// How long everything has to be as if nothing had ever happened.
const CALM: Duration = Duration::from_secs(5);
/// How long what is left behind may take to be cleared away.
const CLEARED: Duration = Duration::from_secs(30);

/// Runs it; whether nothing was wrong.
pub(crate) async fn run(options: &Options) -> bool {
    let &Options { seed, length, .. } = options;
    let plan = Plan::draw(seed, length);
    println!("drill --seed {seed} --for {}s: {} faults", length.as_secs(), plan.0.len());
    print!("{plan}");
    if options.only_plan {
        return true;
    }
    let place = tempfile::tempdir().expect("a folder");
    let journal = Arc::new(Journal::begin());
    let stage = Arc::new(Stage::set(&options.binary, place.path(), &journal).await);
    let scene = Scene { stage, weather: Arc::new(Weather::default()), journal: journal.clone() };
    journal.note(format!("everything runs; logs are in {}", place.path().display()));

    let mut chance = Noise::new(!seed);
    let crew = Arc::new(Crew::new(scene.clone()));
    let mut admin = Client::new(crew.clone(), chance.number());
    assert!(admin.sign_in(EMAIL).await, "the administrator signs in before anything fails");
    let mut watch = JoinSet::new();
    watch.spawn(machine::watch(scene.clone()));
    let load = Load::begin(&crew, &admin.access, &mut chance);

    scene.play(&plan, journal.start_the_clock()).await;
    let healed = Instant::now();
    let moment = block_in_place(|| {
        scene.stage.primary.sql(r#"SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')"#)
    });
    journal.note("the last fault has healed");
    probes::expect_well(&mut admin, healed).await;
    jobs::expect_none_stuck(&mut admin, healed, &moment).await;
    sleep_until(healed + AFTERMATH).await;
    journal.note("from now on nothing that fails is explained");
    sleep(CALM).await;
    crew.stop();
    let emails = load.verify(&mut admin).await;
    expect_users(&mut admin, &emails).await;
    expect_clear(&scene).await;
    for (number, node) in scene.stage.nodes.iter().enumerate() {
        let status = node.stop().await;
        if status != Some(0) {
            journal.wrong(format!("server {} was told to stop, and ended with {status:?}", name_of(number)));
        }
    }
    report(options, &journal, place)
}

/// All clients at work.
struct Load {
    people: JoinSet<People>,
    orders: JoinSet<Orders>,
    pictures: JoinSet<Pictures>,
    sessions: JoinSet<Sessions>,
    transfers: JoinSet<Transfers>,
    probes: JoinSet<()>,
}

/// Who is there, and who may be.
struct Emails {
    sure: Vec<String>,
    unsure: Vec<String>,
}

impl Load {
    fn begin(crew: &Arc<Crew>, access: &str, chance: &mut Noise) -> Self {
        let mut client = |access: &str| {
            let mut client = Client::new(crew.clone(), chance.number());
            access.clone_into(&mut client.access);
            client
        };
        let primes = Arc::new(Primes::known());
        let (mut people, mut orders, mut transfers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        for number in 0..SEVERAL {
            people.spawn(People::new(client(access), &format!("person{number}")).work());
            let (name, share) = (format!("order{number}"), (number, SEVERAL));
            orders.spawn(Orders::new(client(access), &name, primes.clone(), share).work());
        }
        transfers.spawn(Transfers::new(client(access), "import").work());
        let (mut pictures, mut sessions, mut watch) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        pictures.spawn(Pictures::new(client(""), "pictures").work());
        sessions.spawn(Sessions::new(client(""), "sessions").work());
        watch.spawn(probes::work(crew.clone()));
        Self { people, orders, pictures, sessions, transfers, probes: watch }
    }

    /// Waits for everybody to end, and has them look for what was acknowledged.
    async fn verify(self, admin: &mut Client) -> Emails {
        let orders = self.orders.join_all().await;
        let (people, pictures) = (self.people.join_all().await, self.pictures.join_all().await);
        let (sessions, transfers) = (self.sessions.join_all().await, self.transfers.join_all().await);
        self.probes.join_all().await;
        let scene = admin.crew.scene.clone();
        scene.journal.note("nobody begins anything any more; what was acknowledged is looked for");
        let mut emails = Emails { sure: vec![EMAIL.to_owned()], unsure: Vec::new() };
        for mut those in transfers {
            let (sure, unsure) = those.verify().await;
            emails.sure.extend(sure);
            emails.unsure.extend(unsure);
        }
        for mut those in pictures {
            emails.sure.push(those.verify().await);
        }
        for mut those in sessions {
            emails.sure.push(those.verify().await);
        }
        for mut those in people {
            emails.sure.extend(those.verify().await);
            emails.unsure.extend(those.unsure);
        }
        let mut all = Vec::new();
        for mut those in orders {
            those.verify().await;
            all.push(those);
        }
        jobs::expect_rest(admin).await;
        let mut by_answer = BTreeMap::<u64, Vec<String>>::new();
        for job in jobs::all(admin, "compute.primes").await {
            let answer = job["result"]["largest"].as_u64().unwrap_or_default();
            by_answer.entry(answer).or_default().push(job["id"].as_str().unwrap_or_default().to_owned());
        }
        for those in &all {
            those.verify_once(&by_answer);
        }
        emails
    }
}

/// Whether everybody who was acknowledged is in the list of users, once, and nobody else.
async fn expect_users(admin: &mut Client, emails: &Emails) {
    let mut listed = BTreeMap::<String, usize>::new();
    let mut cursor = Some(String::new());
    while let Some(at) = cursor {
        let list = Ask::get(format!("/users?limit=100&cursor={at}"), DATABASE);
        let Some(page) = admin.persist(&list).await.map(|heard| heard.json()) else {
            return admin.wrong("users cannot be listed");
        };
        for user in page["data"].as_array().into_iter().flatten() {
            *listed.entry(user["email"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        cursor = page["pagination"]["nextCursor"].as_str().map(str::to_owned);
    }
    let sure: BTreeSet<_> = emails.sure.iter().collect();
    let known: BTreeSet<_> = emails.sure.iter().chain(&emails.unsure).collect();
    for email in sure.iter().filter(|email| listed.get(**email) != Some(&1)) {
        admin.wrong(format!("{email} is listed {:?} times", listed.get(*email)));
    }
    for email in listed.keys().filter(|email| !known.contains(email)) {
        admin.wrong(format!("nobody made {email}, or it was deleted"));
    }
    admin.crew.scene.journal.note(format!("{} users are there", listed.len()));
}

/// Whether nothing is left behind in the database: jobs that nobody has brought to the queue, and open transactions.
async fn expect_clear(scene: &Scene) {
    let left = || {
        let stage = &scene.stage;
        let outbox = stage.primary.sql_in(&stage.database, "SELECT count(*) FROM outbox");
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        (outbox, stage.primary.sql(open))
    };
    let begun = Instant::now();
    loop {
        let (outbox, open) = block_in_place(left);
        if (outbox.as_str(), open.as_str()) == ("0", "0") {
            return;
        }
        if begun.elapsed() > CLEARED {
            scene
                .journal
                .wrong(format!("left behind: {outbox} jobs in the outbox, {open} open transactions"));
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn report(options: &Options, journal: &Journal, place: TempDir) -> bool {
    println!();
    journal.sum_up();
    let wrong = journal.all_wrong();
    if wrong.is_empty() {
        println!("\nseed {}: nothing was lost, nothing accepted twice, nothing stuck", options.seed);
        return true;
    }
    let (seed, length) = (options.seed, options.length.as_secs());
    let logs = place.keep();
    println!("\n{} mistakes:\n{}", wrong.len(), wrong.join("\n"));
    println!(
        "\nseed {seed}: replay with drill --seed {seed} --for {length}s; logs are in {}",
        logs.display()
    );
    false
}
