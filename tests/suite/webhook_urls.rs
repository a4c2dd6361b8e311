//! Where a link's events may be sent, as the API tells when the link is saved.

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::text;
use crate::support::native::LINKS;

const PRIVATE: &str = "webhookUrls: must not lead into a private network";
const PORT: &str = "webhookUrls: must have port 80, 443, or one from 1024";
const OURS: &str = "webhookUrls: must not lead to this server";

fn with(hooks: &Value) -> Value {
    json!({"url": "https://e.test/", "webhookUrls": hooks})
}

/// Hosts of private networks, in every spelling that browsers and `curl` know.
const SPELLINGS: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "0X7F000001",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "127.255.255.254",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "10.0.0.1",
    "10.1",
    "0xa.0.0.1",
    "167772161",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "2886729729",
    "192.168.0.1",
    "192.168.1",
    "3232235777",
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:8.8.8.8]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a00:1]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
    "localhost.",
    "LocalHost",
    "a.localhost",
    "a.b.localhost.",
    "ｌｏｃａｌｈｏｓｔ",
];

#[test]
fn t84_private_networks_in_every_spelling() {
    assert!(SPELLINGS.len() >= 60, "{} spellings", SPELLINGS.len());
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/"}));
    let path = format!("{LINKS}/{}", text(&link, "id"));
    for host in SPELLINGS {
        for url in [format!("http://{host}/hook"), format!("https://{host}:8443/")] {
            admin.post(LINKS, &with(&json!(url))).refuses(422, PRIVATE, &url);
        }
        let url = format!("http://{host}/hook");
        let patched = admin.patch(&path, &json!({"webhookUrls": ["https://hooks.example.com/", url]}));
        patched.refuses(422, PRIVATE, &url);
    }
    assert_eq!(admin.get(&path).expect(200, "unchanged")["link"]["webhookUrls"], Value::Null);
}

#[test]
fn t89_what_else_is_refused_and_what_is_not() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let many: Vec<String> = (0..1_000).map(|n| format!("https://h{n}.test/")).collect();
    let long = format!("https://h.test/{}", "x".repeat(2_048));
    let own = format!("https://{HOST}/x");
    let own_port = format!("http://{}.:9999/", HOST.to_uppercase());
    let scheme = "webhookUrls: must use one of these schemes: http, https";
    let rows = [
        (json!("http://h.test:25/"), PORT),
        (json!("http://h.test:22/"), PORT),
        (json!("https://h.test:0/"), PORT),
        (json!("https://h.test:1023/"), PORT),
        (json!(own), OURS),
        (json!(own_port), OURS),
        (json!("ftp://h.test/"), scheme),
        (json!("file:///etc/passwd"), scheme),
        (json!("gopher://h.test/_x"), scheme),
        (json!("https://user@h.test/"), "webhookUrls: must not contain a user name or password"),
        (json!("https://user:word@h.test/"), "webhookUrls: must not contain a user name or password"),
        (json!("https://a.test/,,https://b.test/"), "webhookUrls: must not have an empty part"),
        (json!(["https://a.test/", ""]), "webhookUrls: must not have an empty part"),
        (json!("https://a.test/\t"), "webhookUrls: must not contain control characters"),
        (json!("https://a.test/,\r\nhttps://b.test/"), "webhookUrls: must not contain control characters"),
        (json!(many.join(",")), "webhookUrls: must be at most 5 URLs"),
        (json!(many[..6]), "webhookUrls: must be at most 5 URLs"),
        (json!("https://a.test/,HTTPS://A.test:443/"), "webhookUrls: must not name a URL twice"),
        (json!(long), "webhookUrls: must be at most 2048 bytes each"),
        (json!("hooks"), "webhookUrls: must be an absolute URL such as https://example.com/page"),
    ];
    for (hooks, want) in rows {
        let row = hooks.to_string();
        admin.post(LINKS, &with(&hooks)).refuses(422, want, &row[..row.len().min(80)]);
    }
    for fine in [
        json!("https://hooks.example.com/a?b=c"),
        json!("http://8.8.8.8/,https://[2606:4700:4700::1111]:8443/"),
        json!(many[..5]),
        json!("https://www.go.test/,https://localhost.example.com/"),
    ] {
        admin.create(&with(&fine));
    }
    // Row by row in a bulk.
    let rows = json!({"links": [with(&json!("http://127.1/")), with(&json!("https://h.test/"))]});
    let made = admin.post(&format!("{LINKS}/bulk"), &rows).expect(201, "a bulk");
    assert_eq!((&made["created"], &made["failed"][0]["reason"]), (&json!(1), &json!(PRIVATE)));
}

#[test]
fn an_operator_may_allow_a_network_and_close_it_again() {
    let app = TestApp::start_with(|config| {
        config.webhooks.allowed_networks = vec!["10.1.0.0/16".to_owned(), "127.0.0.0/8".to_owned()];
    });
    let mut admin = app.admin();
    let link =
        admin.create(&with(&json!("http://10.1.2.3/,http://[::ffff:a01:203]/,http://localhost:9000/")));
    admin.post(LINKS, &with(&json!("http://10.2.0.1/"))).refuses(422, PRIVATE, "beside it");
    let app = app.restart_with(|config| config.webhooks.allowed_networks.clear());
    let mut admin = app.admin();
    let path = format!("{LINKS}/{}", text(&link, "id"));
    // What was saved stays, and keeps nobody from other changes.
    let changed = admin.patch(&path, &json!({"title": "T"})).expect(200, "another field");
    assert_eq!(changed["link"]["webhookUrls"], link["webhookUrls"]);
    let same = json!({"title": "U", "webhookUrls": link["webhookUrls"]});
    admin.patch(&path, &same).expect(200, "a client that sends all back");
    admin.patch(&path, &json!({"webhookUrls": "http://10.1.2.4/"})).refuses(422, PRIVATE, "a new one");
}
