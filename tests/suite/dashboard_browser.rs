//! The dashboard as people see it, in Chromium: every page at two widths in both themes, without complaints of the
//! browser, without a request to another host, and without a fault that axe-core finds.
//!
//! axe-core is not a part of the repository: `AXE_CORE` names its file, and `.ci/run` gets it. Without the variable,
//! the pages are looked at without it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::demo::Demo;
use crate::support::app::{KEY, TestApp};
use crate::support::browser::{Browser, Scripts};
use crate::support::http::text;
use crate::support::process::{PATIENCE, not_tested, poll};

/// Most pages that one test opens.
const PAGES_MAX: usize = 60;

/// A server whose dashboard a browser of the tests can reach: it resolves no other name.
fn start() -> (TestApp, String) {
    let app = TestApp::start_in_time(|config| {
        "http://127.0.0.1".clone_into(&mut config.public_url);
        config.clicks.flush_interval = std::time::Duration::from_millis(50);
    });
    let base = format!("http://{}", app.address());
    (app, base)
}

/// Creates what each screen can show.
fn fill(app: &TestApp) -> String {
    let mut admin = app.admin().at("127.0.0.1");
    let tag = admin.post("/api/v1/tags", &json!({"name": "News <b>"})).expect(201, "a tag");
    admin.post("/api/v1/campaigns", &json!({"name": "Spring"})).expect(201, "a campaign");
    admin.post("/api/v1/domains", &json!({"domain": "links.test"})).expect(201, "a domain");
    let mut id = String::new();
    for (code, title) in [("spring", "Spring & \"more\""), ("docs", "Docs"), ("old", "Old")] {
        let link = json!({
            "url": format!("https://example.com/{code}?a=1&b=2"),
            "customSlug": code,
            "title": title,
            "tagIds": [tag["tag"]["id"]],
            "isActive": code != "old",
            "rules": [{"name": "iPhone", "conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}],
                "url": "https://example.com/ios"}],
        });
        let made = admin.post("/api/v1/links", &link).expect(201, "a link");
        text(&made["link"], "id").clone_into(&mut id);
    }
    admin.delete(&format!("/api/v1/links/{id}"));
    let spring = admin.get("/api/v1/links/by-code/spring").json();
    admin.post("/api/v1/snapshots", &json!({"name": "Before <b>"})).expect(201, "a snapshot");
    let share = json!({"linkId": spring["link"]["id"], "password": "secret12"});
    admin.post("/api/v1/analytics/shares", &share).expect(201, "a share of statistics");
    let mut visitor = app
        .visitor()
        .at("127.0.0.1")
        .with("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0");
    for _ in 0..3 {
        visitor.get("/spring");
    }
    visitor.get("/nothing");
    text(&spring["link"], "id").to_owned()
}

fn sign_in(browser: &Browser, base: &str) {
    browser.open(&format!("{base}/admin/links"));
    browser.fill("#key", KEY);
    browser.click("button.primary");
    browser.arrives(&format!("{base}/admin/links"));
}

/// Returns the addresses of the dashboard that a page links to, without those that differ by their query or id alone.
fn linked(browser: &Browser, base: &str) -> Vec<String> {
    let all = browser.eval("return [...document.querySelectorAll('a[href]')].map((a) => a.href)");
    let all = all.as_array().expect("a list").iter().filter_map(Value::as_str);
    let own = all.filter_map(|url| url.strip_prefix(base)).filter(|path| path.starts_with("/admin"));
    // Files are no pages.
    let pages = own.filter(|path| {
        !path.contains("download")
            && !path.contains(".csv")
            && !path.contains(".svg")
            && !path.contains(".png")
            && !path.contains(".json")
    });
    pages.map(str::to_owned).collect()
}

/// Returns the kind of a page: its path, with `*` for each id.
fn kind_of(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or("");
    let is_id =
        |segment: &str| segment.len() == 20 && segment.bytes().all(|byte| byte.is_ascii_alphanumeric());
    path.split('/').map(|segment| if is_id(segment) { "*" } else { segment }).collect::<Vec<_>>().join("/")
}

/// Returns the text of axe-core, if it is there.
fn axe() -> Option<String> {
    let file = std::env::var_os("AXE_CORE").map(PathBuf::from);
    if file.is_none() {
        assert!(std::env::var_os("CI").is_none(), "AXE_CORE must name the file of axe-core");
        not_tested("accessibility of the dashboard: AXE_CORE does not name the file of axe-core");
    }
    file.map(|file| std::fs::read_to_string(file).expect("the file of axe-core"))
}

