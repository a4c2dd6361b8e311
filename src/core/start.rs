//! What happens before the first request: the first start's records, and the hook by which the
//! apply thread keeps directory and cache up with the table.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::{Effect, chance};
use super::tenants::directory::Directory;
use super::tenants::keys::{draw_secret, key_record};
use super::tenants::workspaces::{create_company, drawn_relationship_number};
use super::{Error, Links, Shared};
use crate::cache::entry::Action;
use crate::log::{Change, Position, Proposal};
use crate::model::custom_values::PLACEHOLDER;
use crate::model::domain::{DEFAULT_ID, Domain, DomainNumber, HostName};
use crate::model::id::{Id, IdSource};
use crate::model::key::{Reach, Scopes};
use crate::model::node::NodeNumber;
use crate::model::workspace::{Company, Workspace, WorkspaceNumber};
use crate::private_files::Replacement;
use crate::table::keys::DirectoryKey;
use crate::table::record::{Number, Staged, Stored};
use crate::table::{self, Observer, Table, keys};

/// Name of the file with the bootstrap key, in the data folder.
pub const KEY_FILE: &str = "admin.key";

/// Bytes read of the key file: some hundred times a key, so that a file put there by mistake is not
/// read whole. A longer one is no key.
const SECRET_MAX: u64 = 4_096;

/// Codes read from the table in one go: a millisecond's work, after which a table that closes is
/// noticed.
const CODES_AT_ONCE: usize = 4_096;

/// What the start found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Where the bootstrap key is; `None` when the environment gives the key, or the file was
    /// taken away.
    pub key_file: Option<PathBuf>,
    /// Whether this was the first start.
    pub is_first: bool,
}

