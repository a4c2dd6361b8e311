//! The records that nearly every request needs: domains, workspaces, companies, keys, sessions, and what signs
//! webhooks. All of them are in memory and read without a lock.
//!
//! The directory is loaded from the table, and the apply thread keeps it up to date, so it is never ahead of
//! the log. Each Change makes a new version, which shares all but one path of each map with the version
//! before it. So an edit costs O(log n). Every look-up has an index, so no request reads the records of all
//! tenants.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use super::key_owner::KeyOwner;
use super::session_index::{IndexedSession, SessionIndex};
use super::weights::{self, Weights};
use crate::clock::Timestamp;
use crate::log::{Position, Put};
use crate::model::contact::ContactKey;
use crate::model::domain::{Domain, DomainNumber, HostName};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{ApiKey, Reach, Scopes};
use crate::model::session::Session;
use crate::model::tenant::Tenant;
use crate::model::webhook::WebhookSecret;
use crate::model::workspace::{Company, Workspace, WorkspaceNumber};
use crate::table::keys::DirectoryKey;
use crate::table::record::{Corrupt, Stored};
use crate::table::{Error, Table};

/// A record and its revision.
#[derive(Clone, Debug)]
pub(in crate::core) struct Versioned<T> {
    pub(in crate::core) revision: Position,
    pub(in crate::core) record: Arc<T>,
}

/// Returns whether a key reaches everything, has all scopes and never expires. Only such a key can create another
/// one like it: a key grants no scope that it does not have.
pub(in crate::core) fn is_master(key: &ApiKey) -> bool {
    key.reach == Reach::Instance
        && key.scopes.cover(Scopes::all())
        && !key.create_only
        && key.expires_at.is_none()
}

/// A map in the order of its keys.
type Ordered<K, V> = RedBlackTreeMapSync<K, V>;

/// A map without an order.
type Hashed<K, V> = HashTrieMapSync<K, V, ahash::RandomState>;

/// The records at one position of the log.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    domains: Ordered<DomainNumber, Versioned<Domain>>,
    /// Kept apart, so that a redirect needs no look-up for it.
    default_domain: Option<Arc<Domain>>,
    /// By name. A redirect gets the record from here in one step.
    hosts: Hashed<Box<str>, Arc<Domain>>,
    /// By owner (`None` for domains of all workspaces) and id.
    domains_of: Ordered<(Option<WorkspaceNumber>, Id), DomainNumber>,
    workspaces: Ordered<WorkspaceNumber, Versioned<Workspace>>,
    workspace_ids: Hashed<ForeignId, WorkspaceNumber>,
    workspaces_of: Ordered<(ForeignId, WorkspaceNumber), ()>,
    /// Number of workspaces of each company.
    workspace_counts: Hashed<ForeignId, usize>,
    companies: Ordered<ForeignId, Versioned<Company>>,
    /// Companies by relationship number. Only stores that were written before the numbers were unique have
    /// several companies with one number.
    relationship_numbers: Ordered<(Box<str>, ForeignId), ()>,
    keys: Ordered<Id, Versioned<ApiKey>>,
    keys_of: Ordered<(KeyOwner, Id), ()>,
    /// Number of keys of exactly each reach.
    key_counts: Hashed<KeyOwner, usize>,
    /// Keys that expire, by their exact reach and in the order of their expiry.
    expiring: Ordered<(KeyOwner, Timestamp, Id), ()>,
    /// Ids of the keys for which [`is_master`] is true.
    masters: Ordered<Id, ()>,
    secrets: Hashed<[u8; 32], Id>,
    sessions: SessionIndex,
    webhook_secrets: Ordered<WorkspaceNumber, Versioned<WebhookSecret>>,
    contact_key: Option<Arc<ContactKey>>,
    /// The memory of the records, which has bounds: see [`super::growth`].
    memory: Weights,
}

fn numbers_of(company: &ForeignId) -> RangeInclusive<(ForeignId, WorkspaceNumber)> {
    (company.clone(), WorkspaceNumber(0))..=(company.clone(), WorkspaceNumber(u32::MAX))
}

