//! Links with a password: the page, the form, the cookie, and the limits of guesses.

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Answer, Client, Connection, text};
use crate::support::native::path_of;
use crate::support::process::{PATIENCE, Plan, poll};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A visitor who sends forms.
fn try_password(visitor: &mut Client, path: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
    let body: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
    post(visitor, path, &format!("password={body}"), headers)
}

fn post(visitor: &mut Client, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
    visitor.send_form(path, &headers, body.as_bytes())
}

fn protect(admin: &mut Client, code: &str, more: &Value) -> Value {
    let mut body = json!({"url": "https://e.test/inside?a=1", "customSlug": code, "password": "open sesame"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    admin.create(&body)
}

/// Returns the name and value of the cookie in a response.
#[track_caller]
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    set.split(';').next().expect("a pair").to_owned()
}

#[test]
fn t64_the_right_password_redirects_and_is_remembered() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = protect(&mut admin, "s", &json!({}));
    assert_eq!(link["password"], "********");
    let id = text(&link, "id");
    let mut visitor = app.visitor();

    for target in ["/s", "/s?password=open+sesame", "/s/"] {
        let page = visitor.get(target);
        assert_eq!((page.status, page.header("location")), (200, None), "{target}");
        assert!(
            page.text().contains("type=\"password\"") || page.text().contains("type=password"),
            "{}",
            page.text()
        );
        assert!(!page.text().contains("e.test"), "{}", page.text());
    }
    assert_eq!(admin.clicks(id), 0);

    let wrong = try_password(&mut visitor, "/s", "open sesam", &[]);
    assert_eq!((wrong.status, wrong.header("location"), wrong.header("set-cookie")), (403, None, None));
    assert!(!format!("{wrong:?}").contains("e.test"));
    assert_eq!(admin.clicks(id), 0);

    let right = try_password(&mut visitor, "/s", "open sesame", &[]);
    assert_eq!((right.status, right.header("location")), (303, Some("https://e.test/inside?a=1")));
    assert_eq!(right.header("cache-control"), Some("private, no-store"));
    let set = right.header("set-cookie").expect("a cookie").to_owned();
    for part in ["; Path=/s;", "; HttpOnly", "; SameSite=Lax", "; Max-Age=3600"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("sesame"), "{set}");
    assert_eq!(admin.clicks(id), 1, "the right password is the click");

    let cookie = cookie(&right);
    let again = visitor.send("GET", "/s", &[("Cookie", &cookie)], None);
    assert_eq!((again.status, again.header("location")), (302, Some("https://e.test/inside?a=1")));
    assert_eq!(admin.clicks(id), 2);

    let other = protect(&mut admin, "t", &json!({}));
    assert_eq!(visitor.send("GET", "/t", &[("Cookie", &cookie)], None).status, 200, "its own link only");
    assert_eq!(admin.clicks(text(&other, "id")), 0);

    app.advance(std::time::Duration::from_mins(61));
    assert_eq!(visitor.send("GET", "/s", &[("Cookie", &cookie)], None).status, 200, "for an hour");
}

/// On a server with an https URL, browsers never send the cookie in clear text.
#[test]
fn t64_behind_https_the_cookie_is_secure() {
    let app = TestApp::start_with(|config| config.public_url = format!("https://{HOST}"));
    protect(&mut app.admin(), "s", &json!({}));
    let right = try_password(&mut app.visitor(), "/s", "open sesame", &[]);
    let set = right.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.split("; ").any(|part| part == "Secure"), "{set}");
    // A changed cookie opens nothing.
    let cookie = cookie(&right);
    let (name, value) = cookie.split_once('=').expect("a pair");
    let (ends, mac) = value.split_once('.').expect("an end and a MAC");
    let later = ends.parse::<i64>().expect("seconds") + 1;
    for forged in [
        format!("{name}={later}.{mac}"),
        format!("{name}={ends}.{}", &mac[1..]),
        format!("{name}={ends}."),
        format!("{name}={ends}.{}", "A".repeat(mac.len())),
        format!("{name}={ends}.{mac}{mac}"),
        format!("{name}=open sesame"),
        format!("{}={value}", name.to_uppercase()),
    ] {
        let page = app.visitor().send("GET", "/s", &[("Cookie", &forged)], None);
        assert_eq!((page.status, page.header("location")), (200, None), "{forged}");
    }
    assert_eq!(app.visitor().send("GET", "/s", &[("Cookie", &cookie)], None).status, 302);
}

