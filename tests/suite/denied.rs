//! The deny list of destination hosts: writes are refused, visits get a warning page, and the list is reloaded.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use waypost::cache::Lookup;
use waypost::cache::entry::Action;
use waypost::model::domain::DomainNumber;

use crate::support::app::{KEY, TestApp};
use crate::support::hooks::workspace;
use crate::support::http::{Answer, Client, text};
use crate::support::native::{LINKS, path_of};
use crate::support::process::{PATIENCE, Plan, Process, poll};

const EVIL: &str = "https://evil.example/";
const RULE: &str = "leads to evil.example, a host on the deny list of this server";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const SLACK: &str = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)";

/// A file with a list.
struct ListFile {
    _folder: TempDir,
    path: PathBuf,
}

impl ListFile {
    fn of(text: &str) -> ListFile {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("denied-hosts.txt");
        fs::write(&path, text).expect("a small file");
        ListFile { _folder: folder, path }
    }

    fn start(&self) -> TestApp {
        TestApp::start_with(|config| config.links.denied_hosts = Some(self.path.clone()))
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).expect("a small file");
    }
}

/// Blocks until the list in force has this number of hosts.
#[track_caller]
fn reloaded(app: &TestApp, hosts: u64) {
    let has = || (app.app().core().deny_list().status().hosts == hosts).then_some(());
    poll("the reload of the deny list", PATIENCE, has);
}

/// Checks for the warning page, whose host may be withheld.
#[track_caller]
fn warns(answer: &Answer, host: Option<&str>, row: &str) {
    assert_eq!((answer.status, answer.header("location")), (403, None), "{row}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{row}");
    assert_eq!(answer.header("x-robots-tag"), Some("noindex"), "{row}");
    let page = answer.text();
    if page.is_empty() {
        return;
    }
    assert!(page.contains("<h1>This link is blocked</h1>"), "{row}: {page}");
    let shown = host.map(|host| format!("<strong>{host}</strong>"));
    assert!(shown.is_none_or(|shown| page.contains(&shown)), "{row}: {page}");
    assert_eq!(page.contains("evil.example"), host.is_some(), "{row}: {page}");
    assert!(!page.contains("href=\"https://evil"), "{row}: {page}");
}

/// Returns whether the entry of a link in memory is a ready redirect. `None` if it is not in memory.
fn is_plain(app: &TestApp, code: &str) -> Option<bool> {
    let is_redirect = |entry: &waypost::cache::entry::Entry| matches!(entry.action, Action::Redirect { .. });
    match app.app().core().cache().get(DomainNumber::DEFAULT, code, is_redirect) {
        Lookup::Hit(is_plain) => Some(is_plain),
        Lookup::Absent | Lookup::Miss => None,
    }
}

#[track_caller]
fn refuses_as(answer: &Answer, status: u16, part: &str, row: &str) {
    let body = answer.expect(status, row).to_string();
    assert!(body.contains(part), "{row}: {body}");
}

