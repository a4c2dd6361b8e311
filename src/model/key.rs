//! [`ApiKey`]: an admin credential, the objects that it reaches ([`Reach`]) and its permissions ([`Scopes`]).
//! The secret is shown once and never stored; the store contains its SHA-256.

use std::fmt;

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;

/// The SHA-256 of a key's secret. Without `==`: it is looked up as the key of a map, where an equal hash
/// reveals nothing about the secret, or compared in constant time by the one file that does so.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash in a log would allow to test guesses of weak secrets, such as a key from the environment.
        f.write_str("SecretHash(..)")
    }
}

/// One permission of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read links, tags, campaigns and domains.
    LinksRead,
    /// Create and change them.
    LinksWrite,
    /// Read snapshots.
    SnapshotsRead,
    /// Create, share and import snapshots.
    SnapshotsWrite,
    /// Manage keys, workspaces and companies.
    Admin,
    /// Read the metrics of the instance.
    MetricsRead,
    /// Ask about clicks.
    AnalyticsRead,
}

impl Scope {
    /// All scopes, in the order of lists.
    pub const ALL: [Scope; 7] = [
        Scope::LinksRead,
        Scope::LinksWrite,
        Scope::SnapshotsRead,
        Scope::SnapshotsWrite,
        Scope::Admin,
        Scope::MetricsRead,
        Scope::AnalyticsRead,
    ];

    /// Returns the name in APIs. Four of the names are HighLevel's.
    pub fn name(self) -> &'static str {
        match self {
            Scope::LinksRead => "links.readonly",
            Scope::LinksWrite => "links.write",
            Scope::SnapshotsRead => "snapshots.readonly",
            Scope::SnapshotsWrite => "snapshots.write",
            Scope::Admin => "admin",
            Scope::MetricsRead => "metrics.readonly",
            Scope::AnalyticsRead => "analytics.readonly",
        }
    }

    /// Parses a scope's name.
    pub fn parse(text: &str) -> Result<Scope, Invalid> {
        Scope::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            let names = Scope::ALL.map(Scope::name).join(", ");
            Invalid::new("scopes", format!("must be of {names}"))
        })
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Returns the set of all scopes.
    pub fn all() -> Scopes {
        Scope::ALL.into_iter().collect()
    }

    /// Returns whether the set permits `scope`. Permission to write includes permission to read, permission to read links
    /// includes questions about their clicks, and `admin` includes the metrics.
    pub fn allow(self, scope: Scope) -> bool {
        // Positions in the enum are stored: a new scope must come last.
        let has = |s: Scope| self.0 & (1 << s as u8) != 0;
        // Exhaustive, so that a new scope must decide whether it includes another.
        match scope {
            Scope::LinksRead => has(Scope::LinksRead) || has(Scope::LinksWrite),
            Scope::SnapshotsRead => has(Scope::SnapshotsRead) || has(Scope::SnapshotsWrite),
            // Keys of earlier versions read the metrics with `admin`.
            Scope::MetricsRead => has(Scope::MetricsRead) || has(Scope::Admin),
            // Keys of earlier versions ask with the scopes of links.
            Scope::AnalyticsRead => has(Scope::AnalyticsRead) || self.allow(Scope::LinksRead),
            Scope::LinksWrite | Scope::SnapshotsWrite | Scope::Admin => has(scope),
        }
    }

    /// Returns whether this set permits every scope of `other`: a key cannot grant more than it has.
    pub fn cover(self, other: Scopes) -> bool {
        other.iter().all(|scope| self.allow(scope))
    }

    /// Returns the scopes in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & (1 << *scope as u8) != 0)
    }

    /// Returns the stored form.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set of a stored form.
    pub fn from_bits(bits: u8) -> Scopes {
        // Unknown bits of a later version are kept, and permit nothing.
        Scopes(bits)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | (1 << scope as u8)))
    }
}

/// The objects that a key can reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Everything on this instance.
    Instance,
    /// All workspaces of one company.
    Company(ForeignId),
    /// One workspace.
    Workspace(WorkspaceNumber),
}

/// An admin credential.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct ApiKey {
    pub id: Id,
    pub name: Box<str>,
    pub reach: Reach,
    pub scopes: Scopes,
    /// The key may create links, but not read, change or delete any: for forms and scripts that may leak.
    pub create_only: bool,
    pub expires_at: Option<Timestamp>,
    /// The SHA-256 of its secret.
    pub hash: SecretHash,
    /// The first characters of its secret, by which a person recognises the key.
    pub hint: Box<str>,
    pub created_at: Timestamp,
}

impl ApiKey {
    /// Returns whether the key is valid at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        // Not at the end itself, as for links.
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// A key that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct KeyDraft {
    pub name: Box<str>,
    /// `None` is the acting workspace.
    pub reach: Option<KeyReach>,
    pub scopes: Scopes,
    /// See [`ApiKey::create_only`].
    pub create_only: bool,
    pub expires_at: Option<Timestamp>,
}

/// [`Reach`] in a request, before its ids are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // As in `Reach`.
pub enum KeyReach {
    Instance,
    Company(ForeignId),
    Workspace(ForeignId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_to_write_includes_permission_to_read() {
        for held in Scope::ALL {
            for asked in Scope::ALL {
                let want = held == asked
                    || (held == Scope::LinksWrite && asked == Scope::LinksRead)
                    || (held == Scope::SnapshotsWrite && asked == Scope::SnapshotsRead)
                    || (matches!(held, Scope::LinksRead | Scope::LinksWrite)
                        && asked == Scope::AnalyticsRead)
                    || (held == Scope::Admin && asked == Scope::MetricsRead);
                assert_eq!(Scopes::from_iter([held]).allow(asked), want, "{held:?} {asked:?}");
            }
        }
        assert!(Scopes::all().cover(Scopes::all()));
        // Admin includes only the metrics: each other scope must be granted.
        assert!(!Scopes::from_iter([Scope::Admin]).cover(Scopes::all()));
    }
}