fn ids_of<T: Clone>(owner: &T) -> RangeInclusive<(T, Id)> {
    (owner.clone(), Id::from_bits(0))..=(owner.clone(), Id::from_bits(u128::MAX))
}

/// Returns the range of all companies with a relationship number. Company ids have 1 to 64 characters, and
/// `z` is the largest.
fn companies_of(number: &str) -> RangeInclusive<(Box<str>, ForeignId)> {
    let id = |text: &str| ForeignId::parse("id", text).expect("a valid id");
    (number.into(), id("-"))..=(number.into(), id(&"z".repeat(64)))
}

/// Returns the tenant of a workspace's own records.
pub(super) fn tenant_of_workspace(workspace: &Workspace) -> Tenant {
    Tenant::Workspace { company: workspace.company.clone(), number: workspace.number }
}

/// Items in the order of their numbers or ids.
type InOrder<'a, T> = Box<dyn DoubleEndedIterator<Item = &'a T> + 'a>;

impl Directory {
    /// Loads all records from the table.
    pub(in crate::core) fn read(table: &Table) -> Result<Directory, Error> {
        let mut directory = Directory::default();
        // Workspaces come first: domains and keys are also counted under the company of their workspace, and sessions
        // like their keys.
        for kind in DirectoryKey::KINDS {
            table.each_raw(&kind.prefix(), &mut |key, revision, value| {
                let put = Put { key: key.to_vec().into(), value: Some(value.to_vec().into()) };
                directory.apply(&put, revision).map_err(Error::Corrupt)
            })?;
        }
        Ok(directory)
    }

    /// Returns a directory with the default domain alone.
    #[cfg(test)]
    pub(in crate::core) fn for_test() -> Directory {
        let domain = Domain::default_domain(crate::clock::Timestamp::from_millis(0));
        let mut directory = Directory::default();
        directory.put_domain(Versioned { revision: Position::START, record: Arc::new(domain) });
        directory
    }

    /// Returns whether the directory contains the record of this put.
    pub(in crate::core) fn concerns(put: &Put) -> bool {
        DirectoryKey::parse(&put.key).is_some()
    }

    /// Applies one put of the Change at `revision`. Fails if its record cannot be decoded.
    pub(in crate::core) fn apply(&mut self, put: &Put, revision: Position) -> Result<(), Corrupt> {
        let Some(value) = &put.value else {
            self.remove(&put.key);
            return Ok(());
        };
        match DirectoryKey::parse(&put.key) {
            Some(DirectoryKey::Domain(_)) => {
                self.put_domain(Versioned { revision, record: Arc::new(Domain::decode(value)?) });
            }
            Some(DirectoryKey::Workspace(_)) => {
                self.put_workspace(Versioned { revision, record: Arc::new(Workspace::decode(value)?) });
            }
            Some(DirectoryKey::Company(_)) => {
                self.put_company(Versioned { revision, record: Arc::new(Company::decode(value)?) });
            }
            Some(DirectoryKey::ApiKey(_)) => {
                self.put_key(Versioned { revision, record: Arc::new(ApiKey::decode(value)?) });
            }
            Some(DirectoryKey::Session(_)) => self.put_session(Session::decode(value)?, revision),
            Some(DirectoryKey::WebhookSecret(number)) => {
                let record = Arc::new(WebhookSecret::decode(value)?);
                self.webhook_secrets.insert_mut(number, Versioned { revision, record });
            }
            Some(DirectoryKey::ContactKey) => self.contact_key = Some(Arc::new(ContactKey::decode(value)?)),
            None => {}
        }
        Ok(())
    }

    fn put_company(&mut self, versioned: Versioned<Company>) {
        let record = &versioned.record;
        // First, since the indexes still have the fields of the old record.
        self.remove_company(&record.id);
        let number = record.relationship_number.clone();
        self.relationship_numbers.insert_mut((number, record.id.clone()), ());
        // The operator's, since no other key creates companies.
        self.memory.add(&Tenant::Operator, weights::of_named(&record.name));
        self.companies.insert_mut(record.id.clone(), versioned);
    }

