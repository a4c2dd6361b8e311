//! Short URLs that change: renamed codes, other domains, aliases, and codes as they were typed.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Answer, Client, text};
use crate::support::native::path_of;

fn made(admin: &mut Client, code: &str) -> Value {
    admin.create(&json!({"url": format!("https://e.test/{code}"), "customSlug": code}))
}

/// Returns status and `Location` of a visit.
fn visit(app: &TestApp, path: &str) -> (u16, Option<String>) {
    let answer = app.visitor().get(path);
    (answer.status, answer.header("location").map(str::to_owned))
}

fn leads_to(code: &str) -> (u16, Option<String>) {
    (302, Some(format!("https://e.test/{code}")))
}

#[test]
fn m3_a_renamed_link_keeps_id_clicks_and_date_and_frees_its_code() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let before = made(&mut admin, "old");
    assert_eq!(visit(&app, "/old"), leads_to("old"));
    let after = admin.patch(&path_of(&before), &json!({"customSlug": "new"})).expect(200, "renamed");
    let after = &after["link"];
    for field in ["id", "createdAt", "url", "workspaceId"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!((text(after, "shortCode"), &after["clickCount"]), ("new", &json!(1)));
    assert_eq!(visit(&app, "/new"), leads_to("old"));
    assert_eq!(visit(&app, "/old").0, 404);
    assert_eq!(admin.clicks(text(&before, "id")), 2);
    // The old code is free, and the new one is not.
    let other = made(&mut admin, "old");
    assert_eq!(visit(&app, "/old"), leads_to("old"));
    admin.patch(&path_of(&other), &json!({"customSlug": "new"})).expect(409, "taken");
    assert_eq!(admin.get("/api/v1/links").expect(200, "list")["total"], 2);
    app = app.restart();
    assert_eq!(visit(&app, "/new"), leads_to("old"));
    let mut admin = app.admin();
    // Each id still leads to its own link.
    for (link, code) in [(&before, "new"), (&other, "old")] {
        let shown = admin.get(&path_of(link)).expect(200, code);
        assert_eq!(text(&shown["link"], "shortCode"), code);
    }
    // The same name again changes nothing.
    admin.patch(&path_of(&before), &json!({"customSlug": "new"})).expect(200, "the same");
    admin.delete(&path_of(&other)).expect(200, "deleted");
    admin.delete(&path_of(&before)).expect(200, "deleted");
    assert_eq!(admin.get("/api/v1/links").expect(200, "list")["total"], 0);
}

#[test]
fn m3_an_alias_redirects_and_counts_as_its_link() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let link = made(&mut admin, "one");
    let path = path_of(&link);
    let change = json!({"customSlug": "two", "keepOldCode": true});
    let renamed = admin.patch(&path, &change).expect(200, "renamed");
    let alias = json!({"domain": HOST, "shortCode": "one", "shortUrl": text(&link, "shortUrl")});
    assert_eq!(renamed["link"]["aliases"], json!([alias]));
    for code in ["/one", "/two"] {
        assert_eq!(visit(&app, code), leads_to("one"), "{code}");
    }
    assert_eq!(admin.clicks(text(&link, "id")), 2);
    // A change of the link reaches the alias, whose entry is in the cache.
    admin.patch(&path, &json!({"url": "https://e.test/other"})).expect(200, "another url");
    assert_eq!(visit(&app, "/one"), leads_to("other"));
    admin.patch(&path, &json!({"isActive": false})).expect(200, "off");
    assert_eq!(visit(&app, "/one").0, 404);
    admin.patch(&path, &json!({"isActive": true})).expect(200, "on");
    // The code of an alias is taken, for one link and for a row of a bulk.
    let wanted = json!({"url": "https://e.test/", "customSlug": "one"});
    admin.post("/api/v1/links", &wanted).expect(409, "taken");
    let bulk = admin.post("/api/v1/links/bulk", &json!({"links": [wanted]})).expect(201, "a bulk");
    assert_eq!(bulk["failed"].as_array().map(Vec::len), Some(1), "{bulk}");
    app = app.restart();
    let mut admin = app.admin();
    assert_eq!(visit(&app, "/one"), leads_to("other"));
    // Sent back whole, nothing changes. Renamed to its alias, the link swaps both.
    let shown = admin.get(&path).expect(200, "read")["link"].clone();
    assert_eq!(admin.patch(&path, &shown).expect(200, "sent back")["link"]["aliases"], shown["aliases"]);
    let swap = json!({"customSlug": "one", "keepOldCode": true});
    let swapped = admin.patch(&path, &swap).expect(200, "swapped")["link"].clone();
    assert_eq!((text(&swapped, "shortCode"), &swapped["aliases"][0]["shortCode"]), ("one", &json!("two")));
    for code in ["/one", "/two"] {
        assert_eq!(visit(&app, code), leads_to("other"), "{code}");
    }
    // Removed from the list and named as the code at once.
    let both = json!({"customSlug": "two", "aliases": []});
    let both = admin.patch(&path, &both).expect(200, "removed and named")["link"].clone();
    assert_eq!((text(&both, "shortCode"), &both["aliases"]), ("two", &json!([])));
    admin.patch(&path, &swap).expect(200, "swapped again");
    // Removed from the list, an alias is free.
    admin.patch(&path, &json!({"aliases": []})).expect(200, "removed");
    assert_eq!(visit(&app, "/two").0, 404);
    made(&mut admin, "two");
    // Deleted with its link.
    admin.patch(&path, &json!({"customSlug": "three", "keepOldCode": true})).expect(200, "renamed");
    admin.delete(&path).expect(200, "deleted");
    assert_eq!(visit(&app, "/one").0, 404);
    made(&mut admin, "one");
}

