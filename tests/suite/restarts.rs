//! Restarts that no visitor notices: at SIGUSR2 in the same process, and with sockets of a supervisor.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::app::{HOST, KEY};
use crate::support::http::{Client, Connection};
use crate::support::process::{PATIENCE, Plan, Process, not_tested, poll, unused_address};
use crate::support::tls::Authority;

/// The line of a server that is ready.
const READY: &str = "Waypost started";

/// Sends SIGUSR2 and waits until the next program is ready.
fn restart(server: &Process) {
    let before = server.stderr().matches(READY).count();
    server.signal(Signal::USR2);
    await_start(server, before + 1);
}

fn await_start(server: &Process, count: usize) {
    poll("the next start", PATIENCE, || (server.stderr().matches(READY).count() >= count).then_some(()));
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_waypost"))
}

/// A copy of the binary, which a test can replace.
fn copied(folder: &TempDir) -> PathBuf {
    let copy = folder.path().join("waypost");
    fs::copy(binary(), &copy).expect("room for a copy");
    copy
}

/// Replaces a file as an installation does: under a running program, its content cannot be written.
fn replace(path: &Path, by: impl FnOnce(&Path)) {
    let beside = path.with_extension("new");
    by(&beside);
    fs::rename(&beside, path).expect("replaced");
}

/// A visit on a connection of its own. Returns the status, or what the visitor notices.
fn visit(address: SocketAddr) -> Result<u16, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
    visit_by(&mut stream)
}

fn visit_by(stream: &mut (impl Read + Write)) -> Result<u16, String> {
    let request = format!("GET /spring HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| format!("send: {error}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| format!("receive: {error}"))?;
    answer.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(|| format!("no answer: {answer:?}"))
}

/// Visitors who open a connection for each visit, until they are stopped.
struct Visitors {
    threads: Vec<JoinHandle<Vec<String>>>,
    visits: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Visitors {
    fn start(address: SocketAddr) -> Visitors {
        let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let work = |stop: Arc<AtomicBool>, visits: Arc<AtomicUsize>| {
            move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match visit(address) {
                        Ok(302) => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    visits.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(4));
                }
                failed
            }
        };
        let start = |_| std::thread::spawn(work(Arc::clone(&stop), Arc::clone(&visits)));
        let threads = (0..3).map(start).collect();
        Visitors { threads, visits, stop }
    }

    /// Returns after some more visits.
    fn await_visits(&self) {
        let before = self.visits.load(Ordering::Relaxed);
        poll("more visits", PATIENCE, || (self.visits.load(Ordering::Relaxed) > before + 10).then_some(()));
    }

    /// Returns the number of visits. Panics if one failed.
    #[track_caller]
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let failed: Vec<_> =
            self.threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        let visits = self.visits.load(Ordering::Relaxed);
        assert!(failed.is_empty(), "{} of {visits} visits failed: {:?}", failed.len(), failed.first());
        visits
    }
}

fn spring(server: &Process) -> String {
    let link = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "spring"}));
    link["id"].as_str().expect("an id").to_owned()
}

/// E16: visitors on new connections during restarts in place.
#[test]
fn e16_no_visit_fails_while_the_server_starts_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    let (id, process) = (spring(&server), server.id());
    let visitors = Visitors::start(server.address());
    for _ in 0..3 {
        visitors.await_visits();
        restart(&server);
    }
    visitors.await_visits();
    let visits = visitors.end();
    assert_eq!(fs::read_to_string(format!("/proc/{process}/comm")).expect("it runs"), "waypost\n");
    // Each visit was counted once.
    assert_eq!(server.admin().clicks(&id), visits as u64);
    server.stop();
}

/// The sockets of a stopped server are closed, also those that several restarts have passed on.
#[test]
fn a_stop_after_restarts_refuses_connections() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).patient().start();
    restart(&server);
    restart(&server);
    let address = server.address();
    // A request in progress keeps the server.
    let mut upload = begin_upload(address);
    server.signal(Signal::TERM);
    poll("a refused connection", PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
    assert!(server.is_running());
    upload.send(b"}").expect("sent");
    assert_eq!(upload.receive(false).expect("an answer").map(|answer| answer.status), Some(201));
    assert!(server.ends("the stop").success());
}

