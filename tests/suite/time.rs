//! A clock that jumps, forward and backward, by days and by years, while running and across a
//! restart. Dates decide by the clock as it stands; what was deleted or used up stays so; nothing
//! that was made is lost; numbers only grow.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::clock::Timestamp;

use crate::support::app::{START, TestApp};
use crate::support::http::text;
use crate::support::process::{PATIENCE, poll};

const DAY: i64 = 24 * 60 * 60 * 1_000;
const YEAR: i64 = 365 * DAY;

/// Where the clock goes, one after the other, from where the links are made.
const JUMPS: [i64; 13] =
    [DAY, 400 * DAY, 0, -DAY, -400 * DAY, -60 * YEAR, 0, 10 * DAY, 100 * YEAR, 9 * DAY, 7_000 * YEAR, 0, DAY];

fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(START + offset)
}

/// The links, and what is known of them.
struct Known {
    /// Ids of links that have clicks, and the totals last seen.
    totals: Vec<(String, u64)>,
    /// All ids so far, in the order in which they were made.
    ids: Vec<String>,
    made: usize,
}

impl Known {
    fn make(app: &TestApp) -> Known {
        let mut admin = app.admin();
        let mut visitor = app.visitor();
        let mut link = |body: Value| admin.create(&body);
        let date = |offset: i64| json!(at(offset).to_string());
        let plain = link(json!({"url": "https://e.test/plain", "customSlug": "plain"}));
        let expiring =
            link(json!({"url": "https://e.test/x", "customSlug": "expiring", "expiresAt": date(5 * DAY)}));
        link(json!({"url": "https://e.test/v", "customSlug": "coming", "validSince": date(5 * DAY)}));
        let used = link(json!({"url": "https://e.test/u", "customSlug": "used", "maxClicks": 2}));
        let gone = link(json!({"url": "https://e.test/d", "customSlug": "gone"}));
        link(json!({"url": "https://e.test/p", "customSlug": "secret", "password": "open sesame"}));
        for _ in 0..2 {
            assert_eq!(visitor.get("/used").status, 302);
        }
        let id = |link: &Value| text(link, "id").to_owned();
        app.admin().delete(&format!("/api/v1/links/{}", id(&gone))).expect(200, "deleted");
        let totals = vec![(id(&plain), 0), (id(&expiring), 0), (id(&used), 2)];
        Known { totals, ids: vec![id(&plain), id(&expiring), id(&used), id(&gone)], made: 0 }
    }

    fn check(&mut self, app: &TestApp, offset: i64, row: &str) {
        let (mut admin, mut visitor) = (app.admin(), app.visitor());
        let expired = offset >= 5 * DAY;
        let rows = [
            ("/plain", 302),
            ("/expiring", if expired { 410 } else { 302 }),
            ("/coming", if expired { 302 } else { 404 }),
            ("/used", 410),
            ("/gone", 404),
            ("/secret", 200),
        ];
        for (path, want) in rows {
            let answer = visitor.get(path);
            assert_eq!(answer.status, want, "{row}: {path}");
            // However far ahead it is, nobody keeps it beyond its end.
            if path == "/expiring" && want == 302 {
                assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{row}");
            }
        }
        for (id, floor) in &mut self.totals {
            let now = admin.clicks(id);
            assert!(now >= *floor, "{row}: {id} went from {floor} to {now}");
            *floor = now;
        }
        assert_eq!(self.totals[2].1, 2, "{row}: the limit holds");
        // A new link is kept, and its id sorts behind all before it.
        self.made += 1;
        let code = format!("made{}", self.made);
        let body = json!({"url": "https://e.test/m", "customSlug": code});
        let key = [("Idempotency-Key", &*code)];
        let bytes = body.to_string().into_bytes();
        let first = admin.send("POST", "/api/v1/links", &key, Some(&bytes)).expect(201, row);
        let again = admin.send("POST", "/api/v1/links", &key, Some(&bytes)).expect(201, row);
        assert_eq!(first["link"]["id"], again["link"]["id"], "{row}: done once");
        let id = text(&first["link"], "id").to_owned();
        assert!(self.ids.iter().all(|before| *before < id), "{row}: {id} sorts before another");
        self.ids.push(id);
        for number in 1..=self.made {
            assert_eq!(visitor.head(&format!("/made{number}")).status, 302, "{row}: made{number}");
        }
        // Whatever limits there are, they let through and hold as ever.
        for _ in 0..20 {
            assert_eq!(visitor.get("/nothing").status, 404, "{row}");
            admin.get("/api/v1/links?limit=1").expect(200, row);
        }
        app.wait(app.app().links().sweep(at(offset))).expect("swept");
    }
}

