//! The responses to visitors, through a real socket: method, host, spelling, time, status, headers.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::cache::Lookup;
use waypost::model::domain::DomainNumber;
use waypost::visit::UnknownHosts;

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Answer, Client, Connection, raw, text};
use crate::support::process::{PATIENCE, poll};

/// Creates a link with this code to `https://e.test/<code>`, other fields from `more`.
fn link(admin: &mut Client, code: &str, more: &Value) -> Value {
    let mut body = json!({"url": format!("https://e.test/{code}"), "customSlug": code});
    let fields = more.as_object().expect("an object of fields");
    body.as_object_mut().expect("an object").extend(fields.clone());
    admin.create(&body)
}

/// Returns the status and the `Location` of a response.
fn way(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("location"))
}

#[test]
fn each_request_gets_its_redirect() {
    let app = TestApp::start();
    let mut admin = app.admin();
    link(&mut admin, "here", &json!({}));
    link(&mut admin, "off", &json!({"isActive": false}));
    link(&mut admin, "over", &json!({"expiresAt": "2025-12-31T23:59:59Z"}));
    link(&mut admin, "early", &json!({"validSince": "2026-01-01T00:00:01Z"}));
    link(&mut admin, "gone", &json!({"expiresAt": "2020-01-01", "expiredUrl": "https://e.test/after"}));
    link(&mut admin, "api2", &json!({}));
    let here = Some("https://e.test/here");
    let rows: &[(&str, &str, u16, Option<&str>)] = &[
        ("GET", "/here", 302, here),
        ("HEAD", "/here", 302, here),
        ("GET", "/here/", 302, here),
        ("GET", "/here?a=b", 302, here),
        ("GET", "/here?", 302, here),
        ("GET", "/api2", 302, Some("https://e.test/api2")),
        ("GET", "/", 200, None),
        ("GET", "/unknown", 404, None),
        ("HEAD", "/unknown", 404, None),
        ("GET", "/HERE", 404, None),
        ("GET", "/here//", 404, None),
        ("GET", "//here", 404, None),
        ("GET", "/here/more", 404, None),
        ("GET", "/off", 404, None),
        ("GET", "/early", 404, None),
        ("GET", "/over", 410, None),
        ("HEAD", "/over", 410, None),
        ("GET", "/gone", 302, Some("https://e.test/after")),
        ("GET", "//evil.test/%2e%2e", 404, None),
        ("GET", "/%2f%2fevil.test", 404, None),
        ("GET", "/here//evil.test", 404, None),
        ("GET", "/.evil.test", 404, None),
        ("GET", "/%ff", 404, None),
        ("GET", "/%00", 404, None),
        ("GET", "/%zz", 404, None),
        ("GET", "/%", 404, None),
        ("GET", "/%c0%ae", 404, None),
        ("GET", "/here%20", 302, here),
        ("GET", "/here;x", 404, None),
        ("GET", "/..", 404, None),
        ("GET", "/assets/../../etc/passwd", 404, None),
        ("GET", "/assets/%2e%2e%2fetc/passwd", 404, None),
        ("GET", "/assets//etc/passwd", 404, None),
        ("POST", "/here", 405, None),
        ("PUT", "/here", 405, None),
        ("DELETE", "/here", 405, None),
        ("OPTIONS", "/here", 405, None),
        ("TRACE", "/here", 405, None),
        ("POST", "/unknown", 405, None),
    ];
    let mut visitor = app.visitor();
    for (method, target, status, location) in rows {
        let answer = visitor.send(method, target, &[], None);
        assert_eq!(way(&answer), (*status, *location), "{method} {target}");
        if *status == 405 {
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {target}");
        }
        if *method == "HEAD" {
            assert!(answer.body.is_empty(), "{method} {target}");
        }
    }
}

#[test]
fn t51_browsers_store_each_status_for_its_time() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let never = "private, no-store";
    let shortly = "private, max-age=90";
    let rows = [
        ("a", json!({}), 302, never),
        ("b", json!({"redirectType": "TEMPORARY_302"}), 302, never),
        ("c", json!({"redirectType": "PERMANENT_301"}), 301, shortly),
        ("d", json!({"redirectType": 307}), 307, never),
        ("e", json!({"redirectType": "308"}), 308, shortly),
        ("f", json!({"redirectType": 301, "maxClicks": 5}), 301, never),
        ("g", json!({"redirectType": 301, "expiresAt": "2026-01-01T00:00:10Z"}), 301, "private, max-age=10"),
        ("h", json!({"redirectType": 301, "expiresAt": "2027-01-01T00:00:00Z"}), 301, shortly),
    ];
    let mut visitor = app.visitor();
    for (code, more, status, cache) in rows {
        link(&mut admin, code, &more);
        // Twice: from the table, then from memory.
        for round in 0..2 {
            let answer = visitor.get(&format!("/{code}"));
            let to = format!("https://e.test/{code}");
            assert_eq!(way(&answer), (status, Some(&*to)), "{more} {round}");
            assert_eq!(answer.header("cache-control"), Some(cache), "{more} {round}");
            let expires = match code {
                "g" => Some("Thu, 01 Jan 2026 00:00:10 GMT"),
                "h" => Some("Thu, 01 Jan 2026 00:01:30 GMT"),
                _ => None,
            };
            assert_eq!(answer.header("expires"), expires, "{more} {round}");
            assert!(answer.body.is_empty(), "{more} {round}");
        }
    }
}

#[test]
fn the_time_is_checked_on_each_click() {
    let app = TestApp::start();
    let mut admin = app.admin();
    link(
        &mut admin,
        "span",
        &json!({"validSince": "2026-01-01T00:01:00Z", "expiresAt": "2026-01-01T00:02:00Z"}),
    );
    let mut visitor = app.visitor();
    for (second, status) in [(0, 404), (59, 404), (1, 302), (59, 302), (1, 410), (86_400, 410)] {
        app.advance(Duration::from_secs(second));
        assert_eq!(visitor.get("/span").status, status, "after {second} more seconds");
    }
}