    fn put_domain(&mut self, versioned: Versioned<Domain>) {
        let record = &versioned.record;
        // First, for the same reason: the name may have changed.
        self.remove_domain(record.number);
        if let Some(name) = &record.name {
            self.hosts.insert_mut(name.as_str().into(), Arc::clone(record));
        }
        if record.number == DomainNumber::DEFAULT {
            self.default_domain = Some(Arc::clone(record));
        }
        self.domains_of.insert_mut((record.workspace, record.id), record.number);
        self.memory.add(&self.tenant_of(record.workspace), weights::of_domain(record));
        self.domains.insert_mut(record.number, versioned);
    }

    fn put_workspace(&mut self, versioned: Versioned<Workspace>) {
        let record = &versioned.record;
        // First, so that an edit is not counted as another workspace.
        self.remove_workspace(record.number);
        self.workspace_ids.insert_mut(record.id.clone(), record.number);
        self.workspaces_of.insert_mut((record.company.clone(), record.number), ());
        self.memory.add(&tenant_of_workspace(record), weights::of_workspace(record));
        let count = self.workspace_count(&record.company) + 1;
        self.workspace_counts.insert_mut(record.company.clone(), count);
        self.workspaces.insert_mut(record.number, versioned);
    }

    fn put_key(&mut self, versioned: Versioned<ApiKey>) {
        let record = &versioned.record;
        // First, since a record that is written again must not leave old index entries.
        self.remove_key(record.id);
        for owner in self.owners_of(&record.reach) {
            self.keys_of.insert_mut((owner, record.id), ());
        }
        let exact = KeyOwner::exact(&record.reach);
        self.key_counts.insert_mut(exact.clone(), self.key_count(&record.reach) + 1);
        if let Some(end) = record.expires_at {
            self.expiring.insert_mut((exact, end, record.id), ());
        }
        if is_master(record) {
            self.masters.insert_mut(record.id, ());
        }
        self.memory.add(&self.tenant_of_reach(&record.reach), weights::of_named(&record.name));
        self.secrets.insert_mut(record.hash.0, record.id);
        self.keys.insert_mut(record.id, versioned);
    }

    fn put_session(&mut self, session: Session, revision: Position) {
        // First, so that a renewal is not counted twice.
        self.remove_session(&session.hash.0);
        let key = session.key.id().and_then(|id| self.key(id));
        // The key in the environment is the operator's. A stored key that is gone has no session that opens anything.
        let tenant = key.map_or(Tenant::Operator, |key| self.tenant_of_reach(&key.record.reach));
        self.memory.add(&tenant, weights::of_named(&session.device));
        self.sessions.insert(IndexedSession { revision, record: Arc::new(session), tenant });
    }

    /// Returns the owners under which a key of this reach is indexed. A workspace's record is older than its
    /// keys, and a workspace never changes its company.
    fn owners_of(&self, reach: &Reach) -> Vec<KeyOwner> {
        match reach {
            Reach::Instance => vec![KeyOwner::Instance],
            Reach::Company(company) => {
                vec![KeyOwner::Company(company.clone()), KeyOwner::CompanyItself(company.clone())]
            }
            Reach::Workspace(number) => {
                let company = self.workspace(*number).map(|versioned| versioned.record.company.clone());
                let company = company.map(KeyOwner::Company);
                company.into_iter().chain([KeyOwner::Workspace(*number)]).collect()
            }
        }
    }

    fn remove(&mut self, key: &[u8]) {
        match DirectoryKey::parse(key) {
            Some(DirectoryKey::Domain(number)) => self.remove_domain(number),
            Some(DirectoryKey::Workspace(number)) => self.remove_workspace(number),
            Some(DirectoryKey::Company(id)) => self.remove_company(&id),
            Some(DirectoryKey::ApiKey(id)) => self.remove_key(id),
            Some(DirectoryKey::Session(hash)) => self.remove_session(&hash),
            Some(DirectoryKey::WebhookSecret(number)) => _ = self.webhook_secrets.remove_mut(&number),
            // The contact key is never removed.
            Some(DirectoryKey::ContactKey) | None => {}
        }
    }