#[test]
fn m_a_denied_host_is_refused_at_every_write() {
    let list = ListFile::of("# a list\n0.0.0.0 evil.example\nb\u{f6}se.example\n203.0.113.9\n");
    let app = list.start();
    let mut admin = app.admin();
    for (url, host) in [
        (EVIL, "evil.example"),
        ("HTTP://EVIL.EXAMPLE:8080/a?b#c", "evil.example"),
        ("https://evil.example./", "evil.example"),
        ("https://a.b.evil.example/", "a.b.evil.example"),
        ("https://www.b\u{f6}se.example/", "www.xn--bse-sna.example"),
        ("http://3405803785/", "203.0.113.9"),
        ("http://[::ffff:203.0.113.9]/", "[::ffff:cb00:7109]"),
        // The value is missing, and the host is there.
        ("https://evil.example/{{custom_values.page}}", "evil.example"),
        ("https://{{custom_values.sub}}.evil.example/", "1.evil.example"),
    ] {
        let why = format!("url: leads to {host}, a host on the deny list of this server");
        admin.post(LINKS, &json!({"url": url})).refuses(422, &why, url);
    }
    for url in ["https://notevil.example/", "https://e.test/?to=https://evil.example/", "https://example/"] {
        admin.create(&json!({"url": url}));
    }
    // Every other URL of a link. Webhooks are no destinations.
    for (field, value) in [
        ("expiredUrl", EVIL),
        ("image", "https://evil.example/a.png"),
        ("bodyTags", "<p><a href='https://evil.example/?a&amp;b'>x</a></p>"),
        ("bodyTags", "<img src='https://a.evil.example/'>"),
        ("headTags", "<link rel='canonical' href='https://evil.example/'>"),
    ] {
        let host = if value.contains("a.evil") { "a.evil.example" } else { "evil.example" };
        let why = format!("{field}: leads to {host}, a host on the deny list of this server");
        let mut body = json!({"url": "https://e.test/"});
        body[field] = json!(value);
        admin.post(LINKS, &body).refuses(422, &why, value);
    }
    // The native API: update, bulk and reuse.
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "ok"}));
    let url_rule = format!("url: {RULE}");
    admin.patch(&path_of(&made), &json!({"url": EVIL})).refuses(422, &url_rule, "an update");
    let by_code = format!("{LINKS}/by-code/ok");
    admin.patch(&by_code, &json!({"expiredUrl": EVIL})).refuses(
        422,
        &format!("expiredUrl: {RULE}"),
        "by code",
    );
    admin.post(LINKS, &json!({"url": EVIL, "reuse": true})).refuses(422, &url_rule, "reuse");
    let rows = json!({"links": [{"url": "https://e.test/1"}, {"url": EVIL}]});
    let bulk = admin.post("/api/v1/links/bulk", &rows).expect(201, "a bulk");
    assert_eq!(
        (&bulk["created"], bulk["failed"].to_string().contains(&url_rule)),
        (&json!(1), true),
        "{bulk}"
    );
    let rows = json!({"links": [{"url": "https://e.test/1"}, {"url": EVIL}], "atomic": true});
    refuses_as(&admin.post("/api/v1/links/bulk", &rows), 422, &url_rule, "an atomic bulk");
    // Linquid's and HighLevel's APIs, in their shapes.
    let mut vendor = app.visitor().with("X-API-Key", KEY);
    let answer = vendor.post("/api/links", &json!({"destinationUrl": EVIL}));
    refuses_as(&answer, 400, RULE, "Linquid");
    refuses_as(&answer, 400, "VALIDATION_ERROR", "Linquid");
    let location = workspace(&app);
    let body = json!({"locationId": location, "name": "n", "redirectTo": EVIL});
    refuses_as(&admin.post("/links/", &body), 422, &format!("redirectTo {RULE}"), "HighLevel");
    let path = format!("/links/{}", text(&made, "id"));
    let body = json!({"redirectTo": EVIL}).to_string();
    refuses_as(&admin.send("PUT", &path, &[], Some(body.as_bytes())), 422, RULE, "HighLevel");
    // Domains.
    let body = json!({"domain": "d.test", "rootUrl": EVIL});
    admin.post("/api/v1/domains", &body).refuses(422, &format!("rootUrl: {RULE}"), "a domain");
    for field in ["notFoundUrl", "expiredUrl", "rootUrl"] {
        let path = "/api/v1/domains/00000000000000000000";
        let mut body = json!({});
        body[field] = json!(EVIL);
        admin.patch(path, &body).refuses(422, &format!("{field}: {RULE}"), field);
    }
    // Custom values by which a link would lead there.
    admin.create(&json!({"url": "https://{{custom_values.host}}/", "customSlug": "filled"}));
    let body = json!({"customValues": {"host": "evil.example"}});
    let why = format!("customValues: with these values, url of \"filled\" {RULE}");
    admin.patch(&format!("/api/v1/workspaces/{location}"), &body).refuses(422, &why, "values");
    admin
        .patch(&format!("/api/v1/workspaces/{location}"), &json!({"customValues": {"host": "e.test"}}))
        .expect(200, "other values");
}

