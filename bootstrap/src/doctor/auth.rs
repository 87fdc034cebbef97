//! Keys and tokens.

use std::path::Path;
use std::time::Duration;

use portwright_security::SigningKey;

use super::Finding;
use crate::config::{Config, SigningKeySource};
use crate::wiring::KEY_FILE;

/// Whoever has an access token is believed until it ends, also after the session has.
const LONG: Duration = Duration::from_hours(24);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let accepted = config.jwt.accepted.iter().map(|path| accepted_key(path));
    [key(config)].into_iter().chain(accepted).chain([lifetime(config)]).collect()
}

fn key(config: &Config) -> Finding {
    const CHECK: &str = "auth.key";
    let (path, is_ours) = match &config.jwt.key {
        SigningKeySource::Secret(secret) if secret.is_well_known() => {
            let fix = "`openssl rand -base64 48` makes one that nobody knows";
            return Finding::warn(CHECK, "JWT_SECRET is a secret that everybody knows", fix);
        }
        SigningKeySource::Secret(secret) => {
            let what = format!("tokens are signed with a secret of {} bytes (HS256)", secret.expose().len());
            return Finding::pass(CHECK, what);
        }
        SigningKeySource::File(path) => (path.clone(), false),
        SigningKeySource::DataDir => (config.data_dir.join(KEY_FILE), true),
    };
    let shown = path.display();
    if is_ours && !path.exists() {
        return Finding::pass(CHECK, format!("{shown} is made by the first start"));
    }
    match SigningKey::load(&path) {
        Ok(key) => Finding::pass(CHECK, format!("tokens are signed with {shown} (Ed25519, id {})", key.id())),
        Err(error) => Finding::fail(
            CHECK,
            error.to_string(),
            "`openssl genpkey -algorithm ed25519 -out jwt.pem && chmod 600 jwt.pem` makes one",
        ),
    }
}

fn accepted_key(path: &Path) -> Finding {
    const CHECK: &str = "auth.accepted_key";
    match SigningKey::load(path) {
        Ok(key) => {
            Finding::pass(CHECK, format!("tokens of {} are taken as well (id {})", path.display(), key.id()))
        }
        Err(error) => Finding::fail(CHECK, error.to_string(), "take it out of JWT_ACCEPTED_KEY_FILES"),
    }
}

fn lifetime(config: &Config) -> Finding {
    const CHECK: &str = "auth.lifetime";
    let seconds = config.jwt.access_ttl.as_secs();
    let what = format!("an access token is valid for {seconds} s");
    if config.jwt.access_ttl > LONG {
        let fix = "lower JWT_EXPIRES_IN: clients refresh their tokens";
        Finding::warn(CHECK, format!("{what}, also after its session ended"), fix)
    } else {
        Finding::pass(CHECK, what)
    }
}