    fn remove_domain(&mut self, number: DomainNumber) {
        let Some(record) = self.domain(number).map(Arc::clone) else { return };
        // Another domain may have the name by now.
        let name = record.name.as_ref().map(HostName::as_str);
        if let Some(name) = name.filter(|name| self.hosts.get(*name).is_some_and(|at| at.number == number)) {
            self.hosts.remove_mut(name);
        }
        // The default domain is never removed, so `default_domain` stays.
        self.domains_of.remove_mut(&(record.workspace, record.id));
        self.memory.subtract(&self.tenant_of(record.workspace), weights::of_domain(&record));
        self.domains.remove_mut(&number);
    }

    fn remove_workspace(&mut self, number: WorkspaceNumber) {
        let Some(record) = self.workspace(number).map(|versioned| Arc::clone(&versioned.record)) else {
            return;
        };
        self.workspace_ids.remove_mut(&record.id);
        self.workspaces_of.remove_mut(&(record.company.clone(), number));
        self.memory.subtract(&tenant_of_workspace(&record), weights::of_workspace(&record));
        let count = self.workspace_count(&record.company).saturating_sub(1);
        self.workspace_counts.insert_mut(record.company.clone(), count);
        self.workspaces.remove_mut(&number);
    }

    fn remove_company(&mut self, id: &ForeignId) {
        let Some(record) = self.company(id).map(|versioned| Arc::clone(&versioned.record)) else { return };
        self.relationship_numbers.remove_mut(&(record.relationship_number.clone(), id.clone()));
        self.memory.subtract(&Tenant::Operator, weights::of_named(&record.name));
        self.companies.remove_mut(id);
    }

    fn remove_key(&mut self, id: Id) {
        let Some(record) = self.key(id).map(|versioned| Arc::clone(&versioned.record)) else { return };
        // Workspaces are never removed, so these are the owners of the insertion.
        for owner in self.owners_of(&record.reach) {
            self.keys_of.remove_mut(&(owner, id));
        }
        let exact = KeyOwner::exact(&record.reach);
        match self.key_count(&record.reach).saturating_sub(1) {
            0 => _ = self.key_counts.remove_mut(&exact),
            count => self.key_counts.insert_mut(exact.clone(), count),
        }
        if let Some(end) = record.expires_at {
            self.expiring.remove_mut(&(exact, end, id));
        }
        self.masters.remove_mut(&id);
        self.memory.subtract(&self.tenant_of_reach(&record.reach), weights::of_named(&record.name));
        self.secrets.remove_mut(&record.hash.0);
        self.keys.remove_mut(&id);
    }

    fn remove_session(&mut self, hash: &[u8; 32]) {
        let Some(session) = self.sessions.remove(hash) else { return };
        self.memory.subtract(&session.tenant, weights::of_named(&session.record.device));
    }

    /// Returns the tenant of the records of a workspace, or of all workspaces for `None`.
    fn tenant_of(&self, owner: Option<WorkspaceNumber>) -> Tenant {
        // Workspaces are never removed, so only a damaged store has a number without a record.
        let record = owner.and_then(|number| self.workspace(number));
        record.map_or(Tenant::Operator, |versioned| tenant_of_workspace(&versioned.record))
    }

    /// Returns the tenant whose share of the pools keys of this reach use.
    pub(in crate::core) fn tenant_of_reach(&self, reach: &Reach) -> Tenant {
        match reach {
            Reach::Instance => Tenant::Operator,
            Reach::Company(id) => Tenant::Company(id.clone()),
            Reach::Workspace(number) => self.tenant_of(Some(*number)),
        }
    }

    /// Returns the bytes of a tenant's records: see [`super::weights`].
    pub(super) fn memory_of(&self, tenant: &Tenant) -> usize {
        self.memory.of(tenant)
    }

    /// Returns the domain of a host name. The default domain is not among them, since its name is
    /// configuration.
    pub fn domain_named(&self, host: &str) -> Option<&Arc<Domain>> {
        self.hosts.get(host)
    }

    /// Returns the domain of this number.
    pub fn domain(&self, number: DomainNumber) -> Option<&Arc<Domain>> {
        if number == DomainNumber::DEFAULT {
            return self.default_domain.as_ref();
        }
        self.domains.get(&number).map(|versioned| &versioned.record)
    }

    pub(in crate::core) fn versioned_domain(&self, number: DomainNumber) -> Option<&Versioned<Domain>> {
        self.domains.get(&number)
    }

