//! Shares of statistics: a page for visitors without a key, which shows one link or tag and nothing else, for some time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::browser::{Browser, Scripts};
use crate::support::http::{Answer, Client, text};
use crate::support::native::new_key;
use crate::support::process::{command, poll};

const SHARES: &str = "/api/v1/analytics/shares";

fn start() -> TestApp {
    TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50))
}

/// Shares a link or tag. Returns the share.
fn share(client: &mut Client, body: &Value) -> Value {
    client.post(SHARES, body).expect(201, &body.to_string())["share"].clone()
}

/// Returns the path and query of a share's page.
fn page_of(share: &Value) -> String {
    format!("/?share={}", text(share, "id"))
}

/// Clicks a link and waits until the details are stored.
fn click(app: &TestApp, code: &str, link: &Value, clicks: u64) {
    app.visitor().send("GET", &format!("/{code}"), &[("referer", "https://news.test/a")], None);
    let question = format!("/api/v1/analytics?linkId={}", text(link, "id"));
    poll("the details", Duration::from_secs(10), || {
        let answer = app.admin().get(&question).expect(200, "an answer");
        Some(()).filter(|()| answer["total"]["clicks"] == clicks)
    });
}

fn link(app: &TestApp, code: &str, more: &Value) -> Value {
    let mut body =
        json!({"url": format!("https://{code}.secret.test/"), "customSlug": code, "title": "A title"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    app.admin().create(&body)
}

/// Sends a password to a share's page.
fn unlock(visitor: &mut Client, page: &str, password: &str) -> Answer {
    let form = format!("password={password}");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    visitor.send("POST", page, &headers, Some(form.as_bytes()))
}

#[test]
fn a_page_shows_the_clicks_of_its_link_and_nothing_else() {
    let mut app = start();
    let shown = link(&app, "shown", &json!({}));
    let other = link(&app, "other", &json!({}));
    click(&app, "shown", &shown, 1);
    click(&app, "other", &other, 1);
    click(&app, "other", &other, 2);
    let shared = share(&mut app.admin(), &json!({"linkId": shown["id"]}));
    assert_eq!((&shared["linkId"], &shared["tagId"]), (&shown["id"], &Value::Null));
    let page = page_of(&shared);
    assert_eq!(text(&shared, "shareLink"), format!("http://go.test{page}"));
    let answer = app.visitor().get(&page);
    let html = answer.text();
    assert_eq!(answer.status, 200, "{html}");
    assert!(html.contains("<h1>Clicks of A title</h1>\n<p>http://go.test/shown</p>"), "{html}");
    assert!(html.contains("1 click by 1 daily visitor, from ") && html.contains("news.test"), "{html}");
    // Neither what the link leads to nor other links.
    for hidden in ["secret", "other"] {
        assert!(!html.contains(hidden), "{hidden}: {html}");
    }
    for (name, value) in [("cache-control", "no-store"), ("x-robots-tag", "noindex")] {
        assert_eq!(answer.header(name), Some(value));
    }
    // Other periods and zones; what is wrong is never an error.
    for more in
        ["&interval=7d", "&interval=all&timezone=Asia/Kolkata", "&interval=x&timezone=Mars", "&timezone="]
    {
        let html = app.visitor().get(&format!("{page}{more}")).text();
        assert!(html.contains("1 click by 1 daily visitor"), "{more}: {html}");
        assert_eq!(html.contains("time zone in the address is unknown"), more.contains("Mars"), "{more}");
    }
    let html = app.visitor().get(&format!("{page}&interval=all&timezone=Asia/Kolkata")).text();
    assert!(
        html.contains("(Asia/Kolkata)") && html.contains("interval=7d&#38;timezone=Asia%2FKolkata"),
        "{html}"
    );
    // The share may have a zone, which that of the address replaces.
    let zoned = json!({"linkId": shown["id"], "timezone": "Asia/Kolkata"});
    let zoned = share(&mut app.admin(), &zoned);
    assert_eq!((text(&shared, "timezone"), text(&zoned, "timezone")), ("UTC", "Asia/Kolkata"));
    let html = app.visitor().get(&page_of(&zoned)).text();
    assert!(html.contains("(Asia/Kolkata)") && !html.contains("timezone="), "{html}");
    let html = app.visitor().get(&format!("{}&timezone=UTC", page_of(&zoned))).text();
    assert!(html.contains("(UTC)") && html.contains("interval=7d&#38;timezone=UTC"), "{html}");
    // The page has no form.
    assert_eq!(unlock(&mut app.visitor(), &page, "x").status, 405);
    // A share outlives a restart and its clicks; its id is no key.
    app = app.restart();
    assert_eq!(app.visitor().get(&page).status, 200);
    let mut visitor = app.visitor().with_key(text(&shared, "id"));
    assert_eq!(visitor.get("/api/v1/analytics").status, 401);
    // Its link is no snapshot to import.
    let import = json!({"shareId": shared["id"]});
    app.admin().post("/api/v1/snapshots/import", &import).refuses(404, "share not found", "no snapshot");
}

/// A phone shows the numbers at once, and the heads of the columns of numbers once.
#[test]
fn a_page_begins_at_its_top() {
    let Some(browser) = Browser::start(Scripts::Off) else { return };
    let app = start();
    let shown = link(&app, "shown", &json!({}));
    click(&app, "shown", &shown, 1);
    let shared = share(&mut app.admin(), &json!({"linkId": shown["id"]}));
    browser.open(&format!("http://{}{}", app.address(), page_of(&shared)));
    assert_eq!(browser.eval("return document.querySelector('h1').getBoundingClientRect().top < 64"), true);
    let heads = "const all = [...document.querySelectorAll('thead th:nth-child(2)')];
         const seen = all.filter(head => getComputedStyle(head).clipPath === 'none');
         return [all.length > 1, seen.length, all.every(head => head.innerText === 'Clicks')]";
    assert_eq!(browser.eval(heads), json!([true, 1, true]));
}

#[test]
fn a_page_shows_the_links_of_its_tag() {
    let app = start();
    let tag =
        app.admin().post("/api/v1/tags", &json!({"name": "Fair <1>"})).expect(201, "a tag")["tag"].clone();
    let tagged = link(&app, "tagged", &json!({"tagIds": [tag["id"]]}));
    let other = link(&app, "other", &json!({}));
    click(&app, "tagged", &tagged, 1);
    click(&app, "other", &other, 1);
    let shared = share(&mut app.admin(), &json!({"tagId": tag["id"]}));
    let html = app.visitor().get(&page_of(&shared)).text();
    assert!(
        html.contains("Clicks of links with the tag Fair &#60;1&#62;")
            && html.contains("http://go.test/tagged"),
        "{html}"
    );
    assert!(html.contains("1 click by 1 daily visitor") && !html.contains("other"), "{html}");
    app.admin().delete(&format!("/api/v1/tags/{}", text(&tag, "id"))).expect(200, "deleted");
    assert_eq!(app.visitor().get(&page_of(&shared)).status, 404);
}

#[test]
fn a_share_ends() {
    let mut app = start();
    let shown = link(&app, "shown", &json!({}));
    let of_link = |more: Value| {
        let mut body = json!({"linkId": shown["id"]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        body
    };
    let rows = [
        (json!({"expiresAt": "2020-01-01"}), 422, "expiresAt: must be later than now"),
        (json!({"expiresAt": "2099-01-01"}), 422, "expiresAt: must be at most five years from now"),
        (json!({"tagId": shown["id"]}), 422, "tagId: cannot be given together with linkId"),
        (json!({"password": "********"}), 422, "password: must not be ********"),
        (
            json!({"timezone": "Mars"}),
            422,
            "timezone: must be a name of the IANA database, such as Europe/Berlin or Asia/Kolkata",
        ),
        (json!({"linkId": null}), 422, "linkId: is required, or tagId"),
        (json!({"linkId": "x"}), 404, "link not found"),
        (json!({"linkId": null, "tagId": "00000000000000000000"}), 404, "tag not found"),
    ];
    for (body, status, why) in rows {
        app.admin().post(SHARES, &of_link(body)).refuses(status, why, why);
    }
    let (by_time, revoked, kept) = (
        share(&mut app.admin(), &of_link(json!({}))),
        share(&mut app.admin(), &of_link(json!({}))),
        share(&mut app.admin(), &of_link(json!({"expiresAt": "2027-06-01"}))),
    );
    let listed = |app: &TestApp| {
        let list = app.admin().get(SHARES).expect(200, "a list");
        let shares = list["shares"].as_array().expect("shares").iter();
        shares.map(|share| text(share, "id").to_owned()).collect::<Vec<_>>()
    };
    let ids = |shares: &[&Value]| shares.iter().map(|share| text(share, "id").to_owned()).collect::<Vec<_>>();
    assert_eq!(listed(&app), ids(&[&kept, &revoked, &by_time]));
    let path = format!("{SHARES}/{}", text(&revoked, "id"));
    app.admin().delete(&path).expect(200, "revoked");
    app.admin().delete(&path).refuses(404, "share not found", "twice");
    let ended = |app: &TestApp, page: &str| {
        let answer = app.visitor().get(page);
        let html = answer.text();
        let says = "This statistics page has ended, or its address is not complete.";
        assert!(answer.status == 404 && html.contains(says), "{page}: {html}");
    };
    ended(&app, &page_of(&revoked));
    // A part of the address, and the end of a sentence behind it.
    let whole = page_of(&kept);
    ended(&app, &whole[..whole.len() - 1]);
    ended(&app, &format!("{whole}7"));
    assert_eq!(app.visitor().get(&format!("{whole}.%E2%80%9D")).status, 200);
    assert_eq!(unlock(&mut app.visitor(), &whole[..whole.len() - 1], "x").status, 404);
    // 30 days without `expiresAt`. The share has ended before the sweep removes its record.
    app.advance(Duration::from_hours(24 * 30));
    ended(&app, &page_of(&by_time));
    assert_eq!(listed(&app), ids(&[&kept]));
    let sweep = |app: &TestApp| app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept");
    assert_eq!((sweep(&app), sweep(&app)), (1, 0), "the share that has ended");
    assert_eq!(app.visitor().get(&page_of(&kept)).status, 200);
    app = app.restart();
    assert_eq!(app.visitor().get(&page_of(&kept)).status, 200);
    app.admin().delete(&format!("/api/v1/links/{}", text(&shown, "id"))).expect(200, "deleted");
    assert_eq!(app.visitor().get(&page_of(&kept)).status, 404);
    assert_eq!(listed(&app), Vec::<String>::new());
    assert_eq!((sweep(&app), sweep(&app)), (0, 0), "the share of a link that may be restored");
    app.advance(Duration::from_hours(24 * 31));
    sweep(&app);
    assert_eq!((sweep(&app), sweep(&app)), (1, 0), "the share of a deleted link");
}

/// A link of a file is a new link, also with the id of a deleted one. Only a restore continues the shares.
#[test]
fn an_import_revives_no_share_of_a_deleted_link() {
    let app = start();
    let [gone, back, stays] = ["gone", "back", "stays"].map(|code| link(&app, code, &json!({})));
    let [of_gone, of_back, of_stays] =
        [&gone, &back, &stays].map(|link| share(&mut app.admin(), &json!({"linkId": link["id"]})));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("links.jsonl");
    let line = |link: &Value| {
        json!({"id": link["id"], "url": "https://e.test/", "customSlug": link["shortCode"]}).to_string()
            + "\n"
    };
    std::fs::write(&file, [line(&gone), line(&stays)].concat()).expect("a file");
    for link in [&gone, &back] {
        app.admin().delete(&format!("/api/v1/links/{}", text(link, "id"))).expect(200, "deleted");
    }
    let restored = format!("/api/v1/links/{}/restore", text(&back, "id"));
    app.admin().post(&restored, &json!({})).expect(201, "restored");
    let data = app.data_dir().to_owned();
    let app = app.restart_between(|| {
        let mut import = command();
        import.args(["import", "--on-conflict", "skip", &file.display().to_string()]);
        import.env("WAYPOST_DATA_DIR", data).env("WAYPOST_PUBLIC_URL", "http://go.test");
        let done = import.output().expect("the binary runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    });
    let again = app.admin().get(&format!("/api/v1/links/{}", text(&gone, "id"))).expect(200, "imported");
    assert_eq!(again["link"]["shortCode"], "gone");
    let status = |share: &Value| app.visitor().get(&page_of(share)).status;
    assert_eq!([&of_gone, &of_back, &of_stays].map(status), [404, 200, 200]);
    let listed = app.admin().get(SHARES).expect(200, "all")["shares"].clone();
    let listed: Vec<_> = listed.as_array().expect("shares").iter().map(|share| share["id"].clone()).collect();
    assert_eq!(listed, [of_stays["id"].clone(), of_back["id"].clone()]);
    // Nothing is left that a later deletion and restore could revive.
    let path = format!("/api/v1/links/{}", text(&gone, "id"));
    app.admin().delete(&path).expect(200, "deleted again");
    app.admin().post(&format!("{path}/restore"), &json!({})).expect(201, "restored");
    assert_eq!(status(&of_gone), 404);
}

/// The page of a link is on the domain of the link, whose root is otherwise its owner's.
#[test]
fn a_share_is_on_the_domain_of_its_link() {
    let app = start();
    let made = json!({"domain": "brand.test", "rootUrl": "https://home.test/"});
    app.admin().post("/api/v1/domains", &made).expect(201, "a domain");
    let (here, there) =
        (link(&app, "here", &json!({})), link(&app, "there", &json!({"domain": "brand.test"})));
    let [of_here, of_there, locked] = [
        json!({"linkId": here["id"]}),
        json!({"linkId": there["id"]}),
        json!({"linkId": there["id"], "password": "open sesame"}),
    ]
    .map(|body| share(&mut app.admin(), &body));
    assert_eq!(text(&of_there, "shareLink"), format!("https://brand.test{}", page_of(&of_there)));
    assert_eq!(text(&of_here, "shareLink"), format!("http://go.test{}", page_of(&of_here)));
    let at_brand = |page: &str| app.visitor().at("brand.test").get(page);
    let home = |answer: &Answer| (answer.status, answer.header("location").map(str::to_owned));
    assert!(at_brand(&page_of(&of_there)).text().contains("<h1>Clicks of A title</h1>"));
    // All shares are on the default domain, and those of other links are on no other domain.
    assert_eq!(app.visitor().get(&page_of(&of_there)).status, 200);
    for page in [
        page_of(&of_here),
        "/?share=0N88vwqp0EUhFT57aXBu".to_owned(),
        "/?share=0N88".to_owned(),
        "/".to_owned(),
    ] {
        assert_eq!(home(&at_brand(&page)), (302, Some("https://home.test/".to_owned())), "{page}");
    }
    let page = page_of(&locked);
    assert!(at_brand(&page).text().contains("name=\"password\""));
    let unlocked = unlock(&mut app.visitor().at("brand.test"), &page, "open+sesame");
    assert!(unlocked.text().contains("<h1>Clicks of A title</h1>"), "{}", unlocked.text());
    assert!(unlocked.header("set-cookie").is_some_and(|cookie| cookie.contains("Secure")));
    assert_eq!(unlock(&mut app.visitor().at("brand.test"), &page_of(&of_here), "x").status, 405);
}

/// A change keeps the address. What is not named stays as it is.
#[test]
fn a_share_changes() {
    let app = start();
    let shown = link(&app, "shown", &json!({}));
    let made = share(
        &mut app.admin(),
        &json!({"linkId": shown["id"], "password": "first", "timezone": "Asia/Kolkata"}),
    );
    let path = format!("{SHARES}/{}", text(&made, "id"));
    let change = |body: Value| app.admin().patch(&path, &body);
    let same =
        change(json!({"password": "********", "shareLink": "x", "id": "y"})).expect(200, "as it was shown");
    assert_eq!(same["share"], made);
    let later = change(json!({"expiresAt": "2027-06-01", "timezone": null})).expect(200, "changed");
    assert_eq!(
        (text(&later["share"], "expiresAt"), text(&later["share"], "timezone")),
        ("2027-06-01T23:59:59.999Z", "UTC")
    );
    let page = page_of(&made);
    let opens = |password: &str| {
        unlock(&mut app.visitor(), &page, password).text().contains("<h1>Clicks of A title</h1>")
    };
    assert!(opens("first"));
    change(json!({"password": "second"})).expect(200, "changed");
    assert!(!opens("first") && opens("second"));
    assert_eq!(change(json!({"password": null})).expect(200, "removed")["share"]["password"], Value::Null);
    assert!(app.visitor().get(&page).text().contains("<h1>Clicks of A title</h1>"));
    for (body, why) in [
        (json!({"expiresAt": "2020-01-01"}), "expiresAt: must be later than now"),
        (json!({"expiresAt": "2099-01-01"}), "expiresAt: must be at most five years from now"),
        (
            json!({"timezone": "Mars"}),
            "timezone: must be a name of the IANA database, such as Europe/Berlin or Asia/Kolkata",
        ),
    ] {
        change(body).refuses(422, why, why);
    }
    // One that has ended, and one of another workspace, cannot be told from none.
    let made = app.admin().post("/api/v1/workspaces", &json!({"name": "Other"})).expect(201, "a workspace");
    let reach = json!({"workspaceId": made["workspace"]["id"], "scopes": ["links.write"]});
    let mut other = app.visitor().with_key(&new_key(&mut app.admin(), &reach));
    other.patch(&path, &json!({"timezone": null})).refuses(404, "share not found", "a foreign one");
    change(json!({"expiresAt": null})).expect(200, "30 days");
    app.advance(Duration::from_hours(24 * 30));
    change(json!({"expiresAt": null})).refuses(404, "share not found", "it has ended");
}

#[test]
fn a_password_is_asked_for_and_cannot_be_guessed() {
    let app = start();
    let shown = link(&app, "shown", &json!({}));
    click(&app, "shown", &shown, 1);
    let body = json!({"linkId": shown["id"], "password": "open sesame"});
    let shared = share(&mut app.admin(), &body);
    assert_eq!(shared["password"], "********");
    let page = page_of(&shared);
    let mut visitor = app.visitor();
    let is_form =
        |answer: &Answer| answer.text().contains("name=\"password\"") && !answer.text().contains("shown");
    let answer = visitor.get(&page);
    assert!(answer.status == 200 && is_form(&answer), "{}", answer.text());
    assert!(answer.text().contains("enter the password to see the statistics"), "{}", answer.text());
    assert!(answer.text().contains("<button type=\"submit\">Show</button>"), "{}", answer.text());
    // No text is no password, as in every field that may be null.
    let open = share(&mut app.admin(), &json!({"linkId": shown["id"], "password": ""}));
    assert_eq!(open["password"], Value::Null);
    assert!(app.visitor().get(&page_of(&open)).text().contains("1 click by 1 daily visitor"));
    let unknown = json!({"linkId": shown["id"], "passwort": "x"});
    let answer = app.admin().post(SHARES, &unknown).expect(201, "an unknown field");
    assert!(answer["warnings"].to_string().contains("passwort"), "{answer}");
    let wrong = unlock(&mut visitor, &page, "close+sesame");
    assert!(wrong.status == 403 && is_form(&wrong), "{}", wrong.text());
    let right = unlock(&mut visitor, &page, "open+sesame");
    assert!(right.status == 200 && right.text().contains("1 click by 1 daily visitor"), "{}", right.text());
    let cookie = right.header("set-cookie").expect("a cookie").to_owned();
    let name = format!("waypost_share_{}=", text(&shared, "id"));
    assert!(
        cookie.starts_with(&name) && cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("a pair");
    let with_cookie = |page: &str| app.visitor().send("GET", page, &[("cookie", cookie)], None);
    assert!(with_cookie(&page).text().contains("1 click by 1 daily visitor"));
    // A cookie opens its own share.
    let second = share(&mut app.admin(), &body);
    assert!(is_form(&with_cookie(&page_of(&second))));
    let stolen = cookie.replacen(text(&shared, "id"), text(&second, "id"), 1);
    assert!(is_form(&app.visitor().send("GET", &page_of(&second), &[("cookie", &stolen)], None)));
    // A form of another site, and a body that is no form.
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.test")];
    assert_eq!(app.visitor().send("POST", &page, &headers, Some(b"password=open+sesame")).status, 403);
    assert_eq!(app.visitor().send("POST", &page, &[], Some(b"password=open+sesame")).status, 415);
    // The limit of guesses is that of links: ten a minute for each address, and then the right one is refused as well.
    for _ in 0..9 {
        assert_eq!(unlock(&mut visitor, &page, "no").status, 403);
    }
    let locked = unlock(&mut visitor, &page, "open+sesame");
    assert!(locked.status == 429 && locked.header("retry-after").is_some(), "{}", locked.text());
    assert!(with_cookie(&page).text().contains("1 click"), "the cookie of the right one");
    assert_eq!(unlock(&mut visitor, &page_of(&second), "no").status, 403, "another share has its own limit");
}

#[test]
fn who_may_share() {
    let app = start();
    let mut admin = app.admin();
    let shown = link(&app, "shown", &json!({}));
    let made = admin.post("/api/v1/workspaces", &json!({"name": "Other"})).expect(201, "a workspace");
    let other = json!({"scopes": ["links.write"], "workspaceId": made["workspace"]["id"]});
    let other = new_key(&mut admin, &other);
    let body = json!({"linkId": shown["id"]});
    let shared = share(&mut admin, &body);
    let path = format!("{SHARES}/{}", text(&shared, "id"));
    let mut stranger = app.visitor().with_key(&other);
    stranger.post(SHARES, &body).refuses(404, "link not found", "a foreign link");
    stranger.delete(&path).refuses(404, "share not found", "a foreign share");
    assert_eq!(stranger.get(SHARES).expect(200, "none")["shares"], json!([]));
    // The list has links that need no key, so reading does not suffice.
    let key = new_key(&mut admin, &json!({"scopes": ["links.readonly", "analytics.readonly"]}));
    let mut reader = app.visitor().with_key(&key);
    let why = "this key lacks the scope links.write";
    reader.post(SHARES, &body).refuses(403, why, "a share");
    reader.get(SHARES).refuses(403, why, "the list");
    reader.delete(&path).refuses(403, why, "a revocation");
    // A repeated request returns the same share.
    let headers = [("idempotency-key", "k1"), ("content-type", "application/json")];
    let bytes = body.to_string();
    let ids = [0, 1].map(|_| {
        let answer = admin.send("POST", SHARES, &headers, Some(bytes.as_bytes()));
        text(&answer.expect(201, "a share")["share"], "id").to_owned()
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_workspace_has_a_thousand_shares() {
    let app = start();
    let shown = link(&app, "shown", &json!({}));
    let body = json!({"linkId": shown["id"]});
    let mut admin = app.admin();
    let mut last = Value::Null;
    for _ in 0..1_000 {
        last = share(&mut admin, &body);
    }
    let why = "a workspace has at most 1000 shares of statistics";
    admin.post(SHARES, &body).refuses(403, why, "one more");
    admin.delete(&format!("{SHARES}/{}", text(&last, "id"))).expect(200, "one less");
    share(&mut admin, &body);
}