#[test]
fn t64_a_new_password_ends_all_cookies_also_with_the_same_text_and_after_a_restart() {
    let app = TestApp::start();
    let link = protect(&mut app.admin(), "s", &json!({}));
    let path = format!("/api/v1/links/{}", text(&link, "id"));
    let old = cookie(&try_password(&mut app.visitor(), "/s", "open sesame", &[]));
    let app = app.restart();
    let mut visitor = app.visitor();
    assert_eq!(visitor.send("GET", "/s", &[("Cookie", &old)], None).status, 302, "after a restart");
    for password in ["open sesame", "other"] {
        app.admin().patch(&path, &json!({"password": password})).expect(200, "patched");
        assert_eq!(visitor.send("GET", "/s", &[("Cookie", &old)], None).status, 200, "{password}");
        assert_eq!(try_password(&mut visitor, "/s", password, &[]).status, 303, "{password}");
    }
    app.admin().patch(&path, &json!({"password": "********"})).expect(200, "what is shown changes nothing");
    assert_eq!(try_password(&mut visitor, "/s", "other", &[]).status, 303);
    app.admin().patch(&path, &json!({"password": null})).expect(200, "removed");
    assert_eq!(visitor.get("/s").status, 302);
    let late = try_password(&mut visitor, "/s", "other", &[]);
    assert_eq!((late.status, late.header("location"), late.header("set-cookie")), (303, Some("/s"), None));
}

/// The head of a form comes long before its body. The form is applied to the link as it is when the body
/// arrives.
#[test]
fn a_slow_form_is_applied_to_the_present_link() {
    let app = TestApp::start();
    let rows = [
        (json!({"url": "https://e.test/new"}), (303, Some("https://e.test/new"))),
        (json!({"password": "other"}), (200, None)),
        (json!({"isActive": false}), (404, None)),
        // A browser would send the password on with a 307.
        (json!({"password": null, "redirectType": 307}), (303, Some("https://e.test/inside?a=1"))),
    ];
    for (number, (patch, want)) in rows.iter().enumerate() {
        let link = protect(&mut app.admin(), &format!("s{number}"), &json!({}));
        let form = "password=open+sesame";
        let mut slow = Connection::open(app.address()).expect("the server accepts");
        let head = format!(
            "POST /s{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            FORM.1,
            form.len()
        );
        slow.send(head.as_bytes()).expect("the server reads");
        // The server requests the body after the check of the link.
        let go_on = slow.receive(true).expect("an answer").expect("one");
        assert_eq!(go_on.status, 100, "{go_on:?}");
        app.admin().patch(&format!("/api/v1/links/{}", text(&link, "id")), patch).expect(200, "patched");
        slow.send(form.as_bytes()).expect("the server reads");
        let answer = slow.receive(false).expect("an answer").expect("one");
        assert_eq!((answer.status, answer.header("location")), *want, "{patch}");
    }
}

#[test]
fn t65_guessing_is_limited_before_it_is_hashed() {
    let app = TestApp::start();
    let mut admin = app.admin();
    protect(&mut admin, "s", &json!({}));
    protect(&mut admin, "other", &json!({}));
    admin.create(&json!({"url": "https://e.test/plain", "customSlug": "plain"}));
    let mut visitor = app.visitor();
    // All spellings of the code have the same limit.
    for (number, path) in ["/s", "/%73", "/s/"].iter().cycle().take(10).enumerate() {
        assert_eq!(try_password(&mut visitor, path, "wrong", &[]).status, 403, "guess {number}");
    }
    for password in ["wrong", "open sesame"] {
        let locked = try_password(&mut visitor, "/s", password, &[]);
        assert_eq!((locked.status, locked.header("location")), (429, None), "{password}");
        let wait: u64 = locked.header("retry-after").expect("when").parse().expect("seconds");
        assert!((1..=61).contains(&wait), "{wait}");
    }
    assert_eq!(visitor.get("/s").status, 200, "the page is still there");
    assert_eq!(visitor.get("/plain").status, 302);
    assert_eq!(try_password(&mut visitor, "/other", "open sesame", &[]).status, 303);
    // Right passwords do not count.
    for _ in 0..12 {
        assert_eq!(try_password(&mut visitor, "/other", "open sesame", &[]).status, 303);
    }
}

