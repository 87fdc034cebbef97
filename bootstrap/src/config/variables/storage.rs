//! The variables of files: where they are kept.

use super::parse;
use super::spec::DefaultValue::{Is, Unset};
use super::spec::Variable;
use crate::config::Secret;
use crate::config::storage::Strategy;

pub(in crate::config) static STORAGE_STRATEGY: Variable<Strategy> = Variable::new(
    "STORAGE_STRATEGY",
    "local, s3 or memory",
    |text| {
        use Strategy::{Local, Memory, S3};
        parse::one_of(text, &[("local", Local), ("s3", S3), ("memory", Memory)])
    },
    Is("local"),
    "Where files are kept: in DATA_DIR, in a bucket of an S3 server such as MinIO, or, for tests, nowhere.",
);

pub(in crate::config) static STORAGE_ENDPOINT: Variable<String> = Variable::new(
    "STORAGE_ENDPOINT",
    "http:// or https://, a host and perhaps a port",
    parse::endpoint,
    Unset("Amazon's, of STORAGE_REGION"),
    "The S3 server.",
)
.or_named(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);

pub(in crate::config) static STORAGE_REGION: Variable<String> = Variable::new(
    "STORAGE_REGION",
    "a name such as eu-central-1",
    |text| parse::characters(text, 1..=63, |c| c.is_ascii_alphanumeric() || c == b'-'),
    Is("us-east-1"),
    "The region of the bucket; servers that have none take us-east-1.",
)
.or_named(&["AWS_REGION", "AWS_DEFAULT_REGION"]);

pub(in crate::config) static STORAGE_BUCKET_NAME: Variable<String> = Variable::new(
    "STORAGE_BUCKET_NAME",
    "3 to 63 of a-z, 0-9, '-' and '.'",
    |text| {
        parse::characters(text, 3..=63, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c)
        })
    },
    Unset("STORAGE_STRATEGY=s3 needs one"),
    "The bucket, which has to exist.",
);

pub(in crate::config) static STORAGE_ACCESS_KEY: Variable<String> = Variable::new(
    "STORAGE_ACCESS_KEY",
    "3 to 128 visible characters",
    |text| parse::characters(text, 3..=128, |c| c.is_ascii_graphic()),
    Unset("STORAGE_STRATEGY=s3 needs one"),
    "Who we are for the S3 server.",
)
.or_named(&["AWS_ACCESS_KEY_ID"]);

pub(in crate::config) static STORAGE_SECRET_KEY: Variable<Secret> = Variable::new(
    "STORAGE_SECRET_KEY",
    "8 bytes or more",
    |text| parse::secret(text, 8),
    Unset("STORAGE_STRATEGY=s3 needs one"),
    "The secret that belongs to STORAGE_ACCESS_KEY.",
)
.or_named(&["AWS_SECRET_ACCESS_KEY"])
.secret();

pub(in crate::config) static STORAGE_FORCE_PATH_STYLE: Variable<bool> = Variable::new(
    "STORAGE_FORCE_PATH_STYLE",
    "true or false",
    |text| parse::one_of(text, &[("true", true), ("false", false)]),
    Unset("true with STORAGE_ENDPOINT, false without"),
    "Whether the bucket is in the path of URLs, as MinIO has it, or in the host name, as Amazon has it.",
);
