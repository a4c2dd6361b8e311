//! What a visit does, in order: find the domain, find the code, find the link, evaluate its rules, count
//! the click, respond.
//!
//! [`Visitor`] is the handle. [`Visitor::respond`] answers a plain redirect inside the cache look-up.
//! Each rule of a link with options is a file of its own; [`rules`] lists them. A visit that has to
//! wait (for a link that is not in memory, for a reservation of a limited link's clicks, for the check
//! of a password) is a future.

mod app_links;
mod attempts;
mod bots;
mod branches;
mod button;
mod choice;
pub mod click;
mod confirm;
mod contact;
mod denied;
mod described;
pub(crate) mod destination;
pub mod entity_tag;
pub mod explain;
mod follow;
mod holds;
mod home;
pub mod host_misses;
pub mod intent;
mod locate;
mod loops;
pub mod miss;
pub mod pages;
pub(crate) mod password;
pub mod peer;
mod pixel;
mod preview;
mod qr_picture;
pub mod redirect;
mod request;
pub(crate) mod rule;
mod rules;
mod settings;
mod share;
mod shown;
mod split;
mod submission;
mod submit;
mod uncounted;
pub mod unlock;
pub mod validity;
mod visit_facts;
mod visitor;

pub use self::request::{Visit, VisitResponse};
pub use self::settings::{Settings, UnknownHosts};
pub use self::visitor::Visitor;
