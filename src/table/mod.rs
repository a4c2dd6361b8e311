//! The table: the log's state in sled, for look-ups by key and lists in order.
//!
//! 1. The table follows the log. One thread applies Changes in order, with plain inserts, the position last.
//! 2. The table may be deleted, damaged or behind at any moment. It is then replayed or rebuilt from the log,
//!    and reads fail with [`Error::NotReady`] instead of "no such record".
//! 3. All reads block, as sled does: call them on the blocking pool.

mod applied_state;
mod apply;
mod audit;
mod error;
mod found;
mod handle;
mod health;
mod history;
mod index;
pub mod keys;
mod leaf;
mod list;
mod notes;
mod owned;
mod progress;
mod rebuild;
pub mod record;
mod scrub;
mod settings;
mod sort;
mod staged;
mod store;
mod totals;
mod waiters;
mod walk;
mod whole;
mod write;

pub use self::apply::{MayWrite, Observer};
pub use self::error::Error;
pub use self::found::Found;
pub use self::handle::{EachRaw, Status, Table};
pub use self::health::DuePage;
pub use self::list::{List, Order, Scanned};
pub use self::notes::HealthNote;
pub use self::settings::Settings;
pub use self::staged::ReadView;
pub use self::waiters::AppliedCallback;
