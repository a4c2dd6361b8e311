//! `[visit]` of the configuration.

use serde::{Deserialize, Serialize};

/// `[visit]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The response to hosts that are no domain.
    pub unknown_hosts: UnknownHosts,
}

/// The response to a host that is no domain, no IP address and not `localhost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownHosts {
    /// 404: a foreign name that points to this server gets none of the default domain's links.
    #[default]
    NotFound,
    /// The response of the default domain: for names of this machine at a proxy or in a private network.
    /// Except for the host of the default domain's `notFoundUrl` or `expiredUrl`, whose visitors would be
    /// redirected in a loop. The loop check does not know that links to such names end at this server.
    DefaultDomain,
}
