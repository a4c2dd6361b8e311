//! The first start: the records that every instance needs, and the key file.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::commit::{Effect, chance};
use super::error::Error;
use super::handle::Core;
use super::tenants::secrets::{generate_secret, key_record};
use super::tenants::workspaces::{create_company, random_relationship_number};
use crate::log::{Position, Proposal};
use crate::model::domain::{Domain, DomainNumber};
use crate::model::key::{Reach, Scopes};
use crate::model::workspace::{Company, Workspace, WorkspaceNumber};
use crate::private_files::Replacement;
use crate::table::keys;
use crate::table::record::{Number, Stored};

/// Name of the file with the bootstrap key, in the data folder.
pub const KEY_FILE: &str = "admin.key";

/// Most bytes read of the key file, some hundred times the length of a key. A file put there by mistake is
/// not read whole; a longer text is no key.
const SECRET_MAX: u64 = 4_096;

/// The name of the key in [`KEY_FILE`], in lists of keys. Folders of versions before 0.2 have `bootstrap` instead.
const FIRST_KEY_NAME: &str = "admin";

/// The result of [`Core::bootstrap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Whether the banner can name the file.
    pub key_file: KeyFile,
    /// Whether this was the first start.
    pub is_first: bool,
}

/// The state of the file with the bootstrap key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// The file has a valid key.
    Valid(PathBuf),
    /// The file has no key of this log: the key was revoked, or the log was restored from another instance.
    Unknown(PathBuf),
    /// There is no file, or the environment gives the key, which makes the file irrelevant.
    Absent,
}

/// The reason why the first start failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The key file cannot be written.
    #[error("cannot write {path}: {source}")]
    KeyFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// The first records cannot be written.
    #[error("cannot write the first records: {0}")]
    Store(#[from] Error),
}

impl Core {
    /// Returns whether commands and visits can be served: the first records exist. Before, every request
    /// fails with 503 instead of "not found".
    pub fn is_ready(&self) -> bool {
        self.directory().domain(DomainNumber::DEFAULT).is_some()
    }

    /// Returns whether the store is loaded. From then on, what is not found does not exist.
    pub fn is_loaded(&self) -> bool {
        self.shared.is_loaded.load(Ordering::Acquire)
    }

    /// Creates one company, one workspace and the default domain on the first start. Unless the environment
    /// gives a key, also creates an instance key and writes its secret to a file that only the owner can
    /// read. Must be called after [`Core::is_loaded`] has returned true. Fails with [`BootstrapError`] if the
    /// file or the records cannot be written.
    pub async fn bootstrap(&self, data_dir: &Path) -> Result<Bootstrap, BootstrapError> {
        let path = data_dir.join(KEY_FILE);
        let given = self.shared.environment_key.is_some();
        let is_first = self.directory().domain(DomainNumber::DEFAULT).is_none();
        let now = self.shared.clock.now();
        if !is_first && (given || self.directory().masters() > 0) {
            // A file that is there and cannot be read has a reason in the log.
            let secret = read_secret(&path);
            let key_file = if given || secret.is_empty() {
                KeyFile::Absent
            // The file ends in a line feed.
            } else if self.tenants().authenticate(secret.trim(), now).is_some() {
                KeyFile::Valid(path)
            } else {
                KeyFile::Unknown(path)
            };
            return Ok(Bootstrap { key_file, is_first });
        }
        // Also on later starts when no key with all scopes is left: no remaining key can create one, and the owner
        // of the data folder must not be locked out.
        let secret = (!given).then(generate_secret);
        if let Some(secret) = &secret {
            // Before the Change that creates the key. A crash between the two leaves a file with an unknown
            // key, and the next start, which is the first again, replaces the file.
            write_secret(&path, secret)
                .map_err(|source| BootstrapError::KeyFile { path: path.clone(), source })?;
        }
        let mut effect = if is_first { self.first_records() } else { Effect::default() };
        if let Some(secret) = &secret {
            let id = self.shared.ids.lock().next(now, chance());
            let key = key_record(id, secret, FIRST_KEY_NAME.into(), Reach::Instance, Scopes::all(), now);
            effect.create(keys::api_key(key.id), key.encode());
        }
        // Not `commit_unasked`, which fails if the table is late: the start waits as long as needed.
        let proposal = Proposal { preconditions: effect.preconditions, puts: effect.puts, request: 0 };
        let position: Position = self.shared.log.commit(proposal).await.map_err(Error::Log)?;
        // A wait times out while the table is still catching up; the start must see the records.
        while !self.shared.table.wait(position).await {}
        let key_file = if given { KeyFile::Absent } else { KeyFile::Valid(path) };
        Ok(Bootstrap { key_file, is_first })
    }

    fn first_records(&self) -> Effect {
        let now = self.shared.clock.now();
        // Released before the commit: nothing else is written before the first records exist.
        let mut ids = self.shared.ids.lock();
        let mut next_id = || ids.next(now, chance());
        let company_id = next_id();
        let company = Company {
            id: company_id.into(),
            name: "Default".into(),
            relationship_number: random_relationship_number(),
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
            statistics: true,
            timezone: None,
            qr: crate::model::qr_style::QrStyle::default(),
            check_links: false,
            created_at: now,
        };
        let domain = Domain::default_domain(now);
        let mut effect = Effect::default();
        create_company(&mut effect, &company);
        effect.create(keys::workspace(workspace.number), workspace.encode());
        effect.create(keys::workspace_id(&workspace.id), Number(0).encode());
        effect.create(keys::domain(domain.number), domain.encode());
        effect
    }
}

/// Returns the content of the key file, or an empty string if it cannot be read.
fn read_secret(path: &Path) -> String {
    let mut secret = String::new();
    let file = crate::private_files::open_regular(path, std::fs::File::options().read(true));
    match file.and_then(|file| file.take(SECRET_MAX).read_to_string(&mut secret)) {
        Ok(_) => secret,
        // Usual: the environment gave the key at the first start, or the owner has removed the file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the key file cannot be read");
            String::new()
        }
    }
}

/// Writes the file durably, and all or nothing: it may have the only key that exists.
fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = Replacement::create(path)?;
    writeln!(file, "{secret}")?;
    file.publish()
}
