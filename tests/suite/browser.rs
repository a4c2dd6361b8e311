//! Pages as people see them, in Chromium. Each scenario is a function of URLs and independent of the server:
//! here mostly a small server that returns the pages as they are.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use waypost::model::destination::{Destination, ExtraSchemes, LinkType};
use waypost::model::link::{Markup, Options};
use waypost::visit::pages;

use crate::support::app::TestApp;
use crate::support::browser::{Browser, Scripts};
use crate::support::process::{PATIENCE, poll};

/// The longest time for which a page with pixels may delay its visitor.
const HELD: Duration = Duration::from_secs(1);

// Scenarios.

/// Opens the password page, enters a wrong password, and follows the right one to another origin.
fn asks_for_the_password(browser: &Browser, link: &str, password: &str, destination: &str) {
    browser.open(link);
    assert_eq!(browser.title(), "Password needed");
    // A browser sets the focus when it draws the page, which may be after the page has loaded.
    poll("the field has the focus", PATIENCE, || {
        (browser.eval("return document.activeElement.name") == "password").then_some(())
    });
    browser.fill("input[name=password]", "not this");
    browser.click("button");
    assert!(browser.text("[role=alert]").contains("password is wrong"));
    assert_eq!(browser.url(), link, "the form posts to where it stands, query and all");
    browser.fill("input[name=password]", password);
    browser.click("button");
    browser.arrives(destination);
    unblocked(browser);
}

/// Checks that the destination is in a frame below its own title, with a working link to leave the frame.
fn shows_the_destination_in_a_frame(browser: &Browser, link: &str, title: &str, destination: &str) {
    browser.open(link);
    assert_eq!((browser.url().as_str(), browser.title().as_str()), (link, title));
    poll("the destination in the frame", PATIENCE, || {
        let here = "return document.querySelector('#here') !== null";
        (browser.within("iframe", || browser.eval(here)) == true).then_some(())
    });
    unblocked(browser);
    leaves_by_the_link(browser, destination);
}

/// Checks that the link beside the frame is fully visible, above everything else, and leaves the frame.
fn leaves_by_the_link(browser: &Browser, destination: &str) {
    let inside = browser.eval(
        "const r = document.querySelector('nav a').getBoundingClientRect();
         return r.height > 10 && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth",
    );
    assert_eq!(inside, true, "the link is within the window");
    browser.click("nav a");
    browser.arrives(destination);
}

/// Passes the page with pixels and arrives at the destination.
fn passes_through(browser: &Browser, link: &str, destination: &str) {
    browser.open(link);
    browser.arrives(destination);
    unblocked(browser);
}

/// Opens the page of a link with hostile texts, and checks that none became markup: no script ran, no element
/// was created, and the policy had nothing to block.
fn nothing_runs(browser: &Browser, link: &str) {
    browser.open(link);
    // An open dialog would fail this command.
    assert_eq!(browser.eval("return typeof window.__xss"), "undefined", "{link}");
    assert_eq!(browser.eval("return document.querySelectorAll('svg, img, [onerror], [onload]').length"), 0);
    unblocked(browser);
}

/// Checks that no policy blocked a part of the program's own pages.
#[track_caller]
fn unblocked(browser: &Browser) {
    let console = browser.console();
    let about_us = |line: &&String| line.contains("Content Security Policy") || line.contains("Refused");
    assert_eq!(console.iter().find(about_us), None, "{console:?}");
}

// The small server.

/// Paths of the requests so far.
type Visits = Arc<Mutex<Vec<String>>>;

/// Two origins: the short links, and their destinations.
struct Stage {
    runtime: Runtime,
    short: String,
    elsewhere: String,
    at_elsewhere: Visits,
}

impl Stage {
    fn open() -> Stage {
        let runtime = Runtime::new().expect("a runtime");
        let at_elsewhere = Visits::default();
        let elsewhere =
            origin(serve(&runtime, &at_elsewhere, |request| async move { there(request.uri().path()) }));
        let to = elsewhere.clone();
        let short = serve(&runtime, &Visits::default(), move |request| here(request, to.clone()));
        Stage { runtime, short: origin(short), elsewhere, at_elsewhere }
    }

    fn link(&self, path: &str) -> String {
        format!("{}{path}", self.short)
    }

    fn destination(&self, path: &str) -> String {
        format!("{}{path}", self.elsewhere)
    }
}

