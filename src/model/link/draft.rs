//! A link that is asked for, and a change that is.

use super::{Edit, Password};
use crate::model::campaign::CampaignRef;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::short_code::ShortCode;

/// A link before it exists.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it shall live.
    pub domain: DomainChoice,
    /// The code asked for; drawn when `None`.
    pub code: Option<ShortCode>,
    /// Where it leads, still as text: its rule depends on type and configuration.
    pub destination: Box<str>,
    /// What the destination is.
    pub link_type: LinkType,
    /// A password, not yet hashed.
    pub password: Option<Password>,
    /// What else is set from the start.
    pub edits: Vec<Edit>,
    /// Tags and campaign by name.
    pub names: Names,
}

/// A change to a link: applied in order, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// A new destination, still as text, as in a [`Draft`].
    pub destination: Option<Box<str>>,
    /// `Some(None)` removes the password.
    pub password: Option<Option<Password>>,
    /// Everything else.
    pub edits: Vec<Edit>,
    /// Tags and campaign by name: those of the link's own workspace.
    pub names: Names,
}

/// Tags and campaign that a request names instead of giving their ids. `None` leaves them as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The tags, in place of those that the link has. A tag that does not exist is created with the link.
    pub tags: Option<Vec<Box<str>>>,
    /// The campaign; `Some(None)` is none.
    pub campaign: Option<Option<CampaignRef>>,
}

/// How a draft names its domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainChoice {
    /// The workspace's default domain.
    Default,
    /// By host name, as the native API does.
    Name(Box<str>),
    /// By id, as Linquid does.
    Id(Id),
}