/// The rule of counting, method by method and header by header.
#[test]
fn t53_only_people_who_follow_the_link_are_counted() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    let rows: &[(&str, &[(&str, &str)], u64)] = &[
        ("GET", &[], 1),
        ("GET", &[("User-Agent", "")], 1),
        ("GET", &[("Purpose", "other")], 1),
        ("GET", &[("Range", "bytes=0-1")], 1),
        ("GET", &[("If-None-Match", "*")], 1),
        ("HEAD", &[], 0),
        ("GET", &[("Sec-Purpose", "prefetch")], 0),
        ("GET", &[("Sec-Purpose", "prefetch;prerender")], 0),
        ("GET", &[("Purpose", "prefetch")], 0),
        ("GET", &[("X-Moz", "prefetch")], 0),
        ("GET", &[("X-Purpose", "preview")], 0),
        ("GET", &[("Sec-Purpose", "other"), ("Sec-Purpose", "prefetch")], 0),
        (
            "GET",
            &[("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")],
            0,
        ),
        ("HEAD", &[("User-Agent", "")], 0),
        ("POST", &[], 0),
    ];
    for (number, (method, headers, counted)) in rows.iter().enumerate() {
        let made = link(&mut admin, &format!("n{number}"), &json!({}));
        for _ in 0..3 {
            let answer = visitor.send(method, &format!("/n{number}"), headers, None);
            assert_eq!(answer.status, if *method == "POST" { 405 } else { 302 }, "{method} {headers:?}");
        }
        assert_eq!(admin.clicks(text(&made, "id")), 3 * counted, "{method} {headers:?}");
    }
    let made = link(&mut admin, "often", &json!({}));
    for _ in 0..1_000 {
        assert_eq!(visitor.get("/often").status, 302);
    }
    assert_eq!(admin.clicks(text(&made, "id")), 1_000, "the same visitor counts each time");
    let made = link(&mut admin, "off", &json!({"isActive": false}));
    visitor.get("/off");
    assert_eq!(admin.clicks(text(&made, "id")), 0, "a link that does not stand");
}

#[test]
fn t54_all_spellings_of_a_code_reach_one_link() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    let rows: &[(&str, &[&str])] = &[
        ("a-b_c.d~", &["/a-b_c.d~", "/%61-b_c.d~", "/a%2Db%5fc%2Ed%7e", "/a-b_c.d~/"]),
        ("caf\u{e9}", &["/caf%C3%A9", "/caf%c3%a9", "/cafe%CC%81", "/caf\u{e9}", "/%63af%C3%A9"]),
        ("\u{1f680}", &["/%F0%9F%9A%80", "/\u{1f680}"]),
    ];
    for (code, spellings) in rows {
        let made = admin.create(&json!({"url": "https://e.test/x", "customSlug": code}));
        for spelling in *spellings {
            assert_eq!(way(&visitor.get(spelling)), (302, Some("https://e.test/x")), "{spelling}");
        }
        assert_eq!(admin.clicks(text(&made, "id")), spellings.len() as u64, "{code}");
        let short = text(&made, "shortUrl");
        assert!(short.is_ascii(), "{short}");
        let path = short.strip_prefix("http://go.test").unwrap_or_else(|| panic!("{short}"));
        assert_eq!(visitor.get(path).status, 302, "{short}");
    }
    let twin = json!({"url": "https://e.test/y", "customSlug": "cafe\u{301}"});
    admin.post("/api/v1/links", &twin).refuses(
        409,
        "customSlug: \"caf\u{e9}\" is already in use on this domain",
        "the same code, decomposed",
    );
}

/// 307 and 308 keep the method, which is all that they exist for (RFC 9110 15.4.8, 15.4.9).
#[test]
fn f06_redirects_that_keep_the_method_answer_every_method() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    let rows = [
        (json!({"redirectType": 307}), 307, "https://e.test/api"),
        (json!({"redirectType": 308}), 308, "https://e.test/api"),
        (json!({"redirectType": 308, "forwardParameters": true}), 308, "https://e.test/api?a=1"),
        (json!({"redirectType": 307, "utmSource": "x"}), 307, "https://e.test/api?utm_source=x"),
        (json!({"redirectType": 307, "maxClicks": 9}), 307, "https://e.test/api"),
        (json!({"redirectType": 307, "metaPixelId": "1234567890"}), 307, "https://e.test/api"),
        (json!({"redirectType": 308, "expiresAt": "2030-01-01"}), 308, "https://e.test/api"),
    ];
    for (number, (more, status, to)) in rows.iter().enumerate() {
        let mut body = json!({"url": "https://e.test/api", "customSlug": format!("k{number}")});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let made = admin.create(&body);
        let path = format!("/k{number}?a=1");
        for (count, method) in ["POST", "PUT", "PATCH", "DELETE"].iter().enumerate() {
            let body = (*method != "DELETE").then_some(&b"{\"a\":1}"[..]);
            let answer = visitor.send(method, &path, &[("Content-Type", "application/json")], body);
            assert_eq!(way(&answer), (*status, Some(*to)), "{method} {more}");
            assert_eq!(admin.clicks(text(&made, "id")), count as u64 + 1, "{method} {more}");
        }
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        assert_eq!(
            way(&visitor.send_form(&path, &form, b"user=a&password=b")),
            (*status, Some(*to)),
            "{more}"
        );
        for method in ["OPTIONS", "PROPFIND"] {
            let answer = visitor.send(method, &path, &[], None);
            let allow = Some("GET, HEAD, POST, PUT, PATCH, DELETE");
            assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {more}");
        }
        assert_eq!(admin.clicks(text(&made, "id")), 5, "{more}");
    }
}

