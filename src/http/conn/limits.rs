//! Limits of open connections: in all, and of one customer of the internet (an IPv4 address, or an IPv6 /64),
//! so that one machine cannot use up what all others need. The accept loop acquires a permit for each
//! connection; the end of the connection releases it. No request reads the limits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::network::{Networks, customer};

/// The permits of all connections. Cheap to clone: all clones share them.
#[derive(Clone, Debug)]
pub(super) struct ConnLimits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    most_of_one: usize,
    /// Not limited by address: the connections of a proxy are those of many customers.
    proxies: Networks,
    /// Locked for one look-up for each connection, which makes a dozen system calls anyway.
    open: Mutex<OpenConnections>,
    /// Notified when the last permit is released.
    empty: Notify,
}

#[derive(Debug, Default)]
struct OpenConnections {
    all: usize,
    /// Has no entry of a customer without an open connection, and so at most `all` entries.
    by_customer: HashMap<IpAddr, usize, ahash::RandomState>,
}

/// The right to one open connection. Its drop releases it.
#[derive(Debug)]
pub(super) struct Permit {
    limits: ConnLimits,
    /// `None` for a trusted proxy.
    customer: Option<IpAddr>,
}

/// The limit that a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Of all connections.
    All,
    /// Of the connections of one customer.
    Address,
}

impl OpenConnections {
    /// Counts a connection of a customer. Fails if the customer has as many as one may have.
    fn add(&mut self, customer: Option<IpAddr>, most: usize) -> Result<(), Full> {
        let Some(customer) = customer else { return Ok(()) };
        // Read before the insert: a rejected connection must not leave an entry.
        let has = self.by_customer.get(&customer).copied().unwrap_or(0);
        if has >= most {
            return Err(Full::Address);
        }
        self.by_customer.insert(customer, has + 1);
        Ok(())
    }

    fn remove(&mut self, customer: Option<IpAddr>) {
        let Some(customer) = customer else { return };
        if let Entry::Occupied(mut entry) = self.by_customer.entry(customer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                // Otherwise the map would grow with each address that ever connected.
                entry.remove();
            }
        }
    }
}

impl Permit {
    /// Makes this the permit of the visitor for whom a proxy has connected. The connection counts once all the time, so
    /// this also succeeds when all permits are in use.
    pub(super) fn passed_to(mut self, visitor: IpAddr) -> Result<Permit, Full> {
        let customer = self.limits.customer(visitor);
        {
            let mut open = self.limits.0.open.lock();
            open.add(customer, self.limits.0.most_of_one)?;
            open.remove(self.customer);
        }
        self.customer = customer;
        Ok(self)
    }
}

impl ConnLimits {
    pub(super) fn new(most: usize, most_of_one: usize, proxies: Networks) -> ConnLimits {
        ConnLimits(Arc::new(Shared {
            most,
            most_of_one,
            proxies,
            open: Mutex::default(),
            empty: Notify::new(),
        }))
    }

    /// Acquires a permit for a connection from this address.
    pub(super) fn acquire(&self, peer: IpAddr) -> Result<Permit, Full> {
        let customer = self.customer(peer);
        let mut open = self.0.open.lock();
        // Applies to proxies as well: it protects the file descriptors of the log.
        if open.all >= self.0.most {
            return Err(Full::All);
        }
        open.add(customer, self.0.most_of_one)?;
        open.all += 1;
        Ok(Permit { limits: self.clone(), customer })
    }

    /// Returns the customer with an address, and `None` for a trusted proxy. Called without the lock: the address is
    /// compared with up to 100 networks.
    fn customer(&self, peer: IpAddr) -> Option<IpAddr> {
        (!self.0.proxies.name(peer)).then(|| customer(peer))
    }

    /// Returns the number of open connections.
    pub(super) fn open(&self) -> usize {
        self.0.open.lock().all
    }

    /// Returns once no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            // Created before the check: a `Notified` receives all notifications since its creation.
            let empty = self.0.empty.notified();
            if self.open() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limits.0.open.lock();
        open.all -= 1;
        if open.all == 0 {
            // Under the lock that `emptied` reads the number with, so that it cannot miss this.
            self.limits.0.empty.notify_waiters();
        }
        open.remove(self.customer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquire(limits: &ConnLimits, peer: &str) -> Result<Permit, Full> {
        limits.acquire(peer.parse().expect("an address"))
    }

    #[test]
    fn one_address_does_not_use_up_all_connections() {
        let limits = ConnLimits::new(5, 2, Networks::parse(["10.0.0.0/8"]).expect("networks"));
        let rows = [
            ("192.0.2.1", Ok(())),
            // The same customer in the form of IPv6.
            ("::ffff:192.0.2.1", Ok(())),
            ("192.0.2.1", Err(Full::Address)),
            ("2001:db8::1", Ok(())),
            ("2001:db8::ffff", Ok(())),
            ("2001:db8::2", Err(Full::Address)),
            // Another /64.
            ("2001:db8:0:1::2", Ok(())),
            // A proxy has no limit of its own; the limit of all connections is reached.
            ("10.0.0.1", Err(Full::All)),
        ];
        let mut held = Vec::new();
        for (peer, want) in rows {
            let got = acquire(&limits, peer);
            assert_eq!(got.as_ref().map(|_| ()).map_err(|full| *full), want, "{peer}");
            held.extend(got);
        }
        held.clear();
        assert!(limits.0.open.lock().by_customer.is_empty(), "an entry without a connection");
        let proxied: Vec<_> = (0..5).map(|_| acquire(&limits, "10.0.0.1").expect("a proxy's")).collect();
        assert_eq!(acquire(&limits, "192.0.2.9").expect_err("full"), Full::All);
        drop(proxied);
        assert!(acquire(&limits, "192.0.2.9").is_ok());
    }
    /// The last place is as good as the others behind a proxy.
    #[test]
    fn a_permit_of_a_proxy_becomes_that_of_its_visitor() {
        let limits = ConnLimits::new(3, 2, Networks::parse(["10.0.0.0/8"]).expect("networks"));
        let visitor: IpAddr = "192.0.2.1".parse().expect("an address");
        let through = || acquire(&limits, "10.0.0.1").and_then(|permit| permit.passed_to(visitor));
        let held = [through().expect("the first"), through().expect("the second")];
        assert_eq!(through().expect_err("two of one"), Full::Address);
        assert_eq!(limits.open(), 2, "the place is free again");
        let other: IpAddr = "192.0.2.9".parse().expect("an address");
        let last = acquire(&limits, "10.0.0.1").expect("the last");
        let last = last.passed_to(other).expect("it has its place");
        assert_eq!(acquire(&limits, "10.0.0.1").expect_err("full"), Full::All);
        drop((held, last));
        assert_eq!((limits.open(), limits.0.open.lock().by_customer.len()), (0, 0));
    }
}
