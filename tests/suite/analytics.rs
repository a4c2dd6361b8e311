//! Click analytics through the API: every click has one cell, whatever happens to the server, and each question adds up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use waypost::analytics::cell::TimeSlot;

use crate::support::app::TestApp;
use crate::support::failing_log::{Fault, Faults};
use crate::support::http::{Client, text};
use crate::support::native::new_key;
use crate::support::process::{Dice, PATIENCE, Plan, command, poll};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
    Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const GOOGLE: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// What a question can group by.
const FACETS: [&str; 12] = [
    "time",
    "hourOfWeek",
    "link",
    "country",
    "device",
    "browser",
    "os",
    "language",
    "referrer",
    "utmSource",
    "trigger",
    "rule",
];

fn start() -> TestApp {
    TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50))
}

/// Returns the answer to a question. Repeats it while the details of before a start are read.
pub(super) fn ask(admin: &mut Client, question: &str) -> Value {
    let ready = poll("the details are read", PATIENCE, || {
        let answer = admin.get(&format!("/api/v1/analytics?{question}"));
        (answer.status != 503).then_some(answer)
    });
    ready.expect(200, question)
}

/// Returns the answer to a question once it has this number of clicks.
pub(super) fn ask_until(admin: &mut Client, question: &str, clicks: u64) -> Value {
    poll(question, Duration::from_secs(10), || {
        Some(ask(admin, question)).filter(|answer| answer["total"]["clicks"] == clicks)
    })
}

/// Returns the clicks of the rows, by the text of this key.
pub(super) fn rows(answer: &Value, key: &str) -> BTreeMap<String, u64> {
    let rows = answer["analytics"].as_array().expect("rows").iter();
    let name = |row: &Value| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
    rows.map(|row| (name(row), row["clicks"].as_u64().expect("a number"))).collect()
}

pub(super) fn visit(visitor: &mut Client, path: &str, headers: &[(&str, &str)]) {
    visitor.send("GET", path, headers, None);
}

fn of<const COUNT: usize>(pairs: [(&str, u64); COUNT]) -> BTreeMap<String, u64> {
    pairs.into_iter().map(|(name, clicks)| (name.to_owned(), clicks)).collect()
}

#[test]
fn the_details_of_clicks() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let link = admin.create(&json!({"url": "https://e.test/?utm_source=own", "customSlug": "a"}));
    for _ in 0..2 {
        let headers = [
            ("user-agent", IPHONE),
            ("accept-language", "de-AT,de;q=0.9"),
            ("referer", "https://www.news.test/x"),
        ];
        visit(&mut visitor, "/a", &headers);
    }
    visit(
        &mut visitor,
        "/a?utm_source=mail&utm_medium=e-mail",
        &[("user-agent", FIREFOX), ("accept-language", "en")],
    );
    visit(&mut visitor, "/a?qr=1", &[("referer", &format!("http://{}/", crate::support::app::HOST))]);
    visit(&mut visitor, "/a", &[("user-agent", GOOGLE)]);
    visit(&mut visitor, "/a", &[("user-agent", FIREFOX), ("sec-purpose", "prefetch")]);
    let total = ask_until(&mut admin, "", 4);
    assert_eq!(total["total"]["visitors"], 3, "two User-Agents, and none");
    let rows_of = |admin: &mut Client, key: &str| rows(&ask(admin, &format!("groupBy={key}")), key);
    let table = [
        ("device", of([("mobile", 2), ("desktop", 1), ("null", 1)])),
        ("browser", of([("Safari", 2), ("Firefox", 1), ("null", 1)])),
        ("os", of([("iOS", 2), ("Linux", 1), ("null", 1)])),
        ("language", of([("de", 2), ("en", 1), ("null", 1)])),
        // A visitor who comes from a page of this server comes from nowhere.
        ("referrer", of([("news.test", 2), ("null", 2)])),
        // The visitor's parameter, or that of the link.
        ("utmSource", of([("own", 3), ("mail", 1)])),
        ("utmMedium", of([("e-mail", 1), ("null", 3)])),
        ("trigger", of([("link", 3), ("qr", 1)])),
        ("linkId", of([(text(&link, "id"), 4)])),
    ];
    for (key, want) in table {
        let found = if key == "linkId" {
            rows(&ask(&mut admin, "groupBy=link"), key)
        } else {
            rows_of(&mut admin, key)
        };
        assert_eq!(found, want, "{key}");
    }
    assert_eq!(rows(&ask(&mut admin, "groupBy=agent&visits=bots"), "agent"), of([("Googlebot", 1)]));
    assert_eq!(ask(&mut admin, "visits=prefetches")["total"]["clicks"], 1);
    // Filters combine, exclude, and have several values.
    for (filter, clicks) in [
        ("browser=Safari", 2),
        ("browser=-Safari", 2),
        ("browser=Safari,Firefox", 3),
        ("browser=Safari,Firefox&language=en", 1),
        ("device=mobile&os=Linux", 0),
        ("referrer=News.test", 2),
        ("utmSource=mail", 1),
        ("trigger=qr", 1),
        ("referrer=null", 2),
        ("referrer=-null", 2),
    ] {
        assert_eq!(ask(&mut admin, filter)["total"]["clicks"], clicks, "{filter}");
    }
    let two = ask(&mut admin, "groupBy=device,browser&limit=1");
    assert_eq!(
        two["analytics"],
        json!([{"device": "mobile", "browser": "Safari", "clicks": 2, "visitors": 1}])
    );
    assert_eq!((&two["other"]["clicks"], &two["rows"]), (&json!(2), &json!(3)));
    let csv = admin.get("/api/v1/analytics?groupBy=browser&format=csv");
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.text(), "browser,clicks,visitors\r\nSafari,2,1\r\n,1,1\r\nFirefox,1,1\r\n");
    // Days are dates, hours have their offset, and links have their title.
    let titled = json!({"title": "A, \"title\""});
    admin.patch(&format!("/api/v1/links/{}", text(&link, "id")), &titled).expect(200, "a title");
    let mut csv = |question: &str| admin.get(&format!("/api/v1/analytics?{question}&format=csv")).text();
    let id = text(&link, "id");
    let of_link = format!(
        "\u{feff}linkId,shortUrl,title,clicks,visitors\r\n{id},http://go.test/a,\"A, \"\"title\"\"\",4,3\r\n"
    );
    assert_eq!(csv("groupBy=link&bom=true"), of_link);
    let today = app.clock().now().to_string();
    let days = csv("groupBy=time&interval=7d");
    assert!(days.ends_with(&format!("\r\n{},4,3\r\n", &today[..10])), "{days}");
    let hours = csv("groupBy=time&interval=today&timezone=Asia/Kolkata");
    assert!(hours.lines().nth(1).is_some_and(|line| line.contains("T00:00:00+05:30,")), "{hours}");
}

