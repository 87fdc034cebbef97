//! [`ClientAddress`]: from where a request comes, as far as it can be believed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use poem::http::{HeaderName, header};
use poem::{Addr, FromRequest, Request, RequestBody, Result};

/// Where a request comes from. IPv4 in IPv6 clothes (`::ffff:192.0.2.1`) is IPv4.
///
/// Without trusted proxies it is the other end of the connection. With them it is the nearest hop that is not one of
/// them: everything beyond was written by somebody we do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// What limits count: the address, or the /64 of an IPv6 address, which is the least that one customer gets.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        }
    }

    /// The address that the layers found; without them nobody is trusted.
    pub(crate) fn known(request: &Request) -> Self {
        request.data().copied().unwrap_or_else(|| Self::of(request, &TrustedProxies::default()))
    }

    pub(super) fn of(request: &Request, proxies: &TrustedProxies) -> Self {
        let peer = match &request.remote_addr().0 {
            Addr::SocketAddr(address) => address.ip().to_canonical(),
            // Not over a socket of ours: a test, or an embedding.
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let forwarded_for = elements(request, X_FORWARDED_FOR).map(address);
        let forwarded = elements(request, header::FORWARDED).map(for_parameter);
        let told_by = |header: HeaderName| request.headers().contains_key(header);
        match (told_by(X_FORWARDED_FOR), told_by(header::FORWARDED)) {
            (false, false) => Self(peer),
            (true, false) => Self(proxies.nearest_stranger(peer, forwarded_for)),
            (false, true) => Self(proxies.nearest_stranger(peer, forwarded)),
            (true, true) => {
                // A proxy writes one of them and may pass the other through, as the client made it up.
                let client = proxies.nearest_stranger(peer, forwarded_for);
                let agrees = client == proxies.nearest_stranger(peer, forwarded);
                Self(if agrees { client } else { peer })
            }
        }
    }
}

impl<'a> FromRequest<'a> for ClientAddress {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(Self::known(request))
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The comma-separated elements of all headers of that name, the nearest hop first.
fn elements(request: &Request, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines: Vec<_> = request.headers().get_all(name).iter().collect();
    lines.into_iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','))
}

/// An address with or without a port; IPv6 with a port is in brackets.
fn address(element: &str) -> Option<IpAddr> {
    let element = element.trim();
    let bare = element.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(element);
    let address = bare.parse().ok().or_else(|| element.parse().ok().map(|socket: SocketAddr| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The `for` of an element of `Forwarded` (RFC 7239).
fn for_parameter(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))?
    })
}

/// Networks whose hosts tell the truth about whom they speak for. None by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[Network]>);

impl TrustedProxies {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }

    /// Walks from the peer towards the client, as long as the hops that tell us can be believed.
    fn nearest_stranger(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut nearest = peer;
        for hop in hops {
            match hop {
                Some(hop) if self.contains(nearest) => nearest = hop,
                _ => break,
            }
        }
        nearest
    }
}

