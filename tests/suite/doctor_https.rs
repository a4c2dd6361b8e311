//! E19: `waypost doctor` on set-ups of HTTPS that are broken as they are in life, each in a network of its own with the ports
//! 80 and 443, addresses that no other machine has, and an `/etc/hosts` in place of name servers. This needs root and
//! `unshare`; otherwise the test prints that it did not run.
//!
//! The test runs itself once more for each set-up, within its network.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::certificates::LATE;
use crate::support::acme_mock::{AcmeMock, Manner};
use crate::support::http::Client;
use crate::support::process::{Plan, Process, not_tested, poll, unused_address};
use crate::support::tls::Authority;

/// Selects the set-up of a run inside a network.
const PART: &str = "WAYPOST_TEST_SETUP";

const TEST: &str = "suite::doctor_https::e19_doctor_names_the_cause_and_the_remedy";

/// The name of all set-ups.
const NAME: &str = "go.test";

/// The address of this machine, that of another one, and its address of IPv6 (RFC 5737, RFC 3849).
const HERE: &str = "203.0.113.9";
const ELSEWHERE: &str = "203.0.113.10";
const HERE_V6: &str = "2001:db8::9";

/// Runs a set-up until it has settled.
type SetUp = fn(&mut Scene);

/// A set-up: its name, and the parts that each warning and problem must be about, of which the first one must appear. Without
/// parts, there must be neither warnings nor problems.
const SET_UPS: &[(&str, SetUp, &[&str])] = &[
    ("all is well", well, &[]),
    ("all is well by IPv6 too", well_by_both, &[]),
    ("the files of the owner are good", own_files, &[]),
    (
        "the name does not resolve",
        unresolved,
        &[
            "HTTPS: no certificate for go.test yet: go.test does not resolve",
            "domain: go.test does not resolve here",
            DEGRADED,
        ],
    ),
    (
        "the name leads to another machine",
        elsewhere,
        &[
            "reached from outside: go.test is 203.0.113.10, where another server answers: change its A record",
            "HTTPS: no certificate for go.test yet: go.test is 203.0.113.10, which is not this machine: change its A record",
            DEGRADED,
        ],
    ),
    (
        "its IPv6 address does not work",
        stale_v6,
        &[
            "reached from outside: go.test leads here by 203.0.113.9, and its AAAA record 2001:db8::9 does not (connection \
             refused): authorities ask IPv6 first. Remove it, or",
            "its AAAA record 2001:db8::9 does not lead here: authorities ask IPv6 first; remove it",
            DEGRADED,
        ],
    ),
    (
        "port 80 is closed",
        closed_http,
        &[
            "reached from outside: go.test answers on port 443 of 203.0.113.9, and not on port 80 of 203.0.113.9 (connection \
           refused): links that begin with http:// do not open. Open port 80 in the firewall",
        ],
    ),
    (
        "port 443 is closed",
        closed_https,
        &[
            "reached from outside: go.test is 203.0.113.9, which cannot be reached on port 443 (connection refused). Open port \
           443 in the firewall of the provider",
        ],
    ),
    (
        "port 443 is taken",
        taken,
        &["listening: another program listens on 203.0.113.9:443 (it does not answer HTTP as Waypost does"],
    ),
    (
        "port 443 is taken for IPv4 alone",
        taken_on_ipv4,
        &[
            "listening: another program listens on port 443 of IPv4, which [::]:443 includes (it does not answer HTTP",
        ],
    ),
    ("the files of the owner are for all names, and the authority is down", own_files_for_all, &[]),
    (
        "the certificate has ended",
        ended,
        &["HTTPS: the owner's certificate for go.test ended on ", "https.certificates"],
    ),
    ("the key does not fit", unfit, &["key.pem is not the key of the certificate in "]),
    ("the chain is incomplete", incomplete, &["its file lacks the certificate of its issuer, CN=Between"]),
    (
        "the certificate is for another name",
        misnamed,
        &[
            "HTTPS: no certificate for go.test: those of `https.certificates` are for www.test. Add one",
            "is for www.test, and no domain",
        ],
    ),
    (
        "the clock is wrong",
        wrong_clock,
        &["certificate authority: this machine's clock is 3 h behind the authority's", "clock is 3 h behind"],
    ),
    (
        "certificates cannot be written",
        unwritable,
        &["HTTPS: certificates cannot be written to ", "certificates cannot be written to the data folder"],
    ),
    (
        "the authority is down",
        down,
        &[
            "certificate authority: https://",
            "HTTPS: no certificate for go.test yet: the authority does not answer (connection refused); next try ",
            DEGRADED,
        ],
    ),
    ("the URL is no authority", no_directory, &["answers 404 and is no ACME directory", DEGRADED]),
];

/// A part of the log line of a server that serves.
const READY: &str = "Waypost started";

/// What a server without a certificate reports of itself.
const DEGRADED: &str = "a name in `domain` has no certificate, and the last try failed";

