//! How texts and URLs are read, stored, compared and shown: spellings that people and their tools use for one
//! thing. Each test has the number of the public report that it comes from.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::{Client, text};
use crate::support::process::{Plan, command};

const LINKS: &str = "/api/v1/links";
const TAGS: &str = "/api/v1/tags";

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn path_of(link: &Value) -> String {
    format!("{LINKS}/{}", text(link, "id"))
}

/// Creates a link of a type and returns its URL, or the error.
fn stored(admin: &mut Client, kind: &str, url: &str) -> Result<String, String> {
    let answer = admin.post(LINKS, &json!({"url": url, "linkType": kind}));
    let body = answer.json();
    if answer.status == 201 {
        Ok(text(&body["link"], "url").to_owned())
    } else {
        assert_eq!(answer.status, 422, "{url}: {body}");
        Err(text(&body, "error").to_owned())
    }
}

#[test]
fn f01_f12_f13_a4_a5_plain_values_become_uris() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for (kind, url, want) in [
        ("TEL", "+49 (0) 30 1234", "tel:+49301234"),
        ("TEL", "+49\u{2011}30\u{a0}1234\u{202c}", "tel:+49301234"),
        ("TEL", "+38 (044) 123-45-67", "tel:+380441234567"),
        ("TEL", "+375 (017) 226-00-00", "tel:+375172260000"),
        ("TEL", "(0049) (0)30 1234", "tel:0049301234"),
        ("SMS", "+44 (0)20 7946 0000?body=50% #1", "sms:+442079460000?body=50%25%20%231"),
        (
            "MAILTO",
            "a@example.com?subject=Ticket #5&body=100%",
            "mailto:a@example.com?subject=Ticket%20%235&body=100%25",
        ),
        ("MAILTO", "mailto:?subject=Look&body=x", "mailto:?subject=Look&body=x"),
        ("URL", "\u{feff}https://e.test/x\u{200b}", "https://e.test/x"),
    ] {
        assert_eq!(stored(&mut admin, kind, url).as_deref(), Ok(want), "{url}");
        assert_eq!(stored(&mut admin, kind, want).as_deref(), Ok(want), "{want} can be sent back");
    }
    let row = json!({"links": [{"url": "+43(0)1 234567", "linkType": "TEL"}]});
    let bulk = admin.post("/api/v1/links/bulk", &row).expect(201, "a bulk");
    assert_eq!(bulk["links"][0]["url"], "tel:+431234567", "{bulk}");
    assert!(stored(&mut admin, "TEL", "49 (0) 30 1234").is_err_and(|error| error.contains("(0)")));
    for url in ["+86 010 1234 5678", "0044 020 7946 0000", "+62 0812 345 678", "+49 30 (0) 1234"] {
        for kind in ["TEL", "SMS"] {
            assert!(
                stored(&mut admin, kind, url).is_err_and(|why| why.starts_with("url: must not have")),
                "{url}"
            );
        }
    }
}

#[test]
fn f22_locations_have_only_characters_of_uris() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/a^{b}?family=A|B\\&c[]=50%#x|y", "customSlug": "pi", "forwardParameters": true});
    let made = admin.create(&body);
    let want = "https://e.test/a%5E%7Bb%7D?family=A%7CB%5C&c[]=50%25#x%7Cy";
    assert_eq!(made["url"], want);
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/pi").header("location"), Some(want));
    let forwarded = visitor.get("/pi?d={1|2^3}");
    let location = forwarded.header("location").unwrap_or_default();
    assert!(location.ends_with("&d=%7B1%7C2%5E3%7D#x%7Cy"), "{location}");
    let forwarded = visitor.get("/pi?off=100%&e=%zz&f=%41");
    let location = forwarded.header("location").unwrap_or_default();
    assert!(location.ends_with("&off=100%25&e=%25zz&f=%41#x%7Cy"), "{location}");
    let two = admin.create(&json!({"url": "https://e.test/#a#b", "customSlug": "two", "forwardPath": true}));
    assert_eq!(two["url"], "https://e.test/#a%23b");
    assert_eq!(visitor.get("/two/50%").header("location"), Some("https://e.test/50%25#a%23b"));
    // The password was removed while its form was open: a redirect to the link itself.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = visitor.send("POST", "/two?a=|{}^%", &form, Some(b"password=x"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/two?a=%7C%7B%7D%5E%25")));
    // As it is shown, it can be sent back.
    let again = admin.patch(&path_of(&made), &json!({"url": want})).expect(200, "unchanged");
    assert_eq!(again["link"]["url"], want);
}

#[test]
fn f05_a_password_opens_in_every_spelling() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    for (code, set, typed) in [
        ("nfc", "M\u{fc}ller", "Mu\u{308}ller"),
        ("nfd", "Mu\u{308}ller", "M\u{fc}ller"),
        ("long", "\u{fc}".repeat(512).as_str(), "u\u{308}".repeat(512).as_str()),
        ("kana", "パスワード", "ハ\u{309a}スワート\u{3099}"),
        ("space", "open sesame", "open\u{a0}sesame"),
        ("wide", "1234", "\u{ff11}\u{ff12}\u{ff13}\u{ff14}"),
    ] {
        admin.create(&json!({"url": "https://e.test/", "customSlug": code, "password": set}));
        for word in [set, typed] {
            let form = format!("password={}", escaped(word));
            let headers = [("Content-Type", "application/x-www-form-urlencoded")];
            let answer = visitor.send("POST", &format!("/{code}"), &headers, Some(form.as_bytes()));
            assert_eq!(answer.status, 303, "{code}: {word}");
        }
    }
}

