//! Clients of HTTPS that the suite has as well.

#[path = "../support/attacks.rs"]
pub(crate) mod attacks;
#[path = "../support/frames.rs"]
pub(crate) mod frames;
#[path = "../support/qr_pictures.rs"]
pub(crate) mod qr_pictures;
#[expect(dead_code, reason = "the suite uses the rest")]
#[path = "../support/tls.rs"]
pub(crate) mod tls;
