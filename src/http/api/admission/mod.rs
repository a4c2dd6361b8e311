//! Admission: what a request acquires before it is processed. All memory that clients can make the server use
//! has a bound, and each tenant has a share of it.
//!
//! | resource | acquired | released | past the tenant's share |
//! |---|---|---|---|
//! | requests a minute ([`rate`]) | with the head | as time passes | 429 |
//! | bodies being received ([`concurrency`]) | if a body is not complete at once | when it is complete | 503 |
//! | bulk slots ([`concurrency`]) | before a large body is read, also if it has arrived | when the request is done | waits, then 503 |
//! | slots ([`concurrency`]) | when the body is complete | when the request is done | 503 |
//! | response room ([`response_budget`]) | before the table is read, for the largest response of the command ([`largest`]) | down to the real size once it is known; the rest when the response is sent | waits, then 503 |
//!
//! A client that sends a head and nothing more thus holds no slot. A client that reads nothing holds room of
//! its own tenant only. The operator always gets some of each resource, because no tenant may have the last
//! eighth of a pool (see [`crate::fair`]). Redirects acquire none of these.

pub(super) mod concurrency;
pub(super) mod largest;
pub mod rate;
pub(super) mod response_budget;
