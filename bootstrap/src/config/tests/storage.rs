//! Where files are kept.

use portwright_storage::S3Config;

use super::*;

const S3: &[(&str, &str)] = &[
    ("STORAGE_STRATEGY", "s3"),
    ("STORAGE_BUCKET_NAME", "files"),
    ("STORAGE_ACCESS_KEY", "AKIAPORTWRIGHT"),
    ("STORAGE_SECRET_KEY", STRONG),
];

fn s3(more: &[(&str, &str)]) -> Reading {
    in_environment(&[S3, more].concat())
}

fn bucket(reading: Reading) -> S3Config {
    match config(reading).storage {
        Storage::S3(bucket) => bucket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_kept_beside_the_database_unless_somebody_says_otherwise() {
    let storage = |environment: &[(&str, &str)]| config(in_environment(environment)).storage;
    let local = |folder: &str| Storage::Local { folder: PathBuf::from(folder) };
    assert_eq!(storage(&[]), local("./data/storage"));
    assert_eq!(storage(&[("DATA_DIR", "/srv")]), local("/srv/storage"));
    assert_eq!(storage(&[("DATA_DIR", "/srv")]).to_string(), "local /srv/storage");
    assert_eq!(storage(&[("STORAGE_STRATEGY", "memory")]), Storage::Memory);
    let all_there = [&S3[1..], &[("STORAGE_STRATEGY", "local")]].concat();
    assert_eq!(storage(&all_there), local("./data/storage"), "the others may stay where they are");
}

#[test]
fn a_bucket_is_amazons_or_that_of_the_endpoint() {
    let amazons = bucket(s3(&[("STORAGE_REGION", "eu-central-1")]));
    assert_eq!((amazons.endpoint.as_deref(), amazons.force_path_style), (None, false));
    assert_eq!(amazons.place(), "s3 files in eu-central-1");
    let ours = bucket(s3(&[("STORAGE_ENDPOINT", "http://minio:9000/")]));
    assert_eq!((ours.endpoint.as_deref(), ours.force_path_style), (Some("http://minio:9000"), true));
    assert_eq!((ours.region.as_str(), ours.place().as_str()), ("us-east-1", "s3 files at http://minio:9000"));
    let hosts =
        bucket(s3(&[("STORAGE_ENDPOINT", "https://s3.example"), ("STORAGE_FORCE_PATH_STYLE", "false")]));
    assert!(!hosts.force_path_style);
}

#[test]
fn the_names_of_the_ecosystem_are_understood_and_lose_against_ours() {
    let amazons = [
        ("STORAGE_STRATEGY", "s3"),
        ("STORAGE_BUCKET_NAME", "files"),
        ("AWS_ACCESS_KEY_ID", "AKIASOMEBODY"),
        ("AWS_SECRET_ACCESS_KEY", STRONG),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://localhost:9000"),
    ];
    let found = bucket(in_environment(&amazons));
    assert_eq!((found.access_key.as_str(), found.secret_key.as_str()), ("AKIASOMEBODY", STRONG));
    assert_eq!(
        (found.region.as_str(), found.endpoint.as_deref()),
        ("eu-west-1", Some("http://localhost:9000"))
    );
    let both = bucket(s3(&[("AWS_ACCESS_KEY_ID", "AKIASOMEBODY")]));
    assert_eq!(both.access_key, "AKIAPORTWRIGHT");
}

#[test]
fn what_is_missing_for_a_bucket_is_said_in_one_go() {
    let printed = problems(in_environment(&[("STORAGE_STRATEGY", "s3")]));
    for name in ["STORAGE_BUCKET_NAME", "STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY"] {
        assert!(printed.contains(&format!("STORAGE_STRATEGY is s3, and {name} is not set")), "{printed}");
    }
    let printed = problems(in_environment(&[("STORAGE_BUCKET_NAME", "files")]));
    assert!(printed.contains("STORAGE_BUCKET_NAME is set, and STORAGE_STRATEGY is not"), "{printed}");
}

#[test]
fn a_bucket_that_makes_no_sense_is_refused_with_the_reason() {
    for (name, value, reason) in [
        ("STORAGE_STRATEGY", "gcs", "local, s3 or memory"),
        ("STORAGE_ENDPOINT", "minio:9000", "begins with neither"),
        ("STORAGE_ENDPOINT", "http://user:hunter2@minio", "it has a user"),
        ("STORAGE_ENDPOINT", "http://minio:99999", "of the port"),
        ("STORAGE_ENDPOINT", "http://minio/files", "no host"),
        ("STORAGE_ENDPOINT", "http://", "no host"),
        ("STORAGE_REGION", "eu central", "has others"),
        ("STORAGE_BUCKET_NAME", "Files", "has others"),
        ("STORAGE_BUCKET_NAME", "f", "has 1 characters"),
        ("STORAGE_ACCESS_KEY", "a b c", "has others"),
        ("STORAGE_SECRET_KEY", "short", "8 bytes"),
        ("STORAGE_FORCE_PATH_STYLE", "yes", "true or false"),
    ] {
        let printed = problems(in_environment(&[(name, value)]));
        assert!(printed.contains(&format!("error: {name} must be ")), "{printed}");
        assert!(printed.contains(reason), "{name}={value}: {printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    for endpoint in ["http://[::1]:9000", "https://s3.example", "http://10.0.0.1"] {
        assert_eq!(bucket(s3(&[("STORAGE_ENDPOINT", endpoint)])).endpoint.as_deref(), Some(endpoint));
    }
}

#[test]
fn production_takes_neither_the_secrets_of_examples_nor_a_storage_that_forgets() {
    let in_place = |app_env, secret| {
        let more = [("APP_ENV", app_env), ("JWT_SECRET", STRONG), ("STORAGE_SECRET_KEY", secret)];
        in_environment(&[&S3[..3], &more].concat())
    };
    for secret in ["minioadmin", "minio123", "rustfsadmin", "changeme-changeme"] {
        let printed = problems(in_place("production", secret));
        assert!(printed.contains("STORAGE_SECRET_KEY is a secret that everybody knows"), "{printed}");
        assert!(!printed.contains(secret), "{printed}");
        assert_eq!(bucket(in_place("test", secret)).secret_key, secret);
    }
    bucket(in_place("development", "minioadmin"));
    bucket(in_place("production", STRONG));
    let forgetful = [("APP_ENV", "production"), ("JWT_SECRET", STRONG), ("STORAGE_STRATEGY", "memory")];
    assert!(problems(in_environment(&forgetful)).contains("STORAGE_STRATEGY=memory loses every file"));
}

#[test]
fn the_secret_key_may_be_in_a_file_and_is_shown_nowhere() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), format!("{STRONG}\n")).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let reading = in_environment(&[&S3[..3], &[("STORAGE_SECRET_KEY_FILE", path)]].concat());
    assert_eq!(bucket(reading).secret_key, STRONG);
    let reading = s3(&[]);
    let shown = format!("{}{reading:?}", explain::table(&reading));
    assert!(shown.contains("AKIAPORTWRIGHT") && !shown.contains(STRONG), "{shown}");
}