/// Begins a request to create a link. Its body lacks the last byte, and the server waits for it.
fn begin_upload(address: SocketAddr) -> Connection {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let body = "{\"url\":\"https://e.test/\"}";
    let mut upload = Connection::open(address).expect("open");
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    upload.send(head.as_bytes()).expect("sent");
    assert_eq!(upload.take(CONTINUE.len()).expect("an answer"), CONTINUE.as_bytes());
    upload.send(&body.as_bytes()[..body.len() - 1]).expect("sent");
    upload
}

#[test]
fn a_request_in_progress_finishes_before_the_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    let mut upload = begin_upload(server.address());
    server.signal(Signal::USR2);
    poll("the restart", PATIENCE, || server.stderr().contains("starting again").then_some(()));
    upload.send(b"}").expect("sent");
    assert_eq!(upload.receive(false).expect("an answer").map(|answer| answer.status), Some(201));
    await_start(&server, 2);
    server.stop();
}

/// A client that never finishes its request delays the visitors by two seconds, and not by `http.drain_timeout`.
#[test]
fn a_stalled_request_delays_a_restart_by_two_seconds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).patient().start();
    let mut upload = begin_upload(server.address());
    restart(&server);
    assert!(upload.is_closed());
    assert!(server.stderr().contains("connections were cut"), "{}", server.stderr());
    server.stop();
}

/// Browsers connect ahead of a request. Such a connection is closed, and cut by no deadline.
#[test]
fn a_silent_connection_does_not_hold_up_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).patient().start();
    let mut silent = Connection::open(server.address()).expect("open");
    restart(&server);
    assert!(silent.is_closed());
    assert!(!server.stderr().contains("connections were cut"), "{}", server.stderr());
    server.stop();
}

#[test]
fn sigterm_during_a_restart_stops() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).patient().start();
    let _upload = begin_upload(server.address());
    server.signal(Signal::USR2);
    poll("the restart", PATIENCE, || server.stderr().contains("starting again").then_some(()));
    server.signal(Signal::TERM);
    assert!(server.ends("the stop").success());
    assert!(server.stderr().contains("stopping instead"), "{}", server.stderr());
}

/// Whatever is wrong with the next program or its settings, the old one continues.
#[test]
fn a_broken_upgrade_stops_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = copied(&folder);
    let data = folder.path().join("data");
    let config = folder.path().join("waypost.toml");
    fs::write(&config, "").expect("a small file");
    let mut server = Plan::on(&data).arg("--config").arg(&config.display().to_string()).of(&program).start();
    spring(&server);
    fs::write(&config, "[http]\nmax_body = 1\n").expect("a small file");
    refused(&mut server, "`http.max_body` = 1: must be at least 1024");
    fs::write(&config, "").expect("a small file");
    replace(&program, |path| fs::write(path, "no program").expect("a small file"));
    refused(&mut server, "cannot run ");
    replace(&program, |path| {
        fs::write(path, "#!/bin/sh\necho a library is missing >&2\nexit 127\n").expect("a small file");
        make_executable(path);
    });
    refused(&mut server, "a library is missing");
    // A program that ignores its arguments, and accepts everything.
    replace(&program, |path| {
        fs::write(path, "#!/bin/sh\necho waypost\n").expect("a small file");
        make_executable(path);
    });
    refused(&mut server, "it is another program");
    fs::remove_file(&program).expect("removed");
    refused(&mut server, "cannot run ");
    // Repaired, the next signal starts the new file.
    replace(&program, |path| {
        fs::copy(binary(), path).expect("room for a copy");
    });
    restart(&server);
    let running = fs::read_link(server.proc("exe")).expect("it runs");
    assert_eq!(running, program, "not the removed file");
    assert_eq!(visit(server.address()), Ok(302));
    server.stop();
}

/// An installation may still have the file open when the signal comes.
#[test]
fn a_program_that_is_still_written_is_waited_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = copied(&folder);
    let server = Plan::on(&folder.path().join("data")).of(&program).start();
    spring(&server);
    replace(&program, |path| {
        fs::copy(binary(), path).expect("room for a copy");
    });
    let writing = File::options().append(true).open(&program).expect("no process runs it yet");
    server.signal(Signal::USR2);
    // Longer than the check takes to fail, and much shorter than the wait.
    std::thread::sleep(Duration::from_millis(300));
    drop(writing);
    await_start(&server, 2);
    assert_eq!(visit(server.address()), Ok(302));
    server.stop();
}