#[test]
fn f23_whole_numbers_may_be_floats() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for (number, shown) in
        [("301.0", "PERMANENT_301"), ("302.00", "TEMPORARY_302"), ("307.0", "307"), ("3.08e2", "308")]
    {
        let body = format!(r#"{{"url":"https://e.test/","redirectType":{number},"maxClicks":5.0}}"#);
        let made = admin.send("POST", LINKS, &[], Some(body.as_bytes())).expect(201, number);
        assert_eq!((&made["link"]["redirectType"], &made["link"]["maxClicks"]), (&json!(shown), &json!(5)));
    }
    let body = br#"{"url":"https://e.test/","redirectType":301.5}"#;
    assert_eq!(admin.send("POST", LINKS, &[], Some(body)).status, 422);
}

#[test]
fn f21_a8_spellings_of_a_tag_are_one_tag() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let tag = |admin: &mut Client, name: &str| admin.post(TAGS, &json!({"name": name}));
    for (first, others) in [
        ("Gr\u{f6}\u{df}e", &["Gro\u{308}\u{df}e", "GR\u{d6}\u{df}E"][..]),
        ("Summer", &["summer", "SUMMER"]),
        ("パン", &["ハ\u{309a}ン"]),
        ("\u{2764}", &["\u{2764}\u{fe0f}", "\u{2764}\u{fe0e}"]),
        ("Zed", &["zed\u{200b}", "\u{2060}Ze\u{ad}d"]),
        ("a b", &["A\u{a0}b", "a\u{3000}b"]),
    ] {
        tag(&mut admin, first).expect(201, first);
        for other in others {
            tag(&mut admin, other).refuses(409, "name: is already in use", other);
        }
    }
    tag(&mut admin, "\u{200b}").refuses(422, "name: must not be empty", "nothing to see");
    let halo = tag(&mut admin, "halo").expect(201, "halo")["tag"].clone();
    tag(&mut admin, "hal\u{f3}").expect(201, "another word");
    // A tag may get another spelling of its own name, and no other one's.
    let path = format!("{TAGS}/{}", text(&halo, "id"));
    assert_eq!(admin.patch(&path, &json!({"name": "HALO"})).expect(200, "its own")["tag"]["name"], "HALO");
    admin.patch(&path, &json!({"name": "sUmmer"})).refuses(409, "name: is already in use", "another one's");
    admin.patch(&path, &json!({"name": "free"})).expect(200, "a new name");
    tag(&mut admin, "Halo").expect(201, "the old name is free");
    admin.send("DELETE", &path, &[], None).expect(200, "deleted");
    tag(&mut admin, "FREE").expect(201, "a deleted name is free");

    // Linquid creates tags by name.
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    let names = json!(["\u{c9}t\u{e9}", "E\u{301}te\u{301}", "\u{e9}t\u{e9}", "summer", "SUMMER"]);
    let body = json!({"destinationUrl": "https://e.test/", "tags": names});
    let made = vendor.post("/api/links", &body).expect(201, "tags")["data"].clone();
    assert_eq!(made["tags"], json!(["\u{c9}t\u{e9}", "Summer"]), "as first written");
}

#[test]
fn f17_a6_codes_have_one_spelling() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut visitor = app.visitor();
    for (styled, plain) in [
        ("\u{2764}\u{fe0f}", "\u{2764}"),
        ("\u{260e}\u{fe0f}", "\u{260e}"),
        ("\u{a9}\u{fe0f}", "\u{a9}"),
        ("\u{2665}\u{fe0f}\u{260e}\u{fe0f}\u{1f4bb}\u{2764}\u{fe0f}", "\u{2665}\u{260e}\u{1f4bb}\u{2764}"),
        ("1\u{fe0f}\u{20e3}", "1\u{20e3}"),
    ] {
        let made = admin.create(&json!({"url": "https://e.test/", "customSlug": styled}));
        for code in [styled, plain] {
            assert_eq!(visitor.get(&format!("/{}", escaped(code))).status, 302, "{code}");
            let twin = json!({"url": "https://e.test/", "customSlug": code});
            assert_eq!(admin.post(LINKS, &twin).status, 409, "{code}");
            admin.patch(&path_of(&made), &json!({"customSlug": code})).expect(200, "unchanged");
        }
    }
    let wales = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}";
    admin.create(&json!({"url": "https://e.test/wales", "customSlug": wales}));
    admin.create(&json!({"url": "https://e.test/black", "customSlug": "\u{1f3f4}"}));
    for (code, want) in [(wales, "https://e.test/wales"), ("\u{1f3f4}", "https://e.test/black")] {
        assert_eq!(visitor.get(&format!("/{}", escaped(code))).header("location"), Some(want));
    }
    let england = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
    assert_eq!(visitor.get(&format!("/{}", escaped(england))).status, 404, "another flag");
    admin
        .post("/api/v1/domains", &json!({"domain": "loose.test", "caseSensitive": false}))
        .expect(201, "a domain");
    let body = json!({"url": "https://e.test/", "customSlug": "\u{c9}T\u{c9}", "domain": "loose.test"});
    assert_eq!(admin.create(&body)["shortCode"], "\u{c9}T\u{c9}", "as typed");
    let mut loose = app.visitor().at("loose.test");
    for code in ["\u{c9}T\u{c9}", "\u{e9}t\u{e9}", "\u{c9}t\u{e9}", "E\u{301}te\u{301}"] {
        assert_eq!(loose.get(&format!("/{}", escaped(code))).status, 302, "{code}");
    }
}