fn origin(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Serves until the runtime ends, and records the paths of requests.
fn serve<F, A>(runtime: &Runtime, visits: &Visits, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("a bound port");
    let visits = Arc::clone(visits);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, visits) = (answer.clone(), Arc::clone(&visits));
            let service = service_fn(move |request: Request<Incoming>| {
                let target = request.uri().to_string();
                visits.lock().expect("no panic holds it").push(target);
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    address
}

/// The other origin: a page that can be framed, one that refuses frames, and one that navigates the whole
/// window.
fn there(path: &str) -> Response<Full<Bytes>> {
    let script = if path == "/buster" { "<script>top.location = '/stolen'</script>" } else { "" };
    let html =
        format!("<!doctype html><link rel=icon href=\"data:,\"><title>There</title><p id=here>here{script}");
    let mut response = Response::new(Full::from(html));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/html"));
    if path == "/refuses" {
        headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    }
    response
}

/// The origin of the short links.
async fn here(request: Request<Incoming>, elsewhere: String) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let to = |path: &str| format!("{elsewhere}{path}");
    match path.as_str() {
        "/secret" | "/strict" => {
            let mut response = if request.method() == Method::POST {
                let body = request.into_body().collect().await.expect("a form").to_bytes();
                if body == "password=open+sesame" {
                    found(&to("/"))
                } else {
                    pages::password(
                        pages::Protected::Link,
                        pages::PasswordPrompt::Wrong,
                        &ExtraSchemes::default(),
                        &home(),
                    )
                }
            } else {
                pages::password(
                    pages::Protected::Link,
                    pages::PasswordPrompt::First,
                    &ExtraSchemes::default(),
                    &home(),
                )
            };
            if path == "/strict" {
                let strict = HeaderValue::from_static("form-action 'self'");
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, strict);
            }
            response
        }
        "/cloaked" => pages::cloaked(&titled("A title"), &to("/"), false),
        "/long" => pages::cloaked(&long("A title"), &to("/"), false),
        "/button" => pages::confirm(&long("A title"), StatusCode::OK, &ExtraSchemes::default(), &home()),
        "/refused" => pages::cloaked(&titled("A title"), &to("/refuses"), false),
        "/buster" => pages::cloaked(&titled("A title"), &to("/buster"), false),
        "/meta" => pages::pixels(&with_pixels(Some("1234567890"), None), &to("/meta")),
        "/google" => pages::pixels(&with_pixels(None, Some("G-ABC123XYZ")), &to("/google")),
        "/container" => pages::pixels(&with_pixels(None, Some("GTM-ABC123")), &to("/container")),
        "/both" => pages::pixels(&with_pixels(Some("1234567890"), Some("AW-12345")), &to("/both")),
        _ => match path.strip_prefix("/hostile/").and_then(|rest| rest.split_once('/')) {
            Some((page, number)) => hostile(page, number.parse().expect("a number"), &elsewhere),
            None => pages::error(StatusCode::NOT_FOUND),
        },
    }
}

fn found(to: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, to.parse().expect("an address"));
    response
}

fn home() -> pages::DomainHome {
    pages::DomainHome { domain: "go.test".to_owned(), url: None }
}

/// Returns a link whose own tags are longer than a screen.
fn long(title: &str) -> Options {
    let mut options = titled(title);
    let text = "<p>A paragraph.</p>".repeat(60) + "<img src='https://images.test/i.png' width='4000'>";
    options.body_tags = Markup::body("bodyTags", Some(text.into())).expect("valid");
    options
}

fn titled(title: &str) -> Options {
    let to = Destination::parse_web("url", "https://e.test/").expect("a valid URL");
    let mut options = Options::new(to, LinkType::Url);
    options.title = Some(title.into());
    options
}

fn with_pixels(meta: Option<&str>, google: Option<&str>) -> Options {
    let mut options = titled("A title");
    options.meta_pixel_id = meta.map(Into::into);
    options.google_tag_id = google.map(Into::into);
    options
}

/// Texts that would run a script where HTML or JavaScript is not escaped, and their paths.
const HOSTILE: [(&str, &str); 4] = [
    ("</title><script>window.__xss=1;alert(1)</script>", "/'\"</script><svg/onload=alert(1)>"),
    ("\"><img src=x onerror=window.__xss=1>", "/\"><img/src=x/onerror=alert(1)>?a='&b=<script>"),
    ("' onload='alert(1)' '", "/;url=javascript:alert(1)//'"),
    ("</noscript><svg onload=alert(1)>${alert(1)}", "/</noscript><script>alert(1)</script>"),
];

fn hostile(page: &str, number: usize, elsewhere: &str) -> Response<Full<Bytes>> {
    let (words, path) = HOSTILE[number];
    let mut options = with_pixels(Some("1234567890"), Some("G-ABC123XYZ"));
    options.title = Some(words.into());
    options.description = Some(words.into());
    options.image = Some(Destination::from_stored(format!("https://i.test/{words}").into()));
    // Without the model, which would encode some of the text.
    let location = format!("{elsewhere}{path}");
    match page {
        "cloaked" => pages::cloaked(&options, &location, true),
        "preview" => pages::preview(&options, &format!("https://go.test/{words}")),
        _ => pages::pixels(&options, &location),
    }
}

