//! Connections that users order: to the receivers of webhooks. They reach no private network ([`connect`]), and
//! certificates are checked ([`tls`]).

pub(crate) mod connect;
pub(crate) mod error;
mod tls;
