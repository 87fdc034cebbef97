//! Files in a bucket, as `portwright doctor storage` finds them.

use portwright_testkit::servers::S3;
use portwright_testkit::servers::s3::{Fault, Step};

use super::{SECRET, doctor};
use crate::place::Place;

#[tokio::test]
async fn a_bucket_is_written_read_and_cleared_or_it_is_said_why_not() {
    let (place, server) = (Place::empty(), S3::run());
    let endpoint = server.endpoint();
    let right = [
        ("STORAGE_STRATEGY", "s3"),
        ("STORAGE_ENDPOINT", endpoint.as_str()),
        ("STORAGE_BUCKET_NAME", S3::BUCKET),
        ("STORAGE_ACCESS_KEY", S3::ACCESS_KEY),
        ("STORAGE_SECRET_KEY", S3::SECRET_KEY),
    ];
    let found = doctor(&place, Some("storage"), &right).await;
    found.expect_health();
    found.expect("storage.write", "pass", "put, read back and removed", "");
    assert_eq!((server.asked(Step::Put), server.asked(Step::Remove)), (1, 1));

    let wrong = right.map(|(name, value)| (name, if name == "STORAGE_SECRET_KEY" { SECRET } else { value }));
    let found = doctor(&place, Some("storage"), &wrong).await;
    found.expect("storage.reach", "fail", "cannot sign in to S3 at", "STORAGE_SECRET_KEY");
    assert_eq!(found.code, Some(1));

    // It lists, and does not let write.
    server.fail(100, Step::Put, Fault::InternalError);
    let found = doctor(&place, Some("storage"), &right).await;
    found.expect("storage.write", "fail", "an object cannot be put", "PutObject");
    server.stop();
    let found = doctor(&place, Some("storage"), &right).await;
    found.expect("storage.reach", "fail", "(connection refused)", "STORAGE_ENDPOINT");
}