/// Sends SIGUSR2 to a server that must refuse to start again, with this reason.
#[track_caller]
fn refused(server: &mut Process, want: &str) {
    refused_at(server, server.address(), want);
}

#[track_caller]
fn refused_at(server: &mut Process, address: SocketAddr, want: &str) {
    let before = server.stderr().matches("the restart is refused").count();
    server.signal(Signal::USR2);
    poll("the refusal", PATIENCE, || {
        (server.stderr().matches("the restart is refused").count() > before).then_some(())
    });
    let said = server.stderr();
    // The last line: a row of a table may expect the same sentence as the one before.
    let last = said.lines().rfind(|line| line.contains("the restart is refused")).unwrap_or_default();
    assert!(last.contains(want), "{want}: {last}");
    assert_eq!(visit(address), Ok(302), "{want}");
    assert!(server.is_running());
}

/// The next program must be able to use all files that the settings name, not only their paths.
#[test]
fn an_unusable_file_of_a_setting_refuses_the_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("waypost.toml");
    let files = Authority::new().issue(folder.path(), &[HOST]);
    let listen = unused_address();
    let text = format!(
        "[https]\nlisten = \"{listen}\"\nauthority = \"https://127.0.0.1:1/directory\"\n\
         certificates = [{{ chain = \"{}\", key = \"{}\" }}]\n",
        files.chain.display(),
        files.key.display()
    );
    let write = |more: &str| fs::write(&config, format!("{more}{text}")).expect("a small file");
    write("");
    let plan = || {
        Plan::on(&folder.path().join("data"))
            .arg("--config")
            .arg(&config.display().to_string())
            .env("WAYPOST_PUBLIC_URL", &format!("https://{HOST}"))
    };
    let mut server = plan().start();
    spring(&server);
    let mut both = |want: &str| {
        let (code, stdout, stderr) = plan().arg("--check").fails();
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(want), "{stderr}");
        refused(&mut server, want);
    };
    let key = fs::read(&files.key).expect("a key");
    fs::write(&files.key, KeyPair::generate().expect("a key").serialize_pem()).expect("a small file");
    both(&format!("the key in {} is not the key of the certificate", files.key.display()));
    fs::remove_file(&files.key).expect("removed");
    both(&format!("cannot read {}: No such file", files.key.display()));
    fs::write(&files.key, key).expect("a small file");
    // Without `domain`, no authority is asked.
    let roots = folder.path().join("roots.pem");
    let text = text.clone() + &format!("authority_roots = \"{}\"\n", roots.display());
    fs::write(&config, format!("domain = \"{HOST}\"\n{text}")).expect("a small file");
    both(&format!(
        "cannot read {}: No such file or directory (os error 2). `https.authority_roots` names the file",
        roots.display()
    ));
    fs::write(&roots, Authority::new().pem()).expect("a small file");
    restart(&server);
    assert_eq!(visit(server.address()), Ok(302));
    server.stop();
}

/// A server whose configuration is a named pipe, so that a start waits where a test can act.
struct Waiting {
    server: Process,
    pipe: PathBuf,
    _folder: TempDir,
}

