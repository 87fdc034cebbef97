//! Streams of a job's events, in a time that flies: how they show that they live, and when they end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use poem::http::StatusCode;
use poem::{Endpoint, Request};
use portwright_application::compute::Defaults;
use portwright_application::users::NewUser;
use portwright_application::{Policy, Ports, Services};
use portwright_domain::access::Role;
use portwright_domain::job::{JobId, NewJob};
use portwright_domain::password::{NewPassword, Password};
use portwright_domain::ports::{Clock, JobQueue, Quota, Unobserved};
use portwright_domain::session::SessionLimits;
use portwright_domain::trace::Sampler;
use portwright_domain::user::{Email, PersonName, UserId};
use portwright_http::{
    ApiPolicy, ApiPorts, ConcurrencyLimit, Draining, HealthDetails, Protected, ServerLimits, TrustedProxies,
    WithDeadline, api,
};
use portwright_memory::{
    FakeSealer, FakeTokens, MemoryCache, MemoryJobQueue, MemoryRateLimiter, MemoryStorage, MemoryStore,
    PlainHasher,
};
use portwright_testkit::builders::JobBuilder;
use portwright_testkit::{ManualClock, SequentialIds};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "tango-velvet-harbor-91";
const QUOTA: Quota = Quota { limit: 1_000, window: Duration::from_mins(1) };

/// The API over ports in memory, and somebody with a job that waits.
struct Scene {
    services: Services,
    queue: Arc<MemoryJobQueue>,
    api: Protected,
    draining: CancellationToken,
    token: String,
    job: JobId,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let queue = Arc::new(MemoryJobQueue::new(clock.clone()));
        let (tokens, sealer) = (Arc::new(FakeTokens::default()), Arc::new(FakeSealer::default()));
        let limiter = Arc::new(MemoryRateLimiter::new(1_000, clock.clone()));
        let ids = Arc::new(SequentialIds::new(clock.clone()));
        let ports = Ports {
            store: Arc::new(MemoryStore::new()),
            queue: queue.clone(),
            cache: Arc::new(MemoryCache::new(1 << 20, clock.clone())),
            storage: Arc::new(MemoryStorage::new(clock.clone())),
            hasher: Arc::new(PlainHasher::default()),
            tokens: tokens.clone(),
            sealer: sealer.clone(),
            limiter: limiter.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            observer: Arc::new(Unobserved),
            probes: Vec::new(),
        };
        let policy = Policy {
            registration_open: false,
            access_ttl: Duration::from_mins(15),
            session: SessionLimits { idle: Duration::from_hours(1), absolute: Duration::from_hours(1) },
            login: QUOTA,
            jobs: Defaults::default(),
        };
        let services = Services::new(ports, policy);
        let (user, token) = signed_in(&services).await;
        let job: NewJob = JobBuilder::number(1).created_by(user).build();
        queue.enqueue(std::slice::from_ref(&job)).await.expect("there is room");

        let draining = CancellationToken::new();
        let (observer, exposition) = (Arc::new(Unobserved), None);
        let clock: Arc<dyn Clock> = clock;
        let with_deadline: WithDeadline = Arc::new(|_, handling| handling);
        let ports = ApiPorts { tokens, sealer, limiter, clock, ids, observer, exposition, with_deadline };
        let policy = ApiPolicy {
            quota: QUOTA,
            proxies: TrustedProxies::default(),
            health: HealthDetails::Everybody,
            limits: ServerLimits::default(),
            concurrency: ConcurrencyLimit::of(10),
            sampler: Sampler::OFF,
        };
        let streams = draining.clone();
        let api = api(&services, ports, policy, Draining { unready: CancellationToken::new(), streams });
        Self { services, queue, api, draining, token, job: job.id }
    }

    /// The stream of the job's events, as it is read.
    async fn follow(&self) -> BoxStream<'static, String> {
        let request = Request::builder()
            .uri_str(format!("/jobs/{}/events", self.job))
            .header("authorization", format!("Bearer {}", self.token))
            .finish();
        let response = self.api.call(request).await.expect("it never fails");
        assert_eq!(response.status(), StatusCode::OK);
        let chunks = response.into_body().into_bytes_stream();
        let text = |chunk: Result<bytes::Bytes, _>| String::from_utf8(chunk.expect("a chunk").into());
        chunks.map(move |chunk| text(chunk).expect("text")).boxed()
    }

    /// Ends every session of whoever follows.
    async fn end_sessions(&self) {
        let email = Email::parse("ada@example.com").expect("an address");
        self.services.operators.set_active(&email, false).await.expect("locking works");
    }
}

async fn signed_in(services: &Services) -> (UserId, String) {
    let name = |text| PersonName::parse(text).expect("a name");
    let ada = NewUser {
        email: Email::parse("ada@example.com").expect("an address"),
        password: NewPassword::parse(PASSWORD).expect("a password"),
        first_name: name("Ada"),
        last_name: name("Lovelace"),
        role: Role::User,
        is_active: true,
    };
    let user = services.operators.create(ada).await.expect("creating works");
    let password = Password::typed(PASSWORD).expect("a password");
    let session = services.sessions.log_in("ada@example.com", &password, "192.0.2.1").await;
    let token = session.expect("signing in works").value.access_token.expose().to_owned();
    (user.id, token)
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_news_shows_that_it_lives_and_ends_after_ten_minutes() {
    let scene = Scene::new().await;
    let began = Instant::now();
    let mut events = scene.follow().await;
    assert!(events.next().await.expect("an event").contains(r#""state":"ready""#));
    for beat in 1..40 {
        assert_eq!(events.next().await.as_deref(), Some(":\n\n"));
        let late = began.elapsed().saturating_sub(Duration::from_secs(15) * beat);
        assert!(late < Duration::from_secs(20), "beat {beat} came {late:?} late");
    }
    assert_eq!(events.next().await, None);
    assert!(began.elapsed() >= Duration::from_mins(10));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_soon_after_the_session_of_its_caller() {
    let scene = Scene::new().await;
    let mut events = scene.follow().await;
    assert!(events.next().await.expect("an event").contains(r#""state":"ready""#));
    assert_eq!(events.next().await.as_deref(), Some(":\n\n"));
    scene.end_sessions().await;
    let ended_at = Instant::now();
    assert_eq!(events.next().await, None);
    assert!(ended_at.elapsed() <= Duration::from_secs(16), "{:?}", ended_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_as_soon_as_the_service_is_about_to_stop() {
    let scene = Scene::new().await;
    let mut events = scene.follow().await;
    events.next().await.expect("an event");
    let draining = scene.draining.clone();
    let stop = async {
        sleep(Duration::from_secs(3)).await;
        draining.cancel();
        Instant::now()
    };
    let (end, stopped_at) = tokio::join!(events.next(), stop);
    assert_eq!((end, stopped_at.elapsed()), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_job_and_tells_how_it_ended() {
    let scene = Scene::new().await;
    let mut events = scene.follow().await;
    events.next().await.expect("an event");
    let cancel = async {
        sleep(Duration::from_secs(20)).await;
        scene.queue.cancel(scene.job).await.expect("cancel works");
    };
    let (told, ()) = tokio::join!(events.by_ref().collect::<Vec<_>>(), cancel);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], ":\n\n");
    assert!(told[1].contains(r#""state":"cancelled""#), "{told:?}");
}
