//! What stands between us and a server, as a problem: which variables led there, and what to do about it.

use portwright_domain::ports::Obstacle;
use portwright_postgres::diagnosis::Found;
use portwright_storage::S3Config;

use crate::config::Origins;
use crate::failure::Problem;

/// A server, and the variables that say how to use it.
pub(crate) struct Server {
    /// What it is, such as `PostgreSQL`.
    pub(crate) kind: &'static str,
    /// Where it is, for people.
    pub(crate) place: String,
    /// Its port, and the one that everybody expects.
    pub(crate) port: Option<(u16, u16)>,
    /// What `portwright doctor` calls it.
    pub(crate) topic: &'static str,
    pub(crate) names: Names,
}

/// The variables that say one thing about a server each.
pub(crate) struct Names {
    /// Where it is.
    pub(crate) address: &'static [&'static str],
    /// Who we are.
    pub(crate) credentials: &'static [&'static str],
    /// What is looked for there, and what that is.
    pub(crate) object: (&'static str, &'static [&'static str]),
    /// Whether there is TLS.
    pub(crate) tls: Tls,
}

/// How one asks for TLS, and says whom to trust.
#[derive(Clone, Copy)]
pub(crate) struct Tls {
    variables: &'static [&'static str],
    /// What is written there to ask for it.
    asked: &'static str,
    /// Where a file with the certificates of authorities is named.
    authorities: &'static str,
}

/// In parts.
const POSTGRES: Tls = Tls {
    variables: &["DB_SSLMODE"],
    asked: "verify-full",
    authorities: "DB_SSLROOTCERT, or in the environment in SSL_CERT_FILE",
};
/// In a URL.
const POSTGRES_URL: Tls = Tls {
    variables: &[],
    asked: "a URL with sslmode=verify-full",
    authorities: "sslrootcert=… of the URL, or in the environment in SSL_CERT_FILE",
};
const REDIS: Tls = Tls {
    variables: &["REDIS_URL"],
    asked: "rediss://:password@host:port",
    authorities: "SSL_CERT_FILE in the environment",
};
const BUCKET: Tls = Tls {
    variables: &["STORAGE_ENDPOINT"],
    asked: "what begins with https://",
    authorities: "SSL_CERT_FILE in the environment",
};

impl Server {
    /// The server of this number among those of the database.
    pub(crate) fn postgres(found: &Found, number: usize, origins: &Origins) -> Self {
        const USUAL: u16 = 5432;
        let is_by_url = origins.is_given(if number == 0 { "DATABASE_URL" } else { "DATABASE_REPLICA_URLS" });
        let names = match (is_by_url, number) {
            (true, 0) => Names::all_in(&["DATABASE_URL"], "database", POSTGRES_URL),
            (true, _) => Names::all_in(&["DATABASE_REPLICA_URLS"], "database", POSTGRES_URL),
            (false, number) => Names {
                address: if number == 0 { &["DB_HOST", "DB_PORT"] } else { &["DB_REPLICA_HOSTS", "DB_PORT"] },
                credentials: &["DB_USER", "DB_PASSWORD"],
                object: ("database", &["DB_NAME"]),
                tls: POSTGRES,
            },
        };
        let port = Some((found.port, USUAL));
        Self { kind: "PostgreSQL", place: found.server.clone(), port, topic: "db", names }
    }

    /// A server of Redis.
    pub(crate) fn redis(found: &portwright_redis::diagnosis::Found, origins: &Origins) -> Self {
        const USUAL: u16 = 6379;
        const NUMBER: (&str, &[&str]) = ("database of this number", &["REDIS_DB"]);
        let parts = |address| Names { address, credentials: &["REDIS_PASSWORD"], object: NUMBER, tls: REDIS };
        let names = if origins.is_given("REDIS_URL") {
            Names::all_in(&["REDIS_URL"], NUMBER.0, REDIS)
        } else if origins.is_given("REDIS_CLUSTER_NODES") {
            parts(&["REDIS_CLUSTER_NODES", "REDIS_PORT"])
        } else {
            parts(&["REDIS_HOST", "REDIS_PORT"])
        };
        let port = found.port.map(|port| (port, USUAL));
        Self { kind: "Redis", place: found.server.clone(), port, topic: "redis", names }
    }