#[test]
fn f06_other_links_allow_no_other_method() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        ("found", json!({}), 405, Some("GET, HEAD")),
        ("moved", json!({"redirectType": 301}), 405, Some("GET, HEAD")),
        ("framed", json!({"redirectType": 307, "cloaked": true}), 405, Some("GET, HEAD")),
        ("asks", json!({"redirectType": 307, "password": "open sesame"}), 405, Some("GET, HEAD, POST")),
        // As without a link.
        ("off", json!({"redirectType": 307, "isActive": false}), 405, Some("GET, HEAD")),
        ("soon", json!({"redirectType": 308, "validSince": "2030-01-01"}), 405, Some("GET, HEAD")),
        ("over", json!({"redirectType": 307, "expiresAt": "2020-01-01"}), 410, None),
        ("nobots", json!({"redirectType": 307, "blockBots": true}), 307, None),
    ];
    let mut visitor = app.visitor();
    for (code, more, status, allow) in &rows {
        let made = link(&mut admin, code, more);
        for method in ["PUT", "PATCH", "DELETE"] {
            let answer = visitor.send(method, &format!("/{code}"), &[], None);
            assert_eq!((answer.status, answer.header("allow")), (*status, *allow), "{method} {code}");
        }
        let counted = if *status == 307 { 3 } else { 0 };
        assert_eq!(admin.clicks(text(&made, "id")), counted, "{code}");
    }
    let bot = [("User-Agent", "Googlebot/2.1")];
    assert_eq!(visitor.send("POST", "/nobots", &bot, None).status, 403);
    for path in ["/", "/unknown", "/a,b", "/healthz", "/metrics", "/api/docs", "/links/r/2/x"] {
        for method in ["PUT", "DELETE", "OPTIONS"] {
            let answer = visitor.send(method, path, &[], None);
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
}

/// The client sends the body to the destination, so the redirect does not wait for it.
#[test]
fn f06_a_redirect_waits_for_no_body() {
    let app = TestApp::start();
    let mut admin = app.admin();
    link(&mut admin, "keeps", &json!({"redirectType": 307}));
    for head in [
        "Content-Length: 1000000000",
        "Transfer-Encoding: chunked",
        "Content-Length: 9\r\nExpect: 100-continue",
    ] {
        let mut connection = Connection::open(app.address()).expect("accepted");
        let head = format!("POST /keeps HTTP/1.1\r\nHost: go.test\r\n{head}\r\n\r\n");
        connection.send(head.as_bytes()).expect("sent");
        let answer = connection.receive(false).expect("in order").expect("an answer");
        assert_eq!(answer.status, 307, "{head}");
        // Its body would be read as the next request.
        assert!(answer.closes(), "{head}: {answer:?}");
    }
    // A body that is there leaves the connection usable.
    let mut visitor = app.visitor();
    for _ in 0..3 {
        assert_eq!(visitor.send("PUT", "/keeps", &[], Some(b"{}")).status, 307);
        assert_eq!(visitor.get("/keeps").status, 307);
    }
}

#[test]
fn m1_the_punctuation_of_a_sentence_is_no_part_of_a_code() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let code = link(&mut admin, "code", &json!({}));
    link(&mut admin, "limited", &json!({"maxClicks": 9}));
    link(&mut admin, "dot.", &json!({"utmSource": "dot"}));
    link(&mut admin, "dot", &json!({"utmSource": "none"}));
    let behind = json!({"url": "https://e.test/in", "customSlug": "asks", "password": "open sesame"});
    admin.create(&behind);
    let mut visitor = app.visitor();
    let ends = [
        ".",
        ",",
        ")",
        "%22",
        "%E2%80%8B",
        "%20",
        "...",
        ").",
        "!",
        "%3F",
        "%C2%BB",
        "%E2%80%9C",
        "%E3%80%8D",
        "%EF%BC%89",
        "%3E",
        "./",
        ";",
        "'",
        "]",
        "%C2%A0",
        "%E2%80%A6",
        ",,,,,,,,",
        "%0A",
        "%0D%0A",
        "%09",
        "%C2%B4",
        "%EF%BC%9E",
        "%EF%BC%9C",
        "%EF%BD%80",
        "%EF%B8%8F",
        "/,",
        "/)",
        "/%22",
        ",/)",
    ];
    for (count, end) in ends.iter().enumerate() {
        assert_eq!(visitor.get(&format!("/code{end}")).status, 302, "{end}");
        assert_eq!(admin.clicks(text(&code, "id")), count as u64 + 1, "{end}");
        assert_eq!(visitor.head(&format!("/code{end}")).status, 302, "{end}");
    }
    assert_eq!(visitor.get("/limited.").status, 302);
    assert_eq!(visitor.get("/limited/).").status, 302);
    // A link that forwards the path forwards it.
    link(&mut admin, "forwards", &json!({"forwardPath": true}));
    let answer = visitor.get("/forwards/,");
    assert!(answer.header("location").is_some_and(|at| at.ends_with("/,")), "{answer:?}");
    assert!(visitor.get("/asks.").text().contains("type=\"password\""));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for path in ["/asks.", "/asks,"] {
        assert_eq!(visitor.send_form(path, &form, b"password=open+sesame").status, 303, "{path}");
    }
    let (with, without) =
        (Some("https://e.test/dot.?utm_source=dot"), Some("https://e.test/dot?utm_source=none"));
    for (path, to) in
        [("/dot.", with), ("/dot", without), ("/dot.)", with), ("/dot..", without), ("/dot,", without)]
    {
        let answer = visitor.get(path);
        assert!(answer.header("location").is_some_and(|at| Some(at) == to), "{path}: {answer:?}");
    }
    for path in [
        "/code.x",
        "/code./x",
        "/code,/x",
        "/code-",
        "/code_",
        "/code~",
        "/code+",
        "/code,,,,,,,,,",
        "/code/,,,,,,,,,",
        "/code/,x",
        "/code/x,",
        "/code//,",
        "/code%00",
        "/...",
        "/%22",
    ] {
        assert_eq!(visitor.get(path).status, 404, "{path}");
    }
}

