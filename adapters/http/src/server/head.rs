//! What a request head must be before hyper may see it.
//!
//! hyper accepts what two servers in a row can read differently, which is how requests are smuggled past a proxy: it
//! takes bare line feeds, folds repeated `Content-Length` headers into one, and prefers `Transfer-Encoding` to
//! `Content-Length`. None of it can be seen in the request that it hands on, so the head is checked as it came.

use httparse::{EMPTY_HEADER, Error, Header, Status};
use poem::http::Uri;
use poem::http::uri::Authority;

use super::ServerLimits;

/// The most headers of a request; hyper's own limit is the same.
const MAX_HEADERS: usize = 100;

/// Method, version and delimiters of a request line, generously.
const REQUEST_LINE_EXTRAS: usize = 64;

/// How the body after a head is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// So many bytes, which come once they are asked for (RFC 9110, section 10.1.1).
    Asked(u64),
    /// Chunks, the last of which is empty.
    Chunked,
}

/// Why a request is answered by the edge, without being looked at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not HTTP as we read it.
    Malformed(&'static str),
    /// The request target is too long.
    TargetTooLong,
    /// The head is too large.
    HeadTooLarge,
    /// The head did not arrive in time.
    TooSlow,
    /// The head is good; the body did not arrive in time.
    BodyTooSlow,
}

/// Where the head ends, if all of it is here. `seen` bytes from the start were looked at before.
pub(super) fn end(received: &[u8], seen: usize) -> Option<usize> {
    let first = received.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let from = seen.saturating_sub(3).max(first);
    // A bare line feed ends a line here, so that a head with one is complete, and can be refused.
    let blank = |at: &usize| received[at + 1..].starts_with(b"\n") || received[at + 1..].starts_with(b"\r\n");
    let feed = (from..received.len()).filter(|at| received[*at] == b'\n').find(blank)?;
    Some(feed + if received[feed + 1] == b'\n' { 2 } else { 3 })
}

/// Whether a head that has not ended is too large already.
pub(super) fn overlong(received: &[u8], limits: &ServerLimits) -> Option<Refusal> {
    let one_line = !received.contains(&b'\n');
    if one_line && received.len() > limits.target_bytes + REQUEST_LINE_EXTRAS {
        return Some(Refusal::TargetTooLong);
    }
    (received.len() > limits.head_bytes).then_some(Refusal::HeadTooLarge)
}

/// Checks a whole head, and tells what follows it.
pub(super) fn check(head: &[u8], limits: &ServerLimits) -> Result<Framing, Refusal> {
    let lines_end_well =
        head.iter().enumerate().all(|(at, byte)| *byte != b'\n' || at > 0 && head[at - 1] == b'\r');
    if !lines_end_well {
        return Err(Refusal::Malformed("a line ends without a carriage return"));
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Refusal::Malformed("the head is not complete")),
        Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(Error::Version) => return Err(Refusal::Malformed("only HTTP/1.1 and HTTP/1.0 are spoken here")),
        Err(_) => {
            return Err(Refusal::Malformed("the head has a character that is not allowed where it stands"));
        }
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Malformed("the request line is not complete"));
    };
    if target.len() > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    if head.len() > limits.head_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    let is_http_11 = version == 1;
    check_target(method, target, host(request.headers, is_http_11)?)?;
    framing(request.headers, is_http_11)
}

