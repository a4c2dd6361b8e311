//! The places of listeners to clicks.

use crate::fair::FairSemaphore;

/// Most listeners at once. Each is one connection, a task, and an event a second. Past its share a tenant gets
/// [`Error::Busy`](crate::core::error::Error::Busy).
const LISTENERS_MAX: u32 = 256;

/// Returns the places of all listeners.
pub(in crate::core) fn places() -> FairSemaphore {
    FairSemaphore::new(LISTENERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tenant::Tenant;

    #[test]
    fn listeners_of_one_tenant_leave_places_to_others() {
        let places = places();
        let take_all = |tenant: &Tenant| {
            std::iter::from_fn(|| places.try_acquire(tenant, 1)).take(9_999).collect::<Vec<_>>()
        };
        let first = Tenant::of_workspace("a", 1);
        let held: Vec<_> = [first.clone(), Tenant::of_workspace("a", 2), Tenant::of_workspace("b", 3)]
            .iter()
            .map(|tenant| take_all(tenant).into_iter())
            .map(Iterator::collect::<Vec<_>>)
            .collect();
        let counts: Vec<_> = held.iter().map(Vec::len).collect();
        assert_eq!(counts, [96, 32, 96]);
        assert!(!take_all(&Tenant::Operator).is_empty());
    }
}
