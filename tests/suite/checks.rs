//! Checks of the destinations of links against real servers, most of them faulty or hostile. Each server has an address of
//! its own, since a host has one request a second.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, crypto};
use waypost::model::health::{CheckFinding, CheckSchedule, Checked};
use waypost::model::workspace::WorkspaceNumber;

use crate::support::app::TestApp;
use crate::support::hooks::workspace;
use crate::support::http::text;
use crate::support::native::{LINKS, path_of};
use crate::support::receiver::{Receiver, Reply, until};

/// Longer than any test: a stalled machine must not look like a slow server.
const PATIENT: Duration = Duration::from_mins(10);

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Starts an app that may check servers on this machine. Rounds follow each other quickly, and the clock is the test's.
fn start(timeout: Duration) -> TestApp {
    TestApp::start_with(|config| {
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".to_owned()];
        config.checks.confirm_after = Duration::from_millis(200);
        config.checks.timeout = timeout;
    })
}

fn switch(app: &TestApp, on: bool) {
    let path = format!("/api/v1/workspaces/{}", workspace(app));
    let changed = app.admin().patch(&path, &json!({"checkLinks": on})).expect(200, "a switch");
    assert_eq!(changed["workspace"]["checkLinks"], on);
}

#[track_caller]
fn link_to(app: &TestApp, url: &str) -> Value {
    app.admin().create(&json!({"url": url}))
}

#[track_caller]
fn health(app: &TestApp, link: &Value) -> Value {
    app.admin().get(&path_of(link)).expect(200, "a link")["link"]["health"].clone()
}

/// Waits until the checks of a link have found a status, and returns the result.
#[track_caller]
fn wait_for(app: &TestApp, link: &Value, status: &str) -> Value {
    let mut found = Value::Null;
    until(&format!("{status}: {link}"), || {
        found = health(app, link);
        found["status"] == status && !found["checkedAt"].is_null()
    });
    found
}

/// Advances the clock and waits for the next check of a link.
#[track_caller]
fn check_again(app: &TestApp, link: &Value, after: Duration) -> Value {
    let before = health(app, link)["checkedAt"].clone();
    app.advance(after);
    let mut found = Value::Null;
    until("another check", || {
        found = health(app, link);
        found["checkedAt"] != before
    });
    found
}

#[track_caller]
fn broken(app: &TestApp, query: &str) -> Value {
    app.admin().get(&format!("{LINKS}?health=broken{query}")).expect(200, query)
}

fn codes(list: &Value) -> Vec<&str> {
    list["links"].as_array().expect("a list").iter().map(|link| text(link, "shortCode")).collect()
}

/// The first words of the requests.
fn methods(receiver: &Receiver) -> Vec<String> {
    let line = |line: &str| line.split(' ').next().expect("a word").to_owned();
    receiver.requests().iter().map(|request| line(&request.line)).collect()
}

