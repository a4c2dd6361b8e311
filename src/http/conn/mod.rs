//! Connections: the accept loop, and what is between it, the sockets and hyper.

mod deadline;
mod limits;
pub mod server;
mod shutdown;
mod socket;
mod state;