impl Waiting {
    fn start() -> Waiting {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("waypost.toml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let plan = Plan::on(&folder.path().join("data"))
            .arg("--config")
            .arg(&pipe.display().to_string())
            // Otherwise the program executes itself once and reads the configuration twice.
            .env("MALLOC_ARENA_MAX", "2");
        let mut server = plan.spawn();
        drop(reader(&pipe));
        server.serves().expect("a valid configuration");
        Waiting { server, pipe, _folder: folder }
    }

    /// Sends SIGUSR2. Returns once the next program waits for its configuration, in the time before its handlers.
    fn restart(&self) -> File {
        self.server.signal(Signal::USR2);
        // Of the check.
        drop(reader(&self.pipe));
        poll("the restart", PATIENCE, || self.server.stderr().contains("starting again").then_some(()));
        reader(&self.pipe)
    }
}

/// Returns the other end of a pipe once a program reads it. The program gets an empty file when the result is dropped.
fn reader(pipe: &Path) -> File {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    poll("a reader", PATIENCE, || File::options().write(true).custom_flags(flags).open(pipe).ok())
}

/// Between an exec and the first handler, signals have their default, which ends the program.
#[test]
fn signals_during_a_restart_wait_for_the_next_program() {
    let mut waiting = Waiting::start();
    let configuration = waiting.restart();
    for signal in [Signal::USR2, Signal::HUP, Signal::USR1] {
        waiting.server.signal(signal);
    }
    drop(configuration);
    poll("the next start", PATIENCE, || {
        assert!(waiting.server.is_running(), "{}", waiting.server.stderr());
        (waiting.server.stderr().matches(READY).count() == 2).then_some(())
    });
    waiting.server.stop();
}

/// A clean stop, also between two programs.
#[test]
fn sigterm_between_two_programs_stops() {
    let mut waiting = Waiting::start();
    let configuration = waiting.restart();
    waiting.server.signal(Signal::TERM);
    drop(configuration);
    let code = waiting.server.ends("the stop").code();
    assert_eq!(code, Some(0), "{}", waiting.server.stderr());
}

/// As a script that repeats its signal until the new version answers.
#[test]
fn a_storm_of_signals_ends_no_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).start();
    let end = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < end {
        for signal in [Signal::USR2, Signal::HUP, Signal::USR1] {
            assert!(server.is_running(), "{}", server.stderr());
            server.signal(signal);
            std::thread::sleep(Duration::from_micros(500));
        }
    }
    assert_eq!(visit(server.address()), Ok(404));
    let starts = server.stderr().matches(READY).count();
    assert!(starts > 2 && server.is_running(), "{starts}");
    server.stop();
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
}

/// A new version that is installed at the place of a symbolic link runs after the restart.
#[test]
fn a_symbolic_link_leads_to_the_next_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [old, new] = ["old", "new"].map(|name| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("a folder");
        fs::copy(binary(), path.join("waypost")).expect("room for a copy");
        path.join("waypost")
    });
    let link = folder.path().join("waypost");
    std::os::unix::fs::symlink(&old, &link).expect("a link");
    let server = Plan::on(&folder.path().join("data")).of(&link).start();
    replace(&link, |path| std::os::unix::fs::symlink(&new, path).expect("a link"));
    restart(&server);
    assert_eq!(fs::read_link(server.proc("exe")).expect("it runs"), new);
    server.stop();
}

/// A loss is accepted for one start.
#[test]
fn a_restart_does_not_accept_a_loss_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).arg("--accept-loss").start();
    restart(&server);
    let line = fs::read(server.proc("cmdline")).expect("it runs");
    assert!(!String::from_utf8_lossy(&line).contains("accept-loss"));
    server.stop();
}

/// The addresses to listen on are settings, which a restart reads again.
#[test]
fn a_restart_listens_where_the_settings_say() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("waypost.toml");
    let addresses = [unused_address(), unused_address()];
    let write =
        |address: SocketAddr| fs::write(&config, format!("listen = \"{address}\"\n")).expect("a file");
    write(addresses[0]);
    let server = Plan::on(&folder.path().join("data"))
        .listen_in_file(true)
        .arg("--config")
        .arg(&config.display().to_string())
        .start();
    spring(&server);
    write(addresses[1]);
    restart(&server);
    assert_eq!(visit(addresses[1]), Ok(302));
    let refused = visit(addresses[0]).expect_err("closed");
    assert!(refused.starts_with("connect: "), "{refused}");
    let said = server.stderr();
    assert!(said.contains(&format!("{} is no longer listened on", addresses[0])), "{said}");
    // The old socket has the port of the new one until it is closed.
    write(SocketAddr::from(([0, 0, 0, 0], addresses[1].port())));
    let before = server.stderr().matches(READY).count();
    server.signal(Signal::USR2);
    await_start(&server, before + 1);
    assert_eq!(visit(addresses[1]), Ok(302));
    server.stop();
}