#[test]
fn bad_questions_name_the_parameter_and_the_rule() {
    let app = start();
    let mut admin = app.admin();
    let many = vec!["DE"; 201].join(",");
    let rows = [
        ("groupBy=colour", "groupBy: must be one or two different names of total"),
        ("groupBy=os,os", "groupBy: must be two different properties"),
        ("groupBy=os,device,link", "groupBy: must be at most two properties"),
        (
            "groupBy=day",
            "groupBy: day is no property, did you mean time? It must be one or two different names of total",
        ),
        ("groupBy=browsr,os", "groupBy: browsr is no property, did you mean browser?"),
        ("from=2999-01-01", "from: must be before `to` and now"),
        ("from=2999-01-01&to=2999-02-01", "from: must be before `to` and now"),
        ("linkId=", "linkId: must not be empty: give an id, or leave the parameter out"),
        ("tagId=", "tagId: must not be empty"),
        ("campaignId=", "campaignId: must not be empty"),
        ("link=", "link: must not be empty: give a value, or leave the parameter out"),
        ("country=DE&country=", "country: must not be empty"),
        ("timezone=Mars", "timezone: must be a name of the IANA database"),
        ("interval=1y", "interval: must be 24h, today, 7d"),
        ("interval=7d&from=2026-01-01", "interval: must be given without `from` and `to`"),
        ("from=yesterday", "from: must be a date such as"),
        ("to=2026-01-01", "from: is required with `to`"),
        ("from=2026-01-02&to=2026-01-01", "to: must be after `from`"),
        ("granularity=minute", "granularity: must be 15m, hour"),
        ("visits=people", "visits: must be clicks, bots"),
        ("compare=next", "compare: must be previous"),
        ("format=xml", "format: must be json or csv"),
        ("limit=0", "limit: must be a whole number from 1 to 10000"),
        ("offset=-1", "offset: must be a whole number from 0"),
        ("country=Germany", "country: \"Germany\" is no value: it has the two letters of ISO 3166-1"),
        ("browser=Mosaic", "browser: \"Mosaic\" is no value: it has a name that `groupBy=browser` shows"),
        (
            "device=phone",
            "device: \"phone\" is no value: it has desktop, mobile, tablet, tv, console or headset",
        ),
        ("trigger=fax", "trigger: \"fax\" is no value: it has link or qr"),
        ("timezone=Etc/Unknown", "timezone: must be a name of the IANA database"),
        (&format!("country={many}"), "country: must have at most 200 values"),
        // 2,700 values, as many as an address has room for.
        (&format!("country={}", vec!["DE"; 2_700].join(",")), "country: must have at most 200 values"),
        ("browser=,", "browser: has an empty value between its commas"),
        ("browser=-", "browser: has an empty value between its commas"),
        ("tag=a,", "tag: has an empty value between its commas"),
        ("from=1970-01-01&to=2970-01-01", "to: must be at most 100 years after `from`"),
        ("linkId=a&tagId=b", "linkId: must be the only one of"),
        ("visits=misses&linkId=0N8j3XJizQZNje4m70Rs", "visits: must not be `misses` with linkId"),
        ("visits=misses&groupBy=link,path", "groupBy: must not be `link` with `visits=misses`"),
        ("groupBy=path", "path: needs `visits=misses`"),
        ("visits=bots&path=/a", "path: needs `visits=misses`"),
    ];
    for (question, error) in rows {
        let answer = admin.get(&format!("/api/v1/analytics?{question}"));
        // A parameter that has no such value or contradicts another one could be parsed.
        let rules = [
            "must be given without",
            "is required with",
            "must be after",
            "must be the only one",
            "must not be `",
            "needs `visits=misses`",
            "is no value",
            "must be one or two different names",
            "must be two different properties",
            "must be at most two properties",
            "is no property",
            "must be before `to` and now",
            "must not be empty",
            "must have at most",
            "has an empty value",
            "at most 100 years",
            "a name of the IANA database",
        ];
        let is_rule = rules.iter().any(|rule| error.contains(rule));
        let body = answer.expect(if is_rule { 422 } else { 400 }, question);
        assert!(text(&body, "error").starts_with(error), "{question}: {body}");
    }
    for (question, what) in [
        (
            "linkId=nothing",
            "link not found: an id is needed here; by code, it is /api/v1/analytics?link=CODE",
        ),
        ("linkId=0N8j3XJizQZNje4m70Rs", "link not found"),
        ("tagId=0N8j3XJizQZNje4m70Rs", "tag not found"),
        ("campaignId=nothing", "campaign not found"),
    ] {
        admin.get(&format!("/api/v1/analytics?{question}")).refuses(404, what, question);
    }
    let long = admin.get(&format!("/api/v1/analytics?country={}", vec!["DE"; 3_000].join(",")));
    let why =
        "the address has more than 8192 bytes; a filter of questions about clicks has at most 200 values";
    long.refuses(414, why, "no room for 3,000 values");
    let fine = admin.get("/api/v1/analytics?groupBy=time&granularity=15m&from=2020-01-01");
    fine.refuses(
        422,
        "granularity: is too fine for this time: it would have more than 10000 rows",
        "six years",
    );
}

