//! The configuration, the `.env` file and the data directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use portwright_domain::ports::HealthStatus;

use super::Finding;
use crate::config::{AppEnv, Config, Origin, Reading};

/// Below this, a server that writes much has hours left; below that, SQLite and uploads fail.
const LITTLE_DISK: u64 = 1 << 30;
const NO_DISK: u64 = 64 << 20;

/// What is wrong with the configuration, always; the rest if everything is asked.
pub(super) fn examine(reading: &Reading, everything: bool) -> Vec<Finding> {
    let mut found = match &reading.config {
        Ok(config) if everything => {
            let what = format!("the configuration has no problem (APP_ENV={})", config.app_env);
            vec![Finding::pass("config.problems", what)]
        }
        Ok(_) => Vec::new(),
        Err(failure) => {
            failure.problems().iter().map(|it| Finding::failed("config.problems", it.clone())).collect()
        }
    };
    if everything {
        found.extend(dotenv(reading, Path::new(".env")));
        found.extend(reading.config.as_ref().ok().map(data_dir).unwrap_or_default());
    }
    found
}

/// A file with secrets is its owner's alone.
fn dotenv(reading: &Reading, path: &Path) -> Option<Finding> {
    let has_secrets = reading.settings.iter().any(|setting| {
        let is_secret = |name: &str| setting.spec.secret && !name.ends_with("_FILE");
        let mut given = setting.value.iter().chain(&setting.overrode);
        given.any(|given| matches!(given.origin, Origin::DotEnv(_)) && is_secret(&given.name))
    });
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    Some(if has_secrets && others_get_in(mode) {
        let what = format!("others may read .env (mode {mode:03o}), which has secrets in it");
        Finding::warn("config.dotenv", what, "chmod 600 .env")
    } else {
        Finding::pass("config.dotenv", "what is secret in .env is its owner's alone")
    })
}

fn data_dir(config: &Config) -> Vec<Finding> {
    let path = &config.data_dir;
    let shown = path.display();
    // Where there is none yet, what counts is where it will be made.
    let Some(existing) = path.ancestors().map(here).find(|it| it.exists()) else {
        return Vec::new();
    };
    let write = match tempfile::Builder::new().prefix(".doctor-").tempfile_in(existing) {
        Ok(_) if existing == here(path) => Finding::pass("data-dir.write", format!("{shown} can be written")),
        Ok(_) => Finding::pass("data-dir.write", format!("{shown} is made by the first start")),
        Err(error) => {
            let what = format!("nothing can be written in {} ({error})", existing.display());
            Finding::fail("data-dir.write", what, "DATA_DIR must be a directory that this user may write to")
        }
    };
    [Some(write), mode(config), disk(existing)].into_iter().flatten().collect()
}

/// Whether the permissions let anybody in but the owner.
pub(super) const fn others_get_in(mode: u32) -> bool {
    mode & 0o077 > 0
}

/// A relative path of one name has the empty path above it.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Keys and hashes of passwords are in there.
fn mode(config: &Config) -> Option<Finding> {
    let path = config.data_dir.display();
    let mode = fs::metadata(&config.data_dir).ok()?.permissions().mode() & 0o777;
    if !others_get_in(mode) {
        return Some(Finding::pass("data-dir.mode", format!("{path} is its owner's alone")));
    }
    let what = format!("others get into {path} (mode {mode:03o})");
    let finding = Finding::warn("data-dir.mode", what, format!("chmod 700 {path}"));
    let is_serious = config.app_env == AppEnv::Production && mode & 0o022 != 0;
    Some(Finding { status: if is_serious { HealthStatus::Fail } else { finding.status }, ..finding })
}

fn disk(path: &Path) -> Option<Finding> {
    const FIX: &str = "make room, or set DATA_DIR to a larger disk";
    let disk = rustix::fs::statvfs(path).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let what = format!("{} MiB are free for {}", free >> 20, path.display());
    Some(match free {
        ..NO_DISK => Finding::fail("data-dir.disk", what, FIX),
        NO_DISK..LITTLE_DISK => Finding::warn("data-dir.disk", what, FIX),
        _ => Finding::pass("data-dir.disk", what),
    })
}