/// A look-up without punctuation counts no second miss, and closes no loop.
#[test]
fn m1_neither_misses_nor_loops_change() {
    let app = TestApp::start_with(|config| config.limits.misses_per_minute = 5);
    let mut admin = app.admin();
    link(&mut admin, "code", &json!({}));
    let mut visitor = app.visitor();
    for _ in 0..9 {
        assert_eq!(visitor.get("/code.").status, 302);
    }
    for _ in 0..5 {
        assert_eq!(visitor.get("/none.").status, 404);
    }
    assert_eq!(visitor.get("/none.").status, 429);
    assert_eq!(visitor.get("/code.").status, 302);
    let back = "url: must not lead back to this short link";
    for end in [".", ",", "%22", "...", "./", "/,", ",/)", "%0A"] {
        let body = json!({"url": format!("http://go.test/self{end}"), "customSlug": "self"});
        admin.post("/api/v1/links", &body).refuses(422, back, end);
    }
    // The deletion of `via.` leaves a loop, which ends at the visit.
    let via = admin.create(&json!({"url": "https://e.test/", "customSlug": "via."}));
    admin.create(&json!({"url": "http://go.test/via.", "customSlug": "via"}));
    assert_eq!(visitor.get("/via").status, 302);
    admin.delete(&format!("/api/v1/links/{}", text(&via, "id"))).expect(200, "deleted");
    assert_eq!(visitor.get("/via").status, 508);
}

/// Other sites append `share=` to addresses. Only what looks like the id of a share requests one.
#[test]
fn f18_what_cannot_be_a_share_is_the_root() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let default = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    admin.patch(&default, &json!({"rootUrl": "https://e.test/home"})).expect(200, "a root");
    let mut visitor = app.visitor();
    for query in [
        "share=facebook",
        "share=twitter",
        "utm_source=x&share=reddit",
        "share=google-plus-1",
        "share=",
        "share",
        "x=1",
    ] {
        let path = format!("/?{query}");
        assert_eq!(way(&visitor.get(&path)), (302, Some("https://e.test/home")), "{query}");
        assert_eq!(visitor.head(&path).status, 302, "{query}");
    }
    assert_eq!(visitor.get("/?share=00000000000000000000").status, 404);
    let body = json!({"rootUrl": null, "notFoundUrl": "https://e.test/404"});
    admin.patch(&default, &body).expect(200, "a fallback");
    assert_eq!(way(&visitor.get("/?share=facebook")), (302, Some("https://e.test/404")));
    // Such a root is a place that redirects, so it closes a loop.
    let body = json!({"rootUrl": "http://go.test/home", "notFoundUrl": null});
    admin.patch(&default, &body).expect(200, "a root");
    let body = json!({"url": "http://go.test/?share=facebook", "customSlug": "home"});
    admin.post("/api/v1/links", &body).refuses(
        422,
        "url: must not lead back to this short link",
        "by the root",
    );
}

#[test]
fn the_root_of_a_new_instance_greets() {
    let app = TestApp::start_with(|config| config.visit.unknown_hosts = UnknownHosts::DefaultDomain);
    let mut admin = app.admin();
    admin.post("/api/v1/domains", &json!({"domain": "d.test"})).expect(201, "a domain");
    let mut visitor = app.visitor();
    for host in [HOST, "localhost", "127.0.0.1"] {
        let page = app.visitor().at(host).get("/");
        assert_eq!(page.status, 200, "{host}");
        assert!(page.text().contains("Waypost is running") && page.text().contains("/api/docs"), "{page:?}");
        assert_eq!(app.visitor().at(host).head("/").status, 200, "{host}");
    }
    for host in ["d.test", "foreign.test"] {
        assert_eq!(app.visitor().at(host).get("/").status, 404, "{host}");
    }
    assert_eq!(visitor.get("//").status, 404);
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let all = domains["domains"].as_array().expect("domains");
    let default = all.iter().find(|domain| domain["domain"] == HOST).expect("the default domain");
    let default = format!("/api/v1/domains/{}", text(default, "id"));
    admin.patch(&default, &json!({"notFoundUrl": "https://e.test/404"})).expect(200, "a fallback");
    assert_eq!(way(&visitor.get("/")), (302, Some("https://e.test/404")));
    admin.patch(&default, &json!({"rootUrl": "https://e.test/home"})).expect(200, "a root");
    assert_eq!(way(&visitor.get("/")), (302, Some("https://e.test/home")));
}

#[test]
fn error_pages_show_the_domain_and_its_home() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"domain": "d.test", "rootUrl": "https://e.test/?a=1&b='\"<"});
    let made = admin.post("/api/v1/domains", &body).expect(201, "a domain");
    for code in ["over", "nobots"] {
        let body = json!({
            "domain": "d.test", "url": "https://e.test/", "customSlug": code, "blockBots": true,
            "expiresAt": if code == "over" { json!("2020-01-01") } else { json!(null) },
        });
        admin.create(&body);
    }
    let mut visitor = app.visitor().at("d.test").with("User-Agent", "Googlebot/2.1");
    let home = "<a href=\"https://e.test/?a=1&#38;b=%27%22%3C\">Home page of d.test</a>";
    for (path, status) in [("/none", 404), ("/over", 410), ("/nobots", 403)] {
        let page = visitor.get(path);
        assert_eq!(page.status, status, "{path}");
        assert!(page.text().contains(home), "{path}: {}", page.text());
    }
    let path = format!("/api/v1/domains/{}", text(&made["domain"], "id"));
    admin.patch(&path, &json!({"rootUrl": null})).expect(200, "no root");
    let page = visitor.get("/none").text();
    assert!(page.contains("<footer>d.test</footer>"), "{page}");
    // A host that is no domain is not repeated.
    let page = app.visitor().at("foreign.test").get("/none");
    assert!(
        page.status == 404 && !page.text().contains("foreign") && !page.text().contains("<footer"),
        "{page:?}"
    );
}

#[test]
fn requests_for_hosts_that_are_no_domain_are_counted() {
    let app = TestApp::start_with(|config| config.metrics.public = true);
    let mut proxied = app.visitor().at("waypost");
    for n in 0..30 {
        assert_eq!(proxied.get(&format!("/s{n}")).status, 404);
    }
    assert_eq!(app.visitor().get("/none").status, 404);
    let metrics = app.visitor().get("/metrics").text();
    assert!(metrics.contains("\nwaypost_unknown_host_requests_total 30\n"), "{metrics}");
    let file = app.data_dir().join("unknown-hosts");
    let app = app.restart_with(|config| config.visit.unknown_hosts = UnknownHosts::NotFound);
    // The start has logged it.
    assert!(!file.exists());
    drop(app);
}

