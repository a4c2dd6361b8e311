//! The few records that nearly every request needs: domains, workspaces, companies, keys, and what
//! signs webhooks. Held whole in memory, read without a lock, replaced whole on the rare edit.
//!
//! It is filled from the table and kept up by the apply thread, so it is never ahead of the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::log::{Position, Put};
use crate::model::contact::ContactKey;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{ApiKey, Reach, Scope};
use crate::model::webhook::WebhookSecret;
use crate::model::workspace::{Company, Workspace, WorkspaceNumber};
use crate::table::record::{Corrupt, Stored};
use crate::table::{Error, Table, keys};

/// A record and its revision.
#[derive(Clone, Debug)]
pub(super) struct Held<T> {
    pub(super) revision: Position,
    pub(super) record: Arc<T>,
}

/// Whether a key reaches everything, for good, and may make other keys.
pub(super) fn is_master(key: &ApiKey) -> bool {
    key.reach == Reach::Instance
        && key.scopes.allow(Scope::Admin)
        && !key.create_only
        && key.expires_at.is_none()
}

/// What is known at one position of the log.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    domains: BTreeMap<DomainNumber, Held<Domain>>,
    hosts: HashMap<Box<str>, DomainNumber, ahash::RandomState>,
    workspaces: BTreeMap<WorkspaceNumber, Held<Workspace>>,
    companies: BTreeMap<ForeignId, Held<Company>>,
    keys: BTreeMap<Id, Held<ApiKey>>,
    secrets: HashMap<[u8; 32], Id, ahash::RandomState>,
    webhook_secrets: BTreeMap<WorkspaceNumber, Held<WebhookSecret>>,
    contact_key: Option<Arc<ContactKey>>,
}

impl Directory {
    /// Reads everything from the table.
    pub(super) fn read(table: &Table) -> Result<Directory, Error> {
        let mut directory = Directory::default();
        for kind in *b"dwokyj" {
            table.each_raw(&[kind], &mut |key, revision, value| {
                let put = Put { key: key.to_vec().into(), value: Some(value.to_vec().into()) };
                directory.apply(&put, revision).map_err(Error::Corrupt)
            })?;
        }
        Ok(directory)
    }

    /// A directory with the default domain alone.
    #[cfg(test)]
    pub(super) fn for_test() -> Directory {
        let domain = Domain {
            number: DomainNumber::DEFAULT,
            id: crate::model::domain::DEFAULT_ID,
            name: None,
            workspace: None,
            base_url: None,
            case_sensitive: true,
            not_found_url: None,
            expired_url: None,
            root_url: None,
            verified_at: None,
            created_at: Timestamp::from_millis(0),
        };
        let held = Held { revision: Position::START, record: Arc::new(domain) };
        Directory { domains: BTreeMap::from([(DomainNumber::DEFAULT, held)]), ..Directory::default() }
    }

    /// Whether a put of this key concerns the directory.
    pub(super) fn concerns(put: &Put) -> bool {
        matches!(put.key.first(), Some(b'd' | b'w' | b'o' | b'k' | b'y' | b'j'))
    }

