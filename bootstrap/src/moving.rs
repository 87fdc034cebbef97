//! Moving up: everything of a server on SQLite to PostgreSQL, and its files and jobs to where the configuration keeps
//! them. What and why is decision record 14.
//!
//! ```text
//!  lock the source ► is the target empty, or ours? ► files ► users, sessions, keys, outbox ► jobs ► read back ► done
//! ```
//! The source is only read. Every step leaves alone what is there already, so a move that broke off is simply begun
//! again; the target says that it is complete only after all of it was read back and found the same.

mod digest;
mod files;
mod jobs;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portwright_domain::Timestamp;
use portwright_domain::ports::Unobserved;
use portwright_postgres::import::{self, Arrival};
use portwright_postgres::{PostgresConfig, PostgresStore};
use portwright_security::SigningKey;
use portwright_sqlite::export::SqliteExport;

pub(crate) use digest::Tally;

use crate::config::{Config, Database};
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::failure::{Failure, Problem};
use crate::open_store::postgres;
use crate::wiring::{Ambient, KEY_FILE, signing_key, unprotected_storage};
use crate::{config, servers};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Moved {
    /// The same source was moved there before, at this time; nothing was done.
    Before(Timestamp),
    /// Everything is there.
    Now {
        /// What was carried, and read back.
        tallies: Vec<Tally>,
        /// What to know before the next start.
        hints: Vec<String>,
    },
}

/// Where everything comes from.
struct Source {
    file: PathBuf,
    /// The data directory of the server whose database this is.
    data_dir: PathBuf,
}

/// Carries everything of the server whose database is this file to where the configuration says.
///
/// # Errors
/// `TryAgain` if a server uses the source or the data directory; `Config` if one of both sides cannot be used, or
/// the target has something else in it; `Failed` if something was not the same when it was read back.
pub(crate) async fn move_up(config: &Config, file: &Path, ambient: &Ambient) -> Result<Moved, Failure> {
    let Database::Postgres { urls, connections } = &config.database else {
        let problem = Problem::new("there is no PostgreSQL database to move to");
        return Err(Failure::new(Exit::Usage, problem.fix("name it with --to, DATABASE_URL or DB_HOST")));
    };
    let source = Source::of(file)?;
    // Nobody writes to either side while this runs.
    let _lock = DataDir::create(&source.data_dir)?.lock()?;
    let _other =
        if source.is_at(&config.data_dir) { None } else { Some(DataDir::create(&config.data_dir)?.lock()?) };
    let mut export = SqliteExport::open(&source.file).await?;
    servers::reach(config).await?;
    let target = postgres(urls, *connections)?;
    // On the heap, since everybody who waits for a start would carry it otherwise.
    let store = Box::pin(PostgresStore::init(&target, Arc::new(Unobserved))).await?;
    let moved = source.carry(config, &mut export, &target, &store, ambient).await;
    store.close().await;
    export.close().await;
    moved
}

impl Source {
    fn of(file: &Path) -> Result<Self, Failure> {
        let file = if file.is_dir() { file.join("portwright.db") } else { file.to_owned() };
        let found = file.canonicalize().ok().filter(|file| file.is_file());
        let Some((file, data_dir)) = found.and_then(|file| Some((file.clone(), file.parent()?.to_owned())))
        else {
            let problem = Problem::new(format!("there is no database {}", file.display()));
            return Err(Failure::new(
                Exit::Usage,
                problem.fix("--from names the file, as sqlite://data/portwright.db"),
            ));
        };
        Ok(Self { file, data_dir })
    }

    fn is_at(&self, data_dir: &Path) -> bool {
        data_dir.canonicalize().is_ok_and(|it| it == self.data_dir)
    }

    async fn carry(
        &self,
        config: &Config,
        export: &mut SqliteExport,
        target: &PostgresConfig,
        store: &PostgresStore,
        ambient: &Ambient,
    ) -> Result<Moved, Failure> {
        let files = self.files(config, ambient).await?;
        let queue = jobs::Carriage::of(&self.data_dir, config);
        let arrival = import::begin(target, export.since()).await?;
        match arrival {
            Arrival::Done(at) => return Ok(Moved::Before(at)),
            Arrival::Resumed => {}
            Arrival::New => {
                if let Some(files) = &files {
                    files.require_room().await?;
                }
                queue.require_room()?;
            }
        }
        let mut tallies = Vec::new();
        if let Some(files) = &files {
            tallies.push(files.carry().await?);
        }
        tallies.extend(rows::carry(export, store, target).await?);
        tallies.push(queue.carry().await?);
        import::done(target, export.since()).await?;
        Ok(Moved::Now { tallies, hints: self.hints(config) })
    }

    /// The files of the source and where they go; `None` if they are there already.
    async fn files(&self, config: &Config, ambient: &Ambient) -> Result<Option<files::Carriage>, Failure> {
        let local = config::Storage::local_in(&self.data_dir);
        let config::Storage::Local { folder } = &local else { return Ok(None) };
        let stays = matches!(&config.storage, config::Storage::Local { folder: to }
            if to.canonicalize().is_ok_and(|to| to == *folder));
        if stays || !folder.is_dir() {
            return Ok(None);
        }
        let from = unprotected_storage(&local, ambient.clock.clone()).await?;
        let to = unprotected_storage(&config.storage, ambient.clock.clone()).await?;
        Ok(Some(files::Carriage::new(from, to)))
    }

    /// Tokens are signed with a key that no table has.
    fn hints(&self, config: &Config) -> Vec<String> {
        let before = self.data_dir.join(KEY_FILE);
        let same = match (SigningKey::load(&before), signing_key(config)) {
            (Ok(before), Ok(now)) => before.id() == now.id(),
            // There never was one, or what is wrong with the new one is told by the next start.
            _ => true,
        };
        if same {
            return Vec::new();
        }
        vec![format!(
            "the configuration signs tokens with another key than before: JWT_PRIVATE_KEY_FILE={} keeps everybody signed \
             in",
            before.display()
        )]
    }
}
