//! Separate networks with a cloud's metadata service, and a name server whose responses change. They need
//! root and `ip netns`; otherwise the test prints that it did not run.
//!
//! The test runs itself twice more inside the networks: as the outside world, and on the server's machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::http::text;
use crate::support::process::{PATIENCE, Plan, not_tested, poll};

/// Selects the role of a run inside the networks.
const PART: &str = "WAYPOST_TEST_PART";

/// The file that records connections from the server, one line each.
const NOTES: &str = "WAYPOST_TEST_NOTES";

/// The metadata address of clouds. It serves credentials, among others.
const METADATA: [u8; 4] = [169, 254, 169, 254];

/// A public address, here the receiver's.
const GLOBAL: [u8; 4] = [9, 9, 9, 9];

/// The world and the server's machine: two networks connected by a link, removed when dropped.
struct Networks {
    server: String,
    world: String,
}

impl Networks {
    fn make() -> Result<Networks, String> {
        let id = std::process::id();
        let networks = Networks { server: format!("waypost-s{id}"), world: format!("waypost-w{id}") };
        let Networks { server, world } = &networks;
        let mut steps = vec![
            format!("netns add {server}"),
            format!("netns add {world}"),
            format!("link add wp0 netns {server} type veth peer name wp1 netns {world}"),
            format!("-n {server} address add 10.9.0.1/24 dev wp0"),
            format!("-n {world} address add 10.9.0.2/24 dev wp1"),
        ];
        for address in [METADATA, GLOBAL].map(Ipv4Addr::from) {
            steps.push(format!("-n {world} address add {address}/32 dev wp1"));
        }
        for (network, wire) in [(server, "wp0"), (world, "wp1")] {
            steps.push(format!("-n {network} link set lo up"));
            steps.push(format!("-n {network} link set {wire} up"));
        }
        steps.push(format!("-n {server} route add default via 10.9.0.2"));
        for step in steps {
            ip(&step.split_whitespace().collect::<Vec<_>>())?;
        }
        // `ip netns exec` mounts it over the system's file.
        let folder = format!("/etc/netns/{server}");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(format!("{folder}/resolv.conf"), "nameserver 127.0.0.1\n"))
            .map_err(|error| error.to_string())?;
        Ok(networks)
    }

    /// Returns the command that runs this test again, in this role and network.
    fn play(network: &str, part: &str, notes: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", network])
            .arg(std::env::current_exe().expect("this binary"))
            .args(["--exact", "suite::netns::t86_the_metadata_service_is_unreachable", "--nocapture"])
            .env(PART, part)
            .env(NOTES, notes);
        command
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    let said = || format!("ip {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    if ran.status.success() { Ok(()) } else { Err(said()) }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for network in [&self.server, &self.world] {
            let _ = ip(&["netns", "delete", network]);
        }
        let _ = std::fs::remove_dir_all(format!("/etc/netns/{}", self.server));
    }
}

