//! The deny list of destination hosts: its file, the list in force, the checks of writes, and reloads.

mod check;
mod file;
pub(super) mod list;
mod reload;

pub use self::file::{DenyFile, DenyFileError};
pub(crate) use self::list::denied_rule;
pub use self::list::{DenyList, DenyListStatus};