#[test]
fn m4_a_plus_shows_where_a_link_leads() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"domain": "d.test", "showDestination": true, "caseSensitive": false});
    let made = admin.post("/api/v1/domains", &body).expect(201, "a domain")["domain"].clone();
    assert_eq!(made["showDestination"], true);
    let rows = [
        ("plain", json!({}), 200, "https://e.test/in"),
        ("framed", json!({"cloaked": true, "utmSource": "x"}), 200, "https://e.test/in?utm_source=x"),
        ("pixel", json!({"metaPixelId": "1234567890"}), 200, "https://e.test/in"),
        ("asks", json!({"password": "open sesame"}), 200, "asks for a password"),
        ("few", json!({"maxClicks": 1}), 200, "a limited number of times"),
        ("over", json!({"expiresAt": "2020-01-01"}), 410, "has expired"),
        (
            "Moved",
            json!({"expiresAt": "2020-01-01", "expiredUrl": "https://e.test/later"}),
            200,
            "has expired. It leads to another page now:",
        ),
        ("off", json!({"isActive": false}), 404, "Link not found"),
    ];
    let mut visitor = app.visitor().at("d.test");
    for (code, more, status, shows) in &rows {
        let mut body = json!({"domain": "d.test", "url": "https://e.test/in", "customSlug": code});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let link = admin.create(&body);
        for path in ["+", "%2B", "+/", "+?a=1", "+.", "+),", "+/)"]
            .map(|end| format!("/{}{end}", code.to_lowercase()))
        {
            let page = visitor.get(&path);
            assert_eq!((page.status, page.header("location")), (*status, None), "{path}");
            assert!(page.text().contains(shows), "{path}: {}", page.text());
            assert!(page.text().contains("<footer>d.test</footer>"), "{path}: {}", page.text());
            // As it was typed.
            let named = page.status != 200 || page.text().contains(&format!("https://d.test/{code}"));
            assert!(named, "{path}: {}", page.text());
            let hides = matches!(*code, "asks" | "few" | "over" | "off" | "Moved");
            assert!(!hides || !page.text().contains("e.test/in"), "{path}");
            assert_eq!(visitor.head(&path).status, *status, "{path}");
        }
        assert_eq!(admin.clicks(text(&link, "id")), 0, "{code}");
    }
    for path in ["/none+", "/plain++", "/plain+/x", "/+"] {
        assert_eq!(visitor.get(path).status, 404, "{path}");
    }
    let path = format!("/api/v1/domains/{}", text(&made, "id"));
    let app = app.restart();
    let mut visitor = app.visitor().at("d.test");
    assert_eq!(visitor.get("/plain+").status, 200);
    app.admin().patch(&path, &json!({"showDestination": false})).expect(200, "off");
    assert_eq!(visitor.get("/plain+").status, 404);
    // Other domains do not allow it.
    link(&mut app.admin(), "plain", &json!({}));
    assert_eq!(app.visitor().get("/plain+").status, 404);
}

#[test]
fn each_domain_decides_whether_case_matters() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for (domain, sensitive) in [("strict.test", true), ("loose.test", false)] {
        let body = json!({"domain": domain, "caseSensitive": sensitive});
        admin.post("/api/v1/domains", &body).expect(201, domain);
        let made = admin.create(&json!({"url": "https://e.test/1", "domain": domain, "customSlug": "Sale"}));
        let mut visitor = app.visitor().at(domain);
        assert_eq!(visitor.get("/Sale").status, 302, "{domain}");
        assert_eq!(visitor.get("/sALE").status, if sensitive { 404 } else { 302 }, "{domain}");
        assert_eq!(admin.clicks(text(&made, "id")), if sensitive { 1 } else { 2 }, "{domain}");
        let twin = json!({"url": "https://e.test/2", "domain": domain, "customSlug": "SALE"});
        let status = admin.post("/api/v1/links", &twin).status;
        assert_eq!(status, if sensitive { 201 } else { 409 }, "{domain}");
    }
    let made =
        admin.create(&json!({"url": "https://e.test/3", "domain": "loose.test", "customSlug": "\u{c9}t"}));
    let mut visitor = app.visitor().at("loose.test");
    assert_eq!(visitor.get("/%C3%89T").status, 302, "ASCII is folded: {made}");
    assert_eq!(visitor.get("/%C3%A9t").status, 302, "so are letters of all scripts");
}

#[test]
fn t08_the_host_decides_the_domain() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a second domain");
    link(&mut admin, "s", &json!({}));
    admin.create(&json!({"url": "https://e.test/other", "customSlug": "s", "domain": "other.test"}));
    let own = Some("https://e.test/s");
    let other = Some("https://e.test/other");
    let rows = [
        ("GET /s HTTP/1.1\r\nHost: go.test", 302, own),
        ("GET /s HTTP/1.1\r\nHost: GO.Test.:8080", 302, own),
        ("GET /s HTTP/1.1\r\nHost: go.test:", 302, own),
        ("GET /s HTTP/1.1\r\nhost: localhost:1", 302, own),
        ("GET /s HTTP/1.1\r\nHost: 127.0.0.1", 302, own),
        ("GET /s HTTP/1.1\r\nHost: 203.0.113.7:80", 302, own),
        ("GET /s HTTP/1.1\r\nHost: [::1]:8080", 302, own),
        ("GET /s HTTP/1.1\r\nHost: other.test", 302, other),
        ("GET /s HTTP/1.1\r\nHost: OTHER.test:443", 302, other),
        ("GET /s HTTP/1.1\r\nHost: evil.test", 404, None),
        ("GET http://other.test/s HTTP/1.1\r\nHost: go.test", 302, other),
        ("GET http://evil.test/s HTTP/1.1\r\nHost: go.test", 404, None),
        ("GET /s HTTP/1.0", 302, own),
        ("GET /s HTTP/1.1", 400, None),
        ("GET /s HTTP/1.1\r\nHost: go.test\r\nHost: go.test", 400, None),
        ("GET /s HTTP/1.1\r\nHost: go.test\r\nHost: other.test", 400, None),
        ("GET /s HTTP/1.1\r\nHost: a b/@evil", 400, None),
        ("GET /s HTTP/1.1\r\nHost: evil.test/x", 400, None),
        ("GET /s HTTP/1.1\r\nHost: h:99999", 400, None),
        ("GET /s HTTP/1.1\r\nHost:", 400, None),
        ("GET /s HTTP/1.1\r\nHost: [::1", 400, None),
        ("GET /s HTTP/1.1\r\nHost: user@go.test", 400, None),
    ];
    for (head, status, location) in rows {
        let answer = raw(app.address(), format!("{head}\r\n\r\n").as_bytes()).expect(head);
        assert_eq!(way(&answer), (status, location), "{head}");
        assert!(!answer.text().contains("evil"), "{head}");
    }
    let long = format!("GET /s HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(300));
    assert_eq!(raw(app.address(), long.as_bytes()).map(|answer| answer.status), Some(400), "300 characters");
    // URLs are built from the configuration, for any requested host.
    let made = app.admin().at("evil.test").create(&json!({"url": "https://e.test/", "customSlug": "t"}));
    assert_eq!(made["shortUrl"], "http://go.test/t");
}

