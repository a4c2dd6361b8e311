//! [`CertificateStore`]: the folder `tls` of the data folder, with the account at the authority, the certificates with their keys,
//! and the state of each name.
//!
//! A certificate and its key are in one file, which is written beside its final name and renamed: no key is ever
//! without its certificate. Nothing of it is in a backup: a key is worth more than the minute of a new certificate.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pair::CertificatePair;
use super::settings::CertificateFiles;
use super::state::States;
use crate::private_files::{self, Replacement};

/// The folder within the data folder.
pub const FOLDER: &str = "tls";

const ACCOUNT: &str = "account.json";
const STATE: &str = "state.json";
const PEM: &str = "pem";

/// The version of `account.json` and `state.json`.
const VERSION: u32 = 1;

/// Largest file that is read: the state of 10,000 names has some 4 MB.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// A file of the folder with its version.
#[derive(Debug, Serialize, Deserialize)]
struct VersionedFile<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// The folder of certificates.
#[derive(Clone, Debug)]
pub(super) struct CertificateStore(PathBuf);

/// What the folder contains.
#[derive(Debug, Default)]
pub(super) struct StoredFiles {
    /// The certificates by name.
    pub(super) pairs: Vec<(String, CertificatePair)>,
    pub(super) states: States,
    /// The account as `instant_acme` writes it.
    pub(super) account: Option<serde_json::Value>,
    /// A sentence for each file that is not used.
    pub(super) unusable: Vec<String>,
}

impl CertificateStore {
    /// Returns the store of a data folder. Creates nothing.
    pub(super) fn of(data_dir: &Path) -> CertificateStore {
        CertificateStore(data_dir.join(FOLDER))
    }

