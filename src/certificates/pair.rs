//! A certificate with its chain and its private key, read from PEM.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::settings::CertificateFiles;
use super::trust::TrustCheck;
use super::x509::Fields;
use crate::authorities;
use crate::private_files::read_regular;
use crate::users::remedy_to_read;

/// Most bytes of a file of certificates or of a key: some hundred times a usual chain.
const FILE_MAX: u64 = 1024 * 1024;

/// A certificate that handshakes can be answered with.
#[derive(Clone, Debug)]
pub(super) struct CertificatePair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) fields: Fields,
    /// Whether browsers trust it, once somebody has asked: the check takes a tenth of a millisecond.
    is_trusted: Arc<OnceLock<bool>>,
}

/// The reason why a pair cannot be used. Each text names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}{}", path.display(), remedy_to_read(path, error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        error: io::Error,
    },
    /// The file contains no certificate, or one that cannot be parsed.
    #[error("{} contains no usable certificate in PEM: {why}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The file contains no private key, or one that cannot be parsed.
    #[error("{} contains no usable private key in PEM: {why}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The key is not that of the certificate.
    #[error("the key in {} is not the key of the certificate in {}", key.display(), chain.display())]
    Mismatch {
        /// The file of the certificate.
        chain: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The certificate names no host.
    #[error("the certificate in {} names no host (subject alternative names): browsers refuse it", path.display())]
    Nameless {
        /// The file.
        path: PathBuf,
    },
}

impl CertificatePair {
    /// Reads the two files. Blocks.
    pub(super) fn read(files: &CertificateFiles) -> Result<CertificatePair, PairError> {
        let chain = bytes(&files.chain)?;
        if files.key == files.chain {
            return CertificatePair::parse(&chain, &chain, files);
        }
        CertificatePair::parse(&chain, &bytes(&files.key)?, files)
    }

    /// Parses the contents of the two files, which errors name.
    pub(super) fn parse(
        chain: &[u8],
        key: &[u8],
        files: &CertificateFiles,
    ) -> Result<CertificatePair, PairError> {
        let no_certificate = |why: String| PairError::NoCertificate { path: files.chain.clone(), why };
        let no_key = |why: String| PairError::NoKey { path: files.key.clone(), why };
        let chain: Result<Vec<_>, pem::Error> =
            CertificateDer::pem_slice_iter(chain).map(|read| read.map(CertificateDer::into_owned)).collect();
        let chain = chain.map_err(|error| no_certificate(error.to_string()))?;
        let Some(first) = chain.first() else {
            return Err(no_certificate("it has no section CERTIFICATE".to_owned()));
        };
        let fields = Fields::read(first).map_err(no_certificate)?;
        if fields.names.is_empty() {
            return Err(PairError::Nameless { path: files.chain.clone() });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            no_key(match error {
                pem::Error::NoItemsFound => "it has no section PRIVATE KEY".to_owned(),
                error => error.to_string(),
            })
        })?;
        let key = ring::sign::any_supported_type(&key).map_err(|error| no_key(error.to_string()))?;
        let key = CertifiedKey::new(chain, key);
        if key.keys_match().is_err() {
            return Err(PairError::Mismatch { chain: files.chain.clone(), key: files.key.clone() });
        }
        Ok(CertificatePair { key: Arc::new(key), fields, is_trusted: Arc::default() })
    }

    /// Returns whether browsers trust it, apart from its dates.
    pub(super) fn is_trusted(&self) -> bool {
        static BROWSERS: LazyLock<TrustCheck> = LazyLock::new(|| TrustCheck::new(authorities::of_browsers()));
        *self.is_trusted.get_or_init(|| BROWSERS.distrust(&self.key, &self.fields).is_none())
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, PairError> {
    read_regular(path, FILE_MAX).map_err(|error| PairError::Unreadable { path: path.to_owned(), error })
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use rcgen::{CertificateParams, CertifiedKey as Generated, KeyPair, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// Returns a certificate that no authority has signed.
    pub(in crate::certificates) fn self_signed(names: &[&str]) -> Arc<CertifiedKey> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        CertificatePair::read(&write(&folder, names)).expect("usable").key
    }

    /// Writes a certificate and its key.
    pub(in crate::certificates) fn write(folder: &TempDir, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let Generated { cert, signing_key } = generate_simple_self_signed(names).expect("valid names");
        let files =
            CertificateFiles { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        fs::write(&files.chain, cert.pem()).expect("a small file");
        fs::write(&files.key, signing_key.serialize_pem()).expect("a small file");
        files
    }

    #[test]
    fn a_pair_is_read_from_two_files_or_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut files = write(&folder, &["a.test"]);
        assert_eq!(CertificatePair::read(&files).expect("usable").fields.names, ["a.test"]);
        let both = fs::read_to_string(&files.key).expect("a key")
            + &fs::read_to_string(&files.chain).expect("a chain");
        fs::write(&files.chain, both).expect("a small file");
        files.key.clone_from(&files.chain);
        assert!(CertificatePair::read(&files).is_ok());
    }

    #[test]
    fn a_pair_that_cannot_be_used_names_the_file_and_the_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = write(&folder, &["a.test"]);
        let (chain, key) = (fs::read(&files.chain).expect("a chain"), fs::read(&files.key).expect("a key"));
        let other = KeyPair::generate().expect("a key").serialize_pem();
        let nameless = CertificateParams::default();
        let nameless_key = KeyPair::generate().expect("a key");
        let nameless = nameless.self_signed(&nameless_key).expect("signed").pem();
        let nameless_key = nameless_key.serialize_pem();
        let rows: [(&[u8], &[u8], &str); 7] = [
            (b"", &key, "chain.pem contains no usable certificate in PEM: it has no section CERTIFICATE"),
            (&key, &key, "chain.pem contains no usable certificate in PEM"),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &key,
                "contains no usable certificate",
            ),
            (&chain, b"", "key.pem contains no usable private key in PEM: it has no section PRIVATE KEY"),
            (
                &chain,
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "key.pem contains no usable private key",
            ),
            (&chain, other.as_bytes(), "key.pem is not the key of the certificate in"),
            (nameless.as_bytes(), nameless_key.as_bytes(), "names no host"),
        ];
        for (chain, key, want) in rows {
            fs::write(&files.chain, chain).expect("a small file");
            fs::write(&files.key, key).expect("a small file");
            let error = CertificatePair::read(&files).expect_err(want).to_string();
            assert!(error.contains(want), "{error}\nshould contain\n{want}");
        }
        fs::remove_file(&files.chain).expect("it exists");
        assert!(
            CertificatePair::read(&files).is_err_and(|error| error.to_string().starts_with("cannot read "))
        );
        // None of them is waited for, and none fills the memory.
        fs::write(&files.chain, &chain).expect("a small file");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe");
        let large = folder.path().join("large");
        fs::write(&large, vec![b'x'; 2 * 1024 * 1024]).expect("room");
        let rows = [
            (pipe.as_path(), "it is not a regular file"),
            (Path::new("/dev/zero"), "it is not a regular file"),
            (large.as_path(), "it is larger than 1048576 bytes"),
        ];
        for (path, want) in rows {
            let files = CertificateFiles { chain: files.chain.clone(), key: path.to_owned() };
            let error = CertificatePair::read(&files).expect_err(want).to_string();
            assert!(error.starts_with(&format!("cannot read {}: {want}", path.display())), "{error}");
        }
    }
}