#[test]
fn unknown_codes_go_to_the_fallback_of_their_domain() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({
        "domain": "d.test",
        "rootUrl": "https://e.test/root",
        "notFoundUrl": "https://e.test/404",
        "expiredUrl": "https://e.test/410",
    });
    let domain = admin.post("/api/v1/domains", &body).expect(201, "a domain")["domain"].clone();
    let on = |code: &str, more: &Value| {
        let mut body = json!({"domain": "d.test", "url": "https://e.test/x", "customSlug": code});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        body
    };
    admin.create(&on("old", &json!({"expiresAt": "2020-01-01"})));
    admin.create(&on("own", &json!({"expiresAt": "2020-01-01", "expiredUrl": "https://e.test/own"})));
    admin.create(&on("off", &json!({"isActive": false})));
    let mut visitor = app.visitor().at("d.test");
    let rows = [
        ("/", "https://e.test/root"),
        ("/no", "https://e.test/404"),
        ("/off", "https://e.test/404"),
        ("/old", "https://e.test/410"),
        ("/own", "https://e.test/own"),
    ];
    for (path, to) in rows {
        let answer = visitor.get(path);
        assert_eq!(way(&answer), (302, Some(to)), "{path}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{path}");
    }
    let id = text(&domain, "id");
    let cleared = json!({"rootUrl": null, "notFoundUrl": null, "expiredUrl": null});
    admin.patch(&format!("/api/v1/domains/{id}"), &cleared).expect(200, "cleared");
    for (path, status) in [("/", 404), ("/no", 404), ("/off", 404), ("/old", 410), ("/own", 302)] {
        assert_eq!(visitor.get(path).status, status, "{path} once cleared");
    }
}

#[test]
fn a_root_does_not_redirect_to_itself() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let back = "rootUrl: must not lead back to itself";
    let body = |to: &str| json!({"domain": "d.test", "rootUrl": to});
    for to in ["https://d.test", "http://D.test./?a=1#b"] {
        admin.post("/api/v1/domains", &body(to)).refuses(422, back, to);
    }
    admin.post("/api/v1/domains", &body("https://d.test/start")).expect(201, "a link of its own");
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let mut all = domains["domains"].as_array().expect("domains").iter();
    let default = all.find(|domain| domain["domain"] == "go.test").expect("the default domain");
    let default = format!("/api/v1/domains/{}", text(default, "id"));
    admin.patch(&default, &json!({"rootUrl": "http://go.test/"})).refuses(422, back, "the default domain");
    admin.patch(&default, &json!({"rootUrl": "https://d.test/"})).expect(200, "another domain");
}

#[test]
fn t48_no_chain_of_roots_and_links_is_a_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (root, link) =
        ("rootUrl: must not lead back to itself", "url: must not lead back to this short link");
    let domain = |name: &str, to: &str| json!({"domain": name, "rootUrl": to});
    let made = admin.post("/api/v1/domains", &domain("a.test", "https://b.test")).expect(201, "no loop yet");
    let a = format!("/api/v1/domains/{}", text(&made["domain"], "id"));
    // The host of the first root is not a domain of this server yet.
    admin.post("/api/v1/domains", &domain("b.test", "https://a.test/")).refuses(422, root, "a to b to a");
    let made = admin.post("/api/v1/domains", &domain("b.test", "https://e.test/")).expect(201, "elsewhere");
    let b = format!("/api/v1/domains/{}", text(&made["domain"], "id"));
    for to in ["https://a.test", "http://A.test.:8080/?x=1"] {
        admin.patch(&b, &json!({"rootUrl": to})).refuses(422, root, to);
    }
    // Through a link, in both directions.
    let new = |to: &str| json!({"url": to, "domain": "b.test", "customSlug": "in"});
    let made = admin.create(&new("https://a.test/?x#y"));
    admin.patch(&b, &json!({"rootUrl": "https://b.test/in"})).refuses(422, root, "b to its link to a to b");
    let id = format!("/api/v1/links/{}", text(&made, "id"));
    admin.patch(&id, &json!({"url": "https://e.test/"})).expect(200, "elsewhere");
    admin.patch(&b, &json!({"rootUrl": "https://b.test/in"})).expect(200, "a chain that ends");
    admin.patch(&id, &json!({"url": "https://a.test/"})).refuses(422, link, "the link to a to b to the link");
    admin.delete(&id).expect(200, "deleted");
    admin.post("/api/v1/links", &new("https://a.test/")).refuses(422, link, "made anew");
    admin.patch(&a, &json!({"rootUrl": null})).expect(200, "the chain is cut");
    admin.create(&new("https://a.test/"));
    assert_eq!(way(&app.visitor().at("b.test").get("/")), (302, Some("https://b.test/in")));
}

#[test]
fn hosts_of_no_domain_may_be_the_default_domain() {
    for (setting, status) in [(UnknownHosts::NotFound, 404), (UnknownHosts::DefaultDomain, 302)] {
        let app = TestApp::start_with(|config| config.visit.unknown_hosts = setting);
        let mut admin = app.admin();
        link(&mut admin, "s", &json!({}));
        admin.post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a domain");
        let rows = [
            ("go.test", "/s", 302),
            ("localhost", "/s", 302),
            ("10.1.2.3:80", "/s", 302),
            ("other.test", "/s", 404),
            ("unheard-of.test", "/s", status),
            ("unheard-of.test", "/nothing", 404),
        ];
        for (host, path, want) in rows {
            let answer = app.visitor().at(host).get(path);
            assert_eq!(answer.status, want, "{host}{path} {setting:?}");
        }
    }
}