/// What a set-up is made of.
struct Scene {
    folder: TempDir,
    mock: AcmeMock,
    /// Issues the files of the owner. Browsers know it.
    authority: Authority,
    settings: Vec<(&'static str, String)>,
    listen: String,
    /// Runs during the check.
    server: Option<Process>,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mock = AcmeMock::start(Manner::default());
        let authority = Authority::new();
        let roots = fs::read_to_string(mock.roots()).expect("the roots") + &authority.pem();
        fs::write(folder.path().join("browsers.pem"), roots).expect("a small file");
        let settings = vec![
            ("WAYPOST_DOMAIN", NAME.to_owned()),
            ("WAYPOST_HTTPS__LISTEN", format!("{HERE}:443")),
            ("WAYPOST_HTTPS__AUTHORITY", mock.directory()),
        ];
        hosts(&format!("{HERE} {NAME}\n"));
        Scene { folder, mock, authority, settings, listen: format!("{HERE}:80"), server: None }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.into()));
    }

    fn plan(&self) -> Plan {
        let plan = Plan::on(&self.data())
            .without("WAYPOST_PUBLIC_URL")
            .listen(&self.listen)
            // What browsers and this machine trust.
            .env("SSL_CERT_FILE", &self.folder.path().join("browsers.pem").display().to_string());
        self.settings.iter().fold(plan, |plan, (name, value)| plan.env(name, value))
    }

    /// Starts a server, and waits until its log contains a text.
    fn start(&mut self, until: &str) {
        let process = self.plan().spawn();
        poll(until, LATE, || process.stderr().contains(until).then_some(()));
        self.server = Some(process);
    }

    fn stop(&mut self) {
        self.server.take().expect("it runs").stop();
    }

    fn serves(&mut self) {
        self.start("the certificate for go.test is in use");
    }

    fn fails(&mut self) {
        self.start("no certificate for go.test yet: ");
    }

    /// Uses these files of the owner instead of an authority.
    fn own(&mut self, chain: &str, key: &KeyPair) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        fs::write(path("chain.pem"), chain).expect("a small file");
        fs::write(path("key.pem"), key.serialize_pem()).expect("a small file");
        let files = format!("[{{ chain = {:?}, key = {:?} }}]", path("chain.pem"), path("key.pem"));
        self.settings.retain(|(name, _)| *name != "WAYPOST_DOMAIN");
        self.set("WAYPOST_HTTPS__CERTIFICATES", files);
        self.set("WAYPOST_PUBLIC_URL", format!("https://{NAME}"));
    }

    /// Issues a certificate as a known authority does, for 90 days from this day on.
    fn issue(&mut self, name: &str, days_ago: u64) {
        let key = KeyPair::generate().expect("a key");
        let from = SystemTime::now() - std::time::Duration::from_hours(24 * days_ago);
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let chain = self.authority.sign(params, &key, from);
        self.own(&chain, &key);
    }
}

/// Replaces the file that answers look-ups in this network.
fn hosts(text: &str) {
    fs::write("/etc/hosts", format!("127.0.0.1 localhost\n{text}")).expect("a file of this network alone");
}

/// Accepts connections as another program.
fn other_program(address: &str) {
    let listener = TcpListener::bind(address).expect("a free address");
    thread::spawn(move || listener.incoming().for_each(drop));
}

fn well(scene: &mut Scene) {
    scene.serves();
}

fn well_by_both(scene: &mut Scene) {
    hosts(&format!("{HERE} {NAME}\n{HERE_V6} {NAME}\n"));
    scene.set("WAYPOST_HTTPS__LISTEN", "[::]:443");
    "[::]:80".clone_into(&mut scene.listen);
    scene.serves();
}

fn own_files(scene: &mut Scene) {
    scene.issue(NAME, 1);
    scene.start(READY);
}

fn unresolved(scene: &mut Scene) {
    hosts("");
    scene.fails();
}

fn elsewhere(scene: &mut Scene) {
    hosts(&format!("{ELSEWHERE} {NAME}\n"));
    other_program(&format!("{ELSEWHERE}:443"));
    other_program(&format!("{ELSEWHERE}:80"));
    scene.fails();
}

fn stale_v6(scene: &mut Scene) {
    hosts(&format!("{HERE} {NAME}\n{HERE_V6} {NAME}\n"));
    scene.fails();
}

fn closed_http(scene: &mut Scene) {
    "127.0.0.1:80".clone_into(&mut scene.listen);
    scene.serves();
}

fn closed_https(scene: &mut Scene) {
    scene.set("WAYPOST_HTTPS__LISTEN", "127.0.0.1:443");
    scene.serves();
}

fn taken(scene: &mut Scene) {
    scene.serves();
    scene.stop();
    other_program(&format!("{HERE}:443"));
}

fn taken_on_ipv4(scene: &mut Scene) {
    scene.set("WAYPOST_HTTPS__LISTEN", "[::]:443");
    scene.serves();
    scene.stop();
    other_program("0.0.0.0:443");
}

fn own_files_for_all(scene: &mut Scene) {
    scene.issue(NAME, 1);
    scene.set("WAYPOST_DOMAIN", NAME);
    scene.set("WAYPOST_HTTPS__AUTHORITY", format!("https://{}/dir", unused_address()));
    scene.start(READY);
}

