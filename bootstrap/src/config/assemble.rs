//! From variables to a configuration: the rules between them.

use portwright_domain::ports::Quota;
use portwright_domain::ports::job_queue::Limits;
use portwright_domain::session::SessionLimits;
use portwright_domain::user::Email;

use super::database::database;
use super::reader::{Reader, Reading};
use super::secret::Secret;
use super::sources::Sources;
use super::variables as v;
use super::{
    AppEnv, AppRole, Compute, Config, FirstAdmin, Hashing, Jobs, Jwt, Listen, Log, Origins, Outside, Sharing,
    Shutdown, SigningKeySource, WorkerCount, http, misspelt, redis, storage, tracing,
};
use crate::failure::Failure;

/// Reads everything there is, so that one run tells everything that is wrong.
pub(super) fn assemble(sources: &Sources) -> Reading {
    let mut reader = Reader::new(sources);
    let mut outside = Outside::default();
    let config = config(&mut reader, &mut outside);
    reader.problems.extend(misspelt::problems(sources));
    let Reader { settings, problems, .. } = reader;
    outside.origins = Origins::of(&settings);
    let config = match config {
        Some(config) if problems.is_empty() => Ok(Config { origins: outside.origins.clone(), ..config }),
        _ => Err(Failure::config(problems)),
    };
    Reading { settings, config, outside }
}

/// `None` only if there is a problem; a value with one does not keep the others from being looked at.
fn config(reader: &mut Reader<'_>, outside: &mut Outside) -> Option<Config> {
    let app_env = reader.read(&v::APP_ENV);
    reader.app_env = app_env.unwrap_or(AppEnv::Development);
    let (host, port) = (reader.read(&v::HOST), reader.read(&v::PORT));
    let management = management(reader, port);
    let data_dir = reader.read(&v::DATA_DIR);
    let database = database(reader, data_dir.as_deref());
    let redis = redis::read(reader);
    let storage = storage::read(reader, data_dir.as_deref());
    outside.database.clone_from(&database);
    outside.storage.clone_from(&storage);
    outside.redis.clone_from(&redis);
    let jwt = jwt(reader);
    let session = session(reader);
    let registration = reader.read(&v::REGISTRATION);
    let first_admin = first_admin(reader);
    let rate_limit = quota(reader.read(&v::RATE_LIMIT_MAX_REQUESTS), reader.read(&v::RATE_LIMIT_WINDOW_MS));
    let servers = reader.read(&v::RATE_LIMIT_SERVERS);
    let limiter_timeout = reader.read(&v::RATE_LIMIT_TIMEOUT_MS);
    let login = quota(reader.read(&v::LOGIN_MAX_FAILURES), reader.read(&v::LOGIN_WINDOW_MS));
    let trusted_proxies = reader.read(&v::TRUSTED_PROXIES).unwrap_or_default();
    let (threads, waiting) = (reader.read(&v::HASHING_THREADS), reader.read(&v::HASHING_QUEUE));
    let hashing = threads.zip(waiting).map(|(threads, queue)| Hashing { threads, queue });
    let http = http::read(reader, database.as_ref(), hashing);
    let health_secret = reader.read(&v::HEALTH_CHECK_SECRET);
    refuse_well_known(reader, &v::HEALTH_CHECK_SECRET.spec, health_secret.as_ref());
    let (format, filter) = (reader.read(&v::LOG_FORMAT), reader.read(&v::RUST_LOG));
    let tracing = tracing::read(reader);
    let (ready_delay, timeout) = (reader.read(&v::SHUTDOWN_READY_DELAY), reader.read(&v::SHUTDOWN_TIMEOUT));
    let (compute, jobs) = (compute(reader), jobs(reader));
    let queue = redis::queue(reader, database.as_ref(), redis.as_ref());
    Some(Config {
        app_env: app_env?,
        management: management.and_then(|port| Some(Listen { host: host.clone()?, port })),
        listen: Listen { host: host?, port: port? },
        database: database?,
        data_dir: data_dir?,
        storage: storage?,
        jwt: jwt?,
        session: session?,
        registration: registration?,
        first_admin,
        rate_limit: rate_limit?,
        login: login?,
        trusted_proxies,
        http: http?,
        hashing: hashing?,
        health_secret,
        log: Log { format: format?, filter },
        tracing: tracing?,
        shutdown: Shutdown { ready_delay: ready_delay?, timeout: timeout? },
        queue: queue?,
        sharing: Sharing::through(redis),
        servers: servers?,
        limiter_timeout: limiter_timeout?,
        compute: compute?,
        jobs: jobs?,
        origins: Origins::default(),
    })
}