/// The answer with its status, the state and the reason that follow, and the methods of the requests.
type AnswerRow<'a> = ((Reply, u16), &'a str, &'a str, &'a [&'a str]);

#[test]
fn each_answer_has_its_result() {
    let app = start(PATIENT);
    let good = Receiver::at([127, 0, 3, 1], Reply::Status(200));
    let (here, there) =
        (Receiver::at([127, 0, 3, 2], Reply::Silence), Receiver::at([127, 0, 3, 3], Reply::Silence));
    here.answer_all(Reply::Location(302, there.url("/")));
    there.answer_all(Reply::Location(302, here.url("/")));
    let status = |status| (Reply::Status(status), status);
    let (head, both): (&[&str], &[&str]) = (&["HEAD"], &["HEAD", "GET"]);
    let rows: Vec<AnswerRow<'_>> = vec![
        (status(200), "ok", "the server answers", head),
        (status(204), "ok", "the server answers", head),
        (status(401), "ok", "the server answers", both),
        (status(403), "ok", "the server answers", both),
        (status(404), "failing", "the page does not exist", both),
        (status(405), "ok", "the server answers", both),
        (status(410), "failing", "the page does not exist", both),
        (status(429), "ok", "the server answers", both),
        (status(500), "failing", "the server reports an error", both),
        (status(503), "failing", "the server reports an error", both),
        // The body is never read.
        ((Reply::Endless, 200), "ok", "the server answers", head),
        ((Reply::HugeHead, 0), "failing", "the answer is not valid HTTP", both),
        ((Reply::Close, 0), "failing", "the answer is not valid HTTP", both),
        ((Reply::Location(301, good.url("/a")), 200), "ok", "the server answers", head),
        ((Reply::Location(302, here.url("/")), 0), "failing", "there are too many redirects", head),
        ((Reply::Location(302, "http://[".to_owned()), 0), "failing", "a redirect leads to no URL", head),
        // An app, and a short link of this server.
        ((Reply::Location(302, "market://details?id=a".to_owned()), 302), "ok", "the server answers", head),
        ((Reply::Location(302, "http://go.test/abc".to_owned()), 302), "ok", "the server answers", head),
        ((Reply::RetryAfter(503, 7_200), 503), "unknown", "the server reports an error", head),
    ];
    let all: Vec<_> = rows
        .iter()
        .zip(10..)
        .map(|(((reply, _), ..), at)| {
            let receiver = Receiver::at([127, 0, 3, at], reply.clone());
            let link = link_to(&app, &receiver.url("/page?q=1"));
            (receiver, link)
        })
        .collect();
    // HEAD is refused, and GET is not.
    let picky = Receiver::at([127, 0, 3, 200], Reply::Status(200));
    picky.answer_next([Reply::Status(501)]);
    let picky_link = link_to(&app, &picky.url("/"));
    let refused = link_to(&app, "http://127.0.3.201:9/");
    let unresolved = link_to(&app, "http://nowhere.invalid/");
    let mail = app.admin().create(&json!({"url": "a@example.com", "linkType": "MAILTO"}));
    let own = link_to(&app, "http://go.test/elsewhere");
    assert_eq!(health(&app, &own), Value::Null, "absent without checks");
    switch(&app, true);
    for (((reply, answered), state, reason, asked), (receiver, link)) in rows.iter().zip(&all) {
        let found = wait_for(&app, link, state);
        let http_status = if *answered == 0 { Value::Null } else { json!(answered) };
        assert_eq!((&found["reason"], &found["httpStatus"]), (&json!(reason), &http_status), "{reply:?}");
        assert_eq!(methods(receiver), *asked, "{reply:?}");
        let url = if *state == "failing" { link["url"].clone() } else { Value::Null };
        assert_eq!(found["url"], url, "{reply:?}");
        // Unread bytes are in the buffers of the system, which bound them.
        assert!(receiver.written() < 20 * 1024 * 1024, "{reply:?}");
    }
    wait_for(&app, &picky_link, "ok");
    assert_eq!(methods(&picky), ["HEAD", "GET"]);
    let request = &picky.requests()[1];
    assert_eq!(request.header("user-agent"), "Waypost-Checks/1 (+http://go.test)");
    assert_eq!(wait_for(&app, &refused, "failing")["reason"], "the host accepts no connection");
    assert_eq!(wait_for(&app, &unresolved, "failing")["reason"], "the host name cannot be resolved");
    for unchecked in [&mail, &own] {
        assert_eq!(wait_for(&app, unchecked, "unknown")["reason"], "there is nothing to check");
    }
    assert_eq!(good.requests().len(), 1);
    let metrics = app.admin().get("/metrics").text();
    let number = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("waypost_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().expect("a number")
    };
    assert!(number("check_requests_total") >= 40);
    assert!(number("checks_total{result=\"fails\"}") >= 9);
    assert!(number("checks_total{result=\"works\"}") >= 10);
    assert_eq!(number("checks_total{result=\"open\"}"), 2);
}