/// A workspace asks about its own links only.
#[test]
fn tenants_ask_about_their_own_clicks() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let made = admin.post("/api/v1/workspaces", &json!({"name": "Other"})).expect(201, "a workspace");
    let workspace = text(&made["workspace"], "id").to_owned();
    let key = new_key(
        &mut admin,
        &json!({"name": "other", "workspaceId": workspace, "scopes": ["links.readonly"]}),
    );
    let ours = admin.create(&json!({"url": "https://e.test/", "customSlug": "ours"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "theirs", "workspaceId": workspace}));
    for path in ["/ours", "/ours", "/theirs"] {
        visit(&mut visitor, path, &[]);
    }
    ask_until(&mut admin, "", 2);
    let mut other = app.visitor().with_key(&key);
    ask_until(&mut other, "", 1);
    assert_eq!(rows(&ask(&mut other, "groupBy=link"), "shortUrl").values().sum::<u64>(), 1);
    let question = format!("/api/v1/analytics?linkId={}", text(&ours, "id"));
    other.get(&question).refuses(404, "link not found", "a link of another workspace");
}

#[test]
fn without_details_totals_are_all_that_is_kept() {
    let app = TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.clicks.details = false;
    });
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    visit(&mut app.visitor(), "/a", &[("user-agent", FIREFOX)]);
    assert_eq!(admin.clicks(text(&link, "id")), 1);
    let refusal = admin.get("/api/v1/analytics");
    assert!(text(&refusal.expect(422, "no details"), "error").contains("`details = false`"));
    assert!(!app.data_dir().join("clicks").exists());
}