#[test]
fn m3_a_link_moves_to_another_domain() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let domain = admin.post("/api/v1/domains", &json!({"domain": "other.test", "caseSensitive": false}));
    let domain = domain.expect(201, "a domain")["domain"].clone();
    let link = made(&mut admin, "Sale");
    let change = json!({"domain": "other.test", "keepOldCode": true});
    let moved = admin.patch(&path_of(&link), &change).expect(200, "moved")["link"].clone();
    // The new domain ignores case, and shows the code as it was typed.
    let shown = (text(&moved, "domain"), text(&moved, "shortCode"), text(&moved, "shortUrl"));
    assert_eq!(shown, ("other.test", "Sale", "https://other.test/Sale"));
    assert_eq!(visit(&app, "/Sale"), leads_to("Sale"), "the alias");
    let elsewhere = app.visitor().at("other.test").get("/sALE");
    assert_eq!(elsewhere.status, 302);
    assert_eq!(admin.clicks(text(&link, "id")), 2);
    // The domains count the link where it is, and an alias keeps its domain.
    let path = format!("/api/v1/domains/{}", text(&domain, "id"));
    assert_eq!(admin.get(&path).expect(200, "the domain")["domain"]["activeLinks"], 1);
    let back = json!({"domain": HOST, "customSlug": "back", "keepOldCode": true});
    admin.patch(&path_of(&link), &back).expect(200, "moved back");
    assert_eq!(admin.delete(&path).status, 422, "an alias is left");
    admin.patch(&path_of(&link), &json!({"aliases": []})).expect(200, "no alias");
    admin.delete(&path).expect(200, "free");
}

#[test]
fn m3_a_rename_must_not_close_a_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let base = text(&made(&mut admin, "base"), "shortUrl").trim_end_matches("base").to_owned();
    let one = admin.create(&json!({"url": format!("{base}free"), "customSlug": "one"}));
    let two = admin.create(&json!({"url": format!("{base}one"), "customSlug": "two"}));
    // `one` leads to the free code, which `two` would get.
    let refused = admin.patch(&path_of(&two), &json!({"customSlug": "free"}));
    assert_eq!(refused.status, 422, "{refused:?}");
    // An alias is its link: neither may lead to the other.
    admin.patch(&path_of(&one), &json!({"url": "https://e.test/"})).expect(200, "elsewhere");
    admin.patch(&path_of(&one), &json!({"customSlug": "ones", "keepOldCode": true})).expect(200, "renamed");
    for to in ["one", "ones", "two"] {
        let refused = admin.patch(&path_of(&one), &json!({"url": format!("{base}{to}")}));
        assert_eq!(refused.status, 422, "{to}: {refused:?}");
    }
}

