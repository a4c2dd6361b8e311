//! `waypost demo`, as a person starts it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::http::Client;

/// A demo that runs.
pub(super) struct Demo {
    child: Child,
    folder: TempDir,
    /// `http://localhost:PORT`.
    pub(super) url: String,
    pub(super) key: String,
}

impl Demo {
    /// Starts a demo with this number of visits, and waits until it serves them.
    pub(super) fn start(visits: u32) -> Demo {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_waypost"))
            .args(["demo", "--visits", &visits.to_string()])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut line = |begin: &str| loop {
            let line = lines.next().expect("more lines").expect("text");
            if let Some((_, rest)) = line.split_once(begin) {
                break rest.trim().to_owned();
            }
        };
        let (dashboard, key) = (line("dashboard"), line("API key"));
        let url = dashboard.strip_suffix("/admin").expect("the address of the dashboard").to_owned();
        Demo { child, folder, url, key }
    }

    fn admin(&self) -> Client {
        let (_, port) = self.url.rsplit_once(':').expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
        Client::new(address, &format!("localhost:{port}")).with_key(&self.key)
    }

    /// Asks it to stop, and returns whether it succeeded and left nothing.
    pub(super) fn stop(&mut self) -> bool {
        let pid = i32::try_from(self.child.id()).expect("a number of a process");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a signal");
        let is_done = self.child.wait().expect("an end").success();
        is_done && std::fs::read_dir(self.folder.path()).expect("the folder").count() == 0
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Of a test that failed: one that passed has stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_has_links_and_a_month_of_visits_and_leaves_nothing() {
    let mut demo = Demo::start(2_500);
    let mut admin = demo.admin();
    assert_eq!(admin.get("/api/v1/links").json()["total"], 13);
    let answer = admin.get("/api/v1/analytics?groupBy=time&interval=30d").json();
    let days = answer["analytics"].as_array().expect("rows").iter();
    let busy = days.filter(|day| day["clicks"].as_u64() > Some(0)).count();
    assert!(busy >= 25, "{answer}");
    let countries = admin.get("/api/v1/analytics?groupBy=country").json();
    assert_eq!(countries["analytics"][0]["country"], "DE");
    drop(admin);
    assert!(demo.stop(), "it succeeds, and removes its folder");
}