/// Starts the name server. `both.test` has both addresses, `turns.test` first the receiver's and then the
/// metadata address, and all other names the receiver's.
fn name_server() -> Arc<AtomicUsize> {
    let socket = UdpSocket::bind("127.0.0.1:53").expect("the port of name servers");
    let asked = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            // The question alone: name, type and class.
            let name = question[12..length].iter().position(|byte| *byte == 0).expect("a name's end") + 13;
            let is_v4 = question[name..name + 2] == [0, 1];
            let named = |text: &[u8]| question[12..name].windows(text.len()).any(|part| part == text);
            let addresses = if !is_v4 {
                vec![]
            } else if named(b"both") {
                vec![GLOBAL, METADATA]
            } else if named(b"turns") && turns.fetch_add(1, Ordering::Relaxed) > 0 {
                vec![METADATA]
            } else {
                vec![GLOBAL]
            };
            let mut answer = question[..name + 4].to_vec();
            let count = u8::try_from(addresses.len()).expect("two at most");
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
            for address in addresses {
                // A pointer to the name, type A, class IN, a lifetime of zero.
                answer.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend_from_slice(&address);
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    asked
}

#[test]
fn t86_the_metadata_service_is_unreachable() {
    if let Ok(part) = std::env::var(PART) {
        let notes = PathBuf::from(std::env::var_os(NOTES).expect("where to note"));
        return if part == "world" { world(&notes) } else { server(&notes) };
    }
    if !rustix::process::geteuid().is_root() {
        not_tested("T86, the metadata service: only root can make a network");
        return;
    }
    let networks = match Networks::make() {
        Ok(networks) => networks,
        Err(why) => {
            not_tested(&format!("T86, the metadata service: no network can be made here: {why}"));
            return;
        }
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notes = folder.path().join("notes");
    let mut world = Networks::play(&networks.world, "world", &notes).spawn().expect("ip runs");
    let ran = Networks::play(&networks.server, "server", &notes).output();
    let _ = world.kill();
    let _ = world.wait();
    let ran = ran.expect("ip runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// Runs the receiver and the metadata service until killed. The first line of its output means that both
/// listen.
fn world(notes: &Path) {
    let note = |what: &str| {
        let file = File::options().create(true).append(true).open(notes);
        file.and_then(|mut file| writeln!(file, "{what}")).expect("noted");
    };
    let listen =
        |address: [u8; 4]| TcpListener::bind((Ipv4Addr::from(address), 80)).expect("its address is here");
    let (metadata, receiver) = (listen(METADATA), listen(GLOBAL));
    note("listening");
    std::thread::scope(|scope| {
        scope.spawn(|| metadata.incoming().for_each(|_| note("metadata")));
        for mut stream in receiver.incoming().flatten() {
            note("receiver");
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(
                b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
}

fn server(notes: &Path) {
    let noted = |what: &str| {
        std::fs::read_to_string(notes).unwrap_or_default().lines().filter(|line| *line == what).count()
    };
    poll("the world", PATIENCE, || (noted("listening") == 1).then_some(()));
    let asked = name_server();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(&folder.path().join("data")).start();
    let mut admin = server.admin();
    let refused = json!({"url": "https://e.test/", "webhookUrls": ["http://169.254.169.254/latest/"]});
    assert_eq!(admin.post("/api/v1/links", &refused).status, 422, "the address itself is not saved");
    let private = "the host leads into a private network";
    let rows = [
        ("http://9.9.9.9/hook", "redirects are not followed"),
        ("http://moved.test/hook", "redirects are not followed"),
        ("http://both.test/hook", private),
        ("http://turns.test/hook", "redirects are not followed"),
        ("http://turns.test/hook", private),
    ];
    let mut links: HashMap<&str, Value> = HashMap::new();
    for (row, (hook, error)) in rows.iter().enumerate() {
        let link = links.entry(hook).or_insert_with(|| {
            let code = format!("c{row}");
            admin.create(&json!({"url": "https://e.test/", "customSlug": code, "webhookUrls": [hook]}))
        });
        assert_eq!(server.visitor().get(&format!("/{}", text(link, "shortCode"))).status, 302, "{hook}");
        let path = format!("/api/v1/links/{}/deliveries", text(link, "id"));
        poll(&format!("{hook}: {error}"), PATIENCE, || {
            let all = admin.get(&path).expect(200, hook)["deliveries"].clone();
            all.as_array().expect("a list").iter().any(|one| one["error"] == *error).then_some(())
        });
    }
    assert!(asked.load(Ordering::Relaxed) >= 2, "the name was looked up anew");
    assert!(noted("receiver") >= 3, "what is allowed arrived");
    assert_eq!(noted("metadata"), 0, "nobody came to the metadata service");
    // Proof that a connection would have been recorded.
    drop(std::net::TcpStream::connect((Ipv4Addr::from(METADATA), 80)).expect("a way there"));
    poll("a note of it", PATIENCE, || (noted("metadata") == 1).then_some(()));
    server.stop();
}
