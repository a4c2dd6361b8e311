//! Links for unit tests.

use crate::clock::Timestamp;
use crate::model::destination::{Destination, LinkType};
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::{Link, Options};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

/// Returns the URL of `text`.
pub(crate) fn url(text: &str) -> Destination {
    Destination::parse_web("url", text).expect("a valid URL")
}

/// Returns the options of a plain link to `https://e.test/`.
pub(crate) fn plain() -> Options {
    Options::new(url("https://e.test/"), LinkType::Url)
}

/// Returns a link on the default domain, in workspace 0, created at time 0.
pub(crate) fn link(id: u128, code: &str, options: Options) -> Link {
    Link {
        id: Id::from_bits(id),
        workspace: WorkspaceNumber(0),
        domain: DomainNumber::DEFAULT,
        code: ShortCode::parse(code).expect("a valid code"),
        typed_code: None,
        aliases: Vec::new(),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        created_by: None,
        options,
    }
}