/// Two renames to one code, and a creation of the code that is freed: one of each wins, and nothing is lost.
#[test]
fn m3_renames_race() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for round in 0..10 {
        let links = [format!("a{round}"), format!("b{round}")].map(|code| made(&mut admin, &code));
        let wanted = format!("w{round}");
        let barrier = Barrier::new(3);
        let (renames, created) = std::thread::scope(|scope| {
            let renames = links.each_ref().map(|link| {
                let (mut admin, barrier, path) = (app.admin(), &barrier, path_of(link));
                let change = json!({"customSlug": wanted, "title": "t"});
                scope.spawn(move || {
                    admin.get("/api/v1/tags");
                    barrier.wait();
                    admin.patch(&path, &change).status
                })
            });
            let (mut admin, barrier) = (app.admin(), &barrier);
            let body = json!({"url": "https://e.test/created", "customSlug": format!("a{round}")});
            let create = scope.spawn(move || {
                admin.get("/api/v1/tags");
                barrier.wait();
                admin.post("/api/v1/links", &body).status
            });
            (renames.map(|one| one.join().expect("a client")), create.join().expect("a client"))
        });
        assert!(matches!(renames, [200, 409] | [409, 200]), "round {round}: {renames:?}");
        // The code of the first link is free only if its rename won, and only behind it.
        assert!(created == 409 || (created == 201 && renames[0] == 200), "round {round}: {created}");
        let winner = usize::from(renames[1] == 200);
        for (at, link) in links.iter().enumerate() {
            let shown = admin.get(&path_of(link)).expect(200, "the link");
            let (code, old) = (text(&shown["link"], "shortCode").to_owned(), text(link, "shortCode"));
            assert_eq!(code, if at == winner { &*wanted } else { old }, "round {round}");
        }
        assert_eq!(visit(&app, &format!("/{wanted}")), leads_to(text(&links[winner], "shortCode")));
    }
}

/// Two changes of one link at once are both done.
#[test]
fn m3_a_rename_races_a_change_of_its_link() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for round in 0..10 {
        let link = made(&mut admin, &format!("a{round}"));
        let barrier = Barrier::new(2);
        let changes =
            [json!({"customSlug": format!("b{round}"), "keepOldCode": true}), json!({"title": "t"})];
        std::thread::scope(|scope| {
            for change in &changes {
                let (mut admin, barrier, path) = (app.admin(), &barrier, path_of(&link));
                scope.spawn(move || {
                    admin.get("/api/v1/tags");
                    barrier.wait();
                    admin.patch(&path, change).expect(200, "changed");
                });
            }
        });
        let shown = admin.get(&path_of(&link)).expect(200, "the link")["link"].clone();
        assert_eq!((text(&shown, "title"), text(&shown, "shortCode")), ("t", &*format!("b{round}")));
        assert_eq!(visit(&app, &format!("/a{round}")).0, 302, "the alias");
    }
}