/// The key file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// By the file system.
    #[error("cannot write {path}: {source}")]
    KeyFile {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// By the store.
    #[error("cannot write the first records: {0}")]
    Store(#[from] Error),
}

impl Observer for Links {
    fn reset(&self, table: &Table) -> Result<(), table::Error> {
        let directory = Directory::read(table)?;
        let mut newest = None;
        for held in directory.workspaces(&Reach::Instance) {
            newest = newest.max(table.newest_id(held.record.number)?);
        }
        *self.0.ids.lock() = IdSource::after(newest);
        self.0.directory.store(Arc::new(directory));
        self.0.loader.forget_all();
        self.0.cache.invalidate_where(|_| true);
        self.learn_codes(table);
        self.0.is_loaded.store(true, Ordering::Release);
        Ok(())
    }

    fn node(&self) -> NodeNumber {
        self.0.node
    }

    fn totals_applied(&self, totals: &[(Id, NodeNumber, u64)]) {
        self.0.cache.counters().take_over(totals);
    }

    fn failed(&self) {
        // Visitors of unknown codes are asked to come back, not told that there is no such link.
        drop(self.0.cache.learn_all(0));
    }

    fn applied(&self, change: &Change) {
        let mut directory: Option<Directory> = None;
        let mut workspaces = Vec::new();
        for entry in &change.entries {
            if let Some((domain, code)) = keys::parse_link(&entry.put.key) {
                // A request that comes from now on must not join a load that read the old record.
                self.0.loader.forget(domain, code);
                if entry.put.value.is_some() {
                    self.0.cache.learn(domain, code);
                }
                self.0.cache.invalidate(domain, code);
                self.0.note_placeholders(domain, code, entry.put.value.as_deref());
            } else if entry.put.value.is_none() && keys::parse_staging(&entry.put.key).is_some() {
                // An import has ended: its links are there, or its codes free. No request from now
                // on may join a load that found them hidden, nor believe that they are absent.
                self.0.loader.forget_all();
                self.0.cache.invalidate_where(|_| false);
            } else if Directory::concerns(&entry.put) {
                let directory = directory.get_or_insert_with(|| (**self.0.directory.load()).clone());
                if let Some(DirectoryKey::Workspace(number)) = DirectoryKey::parse(&entry.put.key) {
                    workspaces.push(number);
                }
                if let Err(error) = directory.apply(&entry.put, change.position) {
                    tracing::error!(%error, position = %change.position, "a Change holds a record that cannot be read");
                }
            }
        }
        let Some(directory) = directory else { return };
        let filled_anew = self.0.filled_anew(workspaces, &directory);
        let new_hosts = self.0.new_hosts(&directory, change);
        self.0.directory.store(Arc::new(directory));
        if !new_hosts.is_empty() {
            // Links compiled as leading elsewhere lead here now, and their clicks must be checked.
            self.0.loader.forget_all();
            self.0.cache.invalidate_where(|entry| new_hosts.iter().any(|host| entry.mentions(host)));
        }
        if !filled_anew.is_empty() {
            // Behind the directory, from which a load fills them in; nobody may join one that has not.
            self.0.loader.forget_all();
            self.0.cache.invalidate_where(|entry| match &entry.action {
                Action::Evaluate(decided) => {
                    filled_anew.contains(&decided.link.workspace)
                        && decided.link.options.destination.is_fillable()
                }
                Action::Redirect { .. } => false,
            });
        }
    }
}

impl Links {
    /// Has the cache learn which codes there are, beside everything else: a second per million
    /// links, during which unknown codes are looked up in the table.
    fn learn_codes(&self, table: &Table) {
        let table = table.clone();
        // A plain link has two records, so this is about twice too many, which leaves room to grow.
        let records = usize::try_from(table.status().records).unwrap_or(0);
        let learning = self.0.cache.learn_all(records);
        let learn = move || {
            let mut after = None;
            loop {
                let learnt = table.each_code(after.as_deref(), CODES_AT_ONCE, &mut |domain, code| {
                    learning.learn(domain, code);
                });
                match learnt {
                    Ok(Some(last)) => after = Some(last),
                    Ok(None) => return learning.complete(),
                    // Closed, or to be replaced: then it begins anew.
                    Err(error) => return tracing::debug!(%error, "not all codes were learnt"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("codes".to_owned()).spawn(learn);
        if let Err(error) = thread {
            tracing::warn!(%error, "unknown codes will be looked up in the table");
        }
    }

    /// Whether commands and visits can be answered: the first records are there. Before, every
    /// one is answered 503, not "not found".
    pub fn is_ready(&self) -> bool {
        self.directory().domain(DomainNumber::DEFAULT).is_some()
    }

    /// Whether the store was read: what is not there now does not exist.
    pub fn is_loaded(&self) -> bool {
        self.0.is_loaded.load(Ordering::Acquire)
    }

    /// On the first start makes one company, one workspace, the default domain and, unless the
    /// environment gives one, an instance key, whose secret it writes to a file that only the
    /// owner can read. Call when [`Links::is_loaded`].
    pub async fn bootstrap(&self, data_dir: &Path) -> Result<Bootstrap, StartError> {
        let path = data_dir.join(KEY_FILE);
        let given = self.0.environment_key.is_some();
        let is_first = self.directory().domain(DomainNumber::DEFAULT).is_none();
        let now = self.0.clock.now();
        if !is_first && (given || self.directory().masters() > 0) {
            let secret = read_secret(&path);
            let works = !given && self.authenticate(secret.trim(), now).is_some();
            return Ok(Bootstrap { key_file: works.then_some(path), is_first });
        }
        // Also later, when no key is left that could make another: whoever owns the data folder must
        // not be locked out.
        let secret = (!given).then(draw_secret);
        if let Some(secret) = &secret {
            // Before the Change that makes the key: a crash between the two leaves a file whose
            // key is unknown, and the next start, which is the first again, overwrites it.
            write_secret(&path, secret)
                .map_err(|source| StartError::KeyFile { path: path.clone(), source })?;
        }
        let mut effect = if is_first { self.first_records() } else { Effect::default() };
        if let Some(secret) = &secret {
            let id = self.0.ids.lock().next(now, chance());
            let key = key_record(id, secret, "bootstrap".into(), Reach::Instance, Scopes::all(), now);
            effect.create(keys::api_key(key.id), key.encode());
        }
        let proposal = Proposal { preconditions: effect.preconditions, puts: effect.puts, request: 0 };
        let position: Position = self.0.log.commit(proposal).await.map_err(Error::Log)?;
        while !self.0.table.wait(position).await {}
        Ok(Bootstrap { key_file: secret.map(|_| path), is_first })
    }

    fn first_records(&self) -> Effect {
        let now = self.0.clock.now();
        let mut ids = self.0.ids.lock();
        let mut next_id = || ids.next(now, chance());
        let company_id = next_id();
        let company = Company {
            id: company_id.into(),
            name: "Default".into(),
            relationship_number: drawn_relationship_number(),
            created_at: now,
        };
        let workspace = Workspace {
            number: WorkspaceNumber(0),
            id: next_id().into(),
            company: company.id.clone(),
            name: "Default".into(),
            credits: None,
            default_domain: None,
            custom_values: std::collections::BTreeMap::new(),
            created_at: now,
        };
        let domain = Domain {
            number: DomainNumber::DEFAULT,
            id: DEFAULT_ID,
            name: None,
            workspace: None,
            base_url: None,
            case_sensitive: true,
            not_found_url: None,
            expired_url: None,
            root_url: None,
            verified_at: Some(now),
            created_at: now,
        };
        let mut effect = Effect::default();
        create_company(&mut effect, &company);
        effect.create(keys::workspace(workspace.number), workspace.encode());
        effect.create(keys::workspace_id(&workspace.id), Number(0).encode());
        effect.create(keys::domain(domain.number), domain.encode());
        effect
    }
}

impl Shared {
    /// Counts a change of a link with placeholders: see [`super::links::loops::FilledLinks`].
    fn note_placeholders(&self, domain: DomainNumber, code: &str, value: Option<&[u8]>) {
        // Records hold the destination as it is, so that few have to be decoded.
        let has_some = |value: &&[u8]| memchr::memmem::find(value, PLACEHOLDER.as_bytes()).is_some();
        let staged = value.filter(has_some).and_then(|value| Staged::decode(domain, code, value).ok());
        if let Some(staged) = staged {
            self.filled_links.changed(staged.link.workspace);
        }
    }

    /// Returns the names of the domains that a Change adds.
    fn new_hosts(&self, coming: &Directory, change: &Change) -> Vec<Box<str>> {
        let present = self.directory.load();
        let domains = change.entries.iter().filter_map(|entry| keys::parse_domain(&entry.put.key));
        let names = domains.filter_map(|number| coming.domain(number)?.name.as_ref());
        let is_new = |name: &&HostName| present.domain_named(name.as_str()).is_none();
        names.filter(is_new).map(|name| name.as_str().into()).collect()
    }

    /// Returns those of the workspaces whose custom values differ from those in use.
    fn filled_anew(&self, mut changed: Vec<WorkspaceNumber>, coming: &Directory) -> Vec<WorkspaceNumber> {
        let present = self.directory.load();
        let differs = |number: &WorkspaceNumber| {
            let before = present.workspace(*number).map(|held| &held.record.custom_values);
            before != coming.workspace(*number).map(|held| &held.record.custom_values)
        };
        changed.retain(differs);
        changed
    }
}

/// Reads the key file; empty when there is none that can be read.
fn read_secret(path: &Path) -> String {
    let mut secret = String::new();
    let file = crate::log::local::disk::open_regular(path, std::fs::File::options().read(true));
    match file.and_then(|file| file.take(SECRET_MAX).read_to_string(&mut secret)) {
        Ok(_) => secret,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the key file cannot be read");
            String::new()
        }
    }
}

/// Writes the file whole or not at all, durably: this may be the only key there is.
fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = Replacement::create(path)?;
    writeln!(file, "{secret}")?;
    file.publish()
}
