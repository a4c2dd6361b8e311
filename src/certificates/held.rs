//! [`HeldHandshakes`]: handshakes that wait for the first certificate of their name. Each customer of the internet and each
//! name has a share of them, so that one of either cannot make the visitors of other names fail.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use parking_lot::Mutex;

use crate::model::network::customer;

/// Handshakes at once that wait, each with some 20 KB. Past it: they fail as those for names without a certificate.
const HELD_MAX: usize = 256;

/// Of one address, or of one /64 of IPv6: what a browser opens at once.
const HELD_OF_CUSTOMER: usize = 8;

/// For one name: visitors of a link that was just sent to many.
const HELD_OF_NAME: usize = 32;

/// The handshakes that wait for a certificate.
#[derive(Debug, Default)]
pub(super) struct HeldHandshakes(Mutex<HeldCounts>);

#[derive(Debug, Default)]
struct HeldCounts {
    all: usize,
    by_customer: HashMap<IpAddr, usize>,
    by_name: HashMap<String, usize>,
}

/// A handshake that waits. Its drop ends the wait.
#[derive(Debug)]
pub(super) struct HeldHandshake<'a> {
    held: &'a HeldHandshakes,
    customer: IpAddr,
    name: String,
}

impl HeldHandshakes {
    /// Begins a wait of this client for this name. Returns `None` if too many wait.
    pub(super) fn begin(&self, client: IpAddr, name: &str) -> Option<HeldHandshake<'_>> {
        let customer = customer(client);
        let mut counts = self.0.lock();
        let of_customer = counts.by_customer.get(&customer).copied().unwrap_or(0);
        let of_name = counts.by_name.get(name).copied().unwrap_or(0);
        if counts.all >= HELD_MAX || of_customer >= HELD_OF_CUSTOMER || of_name >= HELD_OF_NAME {
            return None;
        }
        counts.all += 1;
        counts.by_customer.insert(customer, of_customer + 1);
        counts.by_name.insert(name.to_owned(), of_name + 1);
        Some(HeldHandshake { held: self, customer, name: name.to_owned() })
    }

    /// Returns the names that visitors wait for.
    pub(super) fn names(&self) -> HashSet<String> {
        self.0.lock().by_name.keys().cloned().collect()
    }
}

impl Drop for HeldHandshake<'_> {
    fn drop(&mut self) {
        let mut counts = self.held.0.lock();
        counts.all -= 1;
        release(&mut counts.by_customer, &self.customer);
        release(&mut counts.by_name, &self.name);
    }
}

/// Removes an entry with its last handshake: the maps have no more entries than handshakes wait.
fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_or_name_leaves_handshakes_to_others() {
        let held = HeldHandshakes::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let begin = |client: IpAddr, name: &str| {
            std::iter::from_fn(|| held.begin(client, name)).take(1_000).collect::<Vec<_>>()
        };
        let of_v4 = begin(address("192.0.2.1"), "a.test");
        assert_eq!(of_v4.len(), HELD_OF_CUSTOMER);
        assert!(held.begin(address("192.0.2.1"), "b.test").is_none(), "another name");
        assert!(held.begin(address("192.0.2.2"), "b.test").is_some(), "another address");
        let of_v6 = begin(address("2001:db8::1"), "b.test");
        assert_eq!(of_v6.len(), HELD_OF_CUSTOMER);
        assert!(held.begin(address("2001:db8::2"), "c.test").is_none(), "of the same /64");
        let of_name: Vec<_> =
            (1..=99).filter_map(|n| held.begin([198, 51, 100, n].into(), "a.test")).collect();
        assert_eq!(of_v4.len() + of_name.len(), HELD_OF_NAME);
        assert!(held.begin(address("198.51.100.200"), "c.test").is_some());
        assert_eq!(held.names(), HashSet::from(["a.test".to_owned(), "b.test".to_owned()]));
        let many: Vec<_> = (0..=255)
            .flat_map(|n| (0..4).map(move |m| (n, m)))
            .filter_map(|(n, m): (u8, u8)| held.begin([203, 0, 113, n].into(), &format!("{n}.{m}.test")))
            .collect();
        assert_eq!(of_v4.len() + of_v6.len() + of_name.len() + many.len(), HELD_MAX);
        drop((of_v4, of_v6, of_name, many));
        let counts = held.0.lock();
        assert!(counts.all == 0 && counts.by_customer.is_empty() && counts.by_name.is_empty());
    }
}