fn management(reader: &mut Reader<'_>, port: Option<u16>) -> Option<u16> {
    let management = reader.read(&v::MANAGEMENT_PORT);
    if management.is_some_and(|management| management != 0 && Some(management) == port) {
        reader.refuse(
            &[&v::PORT.spec, &v::MANAGEMENT_PORT.spec],
            "PORT and MANAGEMENT_PORT are the same, and clients are not to reach the second",
            "choose another port for one of them",
        );
    }
    management
}

fn quota(limit: Option<u32>, window: Option<std::time::Duration>) -> Option<Quota> {
    Some(Quota { limit: limit?, window: window? })
}

fn jwt(reader: &mut Reader<'_>) -> Option<Jwt> {
    let file = reader.read(&v::JWT_PRIVATE_KEY_FILE);
    let accepted = reader.read(&v::JWT_ACCEPTED_KEY_FILES);
    let secret = reader.read(&v::JWT_SECRET);
    let access_ttl = reader.read(&v::JWT_EXPIRES_IN);
    let (file_spec, secret_spec) = (&v::JWT_PRIVATE_KEY_FILE.spec, &v::JWT_SECRET.spec);
    refuse_well_known(reader, secret_spec, secret.as_ref());
    match (reader.is_given(file_spec), reader.is_given(secret_spec)) {
        (true, true) => reader.refuse(
            &[file_spec, secret_spec],
            "JWT_PRIVATE_KEY_FILE and JWT_SECRET are both set, and one key signs",
            "remove JWT_SECRET, unless clients of yours verify tokens with it",
        ),
        (false, false) if reader.app_env == AppEnv::Production => reader.refuse(
            &[&v::APP_ENV.spec],
            "JWT_PRIVATE_KEY_FILE is not set, and production does not make up a key",
            "`openssl genpkey -algorithm ed25519 -out jwt.pem` makes one; or set JWT_SECRET to 32 random bytes or more",
        ),
        _ => {}
    }
    let key = match (file, secret) {
        (Some(file), _) => SigningKeySource::File(file),
        (None, Some(secret)) => SigningKeySource::Secret(secret),
        (None, None) => SigningKeySource::DataDir,
    };
    Some(Jwt { key, accepted: accepted.unwrap_or_default(), access_ttl: access_ttl? })
}

/// Tests may use the secrets of the examples; nobody else, since everybody knows them.
pub(super) fn refuse_well_known(reader: &mut Reader<'_>, spec: &'static v::Spec, secret: Option<&Secret>) {
    if reader.app_env != AppEnv::Test && secret.is_some_and(Secret::is_well_known) {
        let what = format!("{} is a secret that everybody knows", spec.name);
        reader.refuse(&[spec], what, "`openssl rand -base64 48` makes one that nobody knows");
    }
}

fn session(reader: &mut Reader<'_>) -> Option<SessionLimits> {
    let (idle, absolute) = (reader.read(&v::SESSION_IDLE_TIMEOUT), reader.read(&v::SESSION_LIFETIME));
    let (idle, absolute) = (idle?, absolute?);
    if idle > absolute {
        reader.refuse(
            &[&v::SESSION_IDLE_TIMEOUT.spec, &v::SESSION_LIFETIME.spec],
            "SESSION_IDLE_TIMEOUT is longer than SESSION_LIFETIME",
            "shorten the first, or lengthen the second",
        );
    }
    Some(SessionLimits { idle, absolute })
}

