//! A clock that jumps forward and backward, by days and by years, while the server runs and across a restart.
//! Dates are compared with the current time of the clock. Deleted and used-up links stay so, no created link
//! is lost, and numbers only grow.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::clock::Timestamp;

use crate::support::app::{START, TestApp};
use crate::support::http::text;
use crate::support::process::{PATIENCE, poll};

const DAY: i64 = 24 * 60 * 60 * 1_000;
const YEAR: i64 = 365 * DAY;

/// The times of the clock, relative to the creation of the links.
const JUMPS: [i64; 13] =
    [DAY, 400 * DAY, 0, -DAY, -400 * DAY, -60 * YEAR, 0, 10 * DAY, 100 * YEAR, 9 * DAY, 7_000 * YEAR, 0, DAY];

fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(START + offset)
}

/// The links, and their expected state.
struct Known {
    /// Ids of clicked links, with the last totals.
    totals: Vec<(String, u64)>,
    /// All ids so far, in the order of creation.
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
            // Browsers may not keep a redirect beyond the link's expiry.
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
        // A new link is stored, and its id sorts after all earlier ones.
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
        // Rate limits allow and reject as before.
        for _ in 0..20 {
            assert_eq!(visitor.get("/nothing").status, 404, "{row}");
            admin.get("/api/v1/links?limit=1").expect(200, row);
        }
        app.wait(app.app().core().sweep_expired(at(offset))).expect("swept");
    }
}

/// Whether responses have this date.
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
        // Stops and crashes alternate, and the clock is set in between.
        app.clock().set(at(offset));
        app.wait(app.app().core().click_log().flush()).expect("the clicks are written");
        app = if step % 2 == 0 { app.restart() } else { app.crashed() };
        known.check(&app, offset, &row);
    }
}

/// The date of responses follows the clock when it is set back. (For forward jumps, hyper's own date
/// suffices.)
#[test]
fn t103_the_date_of_answers_goes_back_with_the_clock() {
    let app = TestApp::start();
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "plain"}));
    for offset in [-2_000, -60 * YEAR] {
        let want = at(offset).max(Timestamp::from_millis(0));
        // The new time must be visible in a response before the clock can go back visibly, and a slow machine
        // may miss it.
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

/// Keys with an expiry, rate limits and cookies: dates follow the clock, and periods are independent of it.
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
        // After many rejections, an address is limited.
        assert!(status == want || (want == 401 && status == 429), "{offset}: {status}");
    }
    // A jump neither lifts a limit nor extends it.
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