/// Whatever a changed setting lacks, the server that serves now finds it, and goes on.
#[test]
fn what_the_next_program_could_not_use_refuses_the_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = folder.path().join("waypost.toml");
    let files = Authority::new().issue(folder.path(), &[HOST]);
    let (http, https, data) = (unused_address(), unused_address(), at("data"));
    let write = |http: &str, https: &str, data: &str| {
        let text = format!(
            "listen = \"{http}\"\ndata_dir = \"{data}\"\n[https]\nlisten = \"{https}\"\n\
             certificates = [{{ chain = \"{}\", key = \"{}\" }}]\n",
            files.chain.display(),
            files.key.display()
        );
        fs::write(&config, text).expect("a small file");
    };
    let (http, https) = (http.to_string(), https.to_string());
    write(&http, &https, &data);
    // Without the right to bind ports below 1024, also as root.
    let mut server = Plan::on(folder.path())
        .without("WAYPOST_DATA_DIR")
        .env("WAYPOST_PUBLIC_URL", &format!("https://{HOST}"))
        .listen_in_file(true)
        .arg("--config")
        .arg(&config.display().to_string())
        .below("setpriv", &["--bounding-set", "-net_bind_service"])
        .start();
    spring(&server);
    let taken = TcpListener::bind(unused_address()).expect("a free port");
    let taken_address = taken.local_addr().expect("bound").to_string();
    // The port of the server itself, at an address of another program.
    let port = server.address().port();
    let _neighbour = TcpListener::bind(("127.0.0.9", port)).expect("a free port");
    let socket = at("taken.sock");
    let _socket = UnixListener::bind(&socket).expect("a socket");
    let _other = Plan::on(&folder.path().join("other")).start();
    fs::create_dir_all(at("cut/log.restoring")).expect("a folder");
    fs::write(at("file"), "").expect("a small file");
    let in_use = "Address already in use (os error 98). Another program listens there";
    let rows = [
        (&taken_address, &https, &data, in_use),
        (&http, &taken_address, &data, in_use),
        (&format!("0.0.0.0:{port}"), &https, &data, in_use),
        (&format!("[::]:{port}"), &https, &data, in_use),
        (&"192.0.2.1:8080".to_owned(), &https, &data, "No interface of this machine has this address"),
        (&http, &"[2001:db8::1]:8443".to_owned(), &data, "cannot listen on [2001:db8::1]:8443: "),
        (&"127.0.0.1:81".to_owned(), &https, &data, "Ports below 1024 need a capability"),
        (&format!("unix:{socket}"), &https, &data, in_use),
        (&format!("unix:{}", at("no/w.sock")), &https, &data, "its folder does not exist"),
        (&http, &https, &at("other"), "is already in use by another waypost"),
        (&http, &https, &at("cut"), "a restore into"),
        (&http, &https, &at("file"), "it exists and is no folder"),
    ];
    for (next_http, next_https, next_data, want) in rows {
        write(next_http, next_https, next_data);
        refused(&mut server, want);
    }
    // Nothing stays bound of a refused restart, although its first address was free.
    let free = unused_address().to_string();
    write(&free, &taken_address, &data);
    refused(&mut server, in_use);
    assert!(TcpStream::connect(&free).is_err(), "a visitor would wait for ever");
    drop(taken);
    write(&taken_address, &https, &data);
    restart(&server);
    assert_eq!(visit(taken_address.parse().expect("an address")), Ok(302));
    server.stop();
}

/// Between the check and the next start, visitors of the new address wait as those of the old one do.
#[test]
fn a_new_address_is_bound_before_the_old_program_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("waypost.toml");
    let [old, new] = [unused_address(), unused_address()];
    let write =
        |address: SocketAddr| fs::write(&config, format!("listen = \"{address}\"\n")).expect("a file");
    write(old);
    let server = Plan::on(&folder.path().join("data"))
        .listen_in_file(true)
        .arg("--config")
        .arg(&config.display().to_string())
        .start();
    spring(&server);
    // A request in progress keeps the old program for two seconds.
    let _upload = begin_upload(old);
    write(new);
    server.signal(Signal::USR2);
    poll("the restart", PATIENCE, || server.stderr().contains("starting again").then_some(()));
    assert_eq!(server.stderr().matches(READY).count(), 1, "the old program still drains");
    assert_eq!(visit(new), Ok(302));
    await_start(&server, 2);
    server.stop();
}

/// The file of a Unix socket stays during a restart, and goes with a stop.
#[test]
fn a_unix_socket_outlives_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("w.sock");
    let server = Plan::on(&folder.path().join("data")).listen(&format!("unix:{}", socket.display())).spawn();
    await_start(&server, 1);
    for count in 2..4 {
        server.signal(Signal::USR2);
        let mut stream = UnixStream::connect(&socket).expect("queued");
        assert_eq!(visit_by(&mut stream), Ok(404));
        await_start(&server, count);
    }
    server.stop();
    assert!(!socket.exists());
}