    /// The server of the bucket.
    pub(crate) fn bucket(config: &S3Config, origins: &Origins) -> Self {
        let is_named = origins.is_given("STORAGE_ENDPOINT");
        let names = Names {
            address: if is_named { &["STORAGE_ENDPOINT"] } else { &["STORAGE_REGION"] },
            credentials: &["STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY"],
            object: ("bucket", &["STORAGE_BUCKET_NAME"]),
            tls: BUCKET,
        };
        Self { kind: "S3", place: place_of(config), port: None, topic: "storage", names }
    }

    /// What this obstacle is to the operator.
    pub(crate) fn problem(&self, obstacle: &Obstacle, origins: &Origins) -> Problem {
        let Self { kind, place, .. } = self;
        let verb = match obstacle {
            Obstacle::Credentials(_) => "sign in to",
            Obstacle::Absent(_) | Obstacle::Forbidden(_) | Obstacle::Busy(_) => "use",
            _ => "reach",
        };
        let problem = Problem::new(format!("cannot {verb} {kind} at {place} ({obstacle})"));
        origins.name(problem, self.variables(obstacle)).fix(self.fix(obstacle))
    }

    /// The variables that this obstacle makes one doubt.
    fn variables(&self, obstacle: &Obstacle) -> &'static [&'static str] {
        let Names { address, credentials, object, tls } = &self.names;
        match obstacle {
            Obstacle::NoTls | Obstacle::OnlyTls | Obstacle::UnknownAuthority | Obstacle::Tls(_) => {
                tls.variables
            }
            Obstacle::Credentials(_) | Obstacle::Forbidden(_) => credentials,
            Obstacle::Absent(_) => object.1,
            _ => address,
        }
    }

    /// What to do about it.
    fn fix(&self, obstacle: &Obstacle) -> String {
        let variables = self.variables(obstacle).join(" and ");
        let (kind, topic, object) = (self.kind, self.topic, self.names.object.0);
        match obstacle {
            Obstacle::Refused => match self.port {
                Some((port, usual)) if port != usual => {
                    format!("is it {usual}? `portwright doctor {topic}` tries it")
                }
                _ => format!("start it, or set {variables} to where it listens"),
            },
            Obstacle::UnknownHost => {
                format!("set {variables} to a name that this machine can look up, or to an address")
            }
            Obstacle::Silent => {
                format!("is it up, and does a firewall let us through? it is where {variables} says")
            }
            Obstacle::HungUp => format!("does a {kind} listen there? {variables} says so"),
            Obstacle::NoTls => {
                format!("turn TLS on at the server, or ask for none in {variables} where the network is safe")
            }
            Obstacle::OnlyTls => format!("ask for it: set {variables} to {}", self.names.tls.asked),
            Obstacle::UnknownAuthority => {
                let authorities = self.names.tls.authorities;
                format!("name a file with the certificate of that authority in {authorities}")
            }
            Obstacle::OtherName(_) => {
                format!("set {variables} to a name that the certificate has, or have one made for this name")
            }
            Obstacle::Tls(_) => {
                format!(
                    "the server must prove its name with a certificate that this machine trusts; see {variables}"
                )
            }
            Obstacle::Credentials(_) => format!("set {variables} to what the server knows"),
            Obstacle::Forbidden(_) => {
                format!("let that user do so at the server, or set {variables} to another")
            }
            Obstacle::Absent(_) => {
                format!("make the {object} at the server, or set {variables} to one that it has")
            }
            Obstacle::Busy(_) | Obstacle::Other(_) => {
                format!("its log tells more; `portwright doctor {topic}` asks again")
            }
        }
    }
}

impl Names {
    /// One variable says everything.
    pub(crate) const fn all_in(variable: &'static [&'static str], object: &'static str, tls: Tls) -> Self {
        let tls = Tls { variables: variable, ..tls };
        Self { address: variable, credentials: variable, object: (object, variable), tls }
    }
}