/// Comma-separated networks such as `10.0.0.0/8`, or single addresses; empty for none.
impl FromStr for TrustedProxies {
    type Err = NetworkInvalid;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                (ours.to_bits() ^ other.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                (ours.to_bits() ^ other.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/8 or 192.0.2.1: {0}")]
pub struct NetworkInvalid(String);

impl FromStr for Network {
    type Err = NetworkInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || NetworkInvalid(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| invalid())?;
        if prefix > bits { Err(invalid()) } else { Ok(Self { address, prefix }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Who sends a request with these headers through 10.0.0.1, if `10/8` and `fd00::/8` are trusted.
    fn client(headers: &[(&str, &str)]) -> IpAddr {
        let proxies = "10.0.0.0/8, fd00::/8".parse().expect("networks");
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.finish();
        request = with_peer(request, "10.0.0.1:1234");
        ClientAddress::of(&request, &proxies).ip()
    }

    fn with_peer(request: Request, peer: &str) -> Request {
        let (parts, body) = request.into_parts();
        let mut bare = poem::http::Request::new(());
        *bare.headers_mut() = parts.headers;
        let (bare, ()) = bare.into_parts();
        let remote = poem::web::RemoteAddr(Addr::SocketAddr(peer.parse().expect("a socket address")));
        let scheme = poem::http::uri::Scheme::HTTP;
        Request::from_parts((bare, poem::web::LocalAddr::default(), remote, scheme).into(), body)
    }

    #[test]
    fn what_a_stranger_says_about_itself_is_not_believed() {
        let request = Request::builder().header("x-forwarded-for", "192.0.2.1").finish();
        let request = with_peer(request, "[::ffff:198.51.100.7]:80");
        let proxies = "10.0.0.0/8".parse().expect("a network");
        assert_eq!(ClientAddress::of(&request, &proxies).ip(), ip("198.51.100.7"));
    }

    #[test]
    fn the_nearest_hop_that_is_not_trusted_is_the_client() {
        assert_eq!(client(&[]), ip("10.0.0.1"));
        assert_eq!(client(&[("x-forwarded-for", "192.0.2.1")]), ip("192.0.2.1"));
        assert_eq!(client(&[("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.2")]), ip("192.0.2.1"));
        assert_eq!(
            client(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1")]),
            ip("192.0.2.1")
        );
        assert_eq!(client(&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")]), ip("10.0.0.3"));
        assert_eq!(client(&[("x-forwarded-for", "192.0.2.1, rubbish, 10.0.0.2")]), ip("10.0.0.2"));
        assert_eq!(client(&[("x-forwarded-for", "192.0.2.1:443")]), ip("192.0.2.1"));
        assert_eq!(client(&[("x-forwarded-for", "[2001:db8::1]:443")]), ip("2001:db8::1"));
        assert_eq!(client(&[("x-forwarded-for", "::ffff:192.0.2.1")]), ip("192.0.2.1"));
    }

    #[test]
    fn forwarded_is_read_like_x_forwarded_for() {
        assert_eq!(client(&[("forwarded", "for=1.1.1.1, proto=http;For=\"192.0.2.1\"")]), ip("192.0.2.1"));
        assert_eq!(client(&[("forwarded", "for=\"[2001:db8::1]:80\", for=10.0.0.2")]), ip("2001:db8::1"));
        assert_eq!(client(&[("forwarded", "for=_hidden")]), ip("10.0.0.1"));
    }

    #[test]
    fn two_headers_that_disagree_are_not_believed() {
        let agreeing = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client(&agreeing), ip("192.0.2.1"));
        let disagreeing = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.9")];
        assert_eq!(client(&disagreeing), ip("10.0.0.1"));
    }

    #[test]
    fn limits_count_a_whole_ipv6_customer() {
        assert_eq!(ClientAddress::new(ip("2001:db8::1:2:3:4")).network(), ip("2001:db8::"));
        assert_eq!(ClientAddress::new(ip("::ffff:192.0.2.1")).network(), ip("192.0.2.1"));
    }

    #[test]
    fn networks_parse_or_are_named_in_the_error() {
        let proxies: TrustedProxies = "10.0.0.0/8,192.0.2.1,fd00::/8,0.0.0.0/32".parse().expect("networks");
        assert!(proxies.contains(ip("10.255.0.1")) && proxies.contains(ip("::ffff:10.0.0.1")));
        assert!(proxies.contains(ip("192.0.2.1")) && !proxies.contains(ip("192.0.2.2")));
        assert!(proxies.contains(ip("fd12::1")) && !proxies.contains(ip("fe80::1")));
        let everybody: TrustedProxies = "0.0.0.0/0".parse().expect("a network");
        assert!(everybody.contains(ip("192.0.2.1")));
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        for text in ["10.0.0.0/33", "proxy", "10.0.0.0/", "fd00::/129"] {
            assert_eq!(text.parse::<TrustedProxies>(), Err(NetworkInvalid(text.to_owned())));
        }
    }
}
