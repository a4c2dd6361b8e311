//! pebble, the certificate authority of the authors of Let's Encrypt for tests, with its name server, as child
//! processes; and servers of which it certifies the names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use waypost::certificates::Internet;
use waypost::config::Config;
use waypost::settings::listen::Listen;

use crate::support::https_app::names;
use crate::support::process::{PATIENCE, poll, unused_address};
use crate::support::tls::{Authority, TlsClient, trusting};

/// A certificate authority and its name server.
pub(crate) struct Pebble {
    children: Vec<Child>,
    folder: TempDir,
    /// Of the TLS of pebble itself.
    tls: Authority,
    directory: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    dns: SocketAddr,
    /// Where the server under test has HTTPS and HTTP.
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    /// The addresses of names other than the default, for the server under test.
    looked_up: Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>,
    log: PathBuf,
}

impl Pebble {
    /// Starts pebble. Names lead to the server under test.
    pub(crate) fn start() -> Pebble {
        Pebble::start_with(&json!({}))
    }

    /// Starts pebble in a network in which it reaches all names at this address, which is not the server's.
    pub(crate) fn start_leading(address: &str) -> Pebble {
        Pebble::start_as(&json!({}), Some(address))
    }

    /// Starts pebble with further settings.
    pub(crate) fn start_with(settings: &Value) -> Pebble {
        Pebble::start_as(settings, None)
    }

    fn start_as(settings: &Value, leads_to: Option<&str>) -> Pebble {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (https, http) = (unused_address(), unused_address());
        let (directory, management) = (unused_address(), unused_address());
        let (dns, names) = (unused_address(), unused_address());
        let tls = Authority::new();
        let files = tls.issue(folder.path(), &[&directory.ip().to_string()]);
        fs::write(folder.path().join("roots.pem"), tls.pem()).expect("a small file");
        let mut config = json!({
            "listenAddress": directory, "managementListenAddress": management,
            "certificate": files.chain, "privateKey": files.key,
            "httpPort": http.port(), "tlsPort": https.port(),
        });
        config.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
        let path = folder.path().join("pebble.json");
        fs::write(&path, json!({ "pebble": config }).to_string()).expect("a small file");
        let log = folder.path().join("log");
        let mut pebble = Pebble {
            children: Vec::new(),
            folder,
            tls,
            directory,
            management,
            names,
            dns,
            https,
            http,
            looked_up: Arc::default(),
            log,
        };
        pebble.spawn_names(leads_to);
        pebble.spawn();
        pebble
    }

    fn spawn_names(&mut self, leads_to: Option<&str>) {
        let mut command = Command::new("pebble-challtestsrv");
        let ip = leads_to.map_or_else(|| self.https.ip().to_string(), str::to_owned);
        let dns = self.dns;
        command.args(["-defaultIPv4", &ip, "-defaultIPv6", "", "-dns01", &dns.to_string()]);
        command.args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-management",
            &self.names.to_string(),
        ]);
        self.children.push(run(&mut command, Stdio::null()));
        listening(self.names);
    }

    fn spawn(&mut self) {
        let dns = self.dns;
        let mut command = Command::new("pebble");
        command.args(["-strict", "-dnsserver", &dns.to_string(), "-config"]);
        command.arg(self.folder.path().join("pebble.json"));
        command
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", "0");
        let log = File::options().create(true).append(true).open(&self.log).expect("a file");
        self.children.push(run(&mut command, log.into()));
        listening(self.directory);
        listening(self.management);
    }

    /// Ends pebble, and not its name server.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.children.pop() {
            end(&mut child);
        }
    }

    /// Starts pebble again, which has forgotten everything.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.spawn();
    }

    /// Returns the URL of its directory.
    pub(crate) fn authority(&self) -> String {
        format!("https://{}/dir", self.directory)
    }

    /// Returns the file of the roots of its own TLS.
    pub(crate) fn roots(&self) -> String {
        self.folder.path().join("roots.pem").display().to_string()
    }

    /// Returns what a server needs to be certified for these names.
    pub(crate) fn configure(&self, config: &mut Config, domain: &[&str]) {
        config.domain = names(domain);
        config.public_url = format!("https://{}:{}", domain[0], self.https.port());
        config.listen = self.http.into();
        config.https.listen = Some(Listen::from(self.https));
        // Where names of tenants lead in these tests.
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".to_owned(), "::1".to_owned()];
        config.https.authority = self.authority();
        config.https.authority_roots = Some(self.folder.path().join("roots.pem"));
        config.https.internet = self.internet();
    }

    /// Returns the network in which every name leads to the server under test, except those of [`Pebble::lead`].
    pub(crate) fn internet(&self) -> Internet {
        let (looked_up, default) = (Arc::clone(&self.looked_up), self.https.ip());
        Internet {
            lookup: Arc::new(move |name| {
                let found = looked_up.lock().get(name).cloned();
                Ok(found.unwrap_or_else(|| vec![default]))
            }),
            https_port: self.https.port(),
            http_port: self.http.port(),
        }
    }

    /// Lets a name lead to these addresses, for the server under test only.
    pub(crate) fn lead(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.looked_up.lock().insert(name.to_owned(), addresses);
    }

    /// Returns the configuration of clients that trust what pebble issues.
    pub(crate) fn clients(&self) -> Arc<ClientConfig> {
        let pem = self.get(self.management, "/roots/0");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
        trusting(roots, &["http/1.1"])
    }

    fn get(&self, address: SocketAddr, path: &str) -> String {
        let mut client =
            TlsClient::connect(address, &address.ip().to_string(), self.tls.trusting(&["http/1.1"]))
                .expect("pebble answers");
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
            .expect("an open connection");
        let mut answer = Vec::new();
        // Go ends a connection without the alert at times.
        let _ = client.0.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }

    /// Returns how many orders pebble was asked for.
    pub(crate) fn orders(&self) -> usize {
        self.requests("/order-plz")
    }

    /// Returns how many requests for a path pebble has logged.
    pub(crate) fn requests(&self, path: &str) -> usize {
        let log = fs::read_to_string(&self.log).expect("a log");
        log.lines().filter(|line| line.contains(&format!(" {path} ->"))).count()
    }

    /// Returns the number of all requests.
    pub(crate) fn all_requests(&self) -> usize {
        let log = fs::read_to_string(&self.log).expect("a log");
        log.lines().filter(|line| line.contains(" -> calling handler()")).count()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(end);
    }
}

fn run(command: &mut Command, log: Stdio) -> Child {
    let child = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|error| panic!("{command:?}: {error}. It is in the Debian package pebble"))
}

fn end(child: &mut Child) {
    // An error means that it has ended.
    let _ = child.kill();
    let _ = child.wait();
}

fn listening(address: SocketAddr) {
    poll("pebble listens", PATIENCE, || TcpStream::connect(address).ok());
}

/// Requests a path of a server by HTTPS with this name. Returns the whole response.
pub(crate) fn visit(
    address: SocketAddr,
    name: &str,
    path: &str,
    clients: &Arc<ClientConfig>,
) -> io::Result<String> {
    let mut client = TlsClient::connect(address, name, Arc::clone(clients))?;
    write!(client.0, "GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    client.0.read_to_string(&mut response)?;
    Ok(response)
}