#[test]
fn every_page_is_sound_at_two_widths_in_both_themes() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let (app, base) = start();
    fill(&app);
    sign_in(&browser, &base);
    let axe = axe();
    let mut open = vec!["/admin".to_owned()];
    let mut pages = BTreeMap::<String, String>::new();
    while let Some(path) = open.pop() {
        if pages.len() == PAGES_MAX || pages.contains_key(&kind_of(&path)) {
            continue;
        }
        browser.open(&format!("{base}{path}"));
        pages.insert(kind_of(&path), path);
        open.extend(linked(&browser, &base));
    }
    assert!(pages.len() >= 6, "{pages:?}");
    let mut found = Vec::new();
    let mut titles = BTreeSet::new();
    for (width, height, is_dark) in
        [(360, 740, false), (360, 740, true), (1280, 800, false), (1280, 800, true)]
    {
        browser.shows(width, height, is_dark);
        for path in pages.values() {
            browser.open(&format!("{base}{path}"));
            titles.insert(browser.title());
            let overflow = browser.eval("return document.documentElement.scrollWidth - window.innerWidth");
            if overflow.as_i64() > Some(0) {
                found.push(format!("{path} at {width}: {overflow} pixels too wide"));
            }
            let headings = browser.eval("return document.querySelectorAll('h1').length");
            assert_eq!(headings, 1, "{path}");
            let loaded = browser.eval(
                "return performance.getEntriesByType('resource').filter((one) => !one.name.startsWith('data:') \
                 && !/qr[.]|webmanifest|favicon/.test(one.name)).length",
            );
            // The page itself, one sheet and one script. The settings also have a manifest with its icon, which browsers
            // request when they are idle.
            assert!(loaded.as_u64() <= Some(2), "{path} loads {loaded} files");
            found.extend(browser.console().into_iter().map(|message| format!("{path}: {message}")));
            let asked = browser.asked();
            assert!(asked.is_empty(), "{path} asks {asked:?}");
        }
    }
    assert_eq!(titles.len(), pages.len(), "each page has a title of its own: {titles:?}");
    if let Some(axe) = axe {
        browser.bypasses_policies(true);
        for (width, height, is_dark) in
            [(360, 740, false), (360, 740, true), (1280, 800, false), (1280, 800, true)]
        {
            browser.shows(width, height, is_dark);
            for path in pages.values() {
                browser.open(&format!("{base}{path}"));
                browser.eval(&axe);
                let violations = browser.eval_async(
                    "const done = arguments[arguments.length - 1]; axe.run().then((all) => done(all.violations.map((one) => \
                     one.id + ': ' + one.nodes.map((node) => node.html).join(' ').slice(0, 300))))",
                );
                let violations = violations.as_array().expect("a list").iter();
                found.extend(violations.map(|one| format!("{path} at {width}, dark {is_dark}: {one}")));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Creates a link and changes it, with and without scripts.
fn creates_and_changes_a_link(browser: &Browser, base: &str) {
    browser.click("a[href='/admin/links/new']");
    browser.arrives(&format!("{base}/admin/links/new"));
    browser.fill("#f-url", "https://example.com/new");
    browser.fill("#f-customSlug", "fresh");
    browser.fill("#f-title", "Fresh");
    browser.click(".submit button.primary");
    poll("the page of the link", PATIENCE, || browser.url().contains("done=created").then_some(()));
    assert!(browser.text("h1").contains("/fresh"));
    browser.click("a[aria-keyshortcuts=e]");
    poll("the form of the link", PATIENCE, || browser.url().ends_with("/edit").then_some(()));
    browser.fill("#f-title", " and green");
    browser.click(".submit button.primary");
    poll("the page of the link", PATIENCE, || browser.url().contains("done=saved").then_some(()));
    assert!(browser.text("main").contains("Fresh and green"));
    let complaints = browser.console();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn links_are_created_and_found_in_a_browser() {
    for scripts in [Scripts::On, Scripts::Off] {
        let Some(browser) = Browser::start(scripts) else { return };
        let (app, base) = start();
        fill(&app);
        sign_in(&browser, &base);
        creates_and_changes_a_link(&browser, &base);
        // A filter is an address: it can be gone back from.
        browser.open(&format!("{base}/admin/links"));
        browser.fill("#search", "fresh");
        browser.click("form.filters button");
        poll("the filter in the address", PATIENCE, || browser.url().contains("search=fresh").then_some(()));
        assert_eq!(rows(&browser), 1);
        browser.click(".chips a");
        poll("all links", PATIENCE, || (rows(&browser) == 3).then_some(()));
        browser.back();
        poll("the filter again", PATIENCE, || (rows(&browser) == 1).then_some(()));
    }
}

fn rows(browser: &Browser) -> u64 {
    browser.eval("return document.querySelectorAll('.list tbody tr').length").as_u64().expect("a number")
}

#[test]
fn a_visit_is_explained_while_the_link_is_edited() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let (app, base) = start();
    let id = fill(&app);
    sign_in(&browser, &base);
    browser.open(&format!("{base}/admin/links/{id}/edit"));
    browser.fill("#t-os", "iOS");
    poll("the destination of the rule", PATIENCE, || {
        let outcome = browser.eval("return document.querySelector('.outcome')?.textContent ?? ''");
        outcome.as_str().expect("a text").contains("https://example.com/ios").then_some(())
    });
    // Nothing was saved, and the field has the focus still.
    assert_eq!(browser.eval("return document.activeElement.id"), "t-os");
}

/// DASHBOARD.md C2: a page of a link, on the host of the dashboard, can neither read nor frame it.
#[test]
fn pages_of_links_cannot_reach_the_dashboard() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let (app, base) = start();
    let link =
        json!({"url": "https://example.com/", "customSlug": "pixel", "metaPixelId": "123456789012345"});
    app.admin().at("127.0.0.1").post("/api/v1/links", &link).expect(201, "a link");
    let link = json!({"url": format!("{base}/admin"), "customSlug": "frame", "cloaked": true});
    let framed = app.admin().at("127.0.0.1").post("/api/v1/links", &link);
    sign_in(&browser, &base);
    // The page leaves for its destination after a moment: a page that asks first stays.
    let asking = json!({"url": "https://example.com/", "customSlug": "asks", "confirm": true, "metaPixelId": "123456789012345"});
    app.admin().at("127.0.0.1").post("/api/v1/links", &asking).expect(201, "a link");
    for code in ["asks", "spring+"] {
        browser.open(&format!("{base}/{code}"));
        let read = browser.eval_async(
            "const done = arguments[arguments.length - 1]; \
             fetch('/admin').then((answer) => answer.text()).then((text) => done('read ' + text.length), () => done('refused'))",
        );
        assert_eq!(read, "refused", "{code}");
        let opened = browser.eval_async(
            "const done = arguments[arguments.length - 1]; const other = window.open('/admin'); \
             setTimeout(() => { try { done(other && other.document && other.document.title ? 'read' : 'nothing') } \
             catch { done('refused') } }, 1500)",
        );
        assert_ne!(opened, "read", "{code}");
    }
    if framed.status == 201 {
        browser.open(&format!("{base}/frame"));
        let inside =
            browser.within("iframe", || browser.eval("return document.querySelector('nav.side') !== null"));
        assert_eq!(inside, false, "the dashboard cannot be framed");
    }
}

/// The pictures of the README: `WAYPOST_WRITE_PICTURES=1 cargo test --test main pictures_of` writes them anew.
#[test]
fn the_readme_has_pictures_of_both_themes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    let files = [("overview-light.png", false), ("overview-dark.png", true)]
        .map(|(name, is_dark)| (folder.join(name), is_dark));
    if std::env::var_os("WAYPOST_WRITE_PICTURES").is_some() {
        let Some(browser) = Browser::start(Scripts::On) else { return };
        let mut demo = Demo::start(5_000);
        let (url, key) = (demo.url.clone(), demo.key.clone());
        browser.open(&format!("{url}/admin/sign-in"));
        browser.fill("#key", &key);
        browser.click("button.primary");
        browser.arrives(&format!("{url}/admin"));
        for (file, is_dark) in &files {
            browser.shows(1040, 700, *is_dark);
            browser.open(&format!("{url}/admin"));
            std::fs::write(file, browser.picture()).expect("a file");
        }
        assert!(demo.stop(), "the demo ends");
    }
    let sizes = files.map(|(file, _)| {
        std::fs::metadata(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).len()
    });
    assert!(sizes.iter().sum::<u64>() <= 150 * 1024, "{sizes:?}");
}