#[test]
fn m_imports_from_files_and_snapshots_are_refused_too() {
    let list = ListFile::of("");
    let app = list.start();
    let mut admin = app.admin();
    admin.create(&json!({"url": EVIL, "customSlug": "bad"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "good"}));
    let made = admin.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "a snapshot");
    let shares = format!("/api/v1/snapshots/{}/shares", text(&made["snapshot"], "id"));
    let share = admin.post(&shares, &json!({"type": "permanent_link"})).expect(201, "a share");
    let link = &share["share"]["shareLink"];
    list.write("evil.example\n");
    reloaded(&app, 1);
    // A snapshot may still be frozen: nothing is written to a link.
    admin.post("/api/v1/snapshots", &json!({"name": "T"})).expect(201, "a second snapshot");
    let body = json!({"name": "other", "id": "otherLocation0000001"});
    admin.post("/api/v1/workspaces", &body).expect(201, "a workspace");
    let mut other = app.admin().with("X-Workspace-Id", "otherLocation0000001");
    let body = json!({"shareLink": link, "onConflict": "rename"});
    refuses_as(&other.post("/api/v1/snapshots/import", &body), 422, RULE, "an import");
    // The import leaves out what breaks a rule if it may.
    let import = other.post("/api/v1/snapshots/import", &json!({"shareLink": link, "onConflict": "skip"}));
    let import = import.expect(201, "an import that skips");
    assert_eq!(import["import"]["status"], "completed", "{import}");

    // `waypost import`, into another folder.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, data) = (folder.path().join("links.jsonl"), folder.path().join("data"));
    let lines =
        "{\"url\": \"https://e.test/\", \"customSlug\": \"a\"}\n{\"url\": \"https://evil.example/\"}\n";
    fs::write(&file, lines).expect("a small file");
    for dry_run in [true, false] {
        let plan = Plan::on(&data).env("WAYPOST_LINKS__DENIED_HOSTS", &list.path.display().to_string());
        let plan = plan.arg("import").arg(&file.display().to_string());
        let (code, _, stderr) = if dry_run { plan.arg("--dry-run") } else { plan }.fails();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("line 2") && stderr.contains(&format!("url: {RULE}")), "{stderr}");
    }
}