/// Starts the server as systemd does for a socket unit.
fn activated(data: &Path, listen: &str, address: SocketAddr) -> Plan {
    let names = ["WAYPOST_DATA_DIR", "WAYPOST_LISTEN", "WAYPOST_PUBLIC_URL", "WAYPOST_ADMIN_KEY"];
    let listening = address.to_string();
    let mut words = vec!["--listen", &listening];
    for name in names {
        words.extend(["-E", name]);
    }
    Plan::on(data).listen(listen).below("systemd-socket-activate", &words)
}

fn has_socket_activate() -> bool {
    let found = std::process::Command::new("systemd-socket-activate").arg("--version").output().is_ok();
    if !found {
        not_tested("sockets of systemd: systemd-socket-activate is not installed");
    }
    found
}

#[test]
fn a_socket_of_systemd_serves_visitors_and_outlives_the_server() {
    if !has_socket_activate() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = unused_address();
    let server = activated(folder.path(), &address.to_string(), address).spawn();
    // The first visitor starts the server, and gets no 503.
    let status = poll("a socket", PATIENCE, || TcpStream::connect(address).ok()).and_visit();
    assert_eq!(status, Ok(404));
    await_start(&server, 1);
    let visitor = || Client::new(address, HOST).with_key(KEY);
    visitor().create(&json!({"url": "https://e.test/", "customSlug": "spring"}));
    let visitors = Visitors::start(address);
    for _ in 0..2 {
        visitors.await_visits();
        restart(&server);
    }
    visitors.await_visits();
    visitors.end();
    server.stop();
}

/// The next program would refuse the socket, and nothing would serve until the units are repaired.
#[test]
fn a_socket_of_systemd_that_changed_settings_lack_refuses_the_restart() {
    if !has_socket_activate() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("waypost.toml");
    let (address, other) = (unused_address(), unused_address());
    let write =
        |address: SocketAddr| fs::write(&config, format!("listen = \"{address}\"\n")).expect("a file");
    write(address);
    let listening = address.to_string();
    let mut words = vec!["--listen", &listening];
    for name in ["WAYPOST_DATA_DIR", "WAYPOST_PUBLIC_URL", "WAYPOST_ADMIN_KEY"] {
        words.extend(["-E", name]);
    }
    let mut server = Plan::on(&folder.path().join("data"))
        .listen_in_file(true)
        .arg("--config")
        .arg(&config.display().to_string())
        .below("systemd-socket-activate", &words)
        .spawn();
    assert_eq!(poll("a socket", PATIENCE, || TcpStream::connect(address).ok()).and_visit(), Ok(404));
    await_start(&server, 1);
    Client::new(address, HOST)
        .with_key(KEY)
        .create(&json!({"url": "https://e.test/", "customSlug": "spring"}));
    write(other);
    refused_at(
        &mut server,
        address,
        &format!("the socket {address} was handed over by LISTEN_FDS, and no setting listens on it"),
    );
    write(address);
    restart(&server);
    assert_eq!(visit(address), Ok(302));
    server.stop();
}

trait AndVisit {
    fn and_visit(self) -> Result<u16, String>;
}

impl AndVisit for TcpStream {
    fn and_visit(mut self) -> Result<u16, String> {
        visit_by(&mut self)
    }
}

#[test]
fn a_socket_that_no_setting_names_stops_the_start() {
    if !has_socket_activate() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (address, other) = (unused_address(), unused_address());
    let mut server = activated(folder.path(), &other.to_string(), address).spawn();
    poll("a socket", PATIENCE, || TcpStream::connect(address).ok());
    assert_eq!(server.ends("the refused start").code(), Some(2));
    let said = server.stderr();
    let want = format!("the socket {address} was handed over by LISTEN_FDS, and no setting listens on it");
    assert!(said.contains(&want) && said.contains(&format!("they listen on {other}")), "{said}");
    assert!(!folder.path().join("log").exists(), "a refused start leaves nothing");
}

/// The port of the socket is that of the setting, so a bind would find it in use.
#[test]
fn a_socket_of_more_addresses_than_the_setting_stops_the_start() {
    if !has_socket_activate() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = unused_address();
    let all = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let mut server = activated(folder.path(), &address.to_string(), all).spawn();
    poll("a socket", PATIENCE, || TcpStream::connect(address).ok());
    let code = server.ends("the refused start").code();
    let said = server.stderr();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("the socket {all} was handed over by LISTEN_FDS")), "{said}");
}