// The tests.

/// A frame of height 0 and a button below the fold look like an empty page.
#[test]
fn m10_long_tags_leave_room_for_the_frame_and_the_button() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let stage = Stage::open();
    shows_the_destination_in_a_frame(&browser, &stage.link("/long"), "A title", &stage.destination("/"));
    browser.open(&stage.link("/long"));
    let shown = "const r = document.querySelector('iframe').getBoundingClientRect();
         const p = document.querySelector('.own').getBoundingClientRect();
         return r.height >= innerHeight * 0.6 && p.top >= r.bottom && document.body.scrollHeight > innerHeight
             && document.querySelector('.own p').getBoundingClientRect().left >= 16";
    assert_eq!(browser.eval(shown), true, "the frame keeps its height");
    browser.open(&stage.link("/button"));
    let shown = "const r = document.querySelector('button').getBoundingClientRect();
         return r.height > 10 && r.bottom <= innerHeight
             && document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.eval(shown), true, "the button is within the window");
}

#[test]
fn the_right_password_redirects_to_another_origin() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let stage = Stage::open();
    asks_for_the_password(&browser, &stage.link("/secret?a=1"), "open sesame", &stage.destination("/"));

    // The reason why the policy of that page names schemes: with `'self'` alone, Chromium blocks the
    // redirect.
    browser.open(&stage.link("/strict"));
    browser.fill("input[name=password]", "open sesame");
    browser.click("button");
    let console = poll("the refusal", PATIENCE, || {
        let console = browser.console();
        console.iter().any(|line| line.contains("form-action")).then_some(console)
    });
    assert_eq!(browser.url(), stage.link("/strict"), "{console:?}");
}

#[test]
fn a_password_page_works_without_scripts() {
    let Some(browser) = Browser::start(Scripts::Off) else { return };
    let stage = Stage::open();
    browser.open(&stage.link("/secret"));
    browser.fill("input[name=password]", "open sesame");
    browser.click("button");
    browser.arrives(&stage.destination("/"));
    // The page with pixels continues before its timer.
    passes_through(&browser, &stage.link("/both"), &stage.destination("/both"));
    assert_eq!(browser.asked(), BTreeSet::new(), "no pixel fires");
}

#[test]
fn t62_a_cloaked_link_shows_its_destination_or_the_way_there() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let stage = Stage::open();
    shows_the_destination_in_a_frame(&browser, &stage.link("/cloaked"), "A title", &stage.destination("/"));

    browser.open(&stage.link("/refused"));
    assert_eq!(
        browser.within("iframe", || browser.eval("return document.querySelector('#here')")),
        serde_json::Value::Null
    );
    leaves_by_the_link(&browser, &stage.destination("/refuses"));

    browser.open(&stage.link("/buster"));
    poll("a frame's attempt to steer the window", PATIENCE, || {
        browser.console().iter().any(|line| line.contains("is sandboxed")).then_some(())
    });
    assert_eq!(browser.url(), stage.link("/buster"));
}

#[test]
fn pixels_fire_and_the_page_continues() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let stage = Stage::open();
    let rows = [
        ("/meta", vec!["connect.facebook.net"]),
        ("/google", vec!["www.googletagmanager.com"]),
        ("/container", vec!["www.googletagmanager.com"]),
        ("/both", vec!["connect.facebook.net", "www.googletagmanager.com"]),
    ];
    for (path, hosts) in rows {
        passes_through(&browser, &stage.link(path), &stage.destination(path));
        assert_eq!(browser.asked().iter().collect::<Vec<_>>(), hosts, "{path}");
    }
    // The hosts of pixels never answer here, so visitors wait for the page's timer and for nothing else.
    let page = pages::pixels(&with_pixels(Some("1234567890"), None), "https://e.test/").into_body();
    let page = stage.runtime.block_on(page.collect()).expect("in memory").to_bytes();
    let timer = String::from_utf8_lossy(&page).into_owned();
    let (_, timer) = timer.split_once("setTimeout(function () {").expect("a timer");
    let (_, timer) = timer.split_once("}, ").expect("its time");
    let millis = timer.split_once(')').and_then(|(millis, _)| millis.parse().ok()).expect("a number");
    assert!(Duration::from_millis(millis) < HELD, "{millis} ms");
}

#[test]
fn t58_t59_hostile_words_run_nowhere() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let stage = Stage::open();
    for (number, (_, path)) in HOSTILE.iter().enumerate() {
        for page in ["cloaked", "preview"] {
            nothing_runs(&browser, &stage.link(&format!("/hostile/{page}/{number}")));
        }
        // The destination in the browser's own spelling is equal to the last character.
        let want = url::Url::parse(&stage.destination(path)).expect("a URL");
        let before = stage.at_elsewhere.lock().expect("no panic holds it").len();
        passes_through(&browser, &stage.link(&format!("/hostile/pixels/{number}")), want.as_str());
        let visits = stage.at_elsewhere.lock().expect("no panic holds it");
        assert_eq!(visits.len(), before + 1, "{:?}", &visits[before..]);
    }
}