/// A link whose host is denied later gets a warning page in every form of a visit, and counts nothing.
#[test]
fn m_later_denied_links_show_a_warning() {
    let list = ListFile::of("other.example\n");
    let app = list.start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    admin
        .patch("/api/v1/domains/00000000000000000000", &json!({"showDestination": true}))
        .expect(200, "shown destinations");
    let rows = [
        ("plain", json!({}), true),
        ("permanent", json!({"redirectType": 301}), true),
        ("kept", json!({"redirectType": 307}), true),
        ("cloaked", json!({"cloaked": true}), true),
        ("pixels", json!({"metaPixelId": "123456789012345"}), true),
        ("card", json!({"title": "A title"}), true),
        ("button", json!({"confirm": true}), true),
        ("bots", json!({"blockBots": true}), true),
        ("forward", json!({"forwardParameters": true, "forwardPath": true}), true),
        ("utm", json!({"utmSource": "mail"}), true),
        ("counts", json!({"countPixel": true, "countBots": true}), true),
        // Not for every visitor, so the page does not name the host.
        ("secret", json!({"password": "open sesame"}), false),
        ("limited", json!({"maxClicks": 5}), false),
    ];
    let mut ids = Vec::new();
    for (code, options, _) in &rows {
        let mut body = json!({"url": format!("{EVIL}p?a=1"), "customSlug": code});
        body.as_object_mut().expect("fields").extend(options.as_object().expect("fields").clone());
        ids.push(text(&admin.create(&body), "id").to_owned());
        visitor.get(&format!("/{code}"));
    }
    let before: Vec<u64> = ids.iter().map(|id| admin.clicks(id)).collect();
    assert_eq!(before[0], 1);
    list.write("other.example\nevil.example\n");
    reloaded(&app, 2);
    // The entries in memory are dropped after the list is in force.
    poll("the dropped entries", PATIENCE, || (visitor.get("/plain").status == 403).then_some(()));
    for ((code, options, shows), id) in rows.iter().zip(&ids) {
        let host = shows.then_some("evil.example");
        let (path, row) = (format!("/{code}"), options.to_string());
        for agent in ["Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0", GOOGLEBOT, SLACK] {
            let answer = visitor.send("GET", &path, &[("User-Agent", agent)], None);
            warns(&answer, host, &format!("{row} {agent}"));
        }
        warns(&visitor.head(&path), host, &row);
        warns(&visitor.send("GET", &path, &[("Sec-Purpose", "prefetch")], None), host, &row);
        warns(&visitor.get(&format!("{path}+")), host, &format!("{row} shown"));
        warns(&visitor.get(&format!("{path}.")), host, &format!("{row} with punctuation"));
        let explained = admin.get(&format!("{LINKS}/{id}/explain")).expect(200, &row)["explain"].clone();
        let got =
            (&explained["outcome"], &explained["status"], &explained["location"], &explained["counted"]);
        assert_eq!(got, (&json!("denied"), &json!(403), &Value::Null, &json!(false)), "{explained}");
        let last = explained["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
        assert_eq!((&last["rule"], &last["passes"]), (&json!("deniedHosts"), &json!(false)), "{explained}");
        assert!(text(last, "why").contains(RULE), "{explained}");
    }
    // Other addresses of a link.
    let second = json!({"customSlug": "renamed", "keepOldCode": true});
    admin.patch(&format!("{LINKS}/{}", ids[0]), &second).expect(200, "an alias");
    warns(&visitor.get("/plain"), Some("evil.example"), "an alias");
    warns(&visitor.get("/renamed"), Some("evil.example"), "a new code");
    // Forms and repeated methods.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    warns(&visitor.send_form("/secret", &form, b"password=open+sesame"), None, "the right password");
    warns(&visitor.send_form("/button", &form, b"confirm="), Some("evil.example"), "the button");
    warns(&visitor.send("DELETE", "/kept", &[], None), Some("evil.example"), "a repeated method");
    assert_eq!(visitor.send("DELETE", "/plain", &[], None).status, 405);
    warns(&visitor.get("/counts+pixel.gif"), Some("evil.example"), "the image");
    warns(&visitor.get("/forward/more?b=2"), Some("evil.example"), "a forwarded path");
    assert_eq!(visitor.get("/plain/more").status, 404, "a path that is not forwarded");
    let after: Vec<u64> = ids.iter().map(|id| admin.clicks(id)).collect();
    assert_eq!(after, before, "no click is counted");
    // One of the poll, seven of each link, and seven more.
    let refused = app.app().core().deny_list().status().refused_visits;
    assert_eq!(refused, 7 * rows.len() as u64 + 8, "explaining counts nothing");

    // An update that changes no URL is accepted, and one that changes it is not.
    for id in &ids {
        let path = format!("{LINKS}/{id}");
        let shown = admin.get(&path).expect(200, "the link")["link"].clone();
        let same = json!({"url": shown["url"], "notes": "n", "utmMedium": "m", "expiredUrl": null});
        admin.patch(&path, &same).expect(200, "the same URL");
        let why = format!("url: {RULE}");
        admin.patch(&path, &json!({"url": format!("{EVIL}another")})).refuses(422, &why, "another URL");
    }
    admin.patch(&format!("{LINKS}/{}", ids[0]), &json!({"url": "https://e.test/"})).expect(200, "repaired");
    assert_eq!(visitor.get("/renamed").header("location"), Some("https://e.test/?utm_medium=m"));

    // Not denied any more.
    list.write("other.example\nmore.example\nand.example\n");
    reloaded(&app, 3);
    poll("the dropped entries", PATIENCE, || (visitor.get("/permanent").status == 301).then_some(()));
    assert_eq!(visitor.get("/cloaked").status, 200);
}

#[test]
fn m_fallbacks_to_denied_hosts_show_a_warning() {
    let list = ListFile::of("");
    let app = list.start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let body = json!({"domain": "d.test", "notFoundUrl": EVIL, "expiredUrl": EVIL, "rootUrl": EVIL});
    let domain = admin.post("/api/v1/domains", &body).expect(201, "a domain")["domain"].clone();
    let over = |url: &str, code: &str| json!({"url": "https://e.test/", "customSlug": code, "expiresAt": "2020-01-01", "expiredUrl": url});
    let own = admin.create(&over(EVIL, "own"));
    let mut of_domain = over("", "of-domain");
    of_domain["domain"] = json!("d.test");
    admin.create(&of_domain);
    admin.create(&over("https://e.test/over", "elsewhere"));
    assert_eq!(visitor.get("/own").header("location"), Some(EVIL));
    list.write("evil.example");
    reloaded(&app, 1);
    let host = Some("evil.example");
    warns(&visitor.get("/own"), host, "expiredUrl of a link");
    warns(&visitor.head("/own"), host, "expiredUrl of a link");
    let mut there = app.visitor().at("d.test");
    warns(&there.get("/of-domain"), host, "expiredUrl of a domain");
    warns(&there.get("/none"), host, "notFoundUrl of a domain");
    warns(&there.get("/"), host, "rootUrl of a domain");
    assert_eq!(visitor.get("/elsewhere").header("location"), Some("https://e.test/over"));
    let explained =
        admin.get(&format!("{}/explain", path_of(&own))).expect(200, "explain")["explain"].clone();
    assert_eq!((&explained["outcome"], &explained["status"]), (&json!("denied"), &json!(403)), "{explained}");
    assert!(explained["steps"].to_string().contains(&format!("; expiredUrl {RULE}")), "{explained}");
    // An update that leaves the fallbacks as they are is accepted.
    let path = format!("/api/v1/domains/{}", text(&domain, "id"));
    let same = json!({"rootUrl": EVIL, "notFoundUrl": EVIL, "showDestination": true});
    admin.patch(&path, &same).expect(200, "the same URLs");
    let body = json!({"rootUrl": "https://evil.example/other"});
    admin.patch(&path, &body).refuses(422, &format!("rootUrl: {RULE}"), "another URL");
    // A chain within this server ends at the warning.
    admin.create(&json!({"url": "https://d.test/", "customSlug": "chain"}));
    assert_eq!(visitor.get("/chain").header("location"), Some("https://d.test/"));
}

#[test]
fn m_plain_links_stay_ready_redirects_while_a_list_is_in_force() {
    let list = ListFile::of("evil.example\n");
    let app = list.start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    admin.create(&json!({"url": "https://e.test/", "customSlug": "good"}));
    admin.create(&json!({"url": "https://later.example/", "customSlug": "later"}));
    for code in ["good", "later"] {
        assert_eq!(visitor.get(&format!("/{code}")).status, 302);
        assert_eq!(is_plain(&app, code), Some(true), "{code}");
    }
    list.write("evil.example\nlater.example\n");
    reloaded(&app, 2);
    poll("the dropped entry", PATIENCE, || is_plain(&app, "later").is_none().then_some(()));
    assert_eq!(is_plain(&app, "good"), Some(true), "its entry stays in memory");
    warns(&visitor.get("/later"), None, "it has another host");
    assert_eq!(is_plain(&app, "later"), Some(false));
    list.write("evil.example\n");
    reloaded(&app, 1);
    poll("the dropped entry", PATIENCE, || is_plain(&app, "later").is_none().then_some(()));
    assert_eq!(visitor.get("/later").status, 302);
    assert_eq!(is_plain(&app, "later"), Some(true));
}

/// A server with a deny list whose file changes.
struct Reloading {
    list: ListFile,
    server: Process,
    admin: Client,
    _folder: TempDir,
}

impl Reloading {
    fn start() -> Reloading {
        let list = ListFile::of("evil.example\n");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::on(&folder.path().join("data"));
        let server = plan.env("WAYPOST_LINKS__DENIED_HOSTS", &list.path.display().to_string()).start();
        let admin = server.admin();
        let reloading = Reloading { list, server, admin, _folder: folder };
        assert_eq!(reloading.lines("the deny list is loaded"), 1);
        reloading
    }

    /// Returns the number of log lines with this part.
    fn lines(&self, part: &str) -> usize {
        self.server.stderr().lines().filter(|line| line.contains(part)).count()
    }

    fn metric(&mut self, name: &str) -> u64 {
        let all = self.admin.get("/metrics").text();
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("waypost_{name} ")));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("no {name} in {all}"))
    }

    /// Changes the file to one that is refused, or removes it. Asserts that the list in force stays.
    fn refuse(&mut self, text: Option<&str>, part: &str) {
        match text {
            Some(text) => self.list.write(text),
            None => fs::remove_file(&self.list.path).expect("the file"),
        }
        poll(part, PATIENCE, || (self.lines(part) > 0).then_some(()));
        self.admin.post(LINKS, &json!({"url": EVIL})).refuses(422, &format!("url: {RULE}"), part);
        assert_eq!((self.metric("denied_hosts"), self.metric("denied_hosts_stale")), (1, 1));
        assert!(self.admin.get("/healthz").text().contains("an older list is in force"), "{part}");
    }

    fn waits_for_load(&self, number: usize) {
        let is_loaded = || (self.lines("the deny list is loaded") == number).then_some(());
        poll("the reload", PATIENCE, is_loaded);
    }

    /// Asserts that a warning was logged once, although several checks found its cause.
    fn was_warned_once(&self, part: &str) {
        assert_eq!(self.lines(part), 1, "{part}: {}", self.server.stderr());
    }
}