#[test]
fn t63_t66_invalid_forms_are_rejected() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = protect(&mut admin, "s", &json!({}));
    admin.create(&json!({"url": "https://e.test/plain", "customSlug": "plain"}));
    protect(&mut admin, "over", &json!({"expiresAt": "2020-01-01"}));
    protect(&mut admin, "off", &json!({"isActive": false}));
    let right = "password=open+sesame";
    let long = format!("password={}", "x".repeat(1_025));
    let huge = format!("password={}", "x".repeat(20_000));
    let own = format!("http://{HOST}");
    let rows: &[(&str, &str, &[(&str, &str)], u16)] = &[
        ("/s", right, &[("Origin", "https://evil.test")], 403),
        ("/s", right, &[("Origin", "null")], 403),
        ("/s", right, &[("Origin", &own)], 303),
        ("/s", "", &[], 403),
        ("/s", "password=", &[], 403),
        ("/s", "pass=open+sesame", &[], 403),
        ("/s", &long, &[], 403),
        ("/s", &huge, &[], 413),
        ("/s", right, &[("Content-Encoding", "gzip")], 415),
        ("/s", right, &[("Origin", "https://go.test.evil.test")], 403),
        ("/s", right, &[("Origin", "https://evil.test"), ("Origin", &own)], 403),
        ("/s?password=open+sesame", "", &[], 403),
        ("/s", "password=%ff%fe", &[], 403),
        ("/s", "password=wrong&password=open+sesame", &[], 403),
        ("/s", "password[]=open+sesame", &[], 403),
        ("/s", "{\"password\":\"open sesame\"}", &[], 403),
        ("/plain", right, &[], 303),
        ("/plain", "a=b", &[], 405),
        ("/unknown", right, &[], 404),
        ("/", right, &[], 405),
        ("/over", right, &[], 410),
        ("/off", right, &[], 404),
        ("/s/more", right, &[], 404),
    ];
    let mut visitor = app.visitor();
    for (path, body, headers, status) in rows {
        let answer = post(&mut visitor, path, body, headers);
        let row = format!("{path} {headers:?} {}", &body[..body.len().min(30)]);
        assert_eq!(answer.status, *status, "{row}: {answer:?}");
        assert_eq!(answer.header("location").is_some(), *status == 303, "{row}");
    }
    // A person did this, whatever the browser left out: the page does not call them a robot.
    let foreign = post(&mut visitor, "/s", right, &[("Origin", "null")]).text();
    assert!(foreign.contains("open the link itself") && !foreign.contains("robot"), "{foreign}");
    let plain = visitor.send_form("/s", &[("Content-Type", "text/plain")], right.as_bytes());
    assert_eq!(plain.status, 415);
    assert_eq!(admin.clicks(text(&link, "id")), 1);
}

#[test]
fn a_limited_link_counts_right_passwords_only() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = protect(&mut admin, "s", &json!({"maxClicks": 2}));
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/s").status, 200);
    assert_eq!(try_password(&mut visitor, "/s", "wrong", &[]).status, 403);
    for _ in 0..2 {
        assert_eq!(try_password(&mut visitor, "/s", "open sesame", &[]).status, 303);
    }
    for answer in [visitor.get("/s"), try_password(&mut visitor, "/s", "open sesame", &[])] {
        assert_eq!(answer.status, 410);
    }
    assert_eq!(admin.clicks(text(&link, "id")), 2);
}

/// Where cookies are blocked, a redirect to the page would end at the form again.
#[test]
fn f08_the_right_password_shows_the_page_itself() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        json!({"cloaked": true, "forwardParameters": true}),
        json!({"metaPixelId": "1234567890", "forwardParameters": true}),
        json!({"googleTagId": "G-ABC123", "forwardParameters": true}),
        json!({"cloaked": true, "metaPixelId": "1234567890", "forwardParameters": true, "maxClicks": 2}),
    ];
    for (number, more) in rows.iter().enumerate() {
        let link = protect(&mut admin, &format!("s{number}"), more);
        let (path, mut visitor) = (format!("/s{number}?b=2"), app.visitor());
        assert_eq!(try_password(&mut visitor, &path, "wrong", &[]).status, 403, "{more}");
        let right = try_password(&mut visitor, &path, "open sesame", &[]);
        assert_eq!((right.status, right.header("location")), (200, None), "{more}");
        let shows = |page: &Answer| {
            let html = page.text();
            assert!(html.contains("https://e.test/inside?a=1&#38;b=2"), "{more}: {html}");
            assert!(!html.contains("type=\"password\""), "{more}");
        };
        shows(&right);
        assert_eq!(admin.clicks(text(&link, "id")), 1, "{more}");
        // With the cookie, the address opens by GET as well.
        let page = visitor.send("GET", &path, &[("Cookie", &cookie(&right))], None);
        assert_eq!(page.status, 200, "{more}");
        shows(&page);
        assert_eq!(admin.clicks(text(&link, "id")), 2, "{more}");
    }
}