/// The page of the APIs finds operations and copies commands.
#[test]
fn the_page_of_the_apis_searches_and_copies() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let app = TestApp::start();
    browser.open(&format!("http://{}/api/docs", app.address()));
    unblocked(&browser);
    let shown = |css: &str| {
        let script = format!(
            "return [...document.querySelectorAll('{css}')].filter((it) => it.getClientRects().length > 0).length"
        );
        browser.eval(&script).as_u64().expect("a number")
    };
    let all = shown("article");
    assert!(all > 50 && shown("nav li") == all, "{all} operations");
    assert_eq!(shown("pre"), shown("pre + button"), "a button for each command");
    let find = |words: &str| {
        browser.eval("document.querySelector('#search').value = ''; return 0");
        browser.fill("#search", words);
    };
    find("by-code EXPLAIN");
    assert_eq!((shown("article"), shown("nav li"), shown("nav ul")), (1, 1, 1));
    assert_eq!(browser.text("#status"), format!("1 of {all} operations"));
    // A link to a hidden operation ends the search.
    browser.eval("location.hash = '#listTags'; return 0");
    poll("all operations", PATIENCE, || (shown("article") == all).then_some(()));
    find("qqzz");
    assert_eq!((shown("article"), shown("main > section")), (0, 1), "the introduction stays");
    find("\u{e00c}");
    assert_eq!(shown("article"), all, "Escape ends the search");
    // The text that a script would copy, since the clipboard of a browser without a window is empty.
    browser.eval(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (t) => { window.copied = t; } } });
         return 0",
    );
    browser.click("#createLink pre + button");
    poll("the copy", PATIENCE, || (browser.text("#createLink pre + button") == "Copied").then_some(()));
    let copied = browser.eval("return window.copied");
    let command = browser.eval("return document.querySelector('#createLink pre').textContent");
    assert!(
        copied == command && copied.as_str().is_some_and(|text| text.starts_with("curl -X POST ")),
        "{copied}"
    );
    let name = browser.eval("return document.querySelector('#createLink pre + button').ariaLabel");
    assert_eq!(name, "Copy the command: Create a link");
    // The narrowest window of a phone: nothing is wider than the page.
    let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.eval(wide), false);
}

/// The program itself: links created by its API, opened as people open them.
#[test]
fn t58_t68_the_program_serves_these_pages() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let stage = Stage::open();
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut link = |code: &str, more: serde_json::Value| {
        let mut body = json!({"url": stage.destination(&format!("/{code}")), "customSlug": code});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let made = admin.create(&body);
        (format!("http://{}/{code}", app.address()), stage.destination(&format!("/{code}")), made)
    };
    let (secret, inside, _) = link("secret", json!({"password": "open sesame"}));
    asks_for_the_password(&browser, &secret, "open sesame", &inside);
    // The browser has stored the cookie.
    browser.open(&secret);
    browser.arrives(&inside);

    let (cloaked, framed, _) = link("cloaked", json!({"cloaked": true, "title": "A title"}));
    shows_the_destination_in_a_frame(&browser, &cloaked, "A title", &framed);
    let (both, framed, _) = link(
        "both",
        json!({"cloaked": true, "password": "open sesame", "title": "Both", "metaPixelId": "1234567890"}),
    );
    browser.open(&both);
    browser.fill("input[name=password]", "open sesame");
    browser.click("button");
    poll("the frame behind the password", PATIENCE, || (browser.title() == "Both").then_some(()));
    leaves_by_the_link(&browser, &framed);
    assert!(browser.asked().contains("connect.facebook.net"), "pixels fire beside the frame");

    let (pixels, to, _) = link("pixels", json!({"googleTagId": "G-ABC123XYZ"}));
    passes_through(&browser, &pixels, &to);

    for (number, (words, path)) in HOSTILE.iter().enumerate() {
        let more = json!({
            "url": stage.destination(path),
            "title": words,
            "description": words,
            "image": "https://i.test/\" onload=\"alert(1)",
            "cloaked": true,
            "metaPixelId": "1234567890",
        });
        let (hostile, ..) = link(&format!("hostile{number}"), more);
        nothing_runs(&browser, &hostile);
        assert_eq!(browser.title(), *words);
    }
    browser.open(&format!("http://{}/<script>window.__xss=1</script>", app.address()));
    assert_eq!(browser.title(), "Link not found");
    assert_eq!(browser.eval("return typeof window.__xss"), "undefined");
}
