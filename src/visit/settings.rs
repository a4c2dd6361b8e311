//! `[visit]`: what the operator may choose about visits.

use serde::{Deserialize, Serialize};

/// `[visit]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What a host is answered that is no domain's.
    pub unknown_hosts: UnknownHosts,
}

/// What a host is answered that is no domain's, no address and not `localhost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownHosts {
    /// 404: whoever points a name of their own here gets none of the default domain's links.
    #[default]
    NotFound,
    /// As the default domain: for names that a proxy or a private network has for this machine. Not
    /// the host of the default domain's `notFoundUrl` or `expiredUrl`, whose visitors would be sent
    /// there again for ever. Links that lead to such names are not known to lead back here.
    DefaultDomain,
}