#[test]
fn m5_a_create_returns_the_live_link_of_its_destination() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a domain");
    let first = admin.create(&json!({"url": "https://E.test/a/../page", "utmSource": "mail"}));
    app = app.restart();
    let mut admin = app.admin();
    let reuse = |more: Value| {
        let mut body = json!({"url": "https://e.test/page?utm_source=mail", "reuse": true});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        body
    };
    // The same destination in another spelling, with the UTM parameters in the URL.
    for body in [reuse(json!({})), reuse(json!({"domain": HOST})), reuse(json!({"title": "ignored"}))] {
        let answer = admin.post("/api/v1/links", &body).expect(200, &body.to_string());
        assert_eq!(answer["link"]["id"], first["id"], "{body}");
    }
    // An alias of the link is one of its codes.
    let renamed = admin.patch(&path_of(&first), &json!({"customSlug": "later", "keepOldCode": true}));
    let old = renamed.expect(200, "renamed")["link"]["aliases"][0]["shortCode"].clone();
    let by_alias =
        admin.post("/api/v1/links", &reuse(json!({"customSlug": old}))).expect(200, "by its alias");
    assert_eq!(by_alias["link"]["id"], first["id"]);
    // Another destination, domain or code, a password, and no `reuse`: a new link each.
    for body in [
        json!({"url": "https://e.test/page", "reuse": true}),
        reuse(json!({"domain": "other.test"})),
        reuse(json!({"customSlug": "named"})),
        reuse(json!({"password": "secret"})),
        reuse(json!({"reuse": false})),
    ] {
        let made = admin.post("/api/v1/links", &body).expect(201, &body.to_string());
        admin.delete(&path_of(&made["link"])).expect(200, "deleted");
    }
    // Without the first link, none is live.
    admin.patch(&path_of(&first), &json!({"aliases": []})).expect(200, "no alias");
    for change in [json!({"isActive": false}), json!({"isActive": true, "expiresAt": "2020-01-01"})] {
        admin.patch(&path_of(&first), &change).expect(200, "not live");
        let made = admin.post("/api/v1/links", &reuse(json!({}))).expect(201, &change.to_string());
        admin.delete(&path_of(&made["link"])).expect(200, "deleted");
    }
    // A changed destination is found under its new text, and not under the old one.
    admin
        .patch(&path_of(&first), &json!({"expiresAt": null, "url": "https://e.test/moved"}))
        .expect(200, "moved");
    let moved = json!({"url": "https://e.test/moved", "utmSource": "mail", "reuse": true});
    assert_eq!(admin.post("/api/v1/links", &moved).expect(200, "moved")["link"]["id"], first["id"]);
    admin.patch(&path_of(&first), &json!({"customSlug": "renamed"})).expect(200, "renamed");
    assert_eq!(admin.post("/api/v1/links", &moved).expect(200, "renamed")["link"]["shortCode"], "renamed");
    let twice = json!({"url": "https://e.test/bulk", "reuse": true});
    let bulk =
        admin.post("/api/v1/links/bulk", &json!({"links": [twice, moved, twice]})).expect(201, "a bulk");
    assert_eq!((&bulk["links"][1]["id"], &bulk["links"][2]["id"]), (&first["id"], &bulk["links"][0]["id"]));
}

#[test]
fn m12_generated_codes_have_a_prefix_and_may_be_words() {
    let app = TestApp::start_with(|config| {
        config.links = serde_json::from_value(json!({"code_style": "words"})).expect("settings");
    });
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "codePrefix": "spring."}));
    let code = text(&link, "shortCode").to_owned();
    assert!(code.starts_with("spring.") && code.split('-').count() == 4, "{code}");
    assert_eq!(visit(&app, &format!("/{code}")).0, 302);
    let domain = json!({"domain": "print.test", "caseSensitive": false});
    admin.post("/api/v1/domains", &domain).expect(201, "a domain");
    let typed = json!({"url": "https://e.test/", "domain": "print.test", "codePrefix": "Spring-"});
    let link = admin.create(&typed);
    let (code, url) = (text(&link, "shortCode"), text(&link, "shortUrl"));
    assert!(code.starts_with("Spring-") && url.ends_with(code), "{link}");
    assert_eq!(app.visitor().at("print.test").get(&format!("/{}", code.to_lowercase())).status, 302);
    let bulk = admin.post("/api/v1/links/bulk", &json!({"links": [typed]})).expect(201, "a bulk");
    assert!(text(&bulk["links"][0], "shortCode").starts_with("Spring-"), "{bulk}");
    for (body, rule) in [
        (json!({"codePrefix": "a b"}), "codePrefix: must consist of"),
        (json!({"codePrefix": "x".repeat(41)}), "codePrefix: must be at most 40 characters"),
        (json!({"codePrefix": "a", "customSlug": "b"}), "codePrefix: works only without customSlug"),
    ] {
        let mut body = body;
        body["url"] = json!("https://e.test/");
        let refused = admin.post("/api/v1/links", &body);
        let error = refused.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(refused.status == 422 && error.starts_with(rule), "{body}: {refused:?}");
    }
}