/// A file that is missing, invalid or half written is reported once, and the list in force stays.
#[test]
fn m_a_reload_that_fails_keeps_the_list() {
    let mut reloading = Reloading::start();
    assert!(reloading.metric("denied_hosts_written_seconds") > 1_700_000_000);
    reloading.refuse(None, "cannot read the deny list");
    reloading.refuse(Some("evil.example\nnot a host\n"), ", line 2: must be a host");
    reloading.was_warned_once("cannot read the deny list");
    reloading.was_warned_once(", line 2: must be a host");
    reloading.server.stop();
}

#[test]
fn m_a_reload_that_succeeds_ends_the_warning() {
    let mut reloading = Reloading::start();
    reloading.refuse(Some("com\n"), ", line 1: must have a dot");
    reloading.list.write("other.example\nmore.example\n");
    reloading.waits_for_load(2);
    assert_eq!((reloading.metric("denied_hosts"), reloading.metric("denied_hosts_stale")), (2, 0));
    assert!(reloading.server.stderr().contains("hosts=2"), "{}", reloading.server.stderr());
    let made = reloading.admin.create(&json!({"url": EVIL, "customSlug": "free"}));
    assert_eq!(reloading.server.visitor().get("/free").header("location"), Some(EVIL), "{made}");
    reloading.was_warned_once(", line 1: must have a dot");
    reloading.server.stop();
}