#[test]
fn f15_a_search_finds_what_is_shown() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/one", "customSlug": "such1", "utmSource": "newsletterx"}));
    admin.create(
        &json!({"url": "https://bücher.example/größe?q=tür", "customSlug": "café", "title": "Gro\u{308}ße"}),
    );
    let body = json!({"url": "https://e.test/", "customSlug": "former1", "title": "ΚΑΛΟΚΑΙΡΙΣΜΑ"});
    let former = admin.create(&body);
    let code = json!({"customSlug": "\u{2665}\u{fe0f}shop", "keepOldCode": true});
    admin.patch(&path_of(&former), &code).expect(200, "another code");
    let rules = json!([{"conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}], "url": "https://apps.example/straße"},
        {"variants": [{"url": "https://e.test/x"}, {"url": "https://variant.example/?k=v"}]}]);
    admin.create(&json!({"url": "https://e.test/", "customSlug": "ruled", "rules": rules}));
    let mut vendor = app.admin();
    let workspaces = vendor.get("/api/v1/workspaces").expect(200, "workspaces");
    let location = text(&workspaces["workspaces"][0], "id").to_owned();
    for (search, want) in [
        ("apps.example/STRASSE".replace("SS", "ß").as_str(), 1),
        ("stra%C3%9Fe", 1),
        ("https://variant.example/?k=v", 1),
        ("variant.example/y", 0),
        (format!("http://{HOST}/such1").as_str(), 1),
        (format!("{HOST}/such1").as_str(), 1),
        ("/SUCH1", 1),
        ("utm_source=newsletterx", 1),
        ("https://e.test/one?utm_source=newsletterx", 1),
        ("tür", 1),
        ("größe", 1),
        ("gro\u{308}ße", 1),
        ("gr%C3%B6%C3%9Fe", 1),
        ("bücher", 1),
        ("cafe\u{301}", 1),
        (format!("http://{HOST}/caf%C3%A9").as_str(), 1),
        (format!("\u{200b} http://{HOST}/such1 \u{a0}").as_str(), 1),
        (format!("http://{HOST}/such1?utm_medium=x#y").as_str(), 1),
        (format!("http://{HOST}/such?utm_medium=x").as_str(), 0),
        (format!("https://{HOST}/such1").as_str(), 1),
        (format!("http://{HOST}/former1").as_str(), 1),
        ("former1", 1),
        ("\u{2665}\u{fe0f}shop", 1),
        ("\u{2665}shop", 1),
        ("ΚΑΛΟΚΑΙΡΙΣ", 1),
        ("ΚΑΛΟΚΑΙΡΙΣΜΑ", 1),
        ("newsletterz", 0),
        ("/uch1", 0),
    ] {
        let list = admin.get(&format!("{LINKS}?search={}", escaped(search))).expect(200, search);
        assert_eq!(list["total"], want, "{search}: {list}");
        let path = format!("/links/search?locationId={location}&query={}", escaped(search));
        let streamed = vendor.get(&path).expect(200, search);
        assert_eq!(streamed["links"].as_array().map(Vec::len), Some(want), "{search}");
    }
}

#[test]
fn f21_a_domain_has_the_names_that_people_write() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/domains", &json!({"domain": "bücher.test"})).expect(201, "a domain");
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    for (n, name) in
        ["bücher.test", "BÜCHER.test.", "bu\u{308}cher.test", "xn--bcher-kva.test", "\u{200b}bücher.test "]
            .into_iter()
            .enumerate()
    {
        let code = format!("n{n}");
        let made = admin.create(&json!({"url": "https://e.test/", "domain": name, "customSlug": code}));
        assert_eq!(made["domain"], "xn--bcher-kva.test", "{name}");
        let list = admin.get(&format!("{LINKS}?domain={}", escaped(name))).expect(200, name);
        assert_eq!(list["total"], n + 1, "{name}");
        let path = format!("{LINKS}/by-code/{code}?domain={}", escaped(name));
        assert_eq!(admin.get(&path).expect(200, name)["link"]["id"], made["id"]);
        let body = json!({"destinationUrl": "https://e.test/", "domainId": name});
        vendor.post("/api/links", &body).expect(201, name);
        let newest = vendor_link(&mut admin);
        admin.delete(&path_of(&newest)).expect(200, "deleted");
    }
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let path = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    let changed = admin.patch(&path, &json!({"defaultDomain": "BÜCHER.test"})).expect(200, "a default");
    assert_eq!(changed["workspace"]["defaultDomain"], "xn--bcher-kva.test");
    let unknown = json!({"url": "https://e.test/", "domain": "büche.test"});
    admin.post(LINKS, &unknown).refuses(422, "domain: is not a domain of this workspace", "unknown");
}