fn values<'h>(headers: &'h [Header<'_>], name: &str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// The one `Host`; HTTP/1.0 may do without.
fn host<'h>(headers: &'h [Header<'_>], is_http_11: bool) -> Result<Option<&'h str>, Refusal> {
    let mut hosts = values(headers, "host");
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && is_http_11) {
        return Err(Refusal::Malformed("there must be one Host header"));
    }
    let invalid = Refusal::Malformed("the Host header is not a host");
    let Some(host) = host else { return Ok(None) };
    let host = std::str::from_utf8(host).map_err(|_| invalid)?;
    let is_host = host.is_empty() || (host.parse::<Authority>().is_ok() && !host.contains('@'));
    if is_host { Ok(Some(host)) } else { Err(invalid) }
}

fn check_target(method: &str, target: &str, host: Option<&str>) -> Result<(), Refusal> {
    let invalid = Refusal::Malformed("the request target is not one");
    let uri: Uri = target.parse().map_err(|_| invalid)?;
    let (is_connect, is_options) = (method == "CONNECT", method == "OPTIONS");
    if target.starts_with('/') || (target == "*" && is_options) || (is_connect && uri.authority().is_some()) {
        return Ok(());
    }
    let Some(authority) = uri.authority().filter(|_| uri.scheme().is_some()) else { return Err(invalid) };
    let hosts_agree = host.is_none_or(|host| host.eq_ignore_ascii_case(authority.as_str()));
    if hosts_agree {
        Ok(())
    } else {
        Err(Refusal::Malformed("the request target and the Host header name different hosts"))
    }
}

fn framing(headers: &[Header<'_>], is_http_11: bool) -> Result<Framing, Refusal> {
    let mut codings = values(headers, "transfer-encoding");
    let mut lengths = values(headers, "content-length");
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() || (coding.is_some() && length.is_some()) {
        return Err(Refusal::Malformed("the length of the body is given more than once"));
    }
    match (coding, length) {
        (Some(coding), _) if is_http_11 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(_), _) => Err(Refusal::Malformed("the only transfer coding is chunked, in HTTP/1.1")),
        (None, Some(length)) => match std::str::from_utf8(length) {
            Ok(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                // hyper keeps the last numbers of a u64 for itself, and answers them without a problem.
                .filter(|length| *length < u64::MAX / 2)
                .map(if values(headers, "expect").next().is_some() {
                    Framing::Asked
                } else {
                    Framing::Length
                })
                .ok_or(Refusal::Malformed("the Content-Length is too large a number")),
            _ => Err(Refusal::Malformed("the Content-Length is not a number")),
        },
        (None, None) => Ok(Framing::Length(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(head: &str) -> Result<Framing, Refusal> {
        assert_eq!(end(head.as_bytes(), 0), Some(head.len()), "{head:?}");
        check(head.as_bytes(), &ServerLimits::default())
    }

    #[test]
    fn a_head_ends_at_its_blank_line_however_it_arrives() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let length = head.len() - 4;
        for received in 0..head.len() {
            for seen in 0..=received.min(length - 1) {
                let complete = (received >= length).then_some(length);
                assert_eq!(end(&head[..received], seen), complete, "{received} received, {seen} seen");
            }
        }
        assert_eq!(end(b"\r\n\r\n", 0), None);
        assert_eq!(end(b"GET / HTTP/1.1\nHost: a\n\n", 0), Some(24));
    }

    #[test]
    fn the_framing_is_read_in_one_way_or_refused() {
        let with = |fields: &str| checked(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(with(""), Ok(Framing::Length(0)));
        assert_eq!(with("Content-Length: 17\r\n"), Ok(Framing::Length(17)));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for ambiguous in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length : 1\r\n",
            "X: a\r\n b\r\n",
            "X: a\0b\r\n",
            "X: a\nY: b\r\n",
            "Host: b\r\n",
        ] {
            assert!(matches!(with(ambiguous), Err(Refusal::Malformed(_))), "{ambiguous:?}");
        }
    }

    #[test]
    fn targets_and_hosts_agree_or_are_refused() {
        for accepted in [
            "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a:80/b HTTP/1.1\r\nHost: A:80\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ] {
            assert_eq!(checked(accepted), Ok(Framing::Length(0)), "{accepted:?}");
        }
        for refused in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
        ] {
            assert!(matches!(checked(refused), Err(Refusal::Malformed(_))), "{refused:?}");
        }
    }

    #[test]
    fn size_is_refused_by_what_is_too_large() {
        let limits = ServerLimits::default();
        let target = "x".repeat(limits.target_bytes);
        assert_eq!(
            checked(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")),
            Err(Refusal::TargetTooLong)
        );
        let many = "X: 1\r\n".repeat(MAX_HEADERS);
        assert_eq!(checked(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), Err(Refusal::HeadTooLarge));
        let large = "x".repeat(limits.head_bytes);
        assert_eq!(
            checked(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n")),
            Err(Refusal::HeadTooLarge)
        );
        assert_eq!(overlong(large.as_bytes(), &limits), Some(Refusal::TargetTooLong));
        assert_eq!(
            overlong(format!("GET / HTTP/1.1\r\nX: {large}").as_bytes(), &limits),
            Some(Refusal::HeadTooLarge)
        );
        assert_eq!(overlong(b"GET / HTTP/1.1\r\nHost: a", &limits), None);
    }
}