#[test]
fn m7_a_code_is_printed_as_it_was_typed() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let domain = json!({"domain": "print.test", "caseSensitive": false});
    admin.post("/api/v1/domains", &domain).expect(201, "a domain");
    let body = json!({"url": "https://e.test/", "domain": "print.test", "customSlug": "GetStarted"});
    let link = admin.create(&body);
    assert_eq!(
        (text(&link, "shortCode"), text(&link, "shortUrl")),
        ("GetStarted", "https://print.test/GetStarted")
    );
    admin
        .post(
            "/api/v1/links",
            &json!({"url": "https://e.test/", "domain": "print.test", "customSlug": "getstarted"}),
        )
        .expect(409, "the same code");
    let bulk = json!({"domain": "print.test", "links": [{"url": "https://e.test/", "customSlug": "InBulk"}]});
    let bulk = admin.post("/api/v1/links/bulk", &bulk).expect(201, "a bulk");
    assert_eq!(text(&bulk["links"][0], "shortCode"), "InBulk");
    app = app.restart();
    for path in ["/GetStarted", "/getstarted", "/GETSTARTED"] {
        assert_eq!(app.visitor().at("print.test").get(path).status, 302, "{path}");
    }
    let mut admin = app.admin();
    let path = path_of(&link);
    // Only the print changes.
    let again = admin.patch(&path, &json!({"customSlug": "getSTARTED"})).expect(200, "printed otherwise");
    assert_eq!(text(&again["link"], "shortCode"), "getSTARTED");
    assert_eq!(again["link"]["aliases"], json!([]));
    // An alias keeps its capitals, also across restarts, and is the same address in any.
    let change = json!({"customSlug": "Other", "keepOldCode": true});
    let alias = json!([{
        "domain": "print.test", "shortCode": "getSTARTED", "shortUrl": "https://print.test/getSTARTED",
    }]);
    assert_eq!(admin.patch(&path, &change).expect(200, "renamed")["link"]["aliases"], alias);
    app = app.restart();
    let mut admin = app.admin();
    let shown = admin.get(&path).expect(200, "read")["link"].clone();
    assert_eq!((text(&shown, "shortCode"), &shown["aliases"]), ("Other", &alias));
    assert_eq!(admin.patch(&path, &shown).expect(200, "sent back")["link"]["aliases"], alias);
    assert_eq!(app.visitor().at("print.test").get("/GetStarted").status, 302);
    let named = json!({"aliases": [{"domain": "print.test", "shortCode": "GETSTARTED"}]});
    assert_eq!(admin.patch(&path, &named).expect(200, "named otherwise")["link"]["aliases"], alias);
    let back = json!({"customSlug": "GETstarted", "keepOldCode": true});
    let back = admin.patch(&path, &back).expect(200, "swapped")["link"].clone();
    assert_eq!((text(&back, "shortCode"), text(&back["aliases"][0], "shortCode")), ("GETstarted", "Other"));
}

#[test]
fn m3_a_create_names_its_aliases_as_ignored() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/", "aliases": [{"shortCode": "old"}]});
    for (path, body) in [("/api/v1/links", body.clone()), ("/api/v1/links/bulk", json!({"links": [body]}))] {
        let answer = admin.post(path, &body).expect(201, path);
        let warning = answer["warnings"][0].as_str().unwrap_or_default().to_owned();
        assert!(warning.contains("aliases: is no field") && warning.contains("keepOldCode"), "{answer}");
    }
}

#[test]
fn m11_the_image_counts_without_a_redirect() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin
        .create(&json!({"url": "https://e.test/", "customSlug": "px", "countPixel": true, "maxClicks": 2}));
    made(&mut admin, "plain");
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/plain+pixel.gif").status, 404, "off unless the link allows it");
    assert_eq!(visitor.get("/none+pixel.gif").status, 404, "no such link");
    let head = visitor.head("/px+pixel.gif");
    assert_eq!((head.status, admin.clicks(text(&link, "id"))), (200, 0));
    let image = visitor.get("/px+pixel.gif");
    assert_eq!((image.status, image.header("content-type")), (200, Some("image/gif")));
    assert_eq!(image.header("cache-control"), Some("private, no-store"));
    assert!(image.body.starts_with(b"GIF89a"), "{image:?}");
    assert_eq!(admin.clicks(text(&link, "id")), 1);
    let bot = [("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")];
    visitor.send("GET", "/px%2Bpixel.gif", &bot, None);
    assert_eq!(admin.clicks(text(&link, "id")), 1, "a bot");
    assert_eq!(visitor.get("/px").status, 302);
    assert_eq!(visitor.get("/px+pixel.gif").status, 410, "the limit holds for both");
}