/// Returns the newest link.
fn vendor_link(admin: &mut Client) -> Value {
    admin.get(&format!("{LINKS}?limit=1")).expect(200, "the newest")["links"][0].clone()
}

#[test]
fn f11_webhook_urls_can_be_sent_back() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for (urls, shown) in [
        (json!(["https://h.test/in?fields=a,b"]), "https://h.test/in?fields=a%2Cb"),
        (json!(["https://h.test/a,https://b.test/"]), "https://h.test/a%2Chttps://b.test/"),
        (
            json!(["https://h.test/1,2", "https://b.test/p(a,b)"]),
            "https://h.test/1%2C2,https://b.test/p(a%2Cb)",
        ),
    ] {
        let made = admin.create(&json!({"url": "https://e.test/", "webhookUrls": urls}));
        assert_eq!(made["webhookUrls"], shown);
        let again = admin.patch(&path_of(&made), &json!({"webhookUrls": shown})).expect(200, shown);
        assert_eq!(again["link"]["webhookUrls"], shown);
    }
    // Shown, both would be one URL.
    let twins = json!(["https://h.test/a%2Cb", "https://h.test/a,b"]);
    let body = json!({"url": "https://e.test/", "webhookUrls": twins});
    admin.post(LINKS, &body).refuses(422, "webhookUrls: must not name a URL twice", "shown alike");
}

#[test]
fn f14_merge_fields_may_have_spaces() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "one"}));
    let id = text(&made, "id");
    for field in [
        format!("{{{{ trigger_link.{id} }}}}"),
        format!("{{{{trigger_link.{id} }}}}"),
        format!("{{{{ trigger_link.{id}}}}}"),
        format!("{{{{\u{200b}trigger_link.{id}\u{feff}}}}}"),
        format!("{{{{ trigger_link .{id} }}}}"),
        format!("{{{{Trigger_Link.{id}}}}}"),
    ] {
        let answer = admin.post("/api/v1/render", &json!({"text": field})).expect(200, &field);
        assert_eq!(answer, json!({"text": format!("http://{HOST}/one"), "unknown": []}), "{field}");
    }
}

#[test]
fn f20_a_code_that_looks_like_an_id_is_found() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    for code in ["summersale2026berlin", "12345678901234567890", "000000000000000000AB"] {
        let made = admin.create(&json!({"url": "https://e.test/", "customSlug": code}));
        let found = vendor.get(&format!("/api/links/{code}")).expect(200, code);
        assert_eq!(found["data"]["id"], format!("link_{}", text(&made, "id")));
        // The code of one link that is the id of another: the id wins.
        let twin = admin.create(&json!({"url": "https://e.test/", "customSlug": text(&made, "id")}));
        let found = vendor.get(&format!("/api/links/{}", text(&made, "id"))).expect(200, code);
        assert_ne!(found["data"]["id"], format!("link_{}", text(&twin, "id")));
    }
    vendor.get("/api/links/00000000000000000000").expect(404, "neither");
}

#[test]
fn f16_a_credential_of_a_proxy_is_no_key() {
    let app = TestApp::start();
    for authorization in
        ["Basic eDp5", "Digest username=\"J\u{fc}rgen\"", "Negotiate YIIJ", "Negotiate", "Basic"]
    {
        for path in [LINKS, "/api/links"] {
            let mut client = app.visitor().with("X-API-Key", KEY).with("Authorization", authorization);
            client.get(path).expect(200, authorization);
        }
        // Alone, each API names the form in its shape.
        let why = "his server takes the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`";
        let rows = [
            (LINKS, "/error", "t"),
            ("/api/links", "/error/message", "T"),
            ("/links/", "/message", "Invalid token: t"),
            ("/snapshots/", "/message", "Invalid token: t"),
        ];
        for (path, at, begin) in rows {
            let refused = app.visitor().with("Authorization", authorization).get(path).expect(401, path);
            assert_eq!(refused.pointer(at), Some(&json!(format!("{begin}{why}"))), "{path}");
        }
    }
    let mut two = app.visitor().with("X-API-Key", KEY).with("Authorization", "Bearer other");
    assert_eq!(two.get(LINKS).status, 401, "two keys");
    // As sent by tools whose variable or field is empty.
    for (header, beside) in [("Authorization", "X-API-Key"), ("X-API-Key", "Authorization")] {
        let empty = if header == "X-API-Key" { &[""][..] } else { &["", "Bearer", "Bearer "] };
        let key = if beside == "X-API-Key" { KEY.to_owned() } else { format!("Bearer {KEY}") };
        for value in empty {
            app.visitor().with(header, value).with(beside, &key).get(LINKS).expect(200, value);
            let refused = app.visitor().with(header, value).get(LINKS).expect(401, value);
            assert!(
                text(&refused, "error").starts_with("the API key is missing"),
                "{header}: {value}: {refused}"
            );
        }
    }
}