/// The server does not know that links to a host without a domain end at this server. A visitor who comes
/// back from such a host is not redirected to it again.
#[test]
fn fallbacks_do_not_redirect_in_a_loop() {
    let app = TestApp::start_with(|config| config.visit.unknown_hosts = UnknownHosts::DefaultDomain);
    let mut admin = app.admin();
    link(&mut admin, "s", &json!({}));
    link(&mut admin, "over", &json!({"expiresAt": "2020-01-01"}));
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let path = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    let elsewhere = json!({"notFoundUrl": "https://Lost.test:8443/way", "expiredUrl": "http://gone.test/x"});
    admin.patch(&path, &elsewhere).expect(200, "elsewhere");
    let rows = [
        ("go.test", "/nothing", 302, Some("https://lost.test:8443/way")),
        ("go.test", "/over", 302, Some("http://gone.test/x")),
        ("other.test", "/nothing", 302, Some("https://lost.test:8443/way")),
        ("other.test", "/s", 302, Some("https://e.test/s")),
        ("lost.test:8443", "/way", 404, None),
        ("LOST.test", "/nothing", 404, None),
        ("gone.test", "/x", 404, None),
        ("gone.test", "/over", 404, None),
        ("lost", "/s", 302, Some("https://e.test/s")),
    ];
    for (host, path, status, location) in rows {
        let answer = app.visitor().at(host).get(path);
        assert_eq!((answer.status, answer.header("location")), (status, location), "{host}{path}");
    }
}

#[test]
fn t68_pages_have_security_headers() {
    let app = TestApp::start();
    let mut admin = app.admin();
    link(&mut admin, "over", &json!({"expiresAt": "2020-01-01"}));
    let rows = [
        ("GET", "/unknown", 404),
        ("GET", "/", 200),
        ("GET", "/over", 410),
        ("GET", "/%3Cscript%3Ealert(1)%3C/script%3E", 404),
        ("PUT", "/over", 405),
    ];
    let mut visitor = app.visitor();
    for (method, target, status) in rows {
        let page = visitor.send(method, target, &[], None);
        assert_eq!(page.status, status, "{method} {target}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{method} {target}");
        let policy = page.header("content-security-policy").unwrap_or("");
        for part in ["default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{method} {target}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{method} {target}: {policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{method} {target}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "{method} {target}");
        assert_eq!(page.header("x-robots-tag"), Some("noindex"), "{method} {target}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{method} {target}");
        assert_eq!(page.header("server"), None, "{method} {target}");
        let html = page.text();
        assert!(html.starts_with("<!doctype html>"), "{method} {target}: {html}");
        for foreign in ["<script", "http://", "https://", "src=", "url(", "@import", "alert(1)", "e.test"] {
            assert!(!html.contains(foreign), "{method} {target} has {foreign}: {html}");
        }
    }
}

#[test]
fn t52_a_link_that_is_not_live_does_not_reveal_its_destination() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        json!({"isActive": false}),
        json!({"expiresAt": "2020-01-01"}),
        json!({"validSince": "2030-01-01"}),
        json!({"password": "open sesame"}),
    ];
    let mut visitor = app.visitor();
    for (number, more) in rows.iter().enumerate() {
        let code = format!("hidden{number}");
        link(&mut admin, &code, more);
        for method in ["GET", "HEAD"] {
            let answer = visitor.send(method, &format!("/{code}"), &[], None);
            let asks = more["password"].is_string();
            assert!(if asks { answer.status == 200 } else { answer.status >= 400 }, "{method} {more}");
            let whole = format!("{answer:?}");
            assert!(!whole.contains("e.test"), "{method} {more}: {whole}");
        }
    }
    let made = link(&mut admin, "few", &json!({"maxClicks": 2}));
    for want in [302, 302, 410, 410] {
        assert_eq!(visitor.get("/few").status, want);
    }
    assert_eq!(admin.clicks(text(&made, "id")), 2);
    assert!(!format!("{:?}", visitor.get("/few")).contains("e.test"));
}

#[test]
fn t54_reserved_paths_are_never_links() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    let reserved = [
        "api",
        "links",
        "snapshots",
        "locations",
        "healthz",
        "readyz",
        "metrics",
        ".well-known",
        "robots.txt",
        "favicon.ico",
        "assets",
        "admin",
        "API",
        "Admin",
    ];
    for word in reserved {
        let body = json!({"url": "https://e.test/", "customSlug": word});
        admin.post("/api/v1/links", &body).refuses(
            422,
            "customSlug: is reserved for a path of Waypost: choose another code; reserved are api, links, snapshots, locations, healthz, readyz, metrics, .well-known, robots.txt, favicon.ico, assets, admin",
            word,
        );
        let answer = visitor.get(&format!("/{word}"));
        // The dashboard leads to its own form, and nothing else leads anywhere.
        let location = (word == "admin").then_some("/admin/sign-in?next=%2Fadmin");
        assert_eq!(answer.header("location"), location, "{word}: {answer:?}");
    }
    let robots = visitor.get("/robots.txt");
    assert_eq!((robots.status, robots.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert!(robots.text().contains("User-agent: *"), "{}", robots.text());
    let icon = visitor.get("/favicon.ico");
    assert!(icon.status < 300, "{icon:?}");
    assert_eq!(visitor.get("/healthz").status, 200);
    assert_eq!(visitor.get("/readyz").status, 200);
    // Health answers on any well-formed host, for load balancers that send an IP address.
    assert_eq!(app.visitor().at("10.1.2.3:80").get("/healthz").status, 200);
    assert_eq!(app.visitor().at("unheard-of.test").get("/healthz").status, 200);
}

#[test]
fn t51_a_change_is_seen_by_the_next_click() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    let made = link(&mut admin, "s", &json!({"redirectType": 301}));
    let path = format!("/api/v1/links/{}", text(&made, "id"));
    assert_eq!(way(&visitor.get("/s")), (301, Some("https://e.test/s")));
    let rows = [
        (json!({"url": "https://e.test/new"}), 301, Some("https://e.test/new")),
        (json!({"redirectType": 302}), 302, Some("https://e.test/new")),
        (json!({"utmSource": "mail"}), 302, Some("https://e.test/new?utm_source=mail")),
        (json!({"isActive": false}), 404, None),
        (json!({"isActive": true, "utmSource": null}), 302, Some("https://e.test/new")),
        (json!({"expiresAt": "2020-01-01"}), 410, None),
        (json!({"expiresAt": null}), 302, Some("https://e.test/new")),
        (json!({"password": "open sesame"}), 200, None),
        (json!({"password": null}), 302, Some("https://e.test/new")),
    ];
    for (patch, status, location) in rows {
        admin.patch(&path, &patch).expect(200, &patch.to_string());
        assert_eq!(way(&visitor.get("/s")), (status, location), "{patch}");
    }
    admin.delete(&path).expect(200, "deleted");
    assert_eq!(visitor.get("/s").status, 404, "deleted");
    // An unknown code is found once it exists.
    let again = admin.create(&json!({"url": "https://e.test/again", "customSlug": "s"}));
    assert_eq!(way(&visitor.get("/s")), (302, Some("https://e.test/again")));
    assert_eq!(admin.clicks(text(&again, "id")), 1, "a new link counts from nothing");
    assert_ne!(again["id"], made["id"]);
}

