//! A certificate authority with what pebble lacks: renewal information, profiles, and refusals with `Retry-After`. It
//! checks no name: all authorizations are valid from the start.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ServerConfig, ServerConnection, StreamOwned};
use waypost::certificates::Internet;
use waypost::config::Config;
use waypost::settings::listen::Listen;
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

use crate::support::https_app::names;
use crate::support::process::unused_address;
use crate::support::tls::Authority;

/// What the authority does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// The answer to each new order: status, type of the problem, and `Retry-After`.
    pub(crate) refuses: Option<(u16, &'static str, Option<&'static str>)>,
    /// The window of renewal, in seconds from now. `None`: it has no renewal information.
    pub(crate) window: Option<(i64, i64)>,
    /// The profiles that it offers.
    pub(crate) profiles: Vec<&'static str>,
    /// How far its clock is ahead, in seconds.
    pub(crate) ahead: i64,
}

/// A certificate authority.
pub(crate) struct AcmeMock {
    shared: Arc<State>,
    folder: TempDir,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
}

struct State {
    authority: Authority,
    address: SocketAddr,
    manner: Mutex<Manner>,
    /// The bodies of new orders, as they came.
    orders: Mutex<Vec<Value>>,
    /// By the number of the order: two may be finished at once.
    issued: Mutex<std::collections::BTreeMap<usize, String>>,
}

impl AcmeMock {
    pub(crate) fn start(manner: Manner) -> AcmeMock {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = unused_address();
        let authority = Authority::new();
        let files = authority.issue(folder.path(), &[&address.ip().to_string()]);
        std::fs::write(folder.path().join("roots.pem"), authority.pem()).expect("a small file");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let chain = CertificateDer::from_pem_file(&files.chain).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a pair");
        let config = Arc::new(config);
        let shared = Arc::new(State {
            authority,
            address,
            manner: Mutex::new(manner),
            orders: Mutex::default(),
            issued: Mutex::default(),
        });
        let listener = TcpListener::bind(address).expect("a free address");
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, config) = (Arc::clone(&state), Arc::clone(&config));
                thread::spawn(move || state.serve(stream, config));
            }
        });
        AcmeMock { shared, folder, https: unused_address(), http: unused_address() }
    }

    /// Returns what a server needs to be certified for these names.
    pub(crate) fn configure(&self, config: &mut Config, domain: &[&str]) {
        config.domain = names(domain);
        config.public_url = format!("https://{}:{}", domain[0], self.https.port());
        config.listen = self.http.into();
        config.https.listen = Some(Listen::from(self.https));
        // Where names of tenants lead in these tests.
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".to_owned(), "::1".to_owned()];
        config.https.authority = self.directory();
        config.https.authority_roots = Some(self.roots().into());
        let ip = self.https.ip();
        config.https.internet = Internet {
            lookup: Arc::new(move |_| Ok(vec![ip])),
            https_port: self.https.port(),
            http_port: self.http.port(),
        };
    }

    /// Returns the URL of its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}/dir", self.shared.address)
    }

    /// Returns the file of the roots of its own TLS.
    pub(crate) fn roots(&self) -> String {
        self.folder.path().join("roots.pem").display().to_string()
    }

    /// Changes what the authority does.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shared.manner.lock());
    }

    /// Returns the bodies of all new orders.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.shared.orders.lock().clone()
    }

    /// Returns the configuration of clients that trust what it issues.
    pub(crate) fn clients(&self) -> Arc<ClientConfig> {
        self.shared.authority.trusting(&["http/1.1"])
    }
}

