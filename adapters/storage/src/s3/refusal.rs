//! What a server refuses, as what the operator can do about it.

use portwright_domain::ErrorKind;
use portwright_domain::ports::Obstacle;

/// The code of a refusal, and what it means.
const REFUSALS: &[(&str, ErrorKind, &str)] = &[
    ("NoSuchBucket", ErrorKind::Misconfigured, "there is no such bucket"),
    (
        "RequestTimeTooSkewed",
        ErrorKind::Misconfigured,
        "the clocks of this host and of the server differ by more than 15 minutes",
    ),
    ("InvalidAccessKeyId", ErrorKind::Misconfigured, "the server does not know the access key"),
    ("NotSignedUp", ErrorKind::Misconfigured, "the server does not know the access key"),
    ("SignatureDoesNotMatch", ErrorKind::Misconfigured, "the secret key is not that of the access key"),
    ("AuthorizationHeaderMalformed", ErrorKind::Misconfigured, "the region is not that of the bucket"),
    ("PermanentRedirect", ErrorKind::Misconfigured, "the region or endpoint is not that of the bucket"),
    ("AccessDenied", ErrorKind::Misconfigured, "the access key may not do this in the bucket"),
    ("QuotaExceeded", ErrorKind::Unavailable, "the bucket is full"),
    ("XMinioStorageFull", ErrorKind::Unavailable, "the server is full"),
    ("XMinioParentIsObject", ErrorKind::Unsupported, "the server keeps no object below another one"),
];

/// What a refused request means, if its answer says so. An answer to a `HEAD` never does: it has no body.
pub(crate) fn of(error: &opendal::Error) -> Option<(ErrorKind, &'static str)> {
    let message = error.message();
    let named = REFUSALS.iter().find(|(code, ..)| message.contains(&format!("code: \"{code}\"")));
    match named {
        Some(&(_, kind, meaning)) => Some((kind, meaning)),
        None if error.kind() == opendal::ErrorKind::PermissionDenied && message.is_empty() => Some((
            ErrorKind::Misconfigured,
            "refused without a reason: the keys, what they may do in the bucket, or the clock of this host",
        )),
        None => None,
    }
}

/// The same for an operator who looks for what to change.
pub(crate) fn obstacle(error: &opendal::Error) -> Option<Obstacle> {
    let code = REFUSALS.iter().find(|(code, ..)| error.message().contains(&format!("code: \"{code}\"")));
    let (_, meaning) = of(error)?;
    let meaning = meaning.to_owned();
    Some(match code.map(|(code, ..)| *code) {
        Some("InvalidAccessKeyId" | "NotSignedUp" | "SignatureDoesNotMatch") | None => {
            Obstacle::Credentials(meaning)
        }
        Some("AccessDenied") => Obstacle::Forbidden(meaning),
        Some("QuotaExceeded" | "XMinioStorageFull") => Obstacle::Busy(meaning),
        // There is no such bucket, or not in this region, at this endpoint or at this time: the words tell.
        Some(_) => Obstacle::Absent(meaning),
    })
}