#[test]
fn t46_destinations_leave_as_ascii() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    let rows = [
        (
            "https://e.test/\u{e9}\u{1f600}?q=\u{fc}#\u{df}",
            "https://e.test/%C3%A9%F0%9F%98%80?q=%C3%BC#%C3%9F",
        ),
        ("http://\u{430}\u{440}\u{440}\u{4cf}\u{435}.com/", "http://xn--80ak6aa92e.com/"),
        ("HTTPS://E.test:443/a b", "https://e.test/a%20b"),
        ("https:evil.test", "https://evil.test/"),
    ];
    for (given, sent) in rows {
        let made = admin.create(&json!({"url": given}));
        assert_eq!(made["url"], sent, "{given}");
        let answer = visitor.get(&format!("/{}", text(&made, "shortCode")));
        assert_eq!(way(&answer), (302, Some(sent)), "{given}");
    }
    let rows = [
        ("MAILTO", "jane@example.com", "mailto:jane@example.com"),
        ("TEL", "+49 (30) 12-34", "tel:+49301234"),
        ("SMS", "+49 30 1234?body=hi there", "sms:+49301234?body=hi%20there"),
    ];
    for (kind, given, sent) in rows {
        let made = admin.create(&json!({"url": given, "linkType": kind}));
        let answer = visitor.get(&format!("/{}", text(&made, "shortCode")));
        assert_eq!(way(&answer), (302, Some(sent)), "{kind}");
    }
}

#[test]
fn clicks_and_links_outlive_a_restart() {
    let mut app = TestApp::start();
    let made = link(&mut app.admin(), "s", &json!({"title": "T"}));
    for round in 1..=3 {
        for _ in 0..10 {
            assert_eq!(app.visitor().get("/s").status, 302);
        }
        app = app.restart();
        assert_eq!(app.admin().clicks(text(&made, "id")), 10 * round, "round {round}");
    }
    let found = app.admin().get(&format!("/api/v1/links/{}", text(&made, "id"))).expect(200, "restarted");
    assert_eq!(found["link"]["title"], "T");
    assert_eq!(found["link"]["shortUrl"], format!("http://{HOST}/s"));
}

#[test]
fn query_and_path_are_forwarded_if_the_link_says_so() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({
        "url": "https://e.test/p?a=1#f", "customSlug": "f", "forwardParameters": true, "forwardPath": true,
        "utmSource": "mail",
    }));
    admin.create(&json!({"url": "https://e.test/p?a=1", "customSlug": "plain"}));
    let rows = [
        ("/f", 302, Some("https://e.test/p?a=1&utm_source=mail#f")),
        ("/f?a=2&b=3", 302, Some("https://e.test/p?utm_source=mail&a=2&b=3#f")),
        ("/f/x/y?b=%0d%0a", 302, Some("https://e.test/p/x/y?a=1&utm_source=mail&b=%0d%0a#f")),
        ("/f/", 302, Some("https://e.test/p?a=1&utm_source=mail#f")),
        ("/f/../x", 404, None),
        ("/f/%2e%2e/x", 404, None),
        ("/plain?a=2", 302, Some("https://e.test/p?a=1")),
        ("/plain/x", 404, None),
    ];
    // Twice: from the table, then from memory.
    for round in 0..2 {
        for (target, status, location) in rows {
            let answer = app.visitor().get(target);
            assert_eq!(
                (answer.status, answer.header("location")),
                (status, location),
                "{target}, round {round}"
            );
        }
    }
    assert_eq!(admin.clicks(text(&link, "id")), 8, "what was not found is not counted");
}

/// The start loads the codes of the table in the background. Afterwards an unknown code needs no look-up in
/// the table, and links are still found.
#[test]
fn unknown_codes_are_answered_from_memory() {
    let app = TestApp::start();
    for code in ["a", "b"] {
        app.admin().create(&json!({"url": "https://e.test/", "customSlug": code}));
    }
    let app = app.restart();
    let cache = app.app().core().cache().clone();
    let lookup = |code: &str| cache.get(DomainNumber::DEFAULT, code, |_| ());
    poll("all codes to be learnt", PATIENCE, || (lookup("nowhere") == Lookup::Absent).then_some(()));
    assert_eq!(lookup("a"), Lookup::Miss, "not in memory yet");
    let mut visitor = app.visitor();
    assert_eq!(["/a", "/b", "/nowhere", "/c"].map(|path| visitor.get(path).status), [302, 302, 404, 404]);
    assert_eq!(lookup("a"), Lookup::Hit(()));
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "c"}));
    assert_eq!(visitor.get("/c").status, 302);
}
