//! Conditional requests (RFC 9110, section 13): entity tags out, `If-Match` and `If-None-Match` in.

use poem::Request;
use poem::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use portwright_domain::user::{User, Version};

/// The strong entity tag of a user.
pub(crate) fn etag(user: &User) -> String {
    strong(user.version)
}

fn strong(version: Version) -> String {
    format!("\"{}\"", version.0)
}

/// The versions that `If-Match` names; `None` without the header or with `*`, which any user matches that exists. A tag
/// that is not one of ours names no version, so it matches nothing.
pub(crate) fn if_match(request: &Request) -> Option<Vec<Version>> {
    let tags = tags(request, &IF_MATCH)?;
    if tags == ["*"] {
        return None;
    }
    Some(tags.into_iter().filter_map(version).collect())
}

/// The version that a strong entity tag of ours stands for, spelt as we spell it.
fn version(tag: &str) -> Option<Version> {
    let version = Version(tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?);
    (strong(version) == tag).then_some(version)
}

/// Whether the client has this representation already. The comparison is weak here, so `W/` makes no difference.
pub(crate) fn is_known(request: &Request, etag: &str) -> bool {
    tags(request, &IF_NONE_MATCH).is_some_and(|tags| {
        tags.iter().any(|tag| *tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    })
}

/// All members of a list header; `None` if it is not there.
pub(crate) fn tags<'a>(request: &'a Request, name: &HeaderName) -> Option<Vec<&'a str>> {
    request.headers().contains_key(name).then(|| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, value: &str) -> Request {
        Request::builder().header(name, value).finish()
    }

    #[test]
    fn if_match_names_versions() {
        assert_eq!(if_match(&Request::default()), None);
        assert_eq!(if_match(&request("If-Match", "*")), None);
        assert_eq!(if_match(&request("If-Match", r#""3", "5""#)), Some(vec![Version(3), Version(5)]));
        // A weak tag never matches under the strong comparison (section 13.1.1).
        assert_eq!(if_match(&request("If-Match", r#"W/"3", "x", 4"#)), Some(vec![]));
        // `*` is no member of a list, and other spellings of a number are other tags.
        assert_eq!(if_match(&request("If-Match", r#""03", "+3", *"#)), Some(vec![]));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for value in ["*", r#""3""#, r#"W/"3""#, r#""1", "3""#] {
            assert!(is_known(&request("If-None-Match", value), "\"3\""), "{value}");
        }
        assert!(!is_known(&request("If-None-Match", "\"4\""), "\"3\""));
        assert!(!is_known(&Request::default(), "\"3\""));
    }
}