/// Receives the messages of a server to its supervisor.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    fn listen(folder: &TempDir) -> Supervisor {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Supervisor { socket, path }
    }

    /// Returns the next message that is not a report of the watchdog.
    fn next(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    fn any(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

#[test]
fn a_supervisor_is_notified_of_each_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let supervisor = Supervisor::listen(&folder);
    let server = Plan::on(&folder.path().join("data"))
        .env("NOTIFY_SOCKET", &supervisor.path.display().to_string())
        .env("WATCHDOG_USEC", "200000")
        .start();
    let first = supervisor.next();
    assert!(first.starts_with("READY=1\nSTATUS=serving since 20"), "{first}");
    for _ in 0..5 {
        assert_eq!(supervisor.any(), "WATCHDOG=1\n", "a server that works reports it");
    }
    server.signal(Signal::USR2);
    let reloading = supervisor.next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    let second = supervisor.next();
    assert!(second.starts_with("READY=1\nSTATUS=serving since 20") && second != first, "{second}");
    assert_eq!(supervisor.any(), "WATCHDOG=1\n");
    server.signal(Signal::TERM);
    assert_eq!(supervisor.next(), "STOPPING=1\n");
    server.stop();
}

/// A signal has no answer: `setup` and `systemctl status` read the refusal in the status.
#[test]
fn a_refused_restart_is_in_the_status_for_the_supervisor() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let supervisor = Supervisor::listen(&folder);
    let config = folder.path().join("waypost.toml");
    fs::write(&config, "").expect("a small file");
    let server = Plan::on(&folder.path().join("data"))
        .arg("--config")
        .arg(&config.display().to_string())
        .env("NOTIFY_SOCKET", &supervisor.path.display().to_string())
        .start();
    assert!(supervisor.next().starts_with("READY=1\n"));
    fs::write(&config, "[http]\nmax_body = 1\n").expect("a small file");
    server.signal(Signal::USR2);
    assert!(supervisor.next().starts_with("RELOADING=1\n"));
    let refused = supervisor.next();
    let start = "READY=1\nSTATUS=the restart is refused, and this program continues (20";
    assert!(refused.starts_with(start) && refused.contains("`http.max_body` = 1"), "{refused}");
    assert_eq!(refused.lines().count(), 2, "{refused}");
    server.stop();
}

/// A watchdog of another process is not ours to report to.
#[test]
fn a_watchdog_of_another_process_gets_no_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let supervisor = Supervisor::listen(&folder);
    let server = Plan::on(&folder.path().join("data"))
        .env("NOTIFY_SOCKET", &supervisor.path.display().to_string())
        .env("WATCHDOG_USEC", "20000")
        .env("WATCHDOG_PID", "1")
        .start();
    let ready = supervisor.any();
    assert!(ready.starts_with("READY=1\nSTATUS=serving since 20"), "{ready}");
    assert_eq!(visit(server.address()), Ok(404));
    server.signal(Signal::TERM);
    assert_eq!(supervisor.any(), "STOPPING=1\n");
    server.stop();
}

/// In the journal each line has its priority and no time. A redirected stderr is no journal.
#[test]
fn lines_of_the_journal_have_priorities() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = folder.path().join("lines");
    fs::write(&lines, "").expect("a small file");
    let found = fs::metadata(&lines).expect("a file");
    let line = format!("exec \"$@\" 2>>{}", lines.display());
    let run = |journal: &str, data: &str, format: &str| {
        fs::write(&lines, "").expect("emptied");
        let server = Plan::on(&folder.path().join(data))
            .env("JOURNAL_STREAM", journal)
            .env("WAYPOST_LOG_FORMAT", format)
            .below("sh", &["-c", &line, "sh"])
            .start();
        server.stop();
        fs::read_to_string(&lines).expect("the lines")
    };
    let journal = format!("{}:{}", found.dev(), found.ino());
    let said = run(&journal, "a", "text");
    assert!(said.lines().count() > 1 && said.lines().all(|line| line.starts_with("<6> INFO ")), "{said}");
    let said = run(&journal, "b", "json");
    assert!(said.lines().all(|line| line.starts_with("<6>{\"timestamp\":")), "{said}");
    let said = run(&format!("{}:1", found.dev()), "c", "text");
    assert!(said.lines().all(|line| line.starts_with("20")), "{said}");
}
