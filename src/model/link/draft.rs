//! A link that is to be created, and a change of a link.

use std::collections::BTreeMap;

use super::{Edit, Password};
use crate::model::campaign::CampaignRef;
use crate::model::destination::LinkType;
use crate::model::id::Id;
use crate::model::short_code::ShortCode;

/// A link that is to be created.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct Draft {
    pub domain: DomainChoice,
    /// `None` generates a code.
    pub code: Option<ShortCode>,
    /// Text, since its rule depends on the type and on the configuration.
    pub destination: Box<str>,
    pub link_type: LinkType,
    /// A password that is not hashed yet.
    pub password: Option<Password>,
    /// The other options.
    pub edits: Vec<Edit>,
    /// Tags and campaign by name.
    pub names: Names,
    /// The beginning of the generated code.
    pub code_prefix: Option<Box<str>>,
    /// Returns the live link with this destination in place of a new one.
    pub reuse: bool,
}

/// A change of a link. All parts are applied, in order, or none.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// A new destination as text, as in a [`Draft`].
    pub destination: Option<Box<str>>,
    /// `Some(None)` removes the password.
    pub password: Option<Option<Password>>,
    /// The other changes.
    pub edits: Vec<Edit>,
    /// Tags and campaign by name: those of the link's own workspace.
    pub names: Names,
    /// A new short URL.
    pub address: AddressPatch,
}

/// A change of the short URL of a link. `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // `code` speaks.
pub struct AddressPatch {
    /// The name of the domain.
    pub domain: Option<Box<str>>,
    pub code: Option<ShortCode>,
    /// Keeps the present short URL as an alias if the link gets another.
    pub keeps_old: bool,
    /// The aliases to keep, by domain and code. The others are removed.
    pub aliases: Option<Vec<AliasName>>,
}

/// An alias by the name of its domain. Without a name it is on the domain of its link, or on the default domain of
/// an import.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct AliasName {
    pub domain: Option<Box<str>>,
    pub code: ShortCode,
}

/// Tags and campaign that a request names instead of giving their ids. `None` leaves them as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The tags, in place of those that the link has. A tag that does not exist is created with the link.
    pub tags: Option<Vec<Box<str>>>,
    /// The campaign; `Some(None)` is none.
    pub campaign: Option<Option<CampaignRef>>,
    /// The colors of tags by name, for tags that an import creates.
    pub tag_colors: BTreeMap<Box<str>, Box<str>>,
    /// The name of the campaign, if an import creates it.
    pub campaign_name: Option<Box<str>>,
}

/// The domain of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainChoice {
    /// The workspace's default domain.
    Default,
    /// By host name, as in the native API.
    Name(Box<str>),
    /// By id, as in Linquid's API.
    Id(Id),
}