impl State {
    fn serve(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        let Ok(session) = ServerConnection::new(config) else { return };
        let mut stream = StreamOwned::new(session, stream);
        let mut read = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                let mut bytes = [0; 4_096];
                match stream.read(&mut bytes) {
                    Ok(0) | Err(_) => return,
                    Ok(number) => read.extend_from_slice(&bytes[..number]),
                }
            };
            let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            while read.len() < head + length.unwrap_or(0) {
                let mut bytes = [0; 4_096];
                match stream.read(&mut bytes) {
                    Ok(0) | Err(_) => return,
                    Ok(number) => read.extend_from_slice(&bytes[..number]),
                }
            }
            let line = String::from_utf8_lossy(&read[..head]).into_owned();
            let mut words = line.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let body = payload(&read[head..]);
            let response = self.answer(method, path, &body);
            read.clear();
            if stream.write_all(&response).is_err() || stream.flush().is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> Vec<u8> {
        let manner = self.manner.lock().clone();
        let url = |path: &str| format!("https://{}{path}", self.address);
        let (mut status, mut headers, mut kind) = (200, String::new(), "application/json");
        let order = |number: usize, status: &str| {
            json!({
                "status": status, "identifiers": self.orders.lock()[number]["identifiers"],
                "authorizations": [url(&format!("/authz/{number}"))], "finalize": url(&format!("/finalize/{number}")),
                "certificate": url(&format!("/certificate/{number}")),
                "replaces": self.orders.lock()[number]["replaces"],
            })
        };
        let number = || -> usize {
            path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        let content = match path {
            "/dir" => {
                let mut directory = json!({
                    "newNonce": url("/nonce"), "newAccount": url("/account"), "newOrder": url("/order"),
                    "meta": { "profiles": manner.profiles.iter().map(|name| (*name, "")).collect::<std::collections::BTreeMap<_, _>>() },
                });
                if manner.window.is_some() {
                    directory["renewalInfo"] = url("/renewal").into();
                }
                directory.to_string()
            }
            "/nonce" => String::new(),
            "/account" => {
                status = 201;
                headers = format!("Location: {}\r\n", url("/account/1"));
                "{}".to_owned()
            }
            "/order" => {
                self.orders.lock().push(body.clone());
                if let Some((refused, problem, wait)) = manner.refuses {
                    (status, kind) = (refused, "application/problem+json");
                    headers = wait.map_or_else(String::new, |wait| format!("Retry-After: {wait}\r\n"));
                    json!({"type": format!("urn:ietf:params:acme:error:{problem}"), "detail": "no more today"})
                        .to_string()
                } else {
                    let number = self.orders.lock().len() - 1;
                    status = 201;
                    headers = format!("Location: {}\r\n", url(&format!("/orders/{number}")));
                    order(number, "ready").to_string()
                }
            }
            _ if path.starts_with("/authz/") => {
                let identifier = self.orders.lock()[number()]["identifiers"][0].clone();
                json!({"status": "valid", "identifier": identifier, "challenges": []}).to_string()
            }
            _ if path.starts_with("/finalize/") => {
                let pem = self.issue(number(), body["csr"].as_str().unwrap_or_default());
                self.issued.lock().insert(number(), pem);
                order(number(), "valid").to_string()
            }
            _ if path.starts_with("/orders/") => order(number(), "valid").to_string(),
            _ if path.starts_with("/certificate/") => {
                kind = "application/pem-certificate-chain";
                self.issued.lock().get(&number()).cloned().unwrap_or_default()
            }
            _ if path.starts_with("/renewal/") => {
                let (start, end) = manner.window.unwrap_or_default();
                headers.push_str("Retry-After: 21600\r\n");
                let at = |seconds: i64| {
                    let now = waypost::clock::Timestamp::from(SystemTime::now());
                    now.plus_millis(seconds * 1_000).to_string()
                };
                json!({"suggestedWindow": {"start": at(start), "end": at(end)}}).to_string()
            }
            _ => {
                status = 404;
                String::new()
            }
        };
        let date = self.now();
        let head = format!(
            "HTTP/1.1 {status} X\r\nDate: {}\r\nReplay-Nonce: bm9uY2U\r\nContent-Type: {kind}\r\n{headers}Content-Length: \
             {}\r\n\r\n",
            httpdate::fmt_http_date(date),
            content.len()
        );
        if method == "HEAD" { head.into_bytes() } else { (head + &content).into_bytes() }
    }

    /// Returns the time by its clock.
    fn now(&self) -> SystemTime {
        let (now, ahead) = (SystemTime::now(), self.manner.lock().ahead);
        match u64::try_from(ahead) {
            Ok(ahead) => now + Duration::from_secs(ahead),
            Err(_) => now - Duration::from_secs(ahead.unsigned_abs()),
        }
    }

    fn issue(&self, number: usize, request: &str) -> String {
        let der = BASE64_URL_SAFE_NO_PAD.decode(request).expect("base64url");
        let request = CertReq::from_der(&der).expect("a request");
        let key = RequestedKey(request.info.public_key.subject_public_key.raw_bytes().to_vec());
        let name =
            self.orders.lock()[number]["identifiers"][0]["value"].as_str().unwrap_or_default().to_owned();
        self.authority.sign(CertificateParams::new([name]).expect("a name"), &key, self.now())
    }
}

/// The key of a request.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Returns the payload of a signed request.
fn payload(body: &[u8]) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap_or_default());
    serde_json::from_slice(&payload.unwrap_or_default()).unwrap_or_default()
}
