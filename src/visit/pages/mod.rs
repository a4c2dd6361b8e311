//! Small HTML pages. The templates beside this file contain their texts and shapes, and escape every
//! value that comes from a user. The one style fits phones, and light and dark screens.
//!
//! 1. Every page works without JavaScript.
//! 2. Every page has a content security policy that names all that the page may load.
//! 3. No cache and no search engine keeps a page, and no other site can frame it.
//! 4. Only [`pixels`](fn@pixels) runs a script. Only it, [`cloaked`](fn@cloaked) and the images of a link's
//!    own tags load anything from other sites.

mod cloaked;
mod confirm;
mod denied;
mod display;
mod greeting;
#[cfg(test)]
mod hostile;
mod layout;
mod notice;
mod password;
mod pixels;
mod preview;
mod share;
mod shown;
mod statistics;
mod tags;

pub use self::cloaked::cloaked;
pub use self::confirm::confirm;
pub use self::denied::denied;
pub use self::greeting::greeting;
pub use self::layout::{foundation, hash_source};
pub use self::notice::{DomainHome, error, error_at, foreign_form, no_share, too_many, unavailable};
pub use self::password::{PasswordPrompt, Protected, password};
pub use self::pixels::pixels;
pub use self::preview::preview;
pub use self::share::share;
pub use self::shown::{Shown, shown};
pub use self::statistics::{ShownPeriod, statistics};
pub(crate) use self::statistics::{heading, name_of};
