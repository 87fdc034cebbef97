//! From the URL of a database to what the driver is told: nothing that is asked for is left out without a word, and nothing
//! that is asked of TLS becomes less.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Parameters that the driver obeys; it passes over all others.
const OBEYED: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The authorities of this machine, to libpq.
const SYSTEM: &str = "system";

/// What the driver is told, or what is wrong, without any value.
pub(crate) fn options_of(url: &str) -> Result<PgConnectOptions, String> {
    let options: PgConnectOptions =
        url.parse().map_err(|_| "the URL is not postgres://user:password@host:port/database".to_owned())?;
    if let Some(name) = parameters(url).find(|name| !OBEYED.contains(name) && !name.starts_with("options[")) {
        // What stands before an @ may be a password with a question mark.
        let is_secret = url.split_once('?').is_some_and(|(_, query)| query.contains('@'));
        let named = if is_secret { String::new() } else { format!(": {name}") };
        return Err(format!("the URL has a parameter that is not obeyed{named}"));
    }
    Ok(match values(url, "sslrootcert").last() {
        // No file, and nobody besides those whom the driver trusts anyway.
        Some(SYSTEM) => options.ssl_root_cert_from_pem(Vec::new()).ssl_mode(PgSslMode::VerifyFull),
        Some(_file) => at_least_verified(options),
        None => or_unencrypted(options),
    })
}

/// libpq checks a certificate if it knows of whom it has to be, and the driver only where it is told to.
fn at_least_verified(options: PgConnectOptions) -> PgConnectOptions {
    match options.get_ssl_mode() {
        PgSslMode::Require => options.ssl_mode(PgSslMode::VerifyCa),
        PgSslMode::Allow | PgSslMode::Prefer => options.ssl_mode(PgSslMode::VerifyFull),
        PgSslMode::Disable | PgSslMode::VerifyCa | PgSslMode::VerifyFull => options,
    }
}

/// `allow` is TLS where the server insists on it, which the driver never tries.
fn or_unencrypted(options: PgConnectOptions) -> PgConnectOptions {
    match options.get_ssl_mode() {
        PgSslMode::Allow => options.ssl_mode(PgSslMode::Prefer),
        _ => options,
    }
}

fn parameters(url: &str) -> impl Iterator<Item = &str> {
    pairs(url).map(|(name, _)| name)
}

fn values<'a>(url: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    pairs(url).filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
}

/// The parameters, as they are written.
fn pairs(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let url = url.split('#').next().unwrap_or_default();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let members = query.split('&').filter(|member| !member.is_empty());
    members.map(|member| member.split_once('=').unwrap_or((member, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(query: &str) -> String {
        let options = options_of(&format!("postgres://me:secret@db/app?{query}")).expect("a URL");
        format!("{:?}", options.get_ssl_mode())
    }

    #[test]
    fn who_names_an_authority_has_it_asked() {
        for (query, expected) in [
            ("sslmode=require", "Require"),
            ("sslmode=allow", "Prefer"),
            ("sslmode=require&sslrootcert=/etc/ca.pem", "VerifyCa"),
            ("sslmode=prefer&sslrootcert=/etc/ca.pem", "VerifyFull"),
            ("sslrootcert=/etc/ca.pem&sslmode=allow", "VerifyFull"),
            ("sslmode=verify-full&sslrootcert=/etc/ca.pem", "VerifyFull"),
            ("sslmode=disable&sslrootcert=/etc/ca.pem", "Disable"),
            ("sslmode=require&sslrootcert=system", "VerifyFull"),
        ] {
            assert_eq!(mode(query), expected, "{query}");
        }
    }

    #[test]
    fn what_is_not_obeyed_is_refused_by_its_name_and_without_its_value() {
        let refused = |url: &str| options_of(url).expect_err("refused");
        let said = refused("postgres://me@db/app?sslmode=require&channel_binding=hunter2");
        assert!(said.contains("channel_binding") && !said.contains("hunter2"), "{said}");
        // The first part of this password is a port to every reader of URLs.
        let said = refused("postgres://me:12?hunter2=word@db/app");
        assert!(!said.contains("hunter2"), "{said}");
        options_of("postgres://me@db/app?options[search_path]=blue&application_name=x#part").expect("obeyed");
    }
}