/// A file of countries is found while the server runs, and read again when it changes.
#[test]
fn the_file_of_countries_is_loaded_when_it_changes() {
    let app = start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let metric = |admin: &mut Client, name: &str| -> u64 {
        let text = admin.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("waypost_{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
    };
    assert_eq!(metric(&mut admin, "country_ranges"), 0);
    // The kind of a file is found by its content, so the name may be that of another kind.
    let path = app.data_dir().join("country.mmdb");
    let put = |content: &str| {
        std::fs::write(path.with_extension("new"), content).expect("room");
        std::fs::rename(path.with_extension("new"), &path).expect("a file");
    };
    for (content, ranges, is_stale) in [
        ("127.0.0.0,127.0.0.255,DE\n", 1, 0),
        ("127.0.0.0,127.0.0.255,Germany\n", 1, 1),
        ("127.0.0.0,127.0.0.127,AT\n127.0.0.128,127.0.0.255,DE\n", 2, 0),
    ] {
        put(content);
        poll(content, Duration::from_secs(40), || {
            let found = (metric(&mut admin, "country_ranges"), metric(&mut admin, "country_stale"));
            (found == (ranges, is_stale)).then_some(())
        });
        assert!(metric(&mut admin, "country_built_seconds") > 1_700_000_000, "the time of the file");
        let health = app.visitor().get("/healthz").text();
        assert_eq!(health.contains("the file of countries"), is_stale == 1, "{health}");
        visit(&mut app.visitor(), "/a", &[]);
    }
    let countries = rows(&ask_until(&mut admin, "groupBy=country", 3), "country");
    assert_eq!(countries, of([("DE", 2), ("AT", 1)]));
}

/// Visits a plain link and one that waits with these headers. Returns the clicks by country.
fn countries(proxies: &[&str], visits: &[&[(&str, &str)]]) -> BTreeMap<String, u64> {
    let app = TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.http.trusted_proxies = proxies.iter().copied().map(str::to_owned).collect();
        config.clicks.country_header = Some("CF-IPCountry".to_owned());
        let file = config.data_dir.join("country.mmdb");
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        std::fs::write(file, "127.0.0.0,127.0.0.255,CH\n192.0.2.0,192.0.2.255,AT\n").expect("room");
    });
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "plain"}));
    // Each click of a link with a limit may wait for a reservation.
    admin.create(&json!({"url": "https://e.test/", "customSlug": "few", "maxClicks": 1_000}));
    poll("the file of countries", Duration::from_secs(20), || {
        admin.get("/metrics").text().contains("waypost_country_ranges 2").then_some(())
    });
    for headers in visits {
        for path in ["/plain", "/few"] {
            visit(&mut app.visitor(), path, headers);
        }
    }
    rows(&ask_until(&mut admin, "groupBy=country", 2 * visits.len() as u64), "country")
}

/// The header of a trusted proxy comes before the file, and that of any other client is ignored.
#[test]
fn a_trusted_proxy_reports_the_country() {
    let from = ("x-forwarded-for", "192.0.2.7");
    let visits: [&[(&str, &str)]; 7] = [
        &[from, ("cf-ipcountry", "DE")],
        &[from, ("cf-ipcountry", "de")],
        // Those that the proxy does not know.
        &[from, ("cf-ipcountry", "XX")],
        &[from, ("cf-ipcountry", "T1")],
        &[from, ("cf-ipcountry", "Germany")],
        &[from],
        &[from, ("cf-ipcountry", "FR"), ("cf-ipcountry", "DE")],
    ];
    let want = of([("DE", 6), ("null", 6), ("AT", 2)]);
    assert_eq!(countries(&["127.0.0.0/8"], &visits), want);
    assert_eq!(countries(&["192.0.2.99"], &visits), of([("CH", 14)]));
}

/// A visitor who asks for privacy has coarse details and is no visitor, whichever way the click takes.
#[test]
fn a_visitor_who_asks_for_privacy_has_coarse_details() {
    for respects in [true, false] {
        let app = TestApp::start_with(|config| {
            config.clicks.flush_interval = Duration::from_millis(50);
            config.clicks.respect_gpc = respects;
        });
        let mut admin = app.admin();
        let link = admin.create(&json!({"url": "https://e.test/?utm_source=own", "customSlug": "plain"}));
        admin.create(&json!({"url": "https://e.test/", "customSlug": "few", "maxClicks": 1_000}));
        let signals = [("sec-gpc", "1"), ("dnt", "1"), ("dnt", "0")];
        for (name, value) in signals {
            for path in ["/plain?qr=1&utm_source=mail", "/few"] {
                let headers = [
                    ("user-agent", IPHONE),
                    ("accept-language", "de"),
                    ("referer", "https://www.news.test/x"),
                    (name, value),
                ];
                visit(&mut app.visitor(), path, &headers);
            }
        }
        let total = ask_until(&mut admin, "groupBy=device", 6);
        assert_eq!(admin.clicks(text(&link, "id")), 3);
        assert_eq!(rows(&total, "device"), of([("mobile", 6)]));
        // Both links have the same visitor. Without the setting, the first visit of the day is that of a signal.
        assert_eq!(total["total"]["visitors"], 1);
        let (some, none) = if respects { (2, 4) } else { (6, 0) };
        for (key, value) in
            [("browser", "Safari"), ("os", "iOS"), ("language", "de"), ("referrer", "news.test")]
        {
            let found = rows(&ask(&mut admin, &format!("groupBy={key}")), key);
            let mut want = of([(value, some)]);
            want.extend((none > 0).then(|| ("null".to_owned(), none)));
            assert_eq!(found, want, "{key}, {respects}");
        }
        // That of the link stands in for the one that the visitor brought.
        let campaigns = rows(&ask(&mut admin, "groupBy=utmSource"), "utmSource");
        let want = if respects {
            of([("own", 2), ("mail", 1), ("null", 3)])
        } else {
            of([("mail", 3), ("null", 3)])
        };
        assert_eq!(campaigns, want);
        assert_eq!(rows(&ask(&mut admin, "groupBy=trigger"), "trigger"), of([("qr", 3), ("link", 3)]));
    }
}