/// A file that replaces another one by renaming, with the same length and time.
#[test]
fn m_a_file_of_the_same_length_and_time_is_loaded() {
    let reloading = Reloading::start();
    let path = &reloading.list.path;
    let (new, times) = (path.with_extension("new"), fs::metadata(path).expect("the file"));
    fs::write(&new, "mild.example\n").expect("a small file");
    let copy = fs::File::options().append(true).open(&new).expect("the new file");
    copy.set_modified(times.modified().expect("a time")).expect("the time of the old one");
    fs::rename(&new, path).expect("renamed");
    reloading.waits_for_load(2);
    reloading.server.stop();
}

#[test]
fn m_a_start_without_a_valid_list_fails_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("waypost.toml"));
    fs::write(&file, "[links]\ndenied_hosts = \"lists/denied.txt\"\n").expect("a small file");
    let list = folder.path().join("lists/denied.txt");
    fs::create_dir(folder.path().join("lists")).expect("a folder");
    let plan = || Plan::on(&data).env("WAYPOST_CONFIG", &file.display().to_string());
    let path = list.display().to_string();
    for (text, wanted) in [
        (None, ["cannot read the deny list", "Create the file, which may be empty"]),
        (Some("evil.example\nhttps://evil.example/\n"), [", line 2: ", "must be a host alone"]),
    ] {
        if let Some(text) = text {
            fs::write(&list, text).expect("a small file");
        }
        for check in [true, false] {
            let (code, _, stderr) = if check { plan().arg("--check") } else { plan() }.fails();
            assert_eq!(code, Some(2), "{stderr}");
            // Relative to the configuration file.
            let all = wanted.iter().chain([&path.as_str()]).all(|part| stderr.contains(part));
            assert!(all, "{stderr}");
        }
        let (code, stdout, _) = plan().arg("doctor").fails();
        assert_eq!(code, Some(1), "{stdout}");
        let line =
            format!("problem  deny list: {}", if text.is_none() { "cannot read" } else { "the deny list" });
        assert!(stdout.contains(&line), "{stdout}");
    }
    assert!(!data.exists(), "nothing is made");
    fs::write(&list, "evil.example\n").expect("a small file");
    let (code, stdout, _) = plan().arg("--check").fails();
    assert_eq!(code, Some(0), "{stdout}");
    let (_, stdout, _) = plan().arg("doctor").fails();
    let fresh = format!("ok       deny list: {path} has 1 host and is 0 days old");
    assert!(stdout.contains(&fresh), "{stdout}");
    age(&list, 31);
    let (_, stdout, _) = plan().arg("doctor").fails();
    let old = format!("warning  deny list: {path} has 1 host and is 31 days old. Fetch a new one regularly");
    assert!(stdout.contains(&old), "{stdout}");
    // Relative to the working folder, as every path of the environment.
    let (code, _, stderr) =
        plan().env("WAYPOST_LINKS__DENIED_HOSTS", "lists/denied.txt").arg("--check").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(!stderr.contains(&path), "{stderr}");
    let (code, _, stderr) = plan().env("WAYPOST_LINKS__DENIED_HOSTS", "~/denied.txt").arg("--check").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("no shell replaces `~` here"), "{stderr}");
}