#[test]
fn a1_a_bare_date_is_the_whole_day() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/", "customSlug": "day", "validSince": "2026-01-01", "expiresAt": "2026-01-01"});
    let made = admin.create(&body);
    assert_eq!(made["validSince"], "2026-01-01T00:00:00.000Z");
    assert_eq!(made["expiresAt"], "2026-01-01T23:59:59.999Z");
    assert_eq!(app.visitor().get("/day").status, 302, "it is 2026-01-01");
    let patched = admin.patch(&path_of(&made), &json!({"expiresAt": "2026-12-31"})).expect(200, "a patch");
    assert_eq!(patched["link"]["expiresAt"], "2026-12-31T23:59:59.999Z");
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    let body = json!({"destinationUrl": "https://e.test/", "expiresAt": "2026-12-31"});
    let made = vendor.post("/api/links", &body).expect(201, "Linquid");
    assert_eq!(made["data"]["expiresAt"], "2026-12-31T23:59:59.999Z");
    let body = json!({"name": "k", "scopes": ["links.readonly"], "expiresAt": "2026-12-31"});
    let key = admin.post("/api/v1/keys", &body).expect(201, "a key");
    assert_eq!(key["key"]["expiresAt"], "2026-12-31T23:59:59.999Z");
}

#[test]
fn a1_a_bare_date_is_a_day_of_the_workspaces_zone() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = &workspaces["workspaces"][0];
    assert_eq!(workspace["timezone"], "UTC");
    let path = format!("/api/v1/workspaces/{}", text(workspace, "id"));
    let set = |admin: &mut Client, zone: Value| admin.patch(&path, &json!({"timezone": zone}));
    let changed = set(&mut admin, json!("europe/berlin")).expect(200, "a zone");
    assert_eq!(changed["workspace"]["timezone"], "Europe/Berlin");
    let rule = "timezone: must be a name of the IANA database, such as Europe/Berlin or Asia/Kolkata";
    for zone in ["Mars/Base", "+02:00", "CEST"] {
        set(&mut admin, json!(zone)).refuses(422, rule, zone);
    }
    set(&mut admin, json!(1)).refuses(400, "timezone: must be a string", "a number");

    let (since, until) = ("2026-06-30T22:00:00.000Z", "2026-12-31T22:59:59.999Z");
    let dates = json!({"url": "https://e.test/", "validSince": "2026-07-01", "expiresAt": "2026-12-31"});
    let made = admin.create(&dates);
    assert_eq!((&made["validSince"], &made["expiresAt"]), (&json!(since), &json!(until)));
    let bulk = admin.post("/api/v1/links/bulk", &json!({"links": [dates]})).expect(201, "a bulk");
    let row = admin.get(&path_of(&bulk["links"][0])).expect(200, "its link");
    assert_eq!(row["link"]["expiresAt"], until);
    let patch = json!({"expiresAt": "2026-07-04", "validSince": "2026-07-04T10:00"});
    let patched = admin.patch(&path_of(&made), &patch).expect(200, "a change")["link"].clone();
    assert_eq!(patched["expiresAt"], "2026-07-04T21:59:59.999Z");
    assert_eq!(patched["validSince"], "2026-07-04T10:00:00.000Z", "a time is that of UTC");
    // What is shown means the same if it is sent back.
    let again = admin.patch(&path_of(&made), &patched).expect(200, "a whole link");
    assert_eq!(again["link"]["expiresAt"], patched["expiresAt"]);
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    let body = json!({"destinationUrl": "https://e.test/", "expiresAt": "2026-12-31"});
    assert_eq!(vendor.post("/api/links", &body).expect(201, "Linquid")["data"]["expiresAt"], until);

    // The zone is that of the link's workspace, and not that of the workspace which the request acts in.
    let body = json!({"name": "Far", "timezone": "Asia/Kolkata"});
    let far = admin.post("/api/v1/workspaces", &body).expect(201, "a workspace")["workspace"].clone();
    let mut there = app.admin().with("X-Workspace-Id", text(&far, "id"));
    assert_eq!(there.create(&dates)["expiresAt"], "2026-12-31T18:29:59.999Z");
    let patched = there.patch(&path_of(&made), &json!({"expiresAt": "2026-12-31"})).expect(200, "a change");
    assert_eq!(patched["link"]["expiresAt"], until);

    // The page of a share has a zone of its own; a key may reach several workspaces.
    let body = json!({"linkId": made["id"], "expiresAt": "2026-12-31", "timezone": "America/New_York"});
    let share = admin.post("/api/v1/analytics/shares", &body).expect(201, "a share");
    assert_eq!(share["share"]["expiresAt"], "2027-01-01T04:59:59.999Z");
    let body = json!({"name": "k", "scopes": ["links.readonly"], "expiresAt": "2026-12-31"});
    let key = admin.post("/api/v1/keys", &body).expect(201, "a key");
    assert_eq!(key["key"]["expiresAt"], "2026-12-31T23:59:59.999Z");

    let app = app.restart();
    let mut admin = app.admin();
    assert_eq!(admin.get(&path).expect(200, "after a restart")["workspace"]["timezone"], "Europe/Berlin");
    let changed = set(&mut admin, json!("")).expect(200, "none");
    assert_eq!(changed["workspace"]["timezone"], "UTC");
    assert_eq!(admin.create(&dates)["expiresAt"], "2026-12-31T23:59:59.999Z");
}