/// Visits that found no link are counted by their path, for the workspace of their domain, and are no clicks.
#[test]
fn misses_are_counted_by_their_path() {
    let mut app = start();
    let mut admin = app.admin();
    let made = admin.post("/api/v1/workspaces", &json!({"name": "Other"})).expect(201, "a workspace");
    let workspace = text(&made["workspace"], "id").to_owned();
    let reach = json!({"workspaceId": workspace, "scopes": ["analytics.readonly"]});
    let key = new_key(&mut admin, &reach);
    admin
        .post("/api/v1/domains", &json!({"domain": "other.test", "workspaceId": workspace}))
        .expect(201, "a domain");
    let off = admin.create(&json!({"url": "https://e.test/", "customSlug": "off", "isActive": false}));
    let mut visitor = app.visitor();
    let person = [("user-agent", FIREFOX), ("referer", "https://www.news.test/x")];
    for (path, headers) in [
        // The first visit reads the table, and the second one knows that there is no link.
        ("/nothing", &person[..]),
        ("/nothing", &person[..]),
        ("/nothing", &[("user-agent", GOOGLE)]),
        ("/Nothing?token=secret", &[]),
        ("/off", &[]),
        ("/a/b/c", &[]),
        ("/links/r/2/eyJ.of-a-person.x", &[]),
        ("//links/r/2/eyJ.of-a-person.x", &[]),
        ("/link%73/r/2/a-person", &[]),
        // None of these is a miss.
        ("/nothing", &[("user-agent", FIREFOX), ("sec-purpose", "prefetch")]),
        ("/admin", &[]),
        ("/", &[]),
    ] {
        visit(&mut visitor, path, headers);
    }
    visitor.send("HEAD", "/nothing", &[], None);
    visit(&mut app.visitor().at("other.test"), "/theirs", &[]);
    visit(&mut app.visitor().at("nobody.test"), "/unknown", &[]);
    let paths = [("/nothing", 3), ("/Nothing", 1), ("/off", 1), ("/a/b/c", 1), ("/links/r/2/", 3)];
    for round in 0..2 {
        let answer = ask_until(&mut admin, "visits=misses&groupBy=path", 9);
        assert_eq!(rows(&answer, "path"), of(paths), "{round}");
        assert_eq!(answer["total"]["visitors"], 0);
        // Those of a domain are its owner's alone.
        let mut other = app.visitor().with_key(&key);
        assert_eq!(rows(&ask(&mut other, "visits=misses&groupBy=path"), "path"), of([("/theirs", 1)]));
        // They are in no count of clicks.
        for question in ["", "visits=bots", "visits=prefetches", "interval=all"] {
            assert_eq!(ask(&mut admin, question)["total"]["clicks"], 0, "{question}");
        }
        assert_eq!(admin.clicks(text(&off, "id")), 0);
        app = app.restart();
        admin = app.admin();
    }
    let linked = ask(&mut admin, "visits=misses&groupBy=path,referrer&path=/nothing&limit=1");
    let first = json!({"path": "/nothing", "referrer": "news.test", "clicks": 2, "visitors": 0});
    assert_eq!(linked["analytics"], json!([first]));
    for (filter, clicks) in
        [("agent=null", 8), ("agent=Googlebot", 1), ("path=/nothing", 3), ("path=-/nothing", 6)]
    {
        assert_eq!(
            ask(&mut admin, &format!("visits=misses&{filter}"))["total"]["clicks"],
            clicks,
            "{filter}"
        );
    }
}

/// A visit that got 429 instead of the page for a miss is none.
#[test]
fn misses_past_their_limit_are_not_counted() {
    let app = TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.limits.misses_per_minute = 3;
    });
    let mut visitor = app.visitor();
    for number in 0..6 {
        let status = visitor.get("/limited").status;
        assert_eq!(status, if number < 3 { 404 } else { 429 });
    }
    let answer = ask_until(&mut app.admin(), "visits=misses&groupBy=path", 3);
    assert_eq!(rows(&answer, "path"), of([("/limited", 3)]));
    // Those of the refused visits would come with a later drain.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ask(&mut app.admin(), "visits=misses")["total"]["clicks"], 3);
}