#[test]
fn f19_a_password_that_was_taken_off_while_the_form_is_open() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        json!({}),
        json!({"maxClicks": 1}),
        json!({"forwardParameters": true}),
        json!({"cloaked": true}),
        json!({"redirectType": 301}),
        json!({"redirectType": 307}),
        json!({"redirectType": 308, "utmSource": "x"}),
    ];
    let own = format!("http://{HOST}");
    for (number, more) in rows.iter().enumerate() {
        let link = protect(&mut admin, &format!("s{number}"), more);
        let (path, mut visitor) = (format!("/s{number}?b=2"), app.visitor());
        assert_eq!(visitor.get(&path).status, 200);
        admin.patch(&path_of(&link), &json!({"password": null})).expect(200, "taken off");
        for headers in [&[][..], &[("Origin", own.as_str())]] {
            let answer = try_password(&mut visitor, &path, "open sesame", headers);
            assert_eq!((answer.status, answer.header("location")), (303, Some(&*path)), "{more}");
        }
        assert_eq!(admin.clicks(text(&link, "id")), 0, "{more}");
        assert!(matches!(visitor.get(&path).status, 200 | 301 | 302 | 307 | 308), "{more}");
        admin.delete(&path_of(&link)).expect(200, "deleted");
        assert_eq!(try_password(&mut visitor, &path, "open sesame", &[]).status, 404, "{more}");
    }
}

#[test]
fn guesses_do_not_delay_other_visitors() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for n in 0..40 {
        protect(&mut admin, &format!("p{n}"), &json!({}));
    }
    admin.create(&json!({"url": "https://e.test/plain", "customSlug": "plain"}));
    let address = app.address();
    std::thread::scope(|scope| {
        for n in 0..40 {
            scope.spawn(move || {
                let mut visitor = Client::new(address, HOST);
                for _ in 0..2 {
                    let answer = try_password(&mut visitor, &format!("/p{n}"), "wrong", &[]);
                    assert!(matches!(answer.status, 403 | 503), "{answer:?}");
                }
            });
        }
        let mut visitor = app.visitor();
        for _ in 0..200 {
            assert_eq!(visitor.get("/plain").status, 302);
        }
    });
    poll("the queue to be empty", PATIENCE, || {
        (try_password(&mut app.visitor(), "/p0", "open sesame", &[]).status == 303).then_some(())
    });
}

#[test]
fn t105_neither_password_nor_cookie_is_stored_or_logged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).env("WAYPOST_LOG_FILTER", "trace").start();
    let mut admin = server.admin();
    let made = protect(&mut admin, "s", &json!({}));
    let mut visitor = server.visitor();
    let right = try_password(&mut visitor, "/s", "open sesame", &[]);
    let cookie = cookie(&right);
    assert_eq!(try_password(&mut visitor, "/s", "wrong canary", &[]).status, 403);
    assert_eq!(visitor.send("GET", "/s", &[("Cookie", &cookie)], None).status, 302);
    let shown = admin.get(&format!("/api/v1/links/{}", text(&made, "id"))).text();
    let metrics = admin.get("/metrics").text();
    let mac = cookie.split('.').nth(1).expect("a MAC").to_owned();
    let logs = server.stop();
    let mut kept = Vec::new();
    for part in ["log", "table"] {
        for file in std::fs::read_dir(folder.path().join(part)).expect("a folder").flatten() {
            kept.extend(std::fs::read(file.path()).unwrap_or_default());
        }
    }
    let kept = String::from_utf8_lossy(&kept).into_owned();
    assert!(kept.contains("$argon2id$"), "the hash is kept");
    for canary in ["sesame", "canary", &mac] {
        for (what, text) in [("logs", &logs), ("metrics", &metrics), ("an answer", &shown), ("files", &kept)]
        {
            assert!(!text.contains(canary), "{canary} in {what}");
        }
    }
}

