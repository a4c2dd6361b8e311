//! [`FairQueue`]: a queue with a fair order of the items of many tenants.
//!
//! Companies take turns; in a company its workspaces take turns, each with one turn per lane. The
//! operator's items are next after at most one item of a tenant, and tenants' items after at most one of
//! the operator's.
//!
//! Each operation costs a constant number of steps, except [`FairQueue::remove`], which searches the queued
//! items of one tenant. The queue is not bounded: bound it with a [`super::FairSemaphore`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::model::id::ForeignId;
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;

/// Separates items that one tenant queues for different reasons, so that neither reason delays the other.
pub type Lane = u8;

/// Identifies a queued item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// A member of a company: a workspace, or a key of the whole company.
type Member = (Option<WorkspaceNumber>, Lane);

type Items<T> = VecDeque<(Ticket, T)>;

/// Queued items in a fair order.
#[derive(Debug)]
pub struct FairQueue<T> {
    operator: Items<T>,
    companies: Rounds<ForeignId, Rounds<Member, Items<T>>>,
    /// Whether the last item that left was the operator's.
    was_operator: bool,
    last_ticket: u64,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue {
            operator: VecDeque::new(),
            companies: Rounds::default(),
            was_operator: false,
            last_ticket: 0,
            len: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// Adds an item behind those of the same tenant and lane. Returns its ticket.
    pub fn push(&mut self, tenant: &Tenant, lane: Lane, item: T) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let items = match tenant.company() {
            None => &mut self.operator,
            Some(company) => self.companies.of(company).of(&(tenant.workspace(), lane)),
        };
        items.push_back((ticket, item));
        self.len += 1;
        ticket
    }

    /// Removes and returns the next item.
    pub fn pop(&mut self) -> Option<T> {
        let prefers_tenants = self.was_operator && !self.companies.is_empty();
        let found = if prefers_tenants { None } else { self.operator.pop_front() };
        self.was_operator = found.is_some();
        let found = found.or_else(|| {
            self.companies.pop(|members| {
                let found = members.pop(|items| (items.pop_front(), items.is_empty()));
                (found, members.is_empty())
            })
        });
        self.len -= usize::from(found.is_some());
        found.map(|(_, item)| item)
    }

    /// Removes an item that no longer waits. Returns `None` if the item has already left the queue.
    pub fn remove(&mut self, tenant: &Tenant, lane: Lane, ticket: Ticket) -> Option<T> {
        let take = |items: &mut Items<T>| {
            let at = items.iter().position(|(other, _)| *other == ticket)?;
            items.remove(at)
        };
        let found = match tenant.company() {
            None => take(&mut self.operator),
            Some(company) => self.companies.with(company, |members| {
                let member = (tenant.workspace(), lane);
                let found = members.with(&member, |items| (take(items), items.is_empty()));
                (found, members.is_empty())
            }),
        };
        self.len -= usize::from(found.is_some());
        found.map(|(_, item)| item)
    }

    /// Returns the number of queued items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Queues that take turns. None of them is empty.
#[derive(Debug)]
struct Rounds<K, Q> {
    queues: HashMap<K, Q, ahash::RandomState>,
    /// Each key once, the next one first.
    order: VecDeque<K>,
}

impl<K, Q> Default for Rounds<K, Q> {
    fn default() -> Rounds<K, Q> {
        Rounds { queues: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, Q: Default> Rounds<K, Q> {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns the queue of `key`. A new queue has its turn last.
    fn of(&mut self, key: &K) -> &mut Q {
        if !self.queues.contains_key(key) {
            self.order.push_back(key.clone());
        }
        self.queues.entry(key.clone()).or_default()
    }

    /// Takes an item from the next queue. `take` also returns whether the queue is empty then.
    fn pop<T>(&mut self, take: impl FnOnce(&mut Q) -> (Option<T>, bool)) -> Option<T> {
        let key = self.order.pop_front()?;
        let (found, is_empty) = take(self.queues.get_mut(&key)?);
        if is_empty {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        found
    }

    /// Takes an item from the queue of `key`, out of turn.
    fn with<T>(&mut self, key: &K, take: impl FnOnce(&mut Q) -> (Option<T>, bool)) -> Option<T> {
        let (found, is_empty) = take(self.queues.get_mut(key)?);
        if is_empty {
            self.queues.remove(key);
            self.order.retain(|other| other != key);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(name: &str) -> Tenant {
        Tenant::Company(ForeignId::parse("id", name).expect("valid"))
    }

    fn workspace(company: &str, number: u32) -> Tenant {
        let company = ForeignId::parse("id", company).expect("valid");
        Tenant::Workspace { company, number: WorkspaceNumber(number) }
    }

    fn drained(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn n18_tenants_take_turns_and_the_operator_is_next_after_one_other() {
        let mut queue = FairQueue::default();
        for item in ["a1 x", "a1 y", "a1 z"] {
            queue.push(&workspace("a", 1), 0, item);
        }
        queue.push(&workspace("a", 2), 0, "a2 x");
        queue.push(&company("a"), 0, "a x");
        for item in ["b3 x", "b3 y"] {
            queue.push(&workspace("b", 3), 0, item);
        }
        for item in ["op x", "op y", "op z"] {
            queue.push(&Tenant::Operator, 0, item);
        }
        // A company with three members has as many turns as a company with one.
        let want = ["op x", "a1 x", "op y", "b3 x", "op z", "a2 x", "b3 y", "a x", "a1 y", "a1 z"];
        assert_eq!(queue.len(), want.len());
        assert_eq!(drained(&mut queue), want);
        assert!(queue.is_empty());
    }

    #[test]
    fn lanes_of_one_tenant_take_turns() {
        let mut queue = FairQueue::default();
        let tenant = workspace("a", 1);
        for item in ["guess 1", "guess 2", "guess 3"] {
            queue.push(&tenant, 0, item);
        }
        queue.push(&tenant, 1, "create");
        assert_eq!(drained(&mut queue), ["guess 1", "create", "guess 2", "guess 3"]);
    }

    #[test]
    fn a_removed_item_has_no_turn_and_leaves_nothing_behind() {
        let mut queue = FairQueue::default();
        let (a, b) = (workspace("a", 1), workspace("b", 2));
        let first = queue.push(&a, 0, "a first");
        let only = queue.push(&b, 0, "b only");
        let op = queue.push(&Tenant::Operator, 0, "op");
        queue.push(&a, 0, "a second");
        assert_eq!(queue.remove(&b, 0, only), Some("b only"));
        assert_eq!(queue.remove(&b, 0, only), None);
        assert_eq!(queue.remove(&a, 0, first), Some("a first"));
        assert_eq!(queue.remove(&Tenant::Operator, 0, op), Some("op"));
        assert_eq!(drained(&mut queue), ["a second"]);
        assert!(queue.companies.queues.is_empty() && queue.companies.order.is_empty());
    }

    /// For any number of items of one tenant, an item of another tenant waits for at most one of them.
    #[test]
    fn n18_a_long_queue_of_one_tenant_does_not_delay_others() {
        let mut queue = FairQueue::default();
        for _ in 0..10_000 {
            queue.push(&workspace("a", 1), 0, "a");
        }
        for round in 0..100 {
            queue.push(&workspace("b", 2), 0, "b");
            let next = [queue.pop(), queue.pop()];
            assert!(next.contains(&Some("b")), "round {round}: {next:?}");
        }
    }
}