/// A flood of random paths has few names, and takes nothing from the details of clicks.
#[test]
fn a_flood_of_misses_stays_small() {
    const FLOOD: u64 = 4_000;
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    // The known path comes before and amid the random ones.
    for number in 0..FLOOD {
        let path =
            if number < 5 || number % 100 == 99 { "/known".to_owned() } else { format!("/r{number}x") };
        let language = format!("{}-x", char::from(b'a' + u8::try_from(number % 26).expect("small")));
        visit(&mut visitor, &path, &[("accept-language", &language)]);
        if number % 100 == 0 {
            visit(&mut visitor, "/a", &[("user-agent", FIREFOX)]);
        }
    }
    let answer = ask_until(&mut admin, "visits=misses&groupBy=path&limit=10000", FLOOD);
    let paths = rows(&answer, "path");
    assert_eq!(paths["/known"], 5 + FLOOD / 100);
    // The first ones fill the table, whose size bounds all others.
    assert!(paths.len() < 1_100 && paths["other"] > FLOOD - 1_200, "{} names", paths.len());
    let clicks = ask_until(&mut admin, "groupBy=browser", FLOOD / 100);
    assert_eq!(rows(&clicks, "browser"), of([("Firefox", FLOOD / 100)]));
    let metrics = admin.get("/metrics").text();
    for name in ["click_details_dropped_total", "misses_dropped_total"] {
        assert!(metrics.contains(&format!("waypost_{name} 0\n")), "{name}");
    }
}

/// A restart knows the visitors of the day, and a visitor of two days counts twice.
#[test]
fn visitors_are_counted_once_a_day() {
    let mut app = start();
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    for clicks in [2, 4] {
        for _ in 0..2 {
            visit(&mut app.visitor(), "/a", &[("user-agent", FIREFOX)]);
        }
        assert_eq!(ask_until(&mut app.admin(), "", clicks)["total"]["visitors"], 1, "{clicks}");
        app = app.restart();
    }
    app.advance(Duration::from_hours(24));
    visit(&mut app.visitor(), "/a", &[("user-agent", FIREFOX)]);
    assert_eq!(ask_until(&mut app.admin(), "", 5)["total"]["visitors"], 2);
    let days = ask(&mut app.admin(), "groupBy=time&interval=7d");
    let clicks: Vec<_> = rows(&days, "time").into_values().collect();
    assert_eq!(clicks[5..], [4, 1]);
}

/// Asserts that the clicks of each link add up in every way of grouping them. Returns all clicks, and those without
/// details.
pub(super) fn check_sums(admin: &mut Client, ids: &[String]) -> (u64, u64) {
    let (mut all, mut without) = (0, 0);
    for id in ids {
        let total = poll("the details of all clicks", Duration::from_secs(10), || {
            // The total first: a click has its total before its details.
            let total = admin.clicks(id);
            let answer = ask(admin, &format!("linkId={id}&interval=all"));
            let unattributed = answer["unattributed"].as_u64().expect("a number");
            let clicks = answer["total"]["clicks"].as_u64().expect("a number");
            assert_eq!(clicks + unattributed, total, "nobody clicks");
            // Details of the last interval come with the next drain.
            Some((total, unattributed)).filter(|(_, unattributed)| *unattributed < 64)
        });
        for facet in FACETS {
            let answer = ask(admin, &format!("linkId={id}&interval=all&groupBy={facet}&limit=10000"));
            let key = if facet == "link" { "linkId" } else { facet };
            assert_eq!(rows(&answer, key).values().sum::<u64>() + total.1, total.0, "{facet} of {id}");
        }
        all += total.0;
        without += total.1;
    }
    let of_workspace = ask(admin, "interval=all&groupBy=link&limit=10000");
    assert_eq!(rows(&of_workspace, "linkId").values().sum::<u64>() + without, all);
    (all, without)
}

/// Kills and stops at random moments under load. Each click that is in a total is in one cell, but for those of the
/// moment of a kill.
#[test]
fn totals_and_details_agree_after_kills_and_stops() {
    const CLIENTS: u64 = 4;
    const ROUNDS: u64 = 8;
    let (seed, mut dice) = Dice::seeded();
    let folder = tempfile::tempdir().expect("a folder");
    let plan = || Plan::on(folder.path()).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms");
    let mut ids = Vec::new();
    for round in 0..ROUNDS {
        let mut server = plan().start();
        if ids.is_empty() {
            let links = (0..6).map(|n| {
                server.admin().create(&json!({"url": "https://e.test/", "customSlug": format!("l{n}")}))
            });
            ids = links.map(|link| text(&link, "id").to_owned()).collect();
        }
        let over = AtomicBool::new(false);
        let is_kill = round % 2 == 0;
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let (mut visitor, mut dice, over) = (server.visitor(), dice.split(), &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let path = format!("/l{}", dice.below(6));
                        let referrer = format!("https://r{}.test/", dice.below(50));
                        let agent = [FIREFOX, IPHONE, GOOGLE, "curl/8"]
                            [usize::try_from(dice.below(4)).expect("small")];
                        let headers = [("user-agent", agent), ("referer", &*referrer)];
                        if visitor.try_send("GET", &path, &headers, None).is_err() {
                            break;
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100 + dice.below(400)));
            if is_kill {
                server.kill();
            }
            over.store(true, Ordering::Relaxed);
        });
        if !is_kill {
            server.stop();
        }
    }
    let server = plan().start();
    let (all, without) = check_sums(&mut server.admin(), &ids);
    assert!(all > 100, "{all} clicks, seed {seed}");
    // A click that was counted and not captured yet when its second was written, once for each client and kill.
    assert!(without <= CLIENTS * ROUNDS / 2, "{without} of {all} clicks have no details, seed {seed}");
    server.stop();
}

