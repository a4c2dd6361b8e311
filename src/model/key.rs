//! [`ApiKey`]: an admin credential, what it reaches ([`Reach`]) and what it may do ([`Scopes`]).
//! The secret itself is shown once and never stored; the store holds its SHA-256.

use std::fmt;

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;

/// SHA-256 of a key's secret. Not comparable with `==`: looked up as a map's key (finding an equal
/// hash tells nothing about the secret), or compared in constant time by the one file that does.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// One thing that a key may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// See links, tags, campaigns, domains.
    LinksRead,
    /// Create and change them.
    LinksWrite,
    /// See snapshots.
    SnapshotsRead,
    /// Make, share and import snapshots.
    SnapshotsWrite,
    /// Keys, workspaces, companies.
    Admin,
}

impl Scope {
    /// All scopes, in the order they are listed.
    pub const ALL: [Scope; 5] =
        [Scope::LinksRead, Scope::LinksWrite, Scope::SnapshotsRead, Scope::SnapshotsWrite, Scope::Admin];

    /// The name in APIs (HighLevel's words for four of them).
    pub fn name(self) -> &'static str {
        match self {
            Scope::LinksRead => "links.readonly",
            Scope::LinksWrite => "links.write",
            Scope::SnapshotsRead => "snapshots.readonly",
            Scope::SnapshotsWrite => "snapshots.write",
            Scope::Admin => "admin",
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
    /// Every scope.
    pub fn all() -> Scopes {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is in the set. Writing includes seeing.
    pub fn allow(self, scope: Scope) -> bool {
        let has = |s: Scope| self.0 & (1 << s as u8) != 0;
        match scope {
            Scope::LinksRead => has(Scope::LinksRead) || has(Scope::LinksWrite),
            Scope::SnapshotsRead => has(Scope::SnapshotsRead) || has(Scope::SnapshotsWrite),
            Scope::LinksWrite | Scope::SnapshotsWrite | Scope::Admin => has(scope),
        }
    }

    /// Whether every scope of `other` is allowed by this set: nobody grants more than they have.
    pub fn cover(self, other: Scopes) -> bool {
        other.iter().all(|scope| self.allow(scope))
    }

    /// The scopes named, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & (1 << *scope as u8) != 0)
    }

    /// As stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From the store.
    pub fn from_bits(bits: u8) -> Scopes {
        Scopes(bits)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | (1 << scope as u8)))
    }
}

/// Whose objects a key sees.
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
pub struct ApiKey {
    /// What the APIs call it by.
    pub id: Id,
    /// Display name.
    pub name: Box<str>,
    /// Whose objects it sees.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// May create links but not see, change or delete any: for forms and scripts that may leak.
    pub create_only: bool,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of its secret.
    pub hash: SecretHash,
    /// The first characters of its secret, to tell keys apart.
    pub hint: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ApiKey {
    /// Whether it works at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDraft {
    /// Display name.
    pub name: Box<str>,
    /// Whose objects it shall see; the acting workspace when `None`.
    pub reach: Option<KeyReach>,
    /// What it may do.
    pub scopes: Scopes,
    /// See [`ApiKey::create_only`].
    pub create_only: bool,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// [`Reach`] in the caller's words, before ids are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyReach {
    /// Everything on this instance.
    Instance,
    /// All workspaces of this company.
    Company(ForeignId),
    /// This workspace.
    Workspace(ForeignId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_includes_seeing_and_nothing_else() {
        for held in Scope::ALL {
            for asked in Scope::ALL {
                let want = held == asked
                    || (held == Scope::LinksWrite && asked == Scope::LinksRead)
                    || (held == Scope::SnapshotsWrite && asked == Scope::SnapshotsRead);
                assert_eq!(Scopes::from_iter([held]).allow(asked), want, "{held:?} {asked:?}");
            }
        }
        assert!(Scopes::all().cover(Scopes::all()));
        assert!(!Scopes::from_iter([Scope::Admin]).cover(Scopes::all()));
    }
}
