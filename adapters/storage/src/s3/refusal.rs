//! What a server refuses, as what the operator can do about it.

use portwright_domain::ErrorKind;

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
