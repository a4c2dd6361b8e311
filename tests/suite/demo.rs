//! `waypost demo`, as a person starts it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::http::Client;

#[test]
fn the_demo_has_links_and_a_month_of_visits_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .args(["demo", "--visits", "2500"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines();
    let mut line = |begin: &str| loop {
        let line = lines.next().expect("more lines").expect("text");
        if let Some((_, rest)) = line.split_once(begin) {
            break rest.trim().to_owned();
        }
    };
    let (dashboard, key) = (line("dashboard"), line("API key"));
    let port: u16 = dashboard
        .strip_suffix("/admin")
        .and_then(|url| url.rsplit(':').next())
        .and_then(|port| port.parse().ok())
        .expect(&dashboard);
    let mut admin =
        Client::new(SocketAddr::from(([127, 0, 0, 1], port)), &format!("localhost:{port}")).with_key(&key);
    assert_eq!(admin.get("/api/v1/links").json()["total"], 13);
    let answer = admin.get("/api/v1/analytics?groupBy=time&interval=30d").json();
    let days = answer["analytics"].as_array().expect("rows").iter();
    let busy = days.filter(|day| day["clicks"].as_u64() > Some(0)).count();
    assert!(busy >= 25, "{answer}");
    let countries = admin.get("/api/v1/analytics?groupBy=country").json();
    assert_eq!(countries["analytics"][0]["country"], "DE");
    kill(Pid::from_raw(i32::try_from(demo.id()).expect("a number of a process")), Signal::SIGTERM)
        .expect("a signal");
    assert!(demo.wait().expect("an end").success());
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
