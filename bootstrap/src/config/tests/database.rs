//! The rules of the variables of the database.

use super::*;

fn database(environment: &[(&str, &str)]) -> Database {
    config(in_environment(environment)).database
}

fn postgres(urls: &[&str], connections: u32) -> Database {
    let urls = urls.iter().map(|url| Secret::new((*url).to_owned())).collect();
    Database::Postgres { urls, connections }
}

#[test]
fn without_a_word_about_a_database_it_is_sqlite() {
    let sqlite = Database::Sqlite { file: PathBuf::from("d/portwright.db") };
    assert_eq!(database(&[("DATA_DIR", "d")]), sqlite);
}

#[test]
fn a_host_is_a_database_with_the_usual_names() {
    let expected = postgres(&["postgres://postgres@db:5432/portwright?sslmode=prefer"], 10);
    assert_eq!(database(&[("DB_HOST", "db")]), expected);
}

#[test]
fn replicas_share_what_the_primary_has_but_host_and_port() {
    let environment = [
        ("DB_HOST", "db"),
        ("DB_PORT", "5433"),
        ("DB_USERNAME", "me"),
        ("DB_PASSWORD", "p@ss"),
        ("DB_DATABASE", "shop"),
        ("DB_SSLMODE", "require"),
        ("DB_REPLICA_HOSTS", "r1, r2:6432,[::1]:7000"),
        ("DB_CONNECTION_LIMIT", "20"),
    ];
    let urls = [
        "postgres://me:p%40ss@db:5433/shop?sslmode=require",
        "postgres://me:p%40ss@r1:5433/shop?sslmode=require",
        "postgres://me:p%40ss@r2:6432/shop?sslmode=require",
        "postgres://me:p%40ss@[::1]:7000/shop?sslmode=require",
    ];
    assert_eq!(database(&environment), postgres(&urls, 20));
}

#[test]
fn a_url_wins_over_its_parts() {
    let environment = [
        ("DATABASE_URL", "postgres://me:secret@db/shop"),
        ("DB_HOST", "elsewhere"),
        ("DATABASE_REPLICA_URLS", "postgres://me@r1/shop,postgresql://me@r2/shop"),
        ("DB_REPLICA_HOSTS", "r3"),
    ];
    let urls = ["postgres://me:secret@db/shop", "postgres://me@r1/shop", "postgresql://me@r2/shop"];
    assert_eq!(database(&environment), postgres(&urls, 10));
}

#[test]
fn a_description_of_no_database_is_refused() {
    let printed = problems(in_environment(&[("DB_USER", "me"), ("DB_REPLICA_HOSTS", "r1")]));
    assert!(printed.contains("described, but not where it is"), "{printed}");
    assert!(printed.contains("DB_USER=me (environment)") && printed.contains("set DB_HOST"), "{printed}");
}

#[test]
fn what_is_no_url_is_refused_and_not_shown() {
    for url in ["mysql://me:hunter2@db/shop", "postgres://me:hunter2@db:port/shop", "hunter2"] {
        let printed = problems(in_environment(&[("DATABASE_URL", url)]));
        assert!(printed.contains("DATABASE_URL must be postgres://"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    let printed = problems(in_environment(&[("DB_HOST", "db"), ("DB_REPLICA_HOSTS", "r1,,r2")]));
    assert!(printed.contains("a host is missing"), "{printed}");
}

#[test]
fn an_authority_is_a_file_with_certificates_and_means_tls() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let with = |more: &[(&str, &str)]| {
        in_environment(&[&[("DB_HOST", "db"), ("DB_SSLROOTCERT", path)], more].concat())
    };
    let printed = problems(with(&[]));
    assert!(printed.contains("there is no certificate in it"), "{printed}");
    fs::write(file.path(), "-----BEGIN CERTIFICATE-----\n").expect("written");
    let path = path.replace('/', "%2F");
    let expected = format!("postgres://postgres@db:5432/portwright?sslmode=require&sslrootcert={path}");
    assert_eq!(config(with(&[("DB_SSLMODE", "require")])).database, postgres(&[&expected], 10));
    let printed = problems(with(&[("DB_SSLMODE", "disable")]));
    assert!(printed.contains("no certificate is asked for") && printed.contains("verify-full"), "{printed}");
    let printed = problems(in_environment(&[("DB_HOST", "db"), ("DB_SSLROOTCERT", "/nowhere.pem")]));
    assert!(printed.contains("DB_SSLROOTCERT must be the path of a file"), "{printed}");
}

#[test]
fn what_a_url_asks_for_and_does_not_get_is_named_without_its_value() {
    let url = "postgres://me:hunter2@db/app?sslmode=require&channel_binding=hunter3";
    let printed = problems(in_environment(&[("DATABASE_URL", url)]));
    assert!(printed.contains("a parameter that is not obeyed: channel_binding"), "{printed}");
    assert!(!printed.contains("hunter"), "{printed}");
}

#[test]
fn what_tls_reads_from_the_environment_is_of_no_use_in_our_file() {
    let variable = ("SSL_CERT_FILE", "/etc/ssl/ours.pem");
    config(in_environment(&[variable, ("SSL_CERT_DIR", "/etc/ssl/certs")]));
    let printed = problems(read(&[], &[], "SSL_CERT_FILE=/etc/ssl/ours.pem"));
    assert!(printed.contains("SSL_CERT_FILE is read from the environment alone"), "{printed}");
}