/// The log of a backup has fewer clicks than the details beside it.
#[test]
fn a_restored_backup_has_none_of_the_later_details() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let plan = || Plan::on(&data).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms");
    let server = plan().start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    visit(&mut server.visitor(), "/a", &[("user-agent", FIREFOX)]);
    ask_until(&mut server.admin(), "", 1);
    server.stop();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let done = command().env("WAYPOST_DATA_DIR", &data).args(arguments).output().expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["backup".as_ref(), copy.as_os_str()]);
    let server = plan().start();
    for _ in 0..9 {
        visit(&mut server.visitor(), "/a", &[("user-agent", IPHONE)]);
    }
    ask_until(&mut server.admin(), "", 10);
    server.stop();
    run(&["restore".as_ref(), "--replace".as_ref(), copy.as_os_str()]);
    let server = plan().start();
    // The click of the backup may have no details, but none has two.
    let total = ask(&mut server.admin(), "interval=all")["total"]["clicks"].as_u64().expect("a number");
    assert!(total <= 1, "{total}");
    visit(&mut server.visitor(), "/a", &[("user-agent", IPHONE)]);
    ask_until(&mut server.admin(), "browser=Safari", 1);
    server.stop();
}

/// Numbers that lack what is still in the log would look like lost clicks.
#[test]
fn questions_wait_until_the_details_of_before_the_start_are_read() {
    let faults = Faults::default();
    faults.set(Some(Fault::NoDetails));
    let app = TestApp::start_ill(|_| {}, &faults, true);
    let link = app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    visit(&mut app.visitor(), "/a", &[]);
    // The details of the click are in the log alone.
    let app = app.restart_ill(&faults);
    let mut admin = app.admin();
    app.wait(app.app().ready()).expect("the table is rebuilt");
    assert_eq!(admin.clicks(text(&link, "id")), 1);
    let question = format!("/api/v1/analytics?linkId={}", text(&link, "id"));
    let answer = admin.get(&question);
    answer.refuses(503, "the store is not ready; try again", "before the details are read");
    assert_eq!(answer.header("retry-after"), Some("5"));
    // An error of the question is known without them.
    admin.get("/api/v1/analytics?linkId=0N88vwqp0EUhFT57aXBu").expect(404, "a link that does not exist");
    let metrics = admin.get("/metrics").text();
    assert!(metrics.contains("waypost_click_details_ready 0\n"), "{metrics}");
    faults.set(None);
    poll("the answer", PATIENCE, || Some(admin.get(&question)).filter(|answer| answer.status == 200));
    ask_until(&mut admin, "", 1);
    assert!(admin.get("/metrics").text().contains("waypost_click_details_ready 1\n"));
}

/// A full disk rejects all that waits again in each drain. That must not use up the keys of ticks: nothing would free
/// them before the next part, up to an hour later.
#[test]
fn details_resume_after_a_full_disk() {
    let faults = Faults::default();
    let app =
        TestApp::start_ill(|config| config.clicks.flush_interval = Duration::from_millis(50), &faults, true);
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let mut visitor = app.visitor();
    visit(&mut visitor, "/a", &[]);
    ask_until(&mut admin, "", 1);
    faults.set(Some(Fault::Full));
    // Each drain adds a tick: with 40, more than 256 are rejected in all.
    for _ in 0..40 {
        visit(&mut visitor, "/a", &[]);
        std::thread::sleep(Duration::from_millis(60));
    }
    poll("all wait", PATIENCE, || {
        let metrics = admin.get("/metrics").text();
        metrics.contains("waypost_click_details_waiting 40\n").then_some(())
    });
    faults.set(None);
    visit(&mut visitor, "/a", &[]);
    ask_until(&mut admin, "", 42);
    assert!(admin.get("/metrics").text().contains("waypost_click_details_waiting 0\n"));
    assert!(admin.get("/metrics").text().contains("waypost_click_details_dropped_total 0\n"));
}

/// A folder that cannot be used costs the details, loudly, and no click.
#[test]
fn a_folder_that_cannot_be_used_is_reported() {
    let app = TestApp::start();
    let link = app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let folder = app.data_dir().join("clicks");
    let app = app.restart_between(|| {
        std::fs::remove_dir_all(&folder).expect("removed");
        std::fs::write(&folder, "a file").expect("written");
    });
    let mut admin = app.admin();
    assert_eq!(app.visitor().get("/a").status, 302);
    let health = app.visitor().get("/healthz").expect(200, "health");
    let why = "no click details are kept, since their folder cannot be used: see the log lines";
    assert_eq!(health["why"], json!([why]));
    assert!(admin.get("/metrics").text().contains("waypost_click_details_unwritten 1\n"));
    poll("the click", PATIENCE, || (admin.clicks(text(&link, "id")) == 1).then_some(()));
}