/// Whether answers carry this date.
fn date_is_right(app: &TestApp, now: Timestamp) -> bool {
    let want = httpdate::fmt_http_date(now.as_system_time());
    let mut visitor = app.visitor();
    ["/plain", "/nothing", "/healthz", "/api/v1/links"]
        .iter()
        .all(|path| visitor.get(path).header("date") == Some(&want))
}

#[test]
fn t103_a_clock_that_jumps_while_it_runs() {
    let app = TestApp::start();
    let mut known = Known::make(&app);
    for (step, offset) in JUMPS.into_iter().enumerate() {
        let row = format!("step {step}, {} days", offset / DAY);
        app.clock().set(at(offset));
        known.check(&app, offset, &row);
    }
}

#[test]
fn t103_a_clock_that_jumps_across_a_restart() {
    let mut app = TestApp::start();
    let mut known = Known::make(&app);
    for (step, offset) in JUMPS.into_iter().enumerate() {
        let row = format!("restart {step}, {} days", offset / DAY);
        // Stopped and crashed in turn; the clock moves meanwhile.
        app.clock().set(at(offset));
        app.wait(app.app().links().flush_clicks()).expect("the clicks are written");
        app = if step % 2 == 0 { app.restart() } else { app.crashed() };
        known.check(&app, offset, &row);
    }
}

/// The date of answers follows the clock when it is set back (forward, hyper's own does).
#[test]
fn t103_the_date_of_answers_goes_back_with_the_clock() {
    let app = TestApp::start();
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "plain"}));
    for offset in [-2_000, -60 * YEAR] {
        let want = at(offset).max(Timestamp::from_millis(0));
        // The clock must be seen there before it can be seen to go back, which a stalled machine may miss.
        poll(&format!("{offset} ms"), PATIENCE, || {
            app.clock().set(at(0));
            std::thread::sleep(Duration::from_millis(500));
            app.clock().set(at(offset));
            let is_right = |_| {
                std::thread::sleep(Duration::from_millis(100));
                date_is_right(&app, want)
            };
            (0..50).any(is_right).then_some(())
        });
    }
}

/// Keys with an end, rate limits and cookies: what has a date of its own follows the clock, what
/// counts seconds does not know it.
#[test]
fn t103_keys_and_limits_under_a_clock_that_jumps() {
    let app = TestApp::start_with(|config| config.limits.refused_per_minute = 5);
    let ends = at(5 * DAY).to_string();
    let key = app
        .admin()
        .post("/api/v1/keys", &json!({"name": "k", "expiresAt": ends, "scopes": ["links.readonly"]}))
        .expect(201, "a key");
    let secret = text(&key["key"], "secret").to_owned();
    for (offset, want) in [(0, 200), (10 * DAY, 401), (-YEAR, 200), (5 * DAY - 1, 200), (5 * DAY, 401)] {
        app.clock().set(at(offset));
        let status = app.visitor().with_key(&secret).get("/api/v1/links").status;
        // Refused often enough, an address is told to wait.
        assert!(status == want || (want == 401 && status == 429), "{offset}: {status}");
    }
    // A jump neither lifts a limit nor makes it last.
    let mut stranger = app.visitor().with_key("wp_wrong");
    let mut refuse = || (0..10).filter(|_| stranger.get("/api/v1/links").status == 429).count();
    assert!(refuse() > 0);
    for offset in [400 * DAY, -400 * DAY, 0] {
        app.clock().set(at(offset));
        assert!(refuse() > 5, "{offset}: a jump lifts no limit");
        let answer = app.visitor().with_key("wp_wrong").get("/api/v1/links");
        let wait: u64 = answer.header("retry-after").and_then(|v| v.parse().ok()).expect("a number");
        assert!(wait <= 60, "{offset}: {wait}");
    }
}