#[test]
fn slow_servers_are_cut_off() {
    let app = start(Duration::from_secs(1));
    for (at, reply) in [(1, Reply::Silence), (2, Reply::Trickle)] {
        let receiver = Receiver::at([127, 0, 4, at], reply.clone());
        let link = link_to(&app, &receiver.url("/"));
        switch(&app, true);
        assert_eq!(wait_for(&app, &link, "failing")["reason"], "no answer in time", "{reply:?}");
        assert_eq!(methods(&receiver), ["HEAD", "GET"], "{reply:?}");
    }
}

#[test]
fn a_link_is_broken_after_two_checks_and_repaired_after_one() {
    let app = start(PATIENT);
    let hook = Receiver::start();
    let pages: Vec<_> = (1..=3).map(|at| Receiver::at([127, 0, 5, at], Reply::Status(404))).collect();
    let links: Vec<_> = pages
        .iter()
        .zip(["one", "two", "three"])
        .map(|(page, code)| {
            app.advance(Duration::from_millis(1));
            app.admin().create(
                &json!({"url": page.url("/gone"), "customSlug": code, "webhookUrls": hook.url("/hook")}),
            )
        })
        .collect();
    let refused = app.admin().get(&format!("{LINKS}?health=broken"));
    let why = "health: needs \"checkLinks\": true of the workspace, whose links are not checked";
    refused.refuses(422, why, "switched off");
    switch(&app, true);
    app.admin().get(&format!("{LINKS}?health=ok")).refuses(400, "health: must be broken", "another state");
    let began: Vec<_> = links.iter().map(|link| wait_for(&app, link, "failing")["since"].clone()).collect();
    assert_eq!(codes(&broken(&app, "")), [""; 0], "one failure is no alarm");
    app.advance(HOUR);
    for (link, since) in links.iter().zip(&began) {
        assert_eq!(wait_for(&app, link, "broken")["since"], *since, "since the first failure");
    }
    let list = broken(&app, "");
    assert_eq!((codes(&list), &list["total"]), (vec!["three", "two", "one"], &json!(3)));
    assert_eq!(list["links"][0]["health"]["httpStatus"], 404);
    let first = broken(&app, "&limit=2&sort=oldest");
    assert_eq!((codes(&first), &first["total"]), (vec!["one", "two"], &json!(3)));
    let rest = broken(&app, &format!("&limit=2&sort=oldest&cursor={}", text(&first, "nextCursor")));
    assert_eq!((codes(&rest), &rest["nextCursor"]), (vec!["three"], &Value::Null));
    assert_eq!(codes(&broken(&app, "&sort=title&search=thr")), ["three"], "with other filters");
    let events = |count: usize| -> Vec<Value> {
        let requests = hook.wait_for(count);
        requests.iter().map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
    };
    let all = events(3);
    let event = all.iter().find(|event| event["data"]["link"]["shortCode"] == "one").expect("an event");
    assert_eq!(event["type"], "link.broken");
    let data = &event["data"];
    assert_eq!((&data["since"], &data["url"]), (&began[0], &links[0]["url"]));
    assert_eq!((&data["httpStatus"], &data["reason"]), (&json!(404), &json!("the page does not exist")));
    // Results are in the table, over a restart. A broken link that is still broken sends no other event.
    let app = app.restart();
    assert_eq!(health(&app, &links[1])["status"], "broken");
    pages[0].answer_all(Reply::Status(200));
    app.advance(DAY);
    wait_for(&app, &links[0], "ok");
    for link in &links[1..] {
        until("checked again", || health(&app, link)["checkedAt"] == health(&app, &links[0])["checkedAt"]);
    }
    assert_eq!(codes(&broken(&app, "")), ["three", "two"]);
    let all = events(4);
    assert_eq!(
        (&all[3]["type"], &all[3]["data"]["link"]["shortCode"]),
        (&json!("link.repaired"), &json!("one"))
    );
    assert_eq!(all[3]["data"]["httpStatus"], 200);
    assert_eq!(hook.requests().len(), 4);
}