    /// Returns all domains, in order of their numbers.
    pub(in crate::core) fn domains(&self) -> impl DoubleEndedIterator<Item = &Arc<Domain>> {
        self.domains.values().map(|versioned| &versioned.record)
    }

    /// Returns the domain of this id that a workspace may use. A foreign domain takes as many steps as none,
    /// so that timing does not show that it exists.
    pub(in crate::core) fn domain_seen(
        &self,
        workspace: WorkspaceNumber,
        id: Id,
    ) -> Option<&Versioned<Domain>> {
        let own = self.domains_of.get(&(Some(workspace), id));
        own.or_else(|| self.domains_of.get(&(None, id))).and_then(|number| self.domains.get(number))
    }

    /// Returns the domains of a workspace, or of all workspaces for `None`, in the order of their ids.
    pub(in crate::core) fn domains_of(&self, owner: Option<WorkspaceNumber>) -> InOrder<'_, Arc<Domain>> {
        let numbers = self.domains_of.range(ids_of(&owner)).map(|(_, number)| number);
        Box::new(numbers.filter_map(|number| self.domain(*number)))
    }

    /// Returns whether details of visits are kept for a workspace.
    pub fn has_statistics(&self, number: WorkspaceNumber) -> bool {
        self.workspace(number).is_none_or(|versioned| versioned.record.statistics)
    }

    /// Returns whether the destinations of a workspace's links are checked.
    pub fn has_checks(&self, number: WorkspaceNumber) -> bool {
        self.workspace(number).is_some_and(|versioned| versioned.record.check_links)
    }

    pub(in crate::core) fn workspace(&self, number: WorkspaceNumber) -> Option<&Versioned<Workspace>> {
        self.workspaces.get(&number)
    }

    /// Returns the workspace of this id.
    pub(in crate::core) fn workspace_named(&self, id: &str) -> Option<&Versioned<Workspace>> {
        let id = ForeignId::parse("workspaceId", id).ok()?;
        self.workspace_ids.get(&id).and_then(|number| self.workspace(*number))
    }

    /// Returns whether there is exactly one workspace.
    pub fn has_one_workspace(&self) -> bool {
        self.workspaces.size() == 1
    }

    /// Returns the workspaces within reach, the oldest first.
    pub(in crate::core) fn workspaces<'a>(&'a self, reach: &Reach) -> InOrder<'a, Versioned<Workspace>> {
        match reach {
            Reach::Instance => Box::new(self.workspaces.values()),
            Reach::Company(company) => {
                let numbers = self.workspaces_of.range(numbers_of(company)).map(|((_, number), ())| *number);
                Box::new(numbers.filter_map(|number| self.workspace(number)))
            }
            Reach::Workspace(number) => Box::new(self.workspace(*number).into_iter()),
        }
    }

    /// Returns whether a workspace is within reach.
    pub(in crate::core) fn reaches(&self, reach: &Reach, number: WorkspaceNumber) -> bool {
        match reach {
            Reach::Instance => true,
            Reach::Company(company) => {
                self.workspace(number).is_some_and(|versioned| versioned.record.company == *company)
            }
            Reach::Workspace(own) => *own == number,
        }
    }

    /// Returns how many workspaces a company has.
    pub(in crate::core) fn workspace_count(&self, company: &ForeignId) -> usize {
        self.workspace_counts.get(company).copied().unwrap_or(0)
    }

    /// Returns the highest number of a workspace.
    pub(in crate::core) fn last_workspace(&self) -> Option<WorkspaceNumber> {
        self.workspaces.last().map(|(number, _)| *number)
    }

    pub(in crate::core) fn companies(&self) -> impl DoubleEndedIterator<Item = &Versioned<Company>> {
        self.companies.values()
    }

    pub(in crate::core) fn company(&self, id: &ForeignId) -> Option<&Versioned<Company>> {
        self.companies.get(id)
    }

    /// Returns whether a company has this relationship number.
    pub(in crate::core) fn has_relationship_number(&self, number: &str) -> bool {
        self.relationship_numbers.range(companies_of(number)).next().is_some()
    }

    pub(in crate::core) fn webhook_secret(
        &self,
        workspace: WorkspaceNumber,
    ) -> Option<&Versioned<WebhookSecret>> {
        self.webhook_secrets.get(&workspace)
    }

    /// Returns the key that signs contact links, if it was created.
    pub(in crate::core) fn contact_key(&self) -> Option<Arc<ContactKey>> {
        self.contact_key.clone()
    }

    /// Returns how many keys reach everything, may do everything and never expire.
    pub(in crate::core) fn masters(&self) -> usize {
        self.masters.size()
    }

    /// Returns a key other than `id` that reaches everything, may do everything and never expires.
    pub(in crate::core) fn master_besides(&self, id: Id) -> Option<&Versioned<ApiKey>> {
        self.masters.keys().find(|master| **master != id).and_then(|master| self.keys.get(master))
    }

    pub(in crate::core) fn key(&self, id: Id) -> Option<&Versioned<ApiKey>> {
        self.keys.get(&id)
    }

    /// Returns the keys whose reach lies within `reach`, in the order of their ids.
    pub(in crate::core) fn keys_within<'a>(&'a self, reach: &Reach) -> InOrder<'a, Versioned<ApiKey>> {
        let owner = match reach {
            // All keys, so no index is needed.
            Reach::Instance => return Box::new(self.keys.values()),
            Reach::Company(company) => KeyOwner::Company(company.clone()),
            Reach::Workspace(number) => KeyOwner::Workspace(*number),
        };
        self.keys_of(&owner)
    }

    /// Returns how many keys have exactly this reach, the expired ones included.
    pub(in crate::core) fn key_count(&self, reach: &Reach) -> usize {
        self.key_counts.get(&KeyOwner::exact(reach)).copied().unwrap_or(0)
    }

    /// Returns the keys of exactly this reach that have expired at `now`, the first to expire first.
    pub(in crate::core) fn expired_keys(
        &self,
        reach: &Reach,
        now: Timestamp,
    ) -> impl Iterator<Item = &Versioned<ApiKey>> {
        let owner = KeyOwner::exact(reach);
        let least = (owner.clone(), Timestamp::from_millis(i64::MIN), Id::from_bits(0));
        let range = least..=(owner, now, Id::from_bits(u128::MAX));
        self.expiring.range(range).filter_map(|((_, _, id), ())| self.key(*id))
    }

    fn keys_of<'a>(&'a self, owner: &KeyOwner) -> InOrder<'a, Versioned<ApiKey>> {
        let ids = self.keys_of.range(ids_of(owner)).map(|((_, id), ())| *id);
        Box::new(ids.filter_map(|id| self.key(id)))
    }

    /// Returns the key of this id if its reach lies within `reach`. A foreign key takes as many steps as
    /// none.
    pub(in crate::core) fn key_within(&self, reach: &Reach, id: Id) -> Option<&Versioned<ApiKey>> {
        let owner = match reach {
            Reach::Instance => return self.key(id),
            Reach::Company(company) => KeyOwner::Company(company.clone()),
            Reach::Workspace(number) => KeyOwner::Workspace(*number),
        };
        self.keys_of.get(&(owner, id)).and_then(|()| self.key(id))
    }

    /// Returns the sessions of the dashboard, also those that are over and not removed yet.
    pub(in crate::core) fn sessions(&self) -> &SessionIndex {
        &self.sessions
    }

    /// Returns the key whose secret has this SHA-256. Timing shows nothing useful: nobody can choose the hash
    /// that is compared.
    pub(in crate::core) fn key_of_secret(&self, hash: &[u8; 32]) -> Option<&Versioned<ApiKey>> {
        self.secrets.get(hash).and_then(|id| self.keys.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Scope, SecretHash};
    use crate::model::session::SessionKey;
    use crate::table::keys;

    fn id(text: &str) -> ForeignId {
        ForeignId::parse("id", text).expect("valid")
    }

    fn workspace(number: u32, company: &str) -> Put {
        let workspace = Workspace {
            number: WorkspaceNumber(number),
            id: id(&format!("w{number}")),
            company: id(company),
            name: "a workspace".into(),
            credits: None,
            default_domain: None,
            custom_values: std::collections::BTreeMap::new(),
            statistics: true,
            timezone: None,
            qr: crate::model::qr_style::QrStyle::default(),
            check_links: false,
            created_at: Timestamp::from_millis(1),
        };
        Put { key: keys::workspace(workspace.number), value: Some(workspace.encode().into()) }
    }

    fn key(number: u128, reach: Reach) -> Put {
        let key = ApiKey {
            id: Id::from_bits(number),
            name: "a key".into(),
            reach,
            scopes: Scopes::all(),
            create_only: false,
            expires_at: None,
            hash: SecretHash([u8::try_from(number).expect("small"); 32]),
            hint: "wp_".into(),
            created_at: Timestamp::from_millis(1),
        };
        Put { key: keys::api_key(key.id), value: Some(key.encode().into()) }
    }

    fn session(number: u8, key: SessionKey, device: &str) -> Put {
        let session = Session {
            id: Id::from_bits(number.into()),
            hash: SecretHash([number; 32]),
            token: [0; 16],
            key,
            device: device.into(),
            created_at: Timestamp::from_millis(1),
            seen_at: Timestamp::from_millis(1),
        };
        Put { key: keys::session(&session.hash), value: Some(session.encode().into()) }
    }

    fn removal(put: &Put) -> Put {
        Put { key: put.key.clone(), value: None }
    }

    fn directory(puts: &[Put]) -> Directory {
        let mut directory = Directory::default();
        for put in puts {
            directory.apply(put, Position(1)).expect("a record");
        }
        directory
    }

    #[test]
    fn a_master_has_all_scopes_and_never_expires() {
        let all = Scopes::all();
        let without = |absent: Scope| all.iter().filter(|scope| *scope != absent).collect::<Scopes>();
        let writing = [Scope::LinksWrite, Scope::SnapshotsWrite, Scope::Admin].into_iter().collect();
        let rows = [
            ("all scopes", Reach::Instance, all, false, None, true),
            // Permission to write includes permission to read.
            ("all that write", Reach::Instance, writing, false, None, true),
            ("admin only", Reach::Instance, [Scope::Admin].into_iter().collect(), false, None, false),
            ("no links", Reach::Instance, without(Scope::LinksWrite), false, None, false),
            ("no snapshots", Reach::Instance, without(Scope::SnapshotsWrite), false, None, false),
            ("no admin", Reach::Instance, without(Scope::Admin), false, None, false),
            ("one company", Reach::Company(id("a")), all, false, None, false),
            ("creates only", Reach::Instance, all, true, None, false),
            ("expires", Reach::Instance, all, false, Some(Timestamp::from_millis(9)), false),
        ];
        for (row, reach, scopes, create_only, expires_at, want) in rows {
            let value = key(1, reach).value.expect("a record");
            let record = ApiKey::decode(&value).expect("a key");
            assert_eq!(is_master(&ApiKey { scopes, create_only, expires_at, ..record }), want, "{row}");
        }
    }

    #[test]
    fn n14_an_edit_shares_what_it_does_not_touch() {
        let mut puts: Vec<Put> = (0..1_000).map(|number| workspace(number, "a")).collect();
        puts.push(key(1, Reach::Instance));
        let before = directory(&puts);
        let mut after = before.clone();
        after.apply(&workspace(1_000, "b"), Position(2)).expect("a record");
        // Equal pointers: maps that the edit does not touch are shared and not copied.
        assert!(after.keys.ptr_eq(&before.keys) && after.companies.ptr_eq(&before.companies));
        assert!(after.domains.ptr_eq(&before.domains) && after.keys_of.ptr_eq(&before.keys_of));
        // Both versions share unchanged records in memory, and the old version is unchanged.
        let record = |directory: &Directory| {
            Arc::clone(&directory.workspace(WorkspaceNumber(7)).expect("there").record)
        };
        assert!(Arc::ptr_eq(&record(&before), &record(&after)));
        assert_eq!((before.workspaces.size(), after.workspaces.size()), (1_000, 1_001));
        assert_eq!(after.last_workspace(), Some(WorkspaceNumber(1_000)));
    }

    #[test]
    fn n14_indexes_follow_edits_and_removals() {
        let (company, own) = (Reach::Company(id("a")), Reach::Workspace(WorkspaceNumber(1)));
        let keys = [key(1, Reach::Instance), key(2, company.clone()), key(3, own.clone())];
        let mut puts = vec![workspace(1, "a"), workspace(2, "a"), workspace(3, "b")];
        puts.extend(keys.clone());
        // An edit puts the same record again and must not count it twice.
        puts.push(workspace(1, "a"));
        let mut directory = directory(&puts);
        let numbers = |directory: &Directory, reach: &Reach| -> Vec<u32> {
            directory.workspaces(reach).map(|versioned| versioned.record.number.0).collect()
        };
        let within = |directory: &Directory, reach: &Reach| -> Vec<u128> {
            directory.keys_within(reach).map(|versioned| versioned.record.id.bits()).collect()
        };
        let alike = |directory: &Directory, reach: &Reach| directory.key_count(reach);
        assert_eq!(numbers(&directory, &Reach::Instance), [1, 2, 3]);
        assert_eq!(numbers(&directory, &company), [1, 2]);
        assert_eq!(numbers(&directory, &own), [1]);
        assert_eq!(directory.workspace_count(&id("a")), 2);
        assert_eq!(within(&directory, &Reach::Instance), [1, 2, 3]);
        assert_eq!(within(&directory, &company), [2, 3]);
        assert_eq!(within(&directory, &own), [3]);
        // One each: keys of a narrower reach are not alike.
        assert_eq!([&Reach::Instance, &company, &own].map(|reach| alike(&directory, reach)), [1, 1, 1]);
        assert_eq!(directory.masters(), 1);
        assert!(directory.key_within(&own, Id::from_bits(2)).is_none(), "it reaches further");
        assert!(directory.key_within(&company, Id::from_bits(3)).is_some());
        assert!(directory.workspace_named("w3").is_some() && directory.workspace_named("w4").is_none());
        // The instance's key, the workspace's key, and workspace 2.
        for put in [&keys[0], &keys[2], &puts[1]] {
            directory.apply(&removal(put), Position(2)).expect("a removal");
        }
        assert_eq!((numbers(&directory, &company), directory.workspace_count(&id("a"))), (vec![1], 1));
        assert_eq!((within(&directory, &company), directory.masters()), (vec![2], 0));
        // The index of secrets must forget a revoked key, or it could still be used.
        assert!(directory.key_of_secret(&[1; 32]).is_none() && directory.key_of_secret(&[2; 32]).is_some());
        assert!(directory.workspace_named("w2").is_none());
    }

    #[test]
    fn sessions_count_for_the_tenant_of_their_key() {
        let own = key(1, Reach::Workspace(WorkspaceNumber(1)));
        let of_own = SessionKey::Key(Id::from_bits(1));
        let environment = SessionKey::Environment(SecretHash([9; 32]));
        let mut directory = directory(&[workspace(1, "a"), own.clone()]);
        let tenant = directory.tenant_of_reach(&Reach::Workspace(WorkspaceNumber(1)));
        let bytes = |directory: &Directory| [&tenant, &Tenant::Operator].map(|of| directory.memory_of(of));
        let before = bytes(&directory);
        let sessions = [session(5, of_own, "one"), session(6, of_own, "two"), session(7, environment, "")];
        // Each one twice: a renewal is not counted again.
        for put in sessions.iter().chain(&sessions) {
            directory.apply(put, Position(2)).expect("a record");
        }
        let (of_key, of_all) = (2 * weights::of_named("one"), weights::of_named(""));
        assert_eq!(bytes(&directory), [before[0] + of_key, before[1] + of_key + of_all]);
        assert_eq!(directory.sessions().of_key(Some(Id::from_bits(1))).count(), 2);
        // The key first, as the Change of a revocation may have it: the workspace is still known for its sessions.
        let without_key = [before[0] - weights::of_named("a key"), before[1] - weights::of_named("a key")];
        for put in [&own, &sessions[0], &sessions[1], &sessions[2]] {
            directory.apply(&removal(put), Position(3)).expect("a removal");
        }
        assert_eq!(bytes(&directory), without_key);
        assert_eq!(directory.sessions().iter().count(), 0);
    }
}
