//! [`Admission`]: who may connect while how many are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::middleware::{ClientAddress, TrustedProxies};

use super::ServerLimits;

/// Counts connections, in all and by address.
#[derive(Debug)]
pub(super) struct Admission {
    limits: ServerLimits,
    proxies: TrustedProxies,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that was let in; leaves when dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    /// A trusted proxy is not counted by address: it speaks for many.
    address: Option<IpAddr>,
}

impl Admission {
    pub(super) fn new(limits: ServerLimits, proxies: TrustedProxies) -> Arc<Self> {
        Arc::new(Self { limits, proxies, present: Mutex::default() })
    }

    /// Lets a connection in, unless a limit is reached.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let address = (!self.proxies.contains(peer)).then(|| ClientAddress::new(peer).network());
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.total >= self.limits.connections {
            return None;
        }
        if let Some(address) = address {
            let count = present.by_address.entry(address).or_default();
            if *count >= self.limits.connections_per_address {
                return None;
            }
            *count += 1;
        }
        present.total += 1;
        Some(Admitted { admission: Arc::clone(self), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut present = self.admission.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.total -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = present.by_address.get_mut(&address) {
            *count -= 1;
            // Otherwise every address that ever came would stay.
            if *count == 0 {
                present.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn admission(connections: usize, connections_per_address: usize) -> Arc<Admission> {
        let limits = ServerLimits { connections, connections_per_address, ..ServerLimits::default() };
        Admission::new(limits, "10.0.0.1".parse().expect("a network"))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = admission(10, 1);
        let first = admission.admit(ip("192.0.2.1"));
        assert!(first.is_some());
        assert!(admission.admit(ip("192.0.2.1")).is_none());
        assert!(admission.admit(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(admission.admit(ip("192.0.2.1")).is_some());
        assert!(admission.present.lock().expect("unpoisoned").by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let admission = admission(10, 1);
        let _first = admission.admit(ip("2001:db8::1"));
        assert!(admission.admit(ip("2001:db8::2")).is_none());
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn a_trusted_proxy_is_bounded_by_the_total_only() {
        let admission = admission(2, 1);
        let first = (admission.admit(PROXY), admission.admit(PROXY));
        assert!(first.0.is_some() && first.1.is_some());
        assert!(admission.admit(PROXY).is_none());
        assert!(admission.admit(ip("192.0.2.1")).is_none());
    }
}