#[test]
fn private_networks_get_no_request() {
    let app = start(PATIENT).restart_with(|config| {
        config.webhooks.allowed_networks = vec!["127.0.6.0/25".to_owned()];
    });
    let hidden = Receiver::at([127, 0, 6, 200], Reply::Status(200));
    let port = hidden.address().port();
    let targets = [
        hidden.url("/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.6.200]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "https://192.168.1.1/".to_owned(),
        "http://[::1]/".to_owned(),
        "http://[fe80::1]/".to_owned(),
    ];
    let direct: Vec<_> = targets.iter().map(|target| link_to(&app, target)).collect();
    let redirects: Vec<_> = targets
        .iter()
        .zip(1..)
        .map(|(target, at)| Receiver::at([127, 0, 6, at], Reply::Location(302, target.clone())))
        .collect();
    let behind: Vec<_> = redirects.iter().map(|redirect| link_to(&app, &redirect.url("/"))).collect();
    switch(&app, true);
    for link in direct.iter().chain(&behind) {
        let found = wait_for(&app, link, "unknown");
        assert_eq!(found["reason"], "the host leads into a private network", "{link}");
    }
    for redirect in &redirects {
        assert_eq!(methods(redirect), ["HEAD"]);
    }
    assert_eq!(hidden.connections(), 0);
    // Nothing else prevented it: the same redirect is followed once the address is allowed.
    let app = app.restart_with(|config| config.webhooks.allowed_networks = vec!["127.0.6.0/24".to_owned()]);
    assert_eq!(check_again(&app, &behind[0], 7 * DAY)["status"], "ok");
}

/// Serves TLS with a certificate of an authority that nobody trusts.
fn start_tls() -> SocketAddr {
    let certificate = CertificateDer::from(&include_bytes!("../tls/hooks.test.der")[..]);
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("../tls/hooks.test.key.der")[..]);
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .expect("a certificate with its key");
    let listener = TcpListener::bind("127.0.7.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let config = Arc::new(config);
        for mut stream in listener.incoming().flatten() {
            let mut session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            // Fails when the client refuses the certificate.
            let _ = session.complete_io(&mut stream);
        }
    });
    address
}

#[test]
fn wrong_tls_does_not_work() {
    let app = start(PATIENT);
    let plain = Receiver::at([127, 0, 7, 2], Reply::Status(200));
    let links = [
        link_to(&app, &format!("https://{}/", start_tls())),
        // No TLS at all.
        link_to(&app, &format!("https://{}/", plain.address())),
    ];
    switch(&app, true);
    for link in &links {
        let found = wait_for(&app, link, "failing");
        assert_eq!(found["reason"], "the certificate or the TLS handshake is invalid", "{link}");
    }
}

#[test]
fn a_host_has_one_request_a_second_until_checks_are_switched_off() {
    let app = start(PATIENT);
    let page = Receiver::at([127, 0, 8, 1], Reply::Status(200));
    let row = |at: usize| json!({"url": page.url(&format!("/{at}"))});
    for _ in 0..2 {
        let rows: Vec<_> = (0..1_000).map(row).collect();
        app.admin().post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "links");
    }
    let other = Receiver::at([127, 0, 8, 2], Reply::Status(200));
    link_to(&app, &other.url("/"));
    let began = Instant::now();
    switch(&app, true);
    page.wait_for(4);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    // The two thousand delay no other host.
    other.wait_for(1);
    switch(&app, false);
    // One check may be under way.
    let most = page.requests().len() + 1;
    std::thread::park_timeout(Duration::from_millis(2_500));
    assert!(page.requests().len() <= most, "{most}");
    assert!(page.most_at_once() <= 1);
    switch(&app, true);
    page.wait_for(most + 1);
}