fn ended(scene: &mut Scene) {
    scene.issue(NAME, 200);
    scene.start(READY);
}

fn unfit(scene: &mut Scene) {
    scene.issue(NAME, 1);
    scene.start(READY);
    scene.stop();
    let other = KeyPair::generate().expect("a key").serialize_pem();
    fs::write(scene.folder.path().join("key.pem"), other).expect("a small file");
}

fn incomplete(scene: &mut Scene) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().expect("a key"))
    };
    let (params, key) = authority("Root");
    let root = CertifiedIssuer::self_signed(params, key).expect("signed");
    fs::write(scene.folder.path().join("browsers.pem"), root.pem()).expect("a small file");
    let (params, key) = authority("Between");
    let between = CertifiedIssuer::signed_by(params, key, &root).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let leaf = params.signed_by(&key, &between).expect("signed");
    scene.own(&leaf.pem(), &key);
    scene.start(READY);
}

fn misnamed(scene: &mut Scene) {
    scene.issue("www.test", 1);
    scene.start(READY);
}

fn wrong_clock(scene: &mut Scene) {
    scene.mock.set(|manner| manner.ahead = 3 * 60 * 60);
    scene.serves();
}

fn unwritable(scene: &mut Scene) {
    fs::create_dir(scene.data()).expect("a folder");
    fs::set_permissions(scene.data(), fs::Permissions::from_mode(0o700)).expect("ours");
    fs::write(scene.data().join("tls"), "").expect("a small file");
    scene.serves();
}

fn down(scene: &mut Scene) {
    scene.set("WAYPOST_HTTPS__AUTHORITY", format!("https://{}/dir", unused_address()));
    scene.fails();
}

fn no_directory(scene: &mut Scene) {
    let url = scene.mock.directory().replace("/dir", "/none");
    scene.set("WAYPOST_HTTPS__AUTHORITY", url);
    scene.fails();
}

/// Runs a set-up in the network of this process, and checks what `doctor` prints.
fn play(number: usize) {
    let (name, set_up, parts) = SET_UPS[number];
    let mut scene = Scene::new();
    // Without waiting for the API, the findings would be about the start.
    set_up(&mut scene);
    if scene.server.is_some() {
        let addresses =
            ["203.0.113.9:80", "127.0.0.1:80"].map(|address| address.parse().expect("an address"));
        poll("the server is ready", LATE, || {
            let ask = |address| Client::new(address, NAME).try_send("GET", "/readyz", &[], None);
            addresses
                .iter()
                .any(|address| ask(*address).is_ok_and(|answer| answer.status == 200))
                .then_some(())
        });
    }
    let (_, text, stderr) = scene.plan().arg("doctor").fails();
    let told = text.lines().filter(|line| line.starts_with("problem") || line.starts_with("warning"));
    let told: Vec<_> = told.collect();
    let stray: Vec<_> = told.iter().filter(|line| !parts.iter().any(|part| line.contains(part))).collect();
    assert!(stray.is_empty(), "{name}: {stray:#?}\n{text}{stderr}");
    let first = parts.first();
    assert!(
        first.is_none_or(|part| told.iter().any(|line| line.contains(part))),
        "{name}: {first:?}\n{text}{stderr}"
    );
}

/// Starts this test in a network of its own.
fn networked(folder: &Path, number: usize) -> Child {
    let hosts = folder.join(format!("hosts{number}"));
    fs::write(&hosts, "").expect("a small file");
    let log = fs::File::create(folder.join(format!("log{number}"))).expect("a file");
    let script = format!(
        "set -e; mount --bind {hosts} /etc/hosts; ip link set lo up; for address in {HERE}/32 {ELSEWHERE}/32; do ip address \
         add $address dev lo; done; ip address add {HERE_V6}/128 dev lo nodad; exec {program} --exact {TEST} --nocapture",
        hosts = hosts.display(),
        program = std::env::current_exe().expect("this binary").display(),
    );
    Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .env(PART, number.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn()
        .expect("unshare is there")
}

#[test]
fn e19_doctor_names_the_cause_and_the_remedy() {
    if let Ok(number) = std::env::var(PART) {
        return play(number.parse().expect("a number"));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let can = Command::new("unshare").args(["--net", "--mount", "ip", "link", "set", "lo", "up"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return not_tested("broken set-ups of HTTPS: only root can make a network, with unshare and ip");
    }
    let mut wrong = Vec::new();
    // A few at once: each waits for its server most of the time.
    let numbers: Vec<usize> = (0..SET_UPS.len()).collect();
    for some in numbers.chunks(4) {
        let children: Vec<_> =
            some.iter().map(|number| (*number, networked(folder.path(), *number))).collect();
        for (number, mut child) in children {
            if !child.wait().expect("a child of ours").success() {
                let log = fs::read_to_string(folder.path().join(format!("log{number}"))).unwrap_or_default();
                wrong.push(format!("{}:\n{log}", SET_UPS[number].0));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