fn first_admin(reader: &mut Reader<'_>) -> FirstAdmin {
    let (email, password) = (reader.read(&v::ADMIN_EMAIL), reader.read(&v::ADMIN_PASSWORD));
    let (email_spec, password_spec) = (&v::ADMIN_EMAIL.spec, &v::ADMIN_PASSWORD.spec);
    let production = reader.app_env == AppEnv::Production;
    if production && reader.is_given(email_spec) != reader.is_given(password_spec) {
        reader.refuse(
            &[email_spec, password_spec],
            "only one of ADMIN_EMAIL and ADMIN_PASSWORD is set",
            "set both (ADMIN_PASSWORD_FILE keeps the password out of the environment), or none of them and use \
             `portwright users create-admin`",
        );
    }
    match (email, password) {
        (None, None) if production => FirstAdmin::ByCommand,
        (email, password) => {
            let email = email.unwrap_or_else(|| Email::from_stored("admin@localhost".to_owned()));
            match password {
                Some(password) => FirstAdmin::Given { email, password },
                None => FirstAdmin::Generated { email },
            }
        }
    }
}

fn compute(reader: &mut Reader<'_>) -> Option<Compute> {
    let role = reader.read(&v::COMPUTE_APP_ROLE);
    let spawn = reader.read(&v::COMPUTE_AUTO_SPAWN);
    let workers = worker_count(reader);
    let concurrency = reader.read(&v::COMPUTE_CONCURRENCY);
    let lease = reader.read(&v::COMPUTE_LEASE);
    let memory_limit = reader.read(&v::COMPUTE_MEMORY_LIMIT);
    let (role, workers) = (role?, workers?);
    // A test that wants processes says so; any other would only wait for them to start and to end.
    let spawn = spawn.unwrap_or(role == AppRole::All && reader.app_env != AppEnv::Test);
    let workers = spawn.then_some(workers);
    Some(Compute { role, workers, concurrency: concurrency?, lease: lease?, memory_limit })
}

fn worker_count(reader: &mut Reader<'_>) -> Option<WorkerCount> {
    let (min, max) = (reader.read(&v::COMPUTE_MIN_WORKERS), reader.read(&v::COMPUTE_MAX_WORKERS));
    let (min_spec, max_spec) = (&v::COMPUTE_MIN_WORKERS.spec, &v::COMPUTE_MAX_WORKERS.spec);
    let min = min?;
    if reader.is_given(max_spec) && max.is_some_and(|max| max < min) {
        reader.refuse(
            &[min_spec, max_spec],
            "COMPUTE_MIN_WORKERS is more than COMPUTE_MAX_WORKERS",
            "lower the first, or raise the second",
        );
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Some(WorkerCount { min, max: max.unwrap_or_else(|| cores().max(min)) })
}

fn jobs(reader: &mut Reader<'_>) -> Option<Jobs> {
    let attempts = reader.read(&v::QUEUE_ATTEMPTS);
    let (kind, delay) = (reader.read(&v::QUEUE_BACKOFF_TYPE), reader.read(&v::QUEUE_BACKOFF_DELAY));
    let (succeeded, unsuccessful) =
        (reader.read(&v::QUEUE_REMOVE_ON_COMPLETE), reader.read(&v::QUEUE_REMOVE_ON_FAIL));
    let usual = Limits::default();
    let limits = Limits {
        succeeded: succeeded.unwrap_or(usual.succeeded),
        unsuccessful: unsuccessful.unwrap_or(usual.unsuccessful),
        ..usual
    };
    Some(Jobs { attempts: attempts?, backoff: kind?.starting_at(delay?), limits })
}
