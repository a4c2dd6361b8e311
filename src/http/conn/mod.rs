//! Connections: the accept loop, and what is between it, the sockets and hyper.

mod coalesce;
mod connections;
mod deadline;
mod h2;
pub mod handover;
mod hang_up;
mod head_guard;
mod limits;
mod linger;
pub mod listener;
mod plain;
mod proxy_protocol;
pub mod server;
mod settings;
mod shutdown;
mod socket;
mod socket_file;
mod state;
mod stream;
pub mod tls;
mod tls_stream;
mod transport;
