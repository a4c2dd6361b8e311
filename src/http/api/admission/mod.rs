//! Admission: what a request acquires before it works, so that all that clients can make the server
//! hold has a bound, and in it a share for each tenant.
//!
//! | resource | acquired | released | past the tenant's share |
//! |---|---|---|---|
//! | requests a minute ([`rate`]) | with the head | as time passes | 429 |
//! | bodies under way ([`concurrency`]) | when a body is not complete at once | when it is | 503 |
//! | bulk slots ([`concurrency`]) | before a large body is read, however much of it has come | when the request is done | waits, then 503 |
//! | slots ([`concurrency`]) | when the body is complete | when the request is done | 503 |
//! | response room ([`response_budget`]) | before the table is read, for the largest answer of the command ([`largest`]) | down to the real size once that is known; the rest when the answer is sent | waits, then 503 |
//!
//! A client that sends a head and nothing more thus holds no slot; a client that reads nothing holds
//! room of its own tenant only; and the operator's key always finds some of everything, because no
//! tenant may have the last eighth of a pool (see [`crate::fair`]). Redirects acquire none of these.

pub(super) mod concurrency;
pub(super) mod largest;
pub mod rate;
pub(super) mod response_budget;