#[test]
fn t79_behind_a_trusted_proxy_each_visitor_has_its_own_limit() {
    let guess = |visitor: &mut Client, from: &str| {
        try_password(visitor, "/s", "wrong", &[("X-Forwarded-For", from)]).status
    };
    let app = TestApp::start();
    protect(&mut app.admin(), "s", &json!({}));
    let mut visitor = app.visitor();
    for number in 0..10 {
        assert_eq!(guess(&mut visitor, &format!("192.0.2.{number}")), 403);
    }
    assert_eq!(guess(&mut visitor, "192.0.2.99"), 429, "nobody is believed by default");

    let app = TestApp::start_with(|config| config.http.trusted_proxies = vec!["127.0.0.1".to_owned()]);
    protect(&mut app.admin(), "s", &json!({}));
    let mut visitor = app.visitor();
    for _ in 0..10 {
        assert_eq!(guess(&mut visitor, "192.0.2.1"), 403);
    }
    assert_eq!(guess(&mut visitor, "192.0.2.1"), 429);
    assert_eq!(guess(&mut visitor, "198.51.100.7, 192.0.2.1"), 429, "what the visitor wrote is not believed");
    assert_eq!(guess(&mut visitor, "192.0.2.2"), 403);
}

/// A hundred guesses lock a link for an hour, also for visitors with the right password. A visitor with a
/// cookie is not affected. The owner sees the lock, and ends it in either of two ways.
#[test]
fn n16_an_owner_sees_and_ends_a_lock() {
    let app = TestApp::start_with(|config| config.http.trusted_proxies = vec!["127.0.0.1".to_owned()]);
    let mut admin = app.admin();
    let id = text(&protect(&mut admin, "s", &json!({})), "id").to_owned();
    let (link, lock) = (format!("/api/v1/links/{id}"), format!("/api/v1/links/{id}/password-lock"));
    let until = || {
        let explained = app.admin().get(&format!("{link}/explain")).expect(200, "it is explained");
        explained["explain"]["passwordLockedUntil"].clone()
    };
    let mut visitor = app.visitor();
    let from = |visitor: &mut Client, address: &str, password: &str| {
        try_password(visitor, "/s", password, &[("X-Forwarded-For", address)])
    };
    let knows = cookie(&from(&mut visitor, "198.51.100.1", "open sesame"));
    for ends in ["DELETE", "PATCH"] {
        assert_eq!(until(), Value::Null);
        for n in 0..100 {
            let guess = from(&mut visitor, &format!("192.0.2.{}", n % 10), "wrong");
            assert_eq!(guess.status, 403, "{ends}, guess {n}");
        }
        let locked = from(&mut visitor, "198.51.100.2", "open sesame");
        assert_eq!((locked.status, locked.header("location")), (429, None), "{ends}");
        assert!(until().as_str().is_some_and(|until| until.starts_with("2026-01-01T00:")), "{ends}");
        if ends == "DELETE" {
            let known = visitor.send("GET", "/s", &[("Cookie", &knows)], None);
            assert_eq!(known.status, 302, "the cookie of the right password is enough");
            admin.delete(&lock).expect(200, "the lock is ended");
        } else {
            admin.patch(&link, &json!({"password": "open sesame"})).expect(200, "set again");
        }
        assert_eq!(from(&mut visitor, "198.51.100.2", "open sesame").status, 303, "{ends}");
    }
    admin.delete("/api/v1/links/00000000000000000000/password-lock").refuses(
        404,
        "link not found",
        "unknown",
    );
}

#[test]
fn the_cookie_has_the_path_of_the_used_spelling() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin
        .post("/api/v1/domains", &json!({"domain": "d.test", "caseSensitive": false}))
        .expect(201, "a domain");
    protect(&mut admin, "sale", &json!({"domain": "d.test", "cloaked": true, "forwardPath": true}));
    let mut visitor = app.visitor().at("d.test");
    for (path, own) in
        [("/SALE", "/SALE"), ("/s%61le", "/s%61le"), ("/Sale/more", "/Sale"), ("/sale/", "/sale")]
    {
        let answer = try_password(&mut visitor, path, "open sesame", &[]);
        assert_eq!((answer.status, answer.header("location")), (200, None), "{path}");
        assert!(answer.text().contains("<iframe"), "{path}: {}", answer.text());
        let set = answer.header("set-cookie").expect("a cookie");
        assert!(set.contains(&format!("; Path={own}; ")), "{path}: {set}");
        let page = visitor.send("GET", path, &[("Cookie", &cookie(&answer))], None);
        assert!(page.text().contains("<iframe"), "{path}: {}", page.text());
    }
}