#[test]
fn m10_pages_have_the_tags_of_their_link() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({
        "url": "https://e.test/", "customSlug": "page", "cloaked": true,
        "headTags": "<link rel='icon' href='https://icons.test/i.png'>",
        "bodyTags": "<p>hello</p><img src='https://images.test/i.png'>",
    });
    let link = admin.create(&body);
    let page = app.visitor().get("/page");
    let html = String::from_utf8_lossy(&page.body).into_owned();
    let head = html.find("<link href=\"https://icons.test/i.png\" rel=\"icon\">").expect("the icon");
    assert!(head < html.find("</head>").expect("a head"), "{html}");
    assert!(html.contains("<p>hello</p><img src=\"https://images.test/i.png\">"), "{html}");
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.ends_with("; img-src https://icons.test https://images.test"), "{policy}");
    let change = json!({"cloaked": false, "gtmContainerId": "GTM-ABC1234"});
    admin.patch(&path_of(&link), &change).expect(200, "a container");
    let page = app.visitor().get("/page");
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert!(html.contains("data-gtm=\"GTM-ABC1234\"") && html.contains("<p>hello</p>"), "{html}");
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains(" https://images.test; connect-src "), "{policy}");
}

#[test]
fn m10_a_redirect_can_hide_the_referrer() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "quiet", "hideReferrer": true}));
    made(&mut admin, "plain");
    let policy = |path: &str| app.visitor().get(path).header("referrer-policy").map(str::to_owned);
    assert_eq!(policy("/quiet").as_deref(), Some("no-referrer"));
    assert_eq!(policy("/plain"), None);
    let locked =
        json!({"url": "https://e.test/", "customSlug": "both", "hideReferrer": true, "password": "secret"});
    admin.create(&locked);
    let opened = press(&mut app.visitor(), "/both", &[], b"password=secret");
    assert_eq!((opened.status, opened.header("referrer-policy")), (303, Some("no-referrer")));
    let over = json!({"expiresAt": "2020-01-01", "expiredUrl": "https://e.test/over"});
    admin.patch(&path_of(&link), &over).expect(200, "expired");
    assert_eq!(policy("/quiet").as_deref(), Some("no-referrer"), "also to expiredUrl");
}

/// Sends a form as a browser does.
fn press(visitor: &mut Client, path: &str, headers: &[(&str, &str)], form: &[u8]) -> Answer {
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    visitor.send_form(path, &all, form)
}

#[test]
fn m2_the_button_is_the_click() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for (code, status) in [("once", 302), ("kept", 308)] {
        let body = json!({
            "url": "https://e.test/to", "customSlug": code, "confirm": true, "maxClicks": 1, "redirectType": status,
            "title": "A title", "forwardParameters": true,
        });
        let link = admin.create(&body);
        let (path, mut visitor) = (format!("/{code}?a=1"), app.visitor());
        // A scanner follows the link in any way that a browser does.
        for _ in 0..3 {
            let page = visitor.get(&path);
            let html = String::from_utf8_lossy(&page.body).into_owned();
            assert!(
                page.status == 200
                    && html.contains("name=\"confirm\"")
                    && html.contains("A title")
                    && html.contains(&format!("<footer>{HOST}</footer>")),
                "{html}"
            );
            assert!(!format!("{page:?}{html}").contains("e.test"), "the destination is hidden: {page:?}");
            assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        }
        assert_eq!(visitor.head(&path).status, 200);
        assert_eq!(admin.clicks(text(&link, "id")), 0);
        // The form of another site, no form, and a form without the button press nothing.
        let origin = format!("http://{HOST}");
        let foreign = [("Origin", "https://evil.test")];
        assert_eq!(press(&mut visitor, &path, &foreign, b"confirm=1").status, 403);
        assert_eq!(visitor.send("POST", &path, &[], Some(b"confirm=1")).status, 415);
        assert_eq!(press(&mut visitor, &path, &[("Origin", &origin)], b"other=1").status, 200);
        assert_eq!(admin.clicks(text(&link, "id")), 0);
        // 303 also for a link with 308: the form is not sent on.
        let pressed = press(&mut visitor, &path, &[("Origin", &origin)], b"confirm=1");
        assert_eq!((pressed.status, pressed.header("location")), (303, Some("https://e.test/to?a=1")));
        assert_eq!(admin.clicks(text(&link, "id")), 1);
        assert_eq!(visitor.get(&path).status, 410, "used up");
        assert_eq!(press(&mut visitor, &path, &[("Origin", &origin)], b"confirm=1").status, 410);
        let explained = admin.get(&format!("{}/explain", path_of(&link))).expect(200, "explain");
        assert_eq!(explained["explain"]["outcome"], "gone");
    }
}

