//! `traceparent` (W3C Trace Context): the trace that a request belongs to, handed on to its jobs.

use poem::Request;

/// The header of a request that has a valid one.
pub(crate) fn traceparent(request: &Request) -> Option<String> {
    let mut given = request.headers().get_all("traceparent").iter();
    let (Some(header), None) = (given.next(), given.next()) else { return None };
    header.to_str().ok().filter(|text| is_valid(text)).map(str::to_owned)
}

/// Version 00: two digits, 32 for the trace, 16 for the span and two flags, none of both identities all zeros.
fn is_valid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    lengths.eq([2, 32, 16, 2])
        && parts.iter().all(|part| part.bytes().all(hex))
        && parts.first() == Some(&"00")
        && parts.iter().skip(1).take(2).all(|part| part.bytes().any(|byte| byte != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_parent_is_one() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_valid(valid));
        for invalid in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert!(!is_valid(invalid), "{invalid}");
        }
        let mut request = Request::builder().header("traceparent", valid).finish();
        assert_eq!(traceparent(&request).as_deref(), Some(valid));
        request.headers_mut().append("traceparent", valid.parse().expect("a header"));
        assert_eq!(traceparent(&request), None, "of two nobody could say which");
    }
}