    /// Reads the folder. What cannot be used is named and left where it is, and is replaced later. Blocks.
    pub(super) fn read(&self) -> StoredFiles {
        let mut stored = StoredFiles::default();
        let mut entries: Vec<PathBuf> = match fs::read_dir(&self.0) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            // Before the first certificate.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return stored,
            Err(error) => {
                stored.unusable.push(format!("cannot read {}: {error}", self.0.display()));
                return stored;
            }
        };
        // So that the warnings of two starts are in the same order.
        entries.sort();
        for path in entries.into_iter().filter(|path| path.extension().is_some_and(|end| end == PEM)) {
            match read_pair(&path) {
                Ok(found) => stored.pairs.push(found),
                Err(why) => stored.unusable.push(format!("{why}: it is not used, and asked for again")),
            }
        }
        match self.read_json::<States>(STATE) {
            Ok(states) => stored.states = states.unwrap_or_default(),
            Err(why) => stored.unusable.push(format!("{why}: it is not used, and written again")),
        }
        match self.read_json::<AccountFile>(ACCOUNT) {
            Ok(account) => stored.account = account.map(|file| file.account),
            Err(why) => {
                stored.unusable.push(format!("{why}: it is not used, and an account is created again"));
            }
        }
        stored
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let path = self.0.join(name);
        let shown = path.display();
        let bytes = match private_files::read_regular(&path, FILE_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| format!("cannot read {shown}: {error}"))?,
        };
        // The version first: the content of a later one is unknown.
        let version = serde_json::from_slice::<VersionedFile<serde_json::Value>>(&bytes)
            .map_err(|error| format!("{shown} is damaged: {error}"))?
            .version;
        if version != VERSION {
            return Err(format!("{shown} has version {version}, and this program knows {VERSION}"));
        }
        let read: Result<VersionedFile<serde_json::Map<String, serde_json::Value>>, _> =
            serde_json::from_slice(&bytes);
        let content = read.and_then(|file| serde_json::from_value(file.content.into()));
        content.map(Some).map_err(|error| format!("{shown} is damaged: {error}"))
    }

    /// Writes the certificate and the key of a name: PEM of both. Blocks.
    pub(super) fn write_pair(&self, name: &str, pem: &str) -> io::Result<()> {
        self.write(&file_name(name), pem.as_bytes())
    }

    /// Removes the certificate of a name. Blocks.
    pub(super) fn remove_pair(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(file_name(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the state of all names. Blocks.
    pub(super) fn write_states(&self, states: &States) -> io::Result<()> {
        self.write_json(STATE, states)
    }

    /// Writes the account. Blocks.
    pub(super) fn write_account(&self, account: &serde_json::Value) -> io::Result<()> {
        self.write_json(ACCOUNT, &AccountFile { account: account.clone() })
    }

    fn write_json(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let file = VersionedFile { version: VERSION, content };
        let mut text = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
        text.push(b'\n');
        self.write(name, &text)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // At each write: the folder may have been removed to make the server ask again.
        private_files::create_folder(&self.0)?;
        let mut file = Replacement::create(&self.0.join(name))?;
        file.write_all(bytes)?;
        file.publish()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountFile {
    account: serde_json::Value,
}

fn read_pair(path: &Path) -> Result<(String, CertificatePair), String> {
    let files = CertificateFiles { chain: path.to_owned(), key: path.to_owned() };
    // One file for both, so that a key and a certificate of two renewals are never read together.
    let pair = CertificatePair::read(&files).map_err(|error| error.to_string())?;
    // A file that was copied under another name would be shown to visitors of that name.
    let is_its_file = |name: &&String| path.file_name().is_some_and(|file| file == file_name(name).as_str());
    match pair.fields.names.iter().find(is_its_file).cloned() {
        Some(name) => Ok((name, pair)),
        None => Err(format!("{} is a certificate of another name", path.display())),
    }
}

/// Returns the file of a name: a host name in lower case, or an address.
fn file_name(name: &str) -> String {
    // Of IPv6: a colon is no letter of file names everywhere.
    let file = format!("{}.{PEM}", name.replace(':', "_"));
    if file.len() <= Replacement::NAME_MAX {
        return file;
    }
    // A host name may have 253 bytes. No label has the 64 letters of a hash, so that it is the name of no other host.
    let hash = Sha256::digest(name).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("{hash}.{PEM}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::super::order_budget::OrderBudget;
    use super::super::state::{Method, NameState, Renewal};
    use super::*;
    use crate::clock::Timestamp;

    fn pem(name: &str) -> String {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("valid");
        signing_key.serialize_pem() + &cert.pem()
    }

    fn states() -> States {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let state = NameState {
            failures: 2,
            tried_at: Some(at),
            orders: vec![at, at.plus_millis(1)],
            told_to_wait: Some((at, 60_000)),
            failure: Some("no".to_owned()),
            led_elsewhere: 1,
            renewal: Some(Renewal { asked_at: at, ask_after: 5, renew_at: Some(at) }),
            method: Some(Method::Http),
            failed_method: Some(Method::Tls),
            authority: "https://a.test/dir".to_owned(),
            chance: 7,
            undesired_since: Some(at),
            is_undesired: false,
            is_of_other_authority: false,
        };
        let names = [("a.test".to_owned(), state), ("b.test".to_owned(), NameState::default())];
        States { budget: Some(OrderBudget::full(at)), names: names.into() }
    }

    #[test]
    fn what_is_written_is_read_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = CertificateStore::of(folder.path());
        assert!(store.read().unusable.is_empty(), "nothing yet");
        // The longest host name. With its ending, it is longer than names of files may be.
        let label = "x".repeat(63);
        let long = format!("{label}.{label}.{label}.{}.test", "y".repeat(56));
        assert_eq!(long.len(), 253);
        // Colons are in no name of a file here.
        for name in ["a.test", "2001:db8::1", "192.0.2.1", &long, &long[14..]] {
            store.write_pair(name, &pem(name)).expect("written");
        }
        store.write_states(&states()).expect("written");
        store.write_account(&serde_json::json!({"id": "https://a.test/1"})).expect("written");
        let stored = store.read();
        assert_eq!(stored.unusable, Vec::<String>::new());
        let mut names: Vec<_> = stored.pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["192.0.2.1", "2001:db8::1", "a.test", &long[14..], &long]);
        assert_eq!(stored.states, states());
        assert_eq!(stored.account, Some(serde_json::json!({"id": "https://a.test/1"})));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join(FOLDER)), 0o700);
        for entry in fs::read_dir(folder.path().join(FOLDER)).expect("a folder") {
            assert_eq!(mode(&entry.expect("an entry").path()), 0o600);
        }
        store.remove_pair("2001:db8::1").expect("removed");
        store.remove_pair("c.test").expect("it was not there");
        assert_eq!(store.read().pairs.len(), 4);
        store.remove_pair(&long).expect("removed");
        assert_eq!(store.read().pairs.len(), 3);
    }

    #[test]
    fn files_that_cannot_be_used_are_named_and_the_others_are_used() {
        let rows = [
            // Copied by hand under another name.
            ("a.test.pem", pem("b.test"), "a certificate of another name"),
            ("a.test.pem", "x".to_owned(), "contains no usable certificate"),
            (STATE, "{".to_owned(), "is damaged"),
            // Of a later version, after a downgrade.
            (STATE, r#"{"version": 2, "later": 1}"#.to_owned(), "has version 2, and this program knows 1"),
            (STATE, r#"{"version": 1, "names": {"a.test": {"failures": -1}}}"#.to_owned(), "is damaged"),
            (ACCOUNT, r#"{"version": 1}"#.to_owned(), "an account is created again"),
        ];
        for (name, text, want) in rows {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = CertificateStore::of(folder.path());
            store.write_pair("good.test", &pem("good.test")).expect("written");
            fs::write(folder.path().join(FOLDER).join(name), &text).expect("a small file");
            let stored = store.read();
            assert_eq!(stored.pairs.len(), 1, "{name}");
            assert_eq!(stored.unusable.len(), 1, "{name} {text}: {:?}", stored.unusable);
            assert!(stored.unusable[0].contains(want), "{name} {text}: {}", stored.unusable[0]);
        }
    }
}