#[test]
fn a_server_that_asks_for_a_delay_has_it() {
    let app = start(PATIENT);
    let page = Receiver::at([127, 0, 9, 1], Reply::RetryAfter(503, 3_000));
    let links: Vec<_> = (0..3).map(|at| link_to(&app, &page.url(&format!("/{at}")))).collect();
    switch(&app, true);
    until("one is put off", || links.iter().any(|link| !health(&app, link)["checkedAt"].is_null()));
    // On a stalled machine another request may be sent before the first answer.
    until("none is under way", || app.app().checks().numbers().in_flight == 0);
    let asked = methods(&page);
    app.advance(HOUR);
    std::thread::park_timeout(Duration::from_millis(2_500));
    assert_eq!(methods(&page), asked, "none for any link");
    assert!(asked.iter().all(|method| method == "HEAD"), "{asked:?}");
}

#[test]
fn results_follow_their_link() {
    let app = start(PATIENT);
    let bad = Receiver::at([127, 0, 10, 1], Reply::Status(404));
    let good = Receiver::at([127, 0, 10, 2], Reply::Status(200));
    let mut admin = app.admin();
    let link = link_to(&app, &bad.url("/a"));
    let path = path_of(&link);
    switch(&app, true);
    let fail = || {
        wait_for(&app, &link, "failing");
        app.advance(HOUR);
        wait_for(&app, &link, "broken");
        assert_eq!(broken(&app, "")["total"], 1);
    };
    fail();
    // A check would find the same.
    admin.patch(&path, &json!({"title": "t", "maxClicks": 5})).expect(200, "a title");
    assert_eq!((&health(&app, &link)["status"], &broken(&app, "")["total"]), (&json!("broken"), &json!(1)));
    // Another destination: nothing is known of it.
    admin.patch(&path, &json!({"url": good.url("/")})).expect(200, "another destination");
    assert_eq!(broken(&app, "")["total"], 0);
    wait_for(&app, &link, "ok");
    // A rule has a destination of its own.
    let rules = json!([{"conditions": [{"field": "device", "operator": "in", "value": ["mobile"]}], "url": bad.url("/b")}]);
    admin.patch(&path, &json!({"rules": rules})).expect(200, "a rule");
    assert_eq!(wait_for(&app, &link, "failing")["url"], bad.url("/b"));
    fail();
    // Another code is listed as the code of the link.
    admin.patch(&path, &json!({"customSlug": "renamed"})).expect(200, "another code");
    assert_eq!(broken(&app, "")["total"], 0);
    fail();
    assert_eq!(codes(&broken(&app, "")), ["renamed"]);
    // Nobody sees whether it works.
    admin.patch(&path, &json!({"isActive": false})).expect(200, "switched off");
    assert_eq!(broken(&app, "")["total"], 0);
    let asked = bad.requests().len();
    assert_eq!(wait_for(&app, &link, "unknown")["reason"], "there is nothing to check");
    assert_eq!(bad.requests().len(), asked);
    admin.patch(&path, &json!({"isActive": true})).expect(200, "switched on");
    fail();
    admin.delete(&path).expect(200, "deleted");
    assert_eq!(broken(&app, "")["total"], 0);
    // The table is whole: entries of lists have their links.
    let restored = admin.post(&format!("{path}/restore"), &json!({})).expect(201, "restored");
    assert_eq!(restored["link"]["health"]["checkedAt"], Value::Null);
    fail();
}

