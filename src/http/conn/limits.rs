//! How many connections may be open: in all, and from one customer of the internet, so that one machine cannot
//! use up what all others need. The accept loop acquires a permit; the end of the connection releases it. No
//! request reads it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::network::{Networks, customer};

/// All places. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ConnLimits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    most_of_one: usize,
    /// Theirs are the connections of many.
    proxies: Networks,
    /// A lock, since it is held for one look-up per connection, beside a dozen system calls.
    taken: Mutex<Open>,
    /// Rung when the last place is given back.
    empty: Notify,
}

/// At most one entry per open connection.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_customer: HashMap<IpAddr, usize, ahash::RandomState>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limits: ConnLimits,
    /// `None` for a proxy.
    customer: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// This address has as many as one may have.
    Address,
}

impl ConnLimits {
    pub(super) fn new(most: usize, most_of_one: usize, proxies: Networks) -> ConnLimits {
        ConnLimits(Arc::new(Shared {
            most,
            most_of_one,
            proxies,
            taken: Mutex::default(),
            empty: Notify::new(),
        }))
    }

    /// A place for a connection from this address.
    pub(super) fn take(&self, peer: IpAddr) -> Result<Permit, Full> {
        let customer = (!self.0.proxies.name(peer)).then(|| customer(peer));
        let mut taken = self.0.taken.lock();
        if taken.all >= self.0.most {
            return Err(Full::All);
        }
        if let Some(customer) = customer {
            // Looked up first: a refusal must not leave an entry.
            let has = taken.by_customer.get(&customer).copied().unwrap_or(0);
            if has >= self.0.most_of_one {
                return Err(Full::Address);
            }
            taken.by_customer.insert(customer, has + 1);
        }
        taken.all += 1;
        Ok(Permit { limits: self.clone(), customer })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.taken.lock().all
    }

    /// Returns once none is taken.
    pub(super) async fn emptied(&self) {
        loop {
            // Before the look, so that no ring is missed behind it.
            let empty = self.0.empty.notified();
            if self.taken() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.limits.0.taken.lock();
        taken.all -= 1;
        if taken.all == 0 {
            self.limits.0.empty.notify_waiters();
        }
        let Some(customer) = self.customer else { return };
        if let Entry::Occupied(mut entry) = taken.by_customer.entry(customer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(limits: &ConnLimits, peer: &str) -> Result<Permit, Full> {
        limits.take(peer.parse().expect("an address"))
    }

    #[test]
    fn nobody_takes_the_places_of_all() {
        let limits = ConnLimits::new(5, 2, Networks::parse(["10.0.0.0/8"]).expect("networks"));
        let rows = [
            ("192.0.2.1", Ok(())),
            ("::ffff:192.0.2.1", Ok(())),
            ("192.0.2.1", Err(Full::Address)),
            ("2001:db8::1", Ok(())),
            ("2001:db8::ffff", Ok(())),
            ("2001:db8::2", Err(Full::Address)),
            ("2001:db8:0:1::2", Ok(())),
            ("10.0.0.1", Err(Full::All)),
        ];
        let mut held = Vec::new();
        for (peer, want) in rows {
            let got = take(&limits, peer);
            assert_eq!(got.as_ref().map(|_| ()).map_err(|full| *full), want, "{peer}");
            held.extend(got);
        }
        held.clear();
        assert!(limits.0.taken.lock().by_customer.is_empty(), "nothing is left of who is gone");
        let proxied: Vec<_> = (0..5).map(|_| take(&limits, "10.0.0.1").expect("a proxy's")).collect();
        assert_eq!(take(&limits, "192.0.2.9").expect_err("full"), Full::All);
        drop(proxied);
        assert!(take(&limits, "192.0.2.9").is_ok());
    }
}
