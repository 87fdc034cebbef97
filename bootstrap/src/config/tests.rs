//! The rules of the configuration, one table per rule.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

mod compute;
mod database;
mod http;
mod redis;
mod storage;

use super::explain;
use super::variables::ALL;
use super::*;
use crate::exit::Exit;

/// What a process with these options, this environment and this `.env` file reads.
fn read(options: &[(&'static str, &str)], environment: &[(&str, &str)], dotenv: &str) -> Reading {
    let options =
        options.iter().map(|&(name, value)| Override { name, flag: "--option", value: value.to_owned() });
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::read(&Sources::new(options, environment, Ok(Some(dotenv.to_owned()))))
}

fn in_environment(environment: &[(&str, &str)]) -> Reading {
    read(&[], environment, "")
}

fn config(reading: Reading) -> Config {
    reading.config.unwrap_or_else(|failure| panic!("{failure}"))
}

fn problems(reading: Reading) -> String {
    let failure = reading.config.expect_err("there are problems");
    assert_eq!(failure.exit(), Exit::Config);
    failure.to_string()
}

const STRONG: &str = "q3Yt0nR6dJ1vXwq8Zb7sKf2uM5hLgC4e";

#[test]
fn the_defaults_are_a_configuration_for_development_and_test() {
    let config = config(in_environment(&[]));
    assert_eq!(config.app_env, AppEnv::Development);
    assert_eq!(config.listen, Listen { host: "127.0.0.1".to_owned(), port: 3000 });
    assert_eq!(config.database, Database::Sqlite { file: PathBuf::from("./data/portwright.db") });
    assert_eq!(config.jwt.key, SigningKeySource::DataDir);
    assert_eq!(config.jwt.access_ttl, Duration::from_mins(15));
    assert_eq!((config.rate_limit.limit, config.rate_limit.window), (50, Duration::from_mins(1)));
    assert_eq!((config.login.limit, config.login.window), (10, Duration::from_mins(1)));
    assert_eq!(config.registration, Registration::Open);
    assert!(
        matches!(config.first_admin, FirstAdmin::Generated { email } if email.as_str() == "admin@localhost")
    );
    assert_eq!(config.log, Log { format: LogFormat::Auto, filter: None });
    let stop = Shutdown { ready_delay: Duration::ZERO, timeout: Duration::from_secs(25) };
    assert_eq!(config.shutdown, stop);

    let embedded = Config::embedded(Path::new("/somewhere"));
    assert_eq!((embedded.app_env, embedded.listen.port), (AppEnv::Test, 0));
    assert_eq!(embedded.database, Database::Sqlite { file: PathBuf::from("/somewhere/portwright.db") });
}

#[test]
fn every_default_is_what_its_variable_accepts() {
    for app_env in ["development", "test", "production"] {
        let reading = in_environment(&[("APP_ENV", app_env), ("JWT_SECRET", STRONG)]);
        assert_eq!(reading.settings.len(), ALL.len(), "a variable of the table is not read");
        let config = config(reading);
        assert_eq!(config.app_env.as_str(), app_env);
    }
}

#[test]
fn production_listens_everywhere_and_stops_slowly() {
    let config = config(in_environment(&[("APP_ENV", "production"), ("JWT_SECRET", STRONG)]));
    assert_eq!(config.listen.host, "0.0.0.0");
    assert_eq!(config.shutdown.ready_delay, Duration::from_secs(5));
    assert!(matches!(config.first_admin, FirstAdmin::ByCommand));
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_file() {
    let port = |options: &[(&'static str, &str)], environment: &[(&str, &str)]| {
        config(read(options, environment, "# ours\nPORT=3")).listen.port
    };
    assert_eq!(port(&[("PORT", "1")], &[("PORT", "2")]), 1);
    assert_eq!(port(&[], &[("PORT", "2")]), 2);
    assert_eq!(port(&[], &[]), 3);
    assert_eq!(port(&[], &[("PORT", "")]), 3, "empty is not set");
}

#[test]
fn the_reading_tells_where_a_value_came_from_and_what_it_overrode() {
    let reading = read(&[("PORT", "1")], &[("PORT", "2")], "\nPORT=3");
    let port = explain::one(&reading, "port").expect("a variable");
    assert_eq!(port.value.as_ref().expect("set").to_string(), "PORT=1 (command line, --option)");
    let overrode: Vec<String> = port.overrode.iter().map(ToString::to_string).collect();
    assert_eq!(overrode, ["PORT=2 (environment)", "PORT=3 (.env line 2)"]);
    let host = explain::one(&reading, "HOST").expect("a variable");
    assert_eq!(host.value.as_ref().expect("set").origin, Origin::Default);
}

#[test]
fn the_canonical_name_wins_over_its_alias() {
    let app_env = |environment: &[(&str, &str)]| {
        let all: Vec<_> = environment.iter().copied().chain([("JWT_SECRET", STRONG)]).collect();
        config(in_environment(&all)).app_env
    };
    assert_eq!(app_env(&[("NODE_ENV", "production"), ("APP_ENV", "test")]), AppEnv::Test);
    assert_eq!(app_env(&[("NODE_ENV", "production")]), AppEnv::Production);
    let reading = read(&[], &[("NODE_ENV", "production"), ("JWT_SECRET", STRONG)], "APP_ENV=test");
    assert_eq!(config(reading).app_env, AppEnv::Test);
    let config = config(in_environment(&[("SHUT_DOWN_TIMER", "1500")]));
    assert_eq!(config.shutdown.timeout, Duration::from_millis(1500));
}

#[test]
fn durations_take_units_everywhere_and_bare_numbers_as_documented() {
    let config = config(in_environment(&[
        ("JWT_EXPIRES_IN", "900"),
        ("RATE_LIMIT_WINDOW_MS", "1500"),
        ("LOGIN_WINDOW_MS", "2m"),
        ("SHUTDOWN_TIMEOUT", "10s"),
        ("SESSION_IDLE_TIMEOUT", "1h"),
        ("SESSION_LIFETIME", "1d"),
    ]));
    assert_eq!(config.jwt.access_ttl, Duration::from_mins(15));
    assert_eq!(config.rate_limit.window, Duration::from_millis(1500));
    assert_eq!(config.login.window, Duration::from_mins(2));
    assert_eq!(config.shutdown.timeout, Duration::from_secs(10));
    assert_eq!(config.session.idle, Duration::from_hours(1));
}

#[test]
fn values_that_make_no_sense_are_refused_with_the_reason() {
    for (name, value, reason) in [
        ("APP_ENV", "prod", "development, production or test"),
        ("PORT", "http", "no whole number"),
        ("PORT", "65536", "out of range"),
        ("PORT", "+80", "no whole number"),
        ("HOST", "http://localhost", "an IP address or a host name"),
        ("JWT_EXPIRES_IN", "soon", "duration"),
        ("JWT_EXPIRES_IN", "1500ms", "fraction"),
        ("JWT_EXPIRES_IN", "0", "out of range"),
        ("JWT_SECRET", "short", "32 bytes"),
        ("JWT_PRIVATE_KEY_FILE", "/nonexistent/key.pem", "No such file"),
        ("JWT_PRIVATE_KEY_FILE", "/", "not a regular file"),
        ("JWT_ACCEPTED_KEY_FILES", "/nonexistent/a.pem,/nonexistent/b.pem", "No such file"),
        ("SESSION_LIFETIME", "30", "unit is missing"),
        ("REGISTRATION", "maybe", "open or closed"),
        ("ADMIN_EMAIL", "nobody", "@"),
        ("ADMIN_PASSWORD", "password123", "common"),
        ("RATE_LIMIT_MAX_REQUESTS", "0", "out of range"),
        ("LOGIN_MAX_FAILURES", "-1", "no whole number"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,everyone", "separated by commas"),
        ("HASHING_THREADS", "0", "out of range"),
        ("LOG_FORMAT", "xml", "auto, json or text"),
        ("RUST_LOG", "portwright=loud", "filter"),
        ("SHUTDOWN_TIMEOUT", "2h", "out of range"),
        ("HEALTH_CHECK_SECRET", "tiny", "16 bytes"),
    ] {
        let printed = problems(in_environment(&[(name, value)]));
        assert!(printed.contains(&format!("error: {name} must be ")), "{printed}");
        assert!(printed.contains(reason), "{name}={value}: {printed}");
        assert!(printed.contains("  fix:  "), "{printed}");
        assert!(printed.ends_with("1 problem, nothing was started (exit 78)\n"), "{printed}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let environment = [("PORT", "x"), ("SESSION_IDLE_TIMEOUT", "x"), ("COMPUTE_MIN_WORKER", "1")];
    let printed = problems(read(&[], &environment, "not a line\nSESSION_LIFETIME=y\nMANAGEMENT_PORT=z"));
    for expected in [
        "PORT=x (environment)",
        "SESSION_IDLE_TIMEOUT=x (environment)",
        "SESSION_LIFETIME=y (.env line 2)",
        "unknown variable COMPUTE_MIN_WORKER, did you mean COMPUTE_MIN_WORKERS?",
        "MANAGEMENT_PORT=z (.env line 3)",
        ".env line 1",
        "6 problems, nothing was started (exit 78)",
    ] {
        assert!(printed.contains(expected), "{expected} is not in\n{printed}");
    }
}

#[test]
fn production_neither_makes_up_a_key_nor_takes_a_known_one() {
    let production = |more: &[(&str, &str)]| {
        let all: Vec<_> = [("APP_ENV", "production")].into_iter().chain(more.iter().copied()).collect();
        in_environment(&all)
    };
    assert!(problems(production(&[])).contains("JWT_PRIVATE_KEY_FILE is not set"));
    for known in ["your-super-secret-jwt-key-change-in-production", "changemechangemechangemechangeme"] {
        let printed = problems(production(&[("JWT_SECRET", known)]));
        assert!(printed.contains("JWT_SECRET is a secret that everybody knows"), "{printed}");
        assert!(!printed.contains(known), "{printed}");
        let test = in_environment(&[("APP_ENV", "test"), ("JWT_SECRET", known)]);
        assert!(matches!(config(test).jwt.key, SigningKeySource::Secret(_)));
    }
    for short in ["changeme", "secret"] {
        assert!(problems(production(&[("JWT_SECRET", short)])).contains("32 bytes or more"));
    }
    let printed = problems(production(&[("JWT_SECRET", STRONG), ("ADMIN_EMAIL", "a@b.example")]));
    assert!(printed.contains("only one of ADMIN_EMAIL and ADMIN_PASSWORD"), "{printed}");
}

#[test]
fn two_signing_keys_are_a_problem() {
    let key = tempfile::NamedTempFile::new().expect("a file");
    let path = key.path().to_str().expect("UTF-8");
    let printed = problems(in_environment(&[("JWT_SECRET", STRONG), ("JWT_PRIVATE_KEY_FILE", path)]));
    assert!(printed.contains("are both set"), "{printed}");
    assert!(printed.contains("JWT_SECRET=*** (environment)"), "{printed}");
    let config = config(in_environment(&[("JWT_PRIVATE_KEY_FILE", path)]));
    assert_eq!(config.jwt.key, SigningKeySource::File(key.path().to_owned()));
}

#[test]
fn a_secret_may_be_in_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secret");
    let path = file.to_str().expect("UTF-8").to_owned();
    fs::write(&file, format!("{STRONG}\r\n")).expect("written");
    let reading = in_environment(&[("JWT_SECRET_FILE", &path)]);
    assert_eq!(config(reading).jwt.key, SigningKeySource::Secret(Secret::new(STRONG.to_owned())));

    let printed = problems(in_environment(&[("JWT_SECRET_FILE", &path), ("JWT_SECRET", STRONG)]));
    assert!(printed.contains("JWT_SECRET and JWT_SECRET_FILE are both set"), "{printed}");
    let elsewhere = read(&[], &[("JWT_SECRET_FILE", &path)], "JWT_SECRET=something-else");
    assert!(elsewhere.config.is_ok(), "the environment wins over the file");

    let endless = problems(in_environment(&[("JWT_SECRET_FILE", "/dev/zero")]));
    assert!(endless.contains("not a regular file"), "{endless}");
    fs::write(&file, "\n").expect("written");
    assert!(problems(in_environment(&[("JWT_SECRET_FILE", &path)])).contains("the file is empty"));
    fs::remove_file(&file).expect("removed");
    let printed = problems(in_environment(&[("JWT_SECRET_FILE", &path)]));
    assert!(printed.contains("No such file") && printed.contains(&path), "{printed}");
}

#[test]
fn operators_have_a_port_of_their_own_or_none() {
    assert_eq!(config(in_environment(&[("MANAGEMENT_PORT", "")])).management, None);
    let given = config(in_environment(&[("MANAGEMENT_PORT", "9090"), ("HOST", "127.0.0.2")]));
    assert_eq!(given.management, Some(Listen { host: "127.0.0.2".to_owned(), port: 9090 }));
    let printed = problems(in_environment(&[("PORT", "8080"), ("MANAGEMENT_PORT", "8080")]));
    assert!(printed.contains("PORT and MANAGEMENT_PORT are the same"), "{printed}");
    config(in_environment(&[("PORT", "0"), ("MANAGEMENT_PORT", "0")]));
}

#[test]
fn misspelt_names_are_found_and_other_programs_variables_left_alone() {
    for (name, meant) in [
        ("RATE_LIMIT_MAX_REQUEST", "RATE_LIMIT_MAX_REQUESTS"),
        ("RATE_LIMT_WINDOW_MS", "RATE_LIMIT_WINDOW_MS"),
        ("JWT_SECERT", "JWT_SECRET"),
        ("JWT_PRIVATE_KEY", "JWT_PRIVATE_KEY_FILE"),
        ("SHUTDOWN_TIMOUT", "SHUTDOWN_TIMEOUT"),
        ("APP_EVN", "APP_ENV"),
        ("ADMIN_PASSWORD_FIEL", "ADMIN_PASSWORD_FILE"),
    ] {
        let printed = problems(in_environment(&[(name, "hunter2")]));
        assert!(printed.contains(&format!("unknown variable {name}, did you mean {meant}?")), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    for line in ["PROT=1", "port=1", "HOTS=x"] {
        assert!(problems(read(&[], &[], line)).contains("did you mean"), "{line}");
    }
    for name in ["JWT_AUDIENCE", "QUEUE_COLOUR", "LOGIN_BACKGROUND"] {
        assert!(problems(in_environment(&[(name, "1")])).contains(&format!("unknown variable {name}")));
        assert!(problems(read(&[], &[], &format!("{name}=1"))).contains(&format!("unknown variable {name}")));
    }
    config(in_environment(&[
        ("HOME", "/root"),
        ("POST", "1"),
        ("HOSTNAME", "box"),
        ("PATH", "/bin"),
        ("LOGNAME", "me"),
        ("XDG_SESSION_ID", "1"),
        ("XDG_DATA_DIRS", "/usr"),
        ("AWS_REGION", "eu-central-1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "x"),
        ("REDIS_SERVICE_HOST", "10.0.0.1"),
        ("REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("DB_SERVICE_PORT_POSTGRES", "5432"),
    ]));
    assert!(problems(read(&[], &[], "OTEL_BSP_MAX_QUEUE_SIZE=x")).contains("OTEL_BSP_MAX_QUEUE_SIZE"));
    config(read(&[], &[], "POSTGRES_PASSWORD=for-compose"));
}

#[test]
fn secrets_are_shown_nowhere() {
    let canary = "q3Yt0nR6dJ1v-canary-Zb7sKf2uM5hL";
    let reading = read(
        &[],
        &[("JWT_SECRET", canary), ("HEALTH_CHECK_SECRET", canary)],
        &format!("JWT_SECRET={canary}x\nADMIN_PASSWORD={canary}"),
    );
    let pages: String = reading.settings.iter().map(explain::page).collect();
    let json: String = reading.settings.iter().map(|setting| explain::json(setting).to_string()).collect();
    let shown = format!("{}{pages}{json}{reading:?}", explain::table(&reading));
    assert!(shown.contains("***"));
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
#[cfg(unix)]
fn a_value_that_is_no_text_is_a_problem_and_not_a_panic() {
    use std::os::unix::ffi::OsStringExt;
    let environment = [(OsString::from("DATA_DIR"), OsString::from_vec(vec![0xff, 0xfe]))];
    let printed = problems(Config::read(&Sources::new([], environment, Ok(None))));
    assert!(printed.contains("DATA_DIR must be a path (it is no UTF-8)"), "{printed}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let printed = problems(Config::read(&Sources::new([], [], Err(error))));
    assert!(printed.contains("cannot read the .env file (permission denied)"), "{printed}");
}

#[test]
fn explain_knows_aliases_and_files_and_suggests_what_was_meant() {
    let reading = in_environment(&[]);
    for (name, found) in [("node_env", "APP_ENV"), ("JWT_SECRET_FILE", "JWT_SECRET"), ("PORT", "PORT")] {
        assert_eq!(explain::one(&reading, name).expect("a variable").spec.name, found);
    }
    for (name, hint) in [("PROT", "did you mean PORT?"), ("ZZZ", "config show")] {
        let failure = explain::one(&reading, name).expect_err("no variable");
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains(hint), "{failure}");
    }
}