/// Of four slots a workspace has one. Its slow hosts, in any number, leave the others.
#[test]
fn one_workspace_leaves_slots_to_others() {
    let app = start(PATIENT).restart_with(|config| config.checks.concurrency = 4);
    let deaf: Vec<_> = (1..=8).map(|at| Receiver::at([127, 0, 11, at], Reply::Silence)).collect();
    for receiver in &deaf {
        link_to(&app, &receiver.url("/"));
    }
    switch(&app, true);
    until("a check hangs", || deaf.iter().any(|receiver| receiver.connections() > 0));
    let mut admin = app.admin();
    admin.post("/api/v1/companies", &json!({"name": "B", "id": "B"})).expect(201, "a company");
    let body = json!({"name": "B", "id": "BW", "companyId": "B", "checkLinks": true});
    admin.post("/api/v1/workspaces", &body).expect(201, "a workspace");
    let well = Receiver::at([127, 0, 11, 100], Reply::Status(200));
    let link = app.admin().with("X-Workspace-Id", "BW").create(&json!({"url": well.url("/")}));
    wait_for(&app, &link, "ok");
    assert_eq!(deaf.iter().map(Receiver::connections).sum::<usize>(), 1, "its share");
    assert_eq!(app.app().checks().numbers().in_flight, 1);
}

/// Every page continues behind the last one, with results and without.
#[test]
fn pages_of_links_that_are_due_lose_none() {
    const LINKS_MADE: usize = 2_200;
    let app = start(PATIENT);
    for row in 0..LINKS_MADE / 550 {
        let rows: Vec<_> = (0..550).map(|at| json!({"url": format!("https://e.test/{row}/{at}")})).collect();
        app.admin().post(&format!("{LINKS}/bulk"), &json!({"links": rows})).expect(201, "links");
    }
    let (links, tenants) = (app.app().core().links(), app.app().core().tenants());
    let is_there = |number: &WorkspaceNumber| tenants.workspace_numbered(*number).is_some();
    let workspace = (0..10).map(WorkspaceNumber).find(is_there).expect("the default workspace");
    let schedule = CheckSchedule { interval: 7 * DAY, confirm_after: HOUR };
    let due = || {
        let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = app.wait(links.links_to_check(workspace, after, schedule)).expect("a page");
            all.extend(page.links);
            pages += 1;
            after = page.next;
            if after.is_none() {
                return (all, pages);
            }
        }
    };
    let (all, pages) = due();
    assert_eq!((all.len(), pages, all.is_sorted()), (LINKS_MADE, LINKS_MADE / 50, true));
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "each once");
    // Results of all links but the first, the last, and one at the border of two pages.
    let left: Vec<_> = [0, 999, 1_000, 2_199].map(|at| all[at]).to_vec();
    let checked = Checked { finding: CheckFinding::Answered(200), target: 0, retry_after: None };
    app.wait(async {
        let mut notes = tokio::task::JoinSet::new();
        for id in all.iter().copied().filter(|id| !left.contains(id)) {
            let links = links.clone();
            notes.spawn(async move {
                let link = links.link_to_check(workspace, id).await.expect("a read").expect("a link");
                links.note_check(&link, checked, schedule).await.is_some()
            });
        }
        while let Some(stored) = notes.join_next().await {
            assert!(stored.expect("no panic"));
        }
    });
    assert_eq!(due(), (left.clone(), 3), "by pages of a thousand keys");
    app.advance(7 * DAY);
    assert_eq!(due().0, all, "all are due again");
    // A result of a revision that no longer exists is not stored.
    let stale = app.wait(links.link_to_check(workspace, all[5])).expect("a read").expect("a link");
    app.admin().patch(&format!("{LINKS}/{}", all[5]), &json!({"title": "t"})).expect(200, "a title");
    assert!(app.wait(links.note_check(&stale, checked, schedule)).is_none());
    app.admin().delete(&format!("{LINKS}/{}", all[6])).expect(200, "deleted");
    assert_eq!(due().0.len(), LINKS_MADE - 1);
    drop((links, tenants));
    // The table is built again from the log, which has no results.
    let folder = app.data_dir().join("table");
    let app = app.restart_between(|| std::fs::remove_dir_all(&folder).expect("the table"));
    let page = app.wait(app.app().core().links().links_to_check(workspace, None, schedule)).expect("a page");
    let first: Vec<_> = all.iter().copied().filter(|id| *id != all[6]).take(50).collect();
    assert_eq!(page.links, first);
}
