//! Where files are kept.

use std::fmt;
use std::path::{Path, PathBuf};

use portwright_storage::S3Config;

use super::reader::Reader;
use super::secret::Secret;
use super::variables as v;
use super::{AppEnv, assemble};

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// As files of this host.
    Local {
        /// The folder, which is created where it is missing.
        folder: PathBuf,
    },
    /// In a bucket.
    S3(S3Config),
    /// Nowhere: they end with the process, and no other process sees them. Never in production.
    Memory,
}

impl Storage {
    pub(crate) fn local_in(data_dir: &Path) -> Self {
        Self::Local { folder: data_dir.join("storage") }
    }
}

/// In a few words for the operator.
impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { folder } => write!(f, "local {}", folder.display()),
            Self::S3(config) => f.write_str(&config.place()),
            Self::Memory => f.write_str("memory (nothing survives)"),
        }
    }
}

/// The word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    Local,
    S3,
    Memory,
}

/// Reads and judges everything about files.
pub(super) fn read(reader: &mut Reader<'_>, data_dir: Option<&Path>) -> Option<Storage> {
    let strategy = reader.read(&v::STORAGE_STRATEGY);
    let (endpoint, region) = (reader.read(&v::STORAGE_ENDPOINT), reader.read(&v::STORAGE_REGION));
    let bucket = reader.read(&v::STORAGE_BUCKET_NAME);
    let access_key = reader.read(&v::STORAGE_ACCESS_KEY);
    let secret_key = reader.read(&v::STORAGE_SECRET_KEY);
    let force_path_style = reader.read(&v::STORAGE_FORCE_PATH_STYLE);
    let (strategy_spec, bucket_spec) = (&v::STORAGE_STRATEGY.spec, &v::STORAGE_BUCKET_NAME.spec);
    if reader.is_given(bucket_spec) && !reader.is_given(strategy_spec) {
        reader.refuse(
            &[bucket_spec],
            "STORAGE_BUCKET_NAME is set, and STORAGE_STRATEGY is not",
            "set it to s3 to use the bucket, or to local to keep files in DATA_DIR",
        );
    }
    match strategy? {
        Strategy::Local => data_dir.map(Storage::local_in),
        Strategy::Memory => {
            if reader.app_env == AppEnv::Production {
                reader.refuse(
                    &[strategy_spec, &v::APP_ENV.spec],
                    "STORAGE_STRATEGY=memory loses every file, and production keeps them",
                    "set it to local or s3",
                );
            }
            Some(Storage::Memory)
        }
        Strategy::S3 => {
            for spec in [bucket_spec, &v::STORAGE_ACCESS_KEY.spec, &v::STORAGE_SECRET_KEY.spec] {
                if !reader.is_given(spec) {
                    let what = format!("STORAGE_STRATEGY is s3, and {} is not set", spec.name);
                    reader.refuse(&[strategy_spec], what, format!("set {}", spec.name));
                }
            }
            refuse_known_secret(reader, secret_key.as_ref());
            let force_path_style =
                force_path_style.unwrap_or_else(|| reader.is_given(&v::STORAGE_ENDPOINT.spec));
            Some(Storage::S3(S3Config {
                endpoint,
                region: region?,
                bucket: bucket?,
                access_key: access_key?,
                secret_key: secret_key?.expose().to_owned(),
                force_path_style,
            }))
        }
    }
}

/// The secrets that servers are delivered with are known to everybody, and fine where nobody else is.
fn refuse_known_secret(reader: &mut Reader<'_>, secret: Option<&Secret>) {
    const DELIVERED: &[&str] = &["minioadmin", "minio123", "rustfsadmin"];
    let spec = &v::STORAGE_SECRET_KEY.spec;
    if !secret.is_some_and(|secret| DELIVERED.contains(&secret.expose())) {
        assemble::refuse_well_known(reader, spec, secret);
    } else if reader.app_env == AppEnv::Production {
        let fix = "make a key for this application on the server";
        reader.refuse(&[spec], "STORAGE_SECRET_KEY is a secret that everybody knows", fix);
    }
}