/// `host:port` of the server of this bucket, with the bucket.
fn place_of(config: &S3Config) -> String {
    match &config.endpoint {
        Some(endpoint) => format!("{endpoint}, bucket {}", config.bucket),
        None => format!("Amazon, {}, bucket {}", config.region, config.bucket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Override, Sources};

    fn origins(values: &[(&'static str, &str)]) -> Origins {
        let given = |(name, value): &(&'static str, &str)| Override {
            name,
            flag: "--test",
            value: (*value).to_owned(),
        };
        Config::read(&Sources::only(values.iter().map(given))).outside.origins
    }

    fn server(port: u16, number: usize, origins: &Origins) -> Server {
        let found = Found {
            server: format!("db.internal:{port}"),
            host: "db.internal".to_owned(),
            port,
            role: Err(Obstacle::Refused),
        };
        Server::postgres(&found, number, origins)
    }

    #[test]
    fn another_port_than_the_usual_is_doubted() {
        let origins = origins(&[("DB_HOST", "db.internal"), ("DB_PORT", "5433")]);
        let expected = "\
error: cannot reach PostgreSQL at db.internal:5433 (connection refused)
  from: DB_HOST=db.internal (command line, --test), DB_PORT=5433 (command line, --test)
  fix:  is it 5432? `portwright doctor db` tries it
";
        assert_eq!(server(5433, 0, &origins).problem(&Obstacle::Refused, &origins).to_string(), expected);
        let usual = server(5432, 0, &origins).problem(&Obstacle::Refused, &origins).to_string();
        assert!(usual.contains("start it, or set DB_HOST and DB_PORT"), "{usual}");
    }

    #[test]
    fn each_obstacle_names_the_variables_that_may_be_wrong_and_no_secret() {
        let origins = origins(&[("DB_HOST", "db.internal"), ("DB_PASSWORD", "hunter2")]);
        for (obstacle, named) in [
            (Obstacle::UnknownHost, "DB_HOST=db.internal"),
            (Obstacle::Silent, "DB_PORT=5432 (default)"),
            (Obstacle::Credentials("no".to_owned()), "DB_PASSWORD=***"),
            (Obstacle::Absent("no".to_owned()), "DB_NAME=portwright (default)"),
            (Obstacle::NoTls, "DB_SSLMODE=prefer (default)"),
        ] {
            let told = server(5432, 0, &origins).problem(&obstacle, &origins).to_string();
            assert!(told.contains(named) && told.contains("fix:") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn what_is_wrong_with_tls_names_where_it_is_asked_for_and_whom_one_trusts() {
        let origins = origins(&[("DB_HOST", "db.internal"), ("DB_PASSWORD", "hunter2")]);
        let expired = Obstacle::Tls("invalid peer certificate: Expired".to_owned());
        for (obstacle, named, advised) in [
            (Obstacle::OnlyTls, "DB_SSLMODE=prefer (default)", "set DB_SSLMODE to verify-full"),
            (
                Obstacle::UnknownAuthority,
                "DB_SSLMODE=prefer (default)",
                "DB_SSLROOTCERT, or in the environment",
            ),
            (Obstacle::OtherName("it".to_owned()), "DB_HOST=db.internal", "have one made for this name"),
            (expired, "certificate: Expired", "that this machine trusts; see DB_SSLMODE"),
        ] {
            let told = server(5432, 0, &origins).problem(&obstacle, &origins).to_string();
            assert!(told.contains(named) && told.contains(advised) && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_url_is_named_for_everything_that_it_says_and_not_shown() {
        let origins = origins(&[
            ("DATABASE_URL", "postgres://me:hunter2@db.internal/app"),
            ("DATABASE_REPLICA_URLS", "postgres://me:hunter2@replica/app"),
        ]);
        for (number, named) in [(0, "DATABASE_URL=***"), (1, "DATABASE_REPLICA_URLS=***")] {
            let told = server(5432, number, &origins).problem(&Obstacle::NoTls, &origins).to_string();
            assert!(told.contains(named) && !told.contains("hunter2"), "{told}");
        }
    }
}
