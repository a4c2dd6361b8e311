//! `maxClicks`: exactly this number of redirects for concurrent visitors, never more after a crash, and no
//! way to bypass it.
//!
//! `WAYPOST_LIMIT_ROUNDS` makes the crash test longer, `WAYPOST_SEED` repeats the choices of a run.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Client, text};
use crate::support::process::{Dice, PATIENCE, Plan, poll};

const ROUNDS: u64 = 6;

/// Requests a link over `clients` connections until each gets 410, or until the server is gone. Returns the
/// number of redirects.
fn hammer(address: SocketAddr, clients: usize, path: &str) -> u64 {
    let redirects = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut visitor = Client::new(address, HOST);
                while let Ok(answer) = visitor.try_send("GET", path, &[], None) {
                    match answer.status {
                        302 => redirects.fetch_add(1, Ordering::Relaxed),
                        410 => break,
                        other => panic!("{path}: {other}"),
                    };
                }
            });
        }
    });
    redirects.into_inner()
}

fn limited(admin: &mut Client, code: &str, max: u64) -> Value {
    admin.create(&json!({"url": format!("https://e.test/{code}"), "customSlug": code, "maxClicks": max}))
}

#[test]
fn many_at_once_get_exactly_the_limit() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for (code, max) in [("one", 1), ("two", 2), ("hundred", 100), ("thousand", 1_000)] {
        let link = limited(&mut admin, code, max);
        assert_eq!(hammer(app.address(), 64, &format!("/{code}")), max, "{code}");
        assert_eq!(admin.clicks(text(&link, "id")), max, "{code}");
    }
}

#[test]
fn a_limit_counts_across_clean_restarts_and_evictions() {
    // The smallest cache: other links evict the limited one between its clicks.
    let mut app = TestApp::start_with(|config| {
        config.cache.max_memory = 1 << 20;
        config.clicks.flush_interval = Duration::from_millis(50);
    });
    let link = limited(&mut app.admin(), "ten", 10);
    let mut bulk = Vec::new();
    for n in 0..1_000 {
        bulk.push(
            json!({"url": format!("https://e.test/{}", "x".repeat(4_000)), "customSlug": format!("f{n}")}),
        );
    }
    app.admin().post("/api/v1/links/bulk", &json!({"links": bulk})).expect(201, "a bulk");
    for round in 0..10 {
        let mut visitor = app.visitor();
        assert_eq!(visitor.get("/ten").status, 302, "round {round}");
        assert_eq!(app.admin().clicks(text(&link, "id")), round + 1);
        match round % 3 {
            0 => app = app.restart(),
            1 => {
                for n in 0..1_000 {
                    assert_eq!(visitor.get(&format!("/f{n}")).status, 302);
                }
            }
            _ => {}
        }
    }
    assert_eq!(app.visitor().get("/ten").status, 410);
    assert_eq!(app.admin().clicks(text(&link, "id")), 10);
}

#[test]
fn a_new_limit_revives_the_link_and_counts_what_was_clicked() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = limited(&mut admin, "s", 100);
    let path = format!("/api/v1/links/{}", text(&link, "id"));
    let mut visitor = app.visitor();
    let mut patch = |max: Value| {
        admin.patch(&path, &json!({"maxClicks": max})).expect(200, "patched");
    };
    for _ in 0..10 {
        assert_eq!(visitor.get("/s").status, 302);
    }
    // Below the number of reserved clicks.
    patch(json!(11));
    assert_eq!(visitor.get("/s").status, 302);
    assert_eq!(visitor.get("/s").status, 410);
    patch(json!(5));
    assert_eq!(visitor.get("/s").status, 410);
    patch(json!(13));
    assert_eq!(hammer(app.address(), 8, "/s"), 2);
    // Without a limit all clicks are counted, and a new limit includes them.
    patch(Value::Null);
    for _ in 0..7 {
        assert_eq!(visitor.get("/s").status, 302);
    }
    patch(json!(21));
    assert_eq!(hammer(app.address(), 8, "/s"), 1);
    assert_eq!(admin.clicks(text(&link, "id")), 21);
}

#[test]
fn t53_an_uncounted_visit_to_a_limited_link_gets_no_destination() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = limited(&mut admin, "s", 2);
    let bot = ("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    let preview = ("User-Agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)");
    let rows = [
        ("HEAD", None, 200),
        ("GET", Some(("Sec-Purpose", "prefetch;prerender")), 503),
        ("GET", Some(("Purpose", "prefetch")), 503),
        ("GET", Some(bot), 403),
        ("GET", Some(preview), 403),
        ("HEAD", Some(bot), 200),
    ];
    let mut visitor = app.visitor();
    for (method, header, status) in rows {
        let headers: Vec<_> = header.into_iter().collect();
        for round in 0..5 {
            let answer = visitor.send(method, "/s", &headers, None);
            assert_eq!(answer.status, status, "{method} {header:?} {round}");
            assert!(!format!("{answer:?}").contains("e.test"), "{method} {header:?}: {answer:?}");
            assert!(answer.header("cache-control").is_some_and(|v| v.contains("no-store")), "{answer:?}");
            assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
        }
    }
    let path = format!("/api/v1/links/{}", text(&link, "id"));
    assert_eq!(admin.clicks(text(&link, "id")), 0);
    admin.patch(&path, &json!({"countBots": true})).expect(200, "patched");
    assert_eq!(visitor.send("GET", "/s", &[bot], None).status, 302, "a counted bot takes a click");
    assert_eq!(hammer(app.address(), 4, "/s"), 1);
}

#[test]
fn a_kill_wastes_a_reservation_and_never_exceeds_the_limit() {
    let rounds = std::env::var("WAYPOST_LIMIT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let (seed, mut dice) = Dice::seeded();
    for round in 0..rounds {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = || Plan::on(folder.path()).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms").start();
        let mut server = start();
        let max = [100, 100, 1_000, 10][usize::try_from(dice.below(4)).expect("an index")];
        let id = text(&limited(&mut server.admin(), "s", max), "id").to_owned();
        let clients = [4, 64][usize::try_from(dice.below(2)).expect("an index")];
        let delay = Duration::from_micros(dice.below(30_000));
        let address = server.address();
        let before = std::thread::scope(|scope| {
            let hammering = scope.spawn(|| hammer(address, clients, "/s"));
            std::thread::sleep(delay);
            server.kill();
            hammering.join().expect("no client panicked")
        });
        let server = start();
        let after = hammer(server.address(), 16, "/s");
        let sum = before + after;
        let wasted = (max / 16).clamp(1, 64);
        // Redirects that the kill cut off are counted as well: at most one per connection.
        let cut = clients as u64;
        let what = format!("seed {seed} round {round}: {before} + {after} redirects of {max}");
        assert!(sum <= max, "{what}");
        assert!(sum + wasted + cut >= max, "{what}");
        assert_eq!(server.visitor().get("/s").status, 410);
        poll("the count", PATIENCE, || (server.admin().clicks(&id) == max).then_some(()));
    }
}