#[test]
fn m_doctor_counts_links_to_denied_hosts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = Plan::on(&data).start();
    let mut admin = server.admin();
    admin.create(&json!({"url": EVIL, "customSlug": "bad"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "over", "expiredUrl": EVIL}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "good", "webhookUrls": EVIL}));
    server.stop();
    let list = ListFile::of("evil.example\n");
    let plan = Plan::on(&data).env("WAYPOST_LINKS__DENIED_HOSTS", &list.path.display().to_string());
    let (_, stdout, _) = plan.arg("doctor").fails();
    let want = "warning  deny list: 2 of 3 links lead to a host on the deny list, such as /";
    assert!(stdout.contains(want) && !stdout.contains("/good"), "{stdout}");
    let (_, stdout, _) = Plan::on(&data).arg("doctor").fails();
    assert!(!stdout.contains("deny list"), "{stdout}");
}

/// Sets the time of a file back.
fn age(path: &Path, days: u64) {
    let day = std::time::Duration::from_hours(24);
    let then = std::time::SystemTime::now() - day * u32::try_from(days).expect("few days");
    let file = fs::File::options().append(true).open(path).expect("the file");
    file.set_modified(then).expect("a time");
}

/// What the log has is served whatever the list is: a restart replays it, and a new table is built from it.
#[test]
fn m_restarts_and_rebuilds_refuse_nothing() {
    let list = ListFile::of("");
    let app = list.start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": EVIL, "customSlug": "bad"}));
    list.write("evil.example\n");
    let app = app.restart();
    warns(&app.visitor().get("/bad"), Some("evil.example"), "after a restart");
    let shown = app.admin().get(&path_of(&made)).expect(200, "the link");
    assert_eq!(shown["link"]["url"], EVIL);
    let app = app.restart_ill(&crate::support::failing_log::Faults::default());
    poll("the table", PATIENCE, || (app.visitor().get("/bad").status == 403).then_some(()));
    // Without the list, the link works again.
    let app = app.restart_with(|config| config.links.denied_hosts = None);
    assert_eq!(app.visitor().get("/bad").header("location"), Some(EVIL));
    assert_eq!(is_plain(&app, "bad"), Some(true));
}