/// A clock that was wrong stores clicks under a time before their link.
#[test]
fn all_clicks_have_those_of_a_wrong_clock() {
    let mut app = start();
    let link = app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let clock = app.clock();
    let now = clock.now();
    for (days, clicks) in [(0, 1), (-40, 2), (-3, 1)] {
        clock.set(now.plus_millis(days * 86_400_000));
        let before = app.app().core().analytics().expect("details").store.applied();
        for _ in 0..clicks {
            visit(&mut app.visitor(), "/a", &[]);
        }
        poll("stored", PATIENCE, || {
            let applied = app.app().core().analytics().expect("details").store.applied();
            (applied > before && app.admin().clicks(text(&link, "id")) > 0).then_some(())
        });
    }
    clock.set(now);
    for question in [format!("linkId={}&interval=all", text(&link, "id")), "interval=all".to_owned()] {
        let answer = ask_until(&mut app.admin(), &question, 4);
        let first = now.plus_millis(-40 * 86_400_000).to_string();
        assert_eq!(answer["from"].as_str().expect("a time")[..10], first[..10], "{question}");
    }
    // The same from a part.
    app = app.restart();
    ask_until(&mut app.admin(), "interval=all&groupBy=time", 4);
}

/// Sums of parts are kept, and no answer is older than the last change of a link, its tags, or its clicks.
#[test]
fn answers_from_memory_are_never_out_of_date() {
    let mut app = start();
    let mut admin = app.admin();
    let tag = |admin: &mut Client, name: &str| {
        let tag = admin.post("/api/v1/tags", &json!({"name": name})).expect(201, "a tag");
        text(&tag["tag"], "id").to_owned()
    };
    let (first, second) = (tag(&mut admin, "first"), tag(&mut admin, "second"));
    let link =
        admin.create(&json!({"url": "https://e.test/?utm_source=one", "customSlug": "a", "tagIds": [first]}));
    let path = format!("/api/v1/links/{}", text(&link, "id"));
    visit(&mut app.visitor(), "/a", &[]);
    ask_until(&mut admin, "", 1);
    // A restart writes the cells as a part, whose sums are kept.
    app = app.restart();
    let mut admin = app.admin();
    let asked = |admin: &mut Client| {
        ["tag", "utmSource"].map(|facet| rows(&ask(admin, &format!("groupBy={facet}")), facet))
    };
    for _ in 0..2 {
        assert_eq!(asked(&mut admin), [of([("first", 1)]), of([("one", 1)])]);
    }
    let changed = json!({"tagIds": [second], "url": "https://e.test/?utm_source=two"});
    admin.patch(&path, &changed).expect(200, "changed");
    assert_eq!(asked(&mut admin), [of([("second", 1)]), of([("two", 1)])]);
    // A click that is in no part is added to the sums.
    visit(&mut app.visitor(), "/a", &[]);
    ask_until(&mut admin, "", 2);
    assert_eq!(asked(&mut admin), [of([("second", 2)]), of([("two", 2)])]);
    // Another workspace asks the same about its own links.
    let made = admin.post("/api/v1/workspaces", &json!({"name": "Other"})).expect(201, "a workspace");
    let reach = json!({"workspaceId": made["workspace"]["id"], "scopes": ["analytics.readonly"]});
    let key = new_key(&mut admin, &reach);
    let mut other = app.visitor().with_key(&key);
    assert_eq!(asked(&mut other), [of([]), of([])]);
}

/// Cells that have become coarser begin before the link was created.
#[test]
fn all_clicks_of_a_link_have_their_details_for_ever() {
    let mut app = start();
    let link = app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let question = format!("linkId={}&interval=all", text(&link, "id"));
    app.advance(Duration::from_mins(50));
    for _ in 0..3 {
        visit(&mut app.visitor(), "/a", &[("user-agent", FIREFOX)]);
    }
    ask_until(&mut app.admin(), &question, 3);
    // Hours, then days.
    for _ in 0..2 {
        app.advance(Duration::from_hours(24 * 230));
        let (time, now) = (app.data_dir().join("clicks/time"), app.clock().now());
        // As after a day with this clock: one that has just jumped is not followed.
        app = app.restart_between(move || {
            let slot = TimeSlot::of_millis(now.as_millis()).0.to_le_bytes();
            let crc = crc32c::crc32c(&slot).to_le_bytes();
            std::fs::write(&time, [slot, crc].concat()).expect("written");
        });
        let answer = ask_until(&mut app.admin(), &question, 3);
        assert_eq!(answer["unattributed"], 0);
    }
}