#[test]
fn a2_an_empty_text_is_null() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let fields = [
        "title",
        "description",
        "image",
        "password",
        "validSince",
        "expiresAt",
        "expiredUrl",
        "utmSource",
        "utmMedium",
        "utmCampaign",
        "utmTerm",
        "utmContent",
        "metaPixelId",
        "googleTagId",
        "webhookUrls",
        "campaignId",
        "notes",
    ];
    let mut body = json!({"url": "https://e.test/"});
    for field in
        fields.iter().chain(&["customSlug", "alias", "domain", "linkType", "redirectType", "workspaceId"])
    {
        body[*field] = json!("");
    }
    let made = admin.create(&body);
    for field in fields.iter().filter(|field| made.get(**field).is_some()) {
        assert_eq!(made[*field], Value::Null, "{field}");
    }
    let full = json!({
        "url": "https://e.test/", "title": "t", "image": "https://e.test/i.png", "password": "p", "expiresAt": "2030-01-01",
        "expiredUrl": "https://e.test/o", "metaPixelId": "123456789012345", "googleTagId": "G-ABCDEF1234",
        "webhookUrls": "https://h.test/", "notes": "n",
    });
    let made = admin.create(&full);
    for field in full.as_object().expect("fields").keys().filter(|field| *field != "url") {
        let patched = admin.patch(&path_of(&made), &json!({ field.as_str(): "" })).expect(200, field);
        assert_eq!(patched["link"][field], Value::Null, "{field}");
    }
    let domain = "/api/v1/domains/00000000000000000000";
    for field in ["notFoundUrl", "expiredUrl", "rootUrl"] {
        admin.patch(domain, &json!({ field: "https://e.test/" })).expect(200, field);
        assert_eq!(
            admin.patch(domain, &json!({ field: "" })).expect(200, field)["domain"][field],
            Value::Null
        );
    }
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    let body = json!({
        "destinationUrl": "https://e.test/", "shortCode": "", "title": "", "expiresAt": "", "password": "",
        "campaignId": "", "domainId": "",
    });
    let made = vendor.post("/api/links", &body).expect(201, "Linquid")["data"].clone();
    let path = format!("/api/links/{}", text(&made, "id"));
    vendor.send("PATCH", &path, &[], Some(br#"{"expiresAt":"2030-01-01"}"#)).expect(200, "a date");
    let patched = vendor.send("PATCH", &path, &[], Some(br#"{"expiresAt":""}"#)).expect(200, "no date");
    assert_eq!(patched["data"]["expiresAt"], Value::Null);
    // A key never reaches more because a field was left empty.
    let body = json!({"name": "k", "scopes": ["links.readonly"], "workspaceId": ""});
    admin.post("/api/v1/keys", &body).refuses(422, "workspaceId: must not be empty", "a key");
}

#[test]
fn a9_only_hierarchical_destinations_have_paths_and_queries() {
    let app = TestApp::start_with(|config| {
        config.links.extra_schemes =
            vec!["sip".to_owned(), "tel".to_owned(), "app".to_owned(), "mailto".to_owned()];
    });
    let mut admin = app.admin();
    for url in ["sip:a@b.com", "tel:+49301234", "mailto:jane@example.com", "app:x"] {
        admin.create(&json!({"url": url}));
        for (field, value) in
            [("forwardPath", json!(true)), ("forwardParameters", json!(true)), ("utmSource", json!("x"))]
        {
            let body = json!({"url": url, field: value});
            let why = format!("{field}: works only with a destination that has // behind its scheme");
            admin.post(LINKS, &body).refuses(422, &why, url);
        }
        let why = "cloaked: works only with an http or https destination";
        admin.post(LINKS, &json!({"url": url, "cloaked": true})).refuses(422, why, url);
    }
    admin.post(LINKS, &json!({"url": "app://open/x", "cloaked": true})).refuses(
        422,
        "cloaked: works only with an http or https destination",
        "a scheme that no frame shows",
    );
    // A custom value decides the scheme: nothing of a visitor is appended, and no frame stays empty.
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    let mut visitor = app.visitor();
    let body = json!({
        "url": "{{custom_values.m}}", "customSlug": "filled", "forwardParameters": true, "forwardPath": true,
        "utmSource": "x",
    });
    admin.create(&body);
    admin.create(&json!({"url": "{{custom_values.m}}", "customSlug": "framed", "cloaked": true}));
    for (value, query, path, framed) in [
        ("sip:a@b.com", Some("sip:a@b.com"), None, 302),
        ("mailto:jane@e.test?subject=x", Some("mailto:jane@e.test?subject=x"), None, 302),
        (
            "https://e.test/p",
            Some("https://e.test/p?utm_source=x&to=evil@e.test"),
            Some("https://e.test/p/x?utm_source=x"),
            200,
        ),
    ] {
        admin.patch(&workspace, &json!({"customValues": {"m": value}})).expect(200, value);
        assert_eq!(visitor.get("/filled?to=evil@e.test").header("location"), query, "{value}");
        assert_eq!(visitor.get("/filled/x").header("location"), path, "{value}");
        assert_eq!(visitor.get("/framed").status, framed, "{value}");
    }
    // The form of a password leads to each scheme.
    admin.create(&json!({"url": "sip:a@b.com", "customSlug": "locked", "password": "x"}));
    admin.create(&json!({"url": "sip:a@b.com", "customSlug": "asks", "confirm": true}));
    for path in ["/locked", "/asks"] {
        let page = visitor.get(path);
        let policy = page.header("content-security-policy").unwrap_or_default();
        let want = "form-action 'self' https: http: mailto: tel: sms: sip: tel: app: mailto:";
        assert!(policy.contains(want), "{path}: {policy}");
    }
    admin.create(&json!({"url": "app://open/x", "forwardPath": true, "utmSource": "x"}));
    // By the rules of their link types.
    assert_eq!(stored(&mut admin, "URL", "tel:+49 (0) 30 1234").as_deref(), Ok("tel:+49301234"));
    assert_eq!(
        stored(&mut admin, "URL", "mailto:a@e.test?subject=#1").as_deref(),
        Ok("mailto:a@e.test?subject=%231")
    );
}

#[test]
fn f03_custom_values_are_filled_in_or_refused() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    let values = json!({"customValues": {"page": "spring", "host": "example.com", "num": "+49 30"}});
    admin.patch(&workspace, &values).expect(200, "values");
    let mut visitor = app.visitor();
    for (code, kind, url, want) in [
        (
            "m1",
            "MAILTO",
            "jane@example.com?subject={{custom_values.page}}",
            "mailto:jane@example.com?subject=spring",
        ),
        ("m2", "MAILTO", "jane@{{custom_values.host}}", "mailto:jane@example.com"),
        ("s1", "SMS", "+49301234?body={{ custom_values.page }} #1", "sms:+49301234?body=spring%20%231"),
        ("t1", "TEL", "{{custom_values.num}} 1234", "tel:+49301234"),
    ] {
        let made = admin.create(&json!({"url": url, "linkType": kind, "customSlug": code}));
        assert_eq!(visitor.get(&format!("/{code}")).header("location"), Some(want), "{made}");
    }
    let why =
        "must not contain {{: placeholders are filled in only in the destination, as {{custom_values.NAME}}";
    let template = "https://e.test/{{custom_values.page}}";
    for (field, value) in [
        ("expiredUrl", template),
        ("image", template),
        ("webhookUrls", template),
        ("utmSource", "{{custom_values.page}}"),
        ("utmMedium", "{{ custom_values.page }}"),
        ("utmContent", "x{{custom_values.page}}"),
        ("expiredUrl", "https://e.test/{{{custom_values.page}}}"),
        ("image", "https://e.test/{{contact.first_name}}"),
        ("webhookUrls", "https://e.test/{{Custom_Values.page}}"),
        ("utmTerm", "{{{custom_values.page}}}"),
        ("utmCampaign", "{{contact.first_name}}"),
    ] {
        let body = json!({"url": "https://e.test/", field: value});
        admin.post(LINKS, &body).refuses(422, &format!("{field}: {why}"), field);
    }
    for field in ["notFoundUrl", "rootUrl", "expiredUrl"] {
        let path = "/api/v1/domains/00000000000000000000";
        for template in [template, "https://e.test/{{{custom_values.page}}}", "https://e.test/{{contact.id}}"]
        {
            admin.patch(path, &json!({ field: template })).refuses(422, &format!("{field}: {why}"), field);
        }
    }
    // A destination has no other placeholders, whatever its type.
    let rule = "url: must write placeholders as {{custom_values.NAME}}, NAME of A-Z, a-z, 0-9 and _, and other braces \
                as %7B and %7D";
    for (kind, url) in [
        ("URL", "https://e.test/{{{custom_values.page}}}"),
        ("URL", "https://e.test/?n={{contact.first_name}}"),
        ("URL", "{{custom_values.page}}/{{contact.first_name}}"),
        ("URL", "https://e.test/{{Custom_Values.page}}"),
        ("URL", "https://e.test/{{custom_values . page}}"),
        ("MAILTO", "jane@e.test?body=Dear {{contact.first_name}}"),
        ("SMS", "+4930?body={{{custom_values.page}}}"),
        ("TEL", "+49{{contact.phone}}"),
    ] {
        admin.post(LINKS, &json!({"url": url, "linkType": kind})).refuses(422, rule, url);
    }
    let made = admin.create(&json!({"url": "https://e.test/?q={\"a\":{\"b\":1}}"}));
    assert_eq!(made["url"], "https://e.test/?q=%7B%22a%22:%7B%22b%22:1%7D%7D");
    let nested = json!({"customValues": {"page": "{{contact.first_name}}"}});
    admin.patch(&workspace, &nested).refuses(
        422,
        "customValues: page must not contain {{: values are filled into destinations, not into values",
        "a value",
    );
}

#[test]
fn a5_what_cannot_be_seen_is_left_out() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    let values = json!({"customValues": {"page": " \u{200b}spring\u{feff}\u{a0}", "num": "30\u{200b}"}});
    admin.patch(&workspace, &values).expect(200, "values");
    let mut visitor = app.visitor();
    for (code, kind, url, want) in [
        ("v1", "URL", "https://e.test/{{custom_values.page}}?x=1", "https://e.test/spring?x=1"),
        ("v2", "URL", "https://e.test/{{\u{200b}custom_values.page\u{a0}}}", "https://e.test/spring"),
        ("v3", "TEL", "+49\u{ad} (0) {{custom_values.num}}\u{200b}1234", "tel:+49301234"),
        (
            "v4",
            "MAILTO",
            "jane@e.test\u{200b}?subject={{custom_values.page}}",
            "mailto:jane@e.test?subject=spring",
        ),
        ("v5", "MAILTO", "jane@e.test\u{200b}?subject=x", "mailto:jane@e.test?subject=x"),
        ("v6", "URL", "https://e.test/\u{fe0f}", "https://e.test/"),
        ("v7", "URL", "https://e.test/a\u{2800}\u{3164}\u{ad}", "https://e.test/a"),
        ("v8", "URL", "https://e.test/\u{2764}\u{fe0f}", "https://e.test/%E2%9D%A4%EF%B8%8F"),
        ("v9", "URL", "\u{e0001}https://e.test/a\u{e0020}\u{e007f}", "https://e.test/a"),
    ] {
        let body = json!({"url": url, "linkType": kind, "customSlug": code});
        admin.create(&body);
        assert_eq!(visitor.get(&format!("/{code}")).header("location"), Some(want), "{url:?}");
    }
    let body = json!({"url": "https://e.test/", "utmSource": "mail\u{200b}", "utmTerm": "\u{feff}"});
    assert_eq!(admin.create(&body)["url"], "https://e.test/?utm_source=mail");
    // Ids, codes and times are pasted as well.
    let campaign = admin.post("/api/v1/campaigns", &json!({"name": "c"})).expect(201, "a campaign");
    let tag = admin.post(TAGS, &json!({"name": "t"})).expect(201, "a tag")["tag"].clone();
    let full = json!({
        "customSlug": "pasted", "metaPixelId": "123456789012345", "googleTagId": "G-ABCDEF1234",
        "gtmContainerId": "GTM-ABC1234", "expiresAt": "2030-01-01T00:00:00.000Z", "campaignId": campaign["campaign"]["id"],
    });
    let mut body = json!({"url": "https://e.test/", "tagIds": [format!("\u{200b}{}", text(&tag, "id"))]});
    for (field, value) in full.as_object().expect("fields") {
        body[field] = json!(format!("\u{202a}{}\u{202c}\u{200b}", value.as_str().expect("a text")));
    }
    let made = admin.create(&body);
    for (field, value) in full.as_object().expect("fields").iter().filter(|(field, _)| *field != "customSlug")
    {
        assert_eq!(made[field], *value, "{field}");
    }
    assert_eq!((&made["shortCode"], &made["tags"][0]["tag"]["id"]), (&json!("pasted"), &tag["id"]));
}

#[test]
fn a3_f10_files_move_links_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let lines = folder.path().join("lines.jsonl");
    let server = Plan::on(&data).start();
    let mut admin = server.admin();
    let tag =
        admin.post(TAGS, &json!({"name": "Red", "color": "#ff0000"})).expect(201, "a tag")["tag"].clone();
    let campaign = admin.post("/api/v1/campaigns", &json!({"name": "Spring"})).expect(201, "a campaign");
    let webhooks = ["https://h.test/in,1?f=a,b", "https://h.test/in%2C1"];
    for code in ["a", "b"] {
        let body = json!({
            "url": "https://e.test/", "customSlug": code, "tagIds": [tag["id"]], "campaignId": campaign["campaign"]["id"],
            "webhookUrls": if code == "a" { json!(webhooks) } else { json!("https://h.test/") },
        });
        admin.create(&body);
    }
    server.stop();
    let run = |arguments: &[&str], data: &std::path::Path| {
        let run = command().args(arguments).env("WAYPOST_DATA_DIR", data).output().expect("the binary runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    let path = lines.to_str().expect("a path");
    run(&["export", "--output", path], &data);
    let text_of = std::fs::read_to_string(&lines).expect("the export");
    // A comma is one of the URL, and not an escape of it.
    assert!(text_of.contains(&format!("\"webhookUrls\":{}", json!(webhooks))), "{text_of}");
    assert!(text_of.contains("\"webhookUrls\":\"https://h.test/\""), "{text_of}");
    // As a Windows editor saves it.
    std::fs::write(&lines, format!("\u{feff}{text_of}\u{feff}\r\n")).expect("a file");
    run(&["import", path], &other);
    let server = Plan::on(&other).start();
    let mut admin = server.admin();
    let tags = admin.get(TAGS).expect(200, "tags");
    assert_eq!((&tags["tags"][0]["name"], &tags["tags"][0]["color"]), (&json!("Red"), &json!("#ff0000")));
    let campaigns = admin.get("/api/v1/campaigns").expect(200, "campaigns");
    assert_eq!(campaigns["campaigns"][0]["name"], "Spring");
    server.stop();
    let again = folder.path().join("again.jsonl");
    run(&["export", "--output", again.to_str().expect("a path")], &other);
    let again = std::fs::read_to_string(again).expect("the export");
    assert!(again.contains(&format!("\"webhookUrls\":{}", json!(webhooks))), "the same URLs: {again}");
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(text_of.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    std::fs::write(&lines, utf16).expect("a file");
    let refused =
        command().args(["import", path]).env("WAYPOST_DATA_DIR", &other).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("UTF-16"), "{error}");
}