/// A visitor has the page with the button open while the option is taken off: the button must not be sent on.
#[test]
fn f19_a_button_that_was_taken_off_while_the_page_is_open() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        json!({}),
        json!({"redirectType": 307}),
        json!({"redirectType": 308, "maxClicks": 3}),
        json!({"forwardParameters": true}),
        json!({"cloaked": true}),
        json!({"metaPixelId": "123456789012345"}),
    ];
    let own = format!("http://{HOST}");
    for (number, more) in rows.iter().enumerate() {
        let mut body =
            json!({"url": "https://e.test/to", "customSlug": format!("b{number}"), "confirm": true});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let link = admin.create(&body);
        let id = text(&link, "id");
        admin.patch(&format!("/api/v1/links/{id}"), &json!({"confirm": false})).expect(200, "taken off");
        let (path, mut visitor) = (format!("/b{number}?a=1"), app.visitor());
        for headers in [&[][..], &[("Origin", own.as_str())]] {
            let answer = press(&mut visitor, &path, headers, b"confirm=1");
            assert_eq!((answer.status, answer.header("location")), (303, Some(&*path)), "{more}");
        }
        assert_eq!(admin.clicks(id), 0, "{more}");
    }
    // Another form of the same name is the destination's.
    let mut visitor = app.visitor();
    for form in [&b"confirm=yes"[..], b"confirm=1&order=5"] {
        assert_eq!(press(&mut visitor, "/b1", &[], form).status, 307);
    }
}

#[test]
fn m2_a_confirmation_works_with_a_password_a_frame_and_pixels() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let locked = admin.create(&json!({
        "url": "https://e.test/to", "customSlug": "locked", "confirm": true, "password": "secret",
    }));
    let mut visitor = app.visitor();
    // The button opens no link with a password, and the password needs no button.
    assert_eq!(press(&mut visitor, "/locked", &[], b"confirm=1").status, 200);
    assert_eq!(press(&mut visitor, "/locked", &[], b"password=wrong").status, 403);
    assert_eq!(admin.clicks(text(&locked, "id")), 0);
    let opened = press(&mut visitor, "/locked", &[], b"password=secret");
    assert_eq!((opened.status, opened.header("location")), (303, Some("https://e.test/to")));
    assert_eq!(admin.clicks(text(&locked, "id")), 1);
    // With the cookie the button is enough.
    let cookie = opened.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    let cookie = [("Cookie", &*cookie)];
    assert_eq!(visitor.send("GET", "/locked", &cookie, None).status, 200, "the button");
    assert_eq!(press(&mut visitor, "/locked", &cookie, b"confirm=1").status, 303);
    assert_eq!(admin.clicks(text(&locked, "id")), 2);
    // Both in one form, as a program sends them.
    assert_eq!(press(&mut visitor, "/locked", &[], b"confirm=1&password=wrong").status, 403);
    assert_eq!(press(&mut visitor, "/locked", &[], b"confirm=1&password=secret").status, 303);
    assert_eq!(admin.clicks(text(&locked, "id")), 3);
    for (code, more) in
        [("frame", json!({"cloaked": true})), ("fires", json!({"metaPixelId": "123456789012345"}))]
    {
        let mut body = json!({"url": "https://e.test/to", "customSlug": code, "confirm": true});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let link = admin.create(&body);
        let path = format!("/{code}");
        assert!(!String::from_utf8_lossy(&visitor.get(&path).body).contains("e.test"), "{code}");
        // The page itself, which a GET would not show.
        let page = press(&mut visitor, &path, &[], b"confirm=1");
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert!(page.status == 200 && html.contains("https://e.test/to"), "{code}: {html}");
        assert_eq!(admin.clicks(text(&link, "id")), 1, "{code}");
        let explained = admin.get(&format!("{}/explain", path_of(&link))).expect(200, "explain");
        assert_eq!(explained["explain"]["outcome"], "confirmation page", "{code}");
    }
}