    /// Takes in one put of the Change at `revision`.
    pub(super) fn apply(&mut self, put: &Put, revision: Position) -> Result<(), Corrupt> {
        let Some(value) = &put.value else {
            self.remove(&put.key);
            return Ok(());
        };
        match put.key.first() {
            Some(b'd') => {
                let record = Arc::new(Domain::decode(value)?);
                if let Some(name) = &record.name {
                    self.hosts.insert(name.as_str().into(), record.number);
                }
                self.domains.insert(record.number, Held { revision, record });
            }
            Some(b'w') => {
                let record = Arc::new(Workspace::decode(value)?);
                self.workspaces.insert(record.number, Held { revision, record });
            }
            Some(b'o') => {
                let record = Arc::new(Company::decode(value)?);
                self.companies.insert(record.id.clone(), Held { revision, record });
            }
            Some(b'k') => {
                let record = Arc::new(ApiKey::decode(value)?);
                self.secrets.insert(record.hash.0, record.id);
                self.keys.insert(record.id, Held { revision, record });
            }
            Some(b'y') => {
                let record = Arc::new(WebhookSecret::decode(value)?);
                self.webhook_secrets.insert(record.workspace, Held { revision, record });
            }
            Some(b'j') => self.contact_key = Some(Arc::new(ContactKey::decode(value)?)),
            _ => {}
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) {
        self.domains.retain(|number, held| {
            let stays = keys::domain(*number) != key;
            if let (false, Some(name)) = (stays, &held.record.name) {
                self.hosts.remove(name.as_str());
            }
            stays
        });
        self.keys.retain(|id, held| {
            let stays = keys::api_key(*id) != key;
            if !stays {
                self.secrets.remove(&held.record.hash.0);
            }
            stays
        });
        self.workspaces.retain(|number, _| keys::workspace(*number) != key);
        self.companies.retain(|id, _| keys::company(id) != key);
        self.webhook_secrets.retain(|number, _| keys::webhook_secret(*number) != key);
    }

    /// The domain of a host name; not the default domain, whose name is configuration.
    pub fn domain_named(&self, host: &str) -> Option<&Arc<Domain>> {
        self.hosts.get(host).and_then(|number| self.domain(*number))
    }

    /// The domain of a number.
    pub fn domain(&self, number: DomainNumber) -> Option<&Arc<Domain>> {
        self.domains.get(&number).map(|held| &held.record)
    }

    pub(super) fn held_domain(&self, number: DomainNumber) -> Option<&Held<Domain>> {
        self.domains.get(&number)
    }

    pub(super) fn domains(&self) -> impl DoubleEndedIterator<Item = &Arc<Domain>> {
        self.domains.values().map(|held| &held.record)
    }

    pub(super) fn workspace(&self, number: WorkspaceNumber) -> Option<&Held<Workspace>> {
        self.workspaces.get(&number)
    }

    /// Whether there is one workspace and no other.
    pub fn has_one_workspace(&self) -> bool {
        self.workspaces.len() == 1
    }

    /// All workspaces within reach, the oldest first.
    pub(super) fn workspaces<'a>(
        &'a self,
        reach: &'a Reach,
    ) -> impl DoubleEndedIterator<Item = &'a Held<Workspace>> {
        self.workspaces.values().filter(move |held| match reach {
            Reach::Instance => true,
            Reach::Company(company) => held.record.company == *company,
            Reach::Workspace(number) => held.record.number == *number,
        })
    }

    pub(super) fn companies(&self) -> impl DoubleEndedIterator<Item = &Held<Company>> {
        self.companies.values()
    }

    pub(super) fn company(&self, id: &ForeignId) -> Option<&Held<Company>> {
        self.companies.get(id)
    }

    pub(super) fn webhook_secret(&self, workspace: WorkspaceNumber) -> Option<&Held<WebhookSecret>> {
        self.webhook_secrets.get(&workspace)
    }

    /// What contact links are signed with, once there was one.
    pub(super) fn contact_key(&self) -> Option<Arc<ContactKey>> {
        self.contact_key.clone()
    }

    /// Whether a key is live that reaches everything and may do everything.
    pub(super) fn has_master(&self, now: Timestamp) -> bool {
        self.keys().any(|key| is_master(key) && key.is_live(now))
    }

    pub(super) fn key(&self, id: Id) -> Option<&Held<ApiKey>> {
        self.keys.get(&id)
    }

    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &Arc<ApiKey>> {
        self.keys.values().map(|held| &held.record)
    }

    /// The key whose secret has this SHA-256. Finding one by a hash map takes as long for a near
    /// miss as for any other: what is compared is a hash that nobody can aim.
    pub(super) fn key_of_secret(&self, hash: &[u8; 32]) -> Option<&Held<ApiKey>> {
        self.secrets.get(hash).and_then(|id| self.keys.get(id))
    }
}
