//! Clients of HTTPS that the suite has as well.

#[path = "../support/attacks.rs"]
pub(crate) mod attacks;
#[path = "../support/frames.rs"]
pub(crate) mod frames;
#[expect(dead_code, reason = "the suite uses the rest")]
#[path = "../support/tls.rs"]
pub(crate) mod tls;
