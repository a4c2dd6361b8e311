//! Tests of every page, filled with the text of an attacker and parsed as a browser does: the elements are
//! the same as with harmless text, the text is shown literally, and the policy is as strict.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use jiff::tz::TimeZone;
use scraper::{ElementRef, Html, Selector};
use sha2::{Digest, Sha256};

use super::layout::FOUNDATION;
use super::{
    DomainHome, PasswordPrompt, Protected, Shown, ShownPeriod, cloaked, confirm, denied, error, error_at,
    greeting, no_share, password, pixels, preview, shown, statistics, tags, unavailable,
};
use crate::analytics::query::answer::{AnswerRow, Rows};
use crate::analytics::query::calendar::{Granularity, Span};
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::totals::ClickTotals;
use crate::clock::Timestamp;
use crate::core::{AnalyticsView, SharedStatistics, SharedTitle};
use crate::model::destination::{Destination, ExtraSchemes, LinkType};
use crate::model::link::{Edit, Options};

const TITLES: [&str; 9] = [
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include \"mod.rs\" %}",
    "\"><img src=x onerror=alert(1)>",
    "' onload='alert(1)",
    "&lt;b&gt; &amp \u{202e}\u{feff}]]>",
    "</style><style>*{display:none}</style><!--",
    "--><iframe src=javascript:alert(1)></iframe>",
    "\u{2028}\u{2029}`${alert(1)}`;//\u{ff1c}script\u{ff1e}",
    "=cmd|' /C calc'!A0 <base href=//evil.test><meta http-equiv=refresh content=0>",
];

const DESTINATIONS: [(&str, LinkType); 9] = [
    ("https://e.test/'\"</script><svg/onload=alert(1)>", LinkType::Url),
    ("https://e.test/?a='&b=\"&c=<script>#'</noscript><script>alert(1)</script>", LinkType::Url),
    ("https://e.test/;url=https://evil.test/", LinkType::Url),
    ("https://e.test/x,'y;z", LinkType::Url),
    ("https://e.test/--><script>alert(1)</script>", LinkType::Url),
    ("mailto:j'a<b>\"@e.test?subject=</a><script>", LinkType::Mailto),
    ("sms:+4930123?body=\"'</a><script>alert(1)</script>", LinkType::Sms),
    ("tel:+4930123;ext=5", LinkType::Tel),
    ("tel:+1<script>alert(1)</script>\" onmouseover=alert(1) '", LinkType::Tel),
];

const SHORT: &str = "https://go.test/s";

/// Returns the options of an attacker's link. The model rejects or encodes most of these texts; the pages
/// must not depend on that, so the texts bypass the model, as a stored record does.
fn link(title: &str, destination: &str, kind: LinkType) -> Options {
    let mut options = Options::new(Destination::from_stored(destination.into()), kind);
    options.title = Some(title.into());
    options.description = Some(title.into());
    options.image = Some(Destination::from_stored(format!("https://i.test/{title}").into()));
    options.apply(Edit::MetaPixelId(Some("1234567890".into()))).expect("an id");
    options.apply(Edit::GoogleTagId(Some("G-ABC123XYZ".into()))).expect("an id");
    options
}

/// Returns the pages with a text of a link.
fn of_link(options: &Options) -> [(&'static str, Response<Full<Bytes>>); 4] {
    let location = options.target();
    [
        ("cloaked", cloaked(options, location.as_str(), false)),
        ("cloaked, pixels", cloaked(options, location.as_str(), true)),
        ("preview", preview(options, SHORT)),
        ("pixels", pixels(options, location.as_str())),
    ]
}

fn home() -> DomainHome {
    DomainHome { domain: "go.test".to_owned(), url: Some(DESTINATIONS[0].0.to_owned()) }
}

/// Returns the page of statistics of a tag with this name, of visits with this referrer.
fn statistics_of(text: &str) -> Response<Full<Bytes>> {
    statistics_page(SharedTitle::Tag(text.into()), text)
}

fn statistics_page(title: SharedTitle, referrer: &str) -> Response<Full<Bytes>> {
    let totals = ClickTotals { clicks: 2, visitors: 1 };
    let table = |facet, key| AnalyticsView {
        by: vec![facet],
        rows: Rows {
            rows: vec![AnswerRow { keys: vec![key], totals, previous: None }],
            count: 1,
            total: totals,
            ..Rows::default()
        },
        span: Span { from: 0, to: 86_400_000 },
        previous: None,
        zone: TimeZone::UTC,
        granularity: Granularity::Day,
        unattributed: Some(1),
        has_statistics: false,
        as_of: Timestamp::from_millis(0),
        links: BTreeMap::new(),
        shares: crate::core::VariantShares::default(),
        titles: BTreeMap::new(),
        names: BTreeMap::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
    };
    let row = |key, clicks| AnswerRow {
        keys: vec![key],
        totals: ClickTotals { clicks, visitors: clicks },
        previous: None,
    };
    let mut by_time = table(Facet::Time, FacetKey::Time(2 * 86_400_000));
    // The first click was on the second day.
    by_time.rows.rows.insert(0, row(FacetKey::Time(0), 0));
    by_time.rows.rows.insert(1, row(FacetKey::Time(86_400_000), 40));
    by_time.rows.rows.push(row(FacetKey::Time(3 * 86_400_000), 0));
    let mut by_site = table(Facet::Referrer, FacetKey::Text(referrer.into()));
    by_site.rows.rows.push(row(FacetKey::None, 1));
    let tables = vec![
        by_time,
        by_site,
        table(Facet::Trigger, FacetKey::Text("qr".into())),
        // Without a value there is nothing to show.
        table(Facet::Os, FacetKey::None),
    ];
    let periods = [
        ShownPeriod { name: "7 days", url: "/?share=x&interval=7d".to_owned(), is_shown: true },
        ShownPeriod { name: "all", url: "/?share=x&interval=all".to_owned(), is_shown: false },
    ];
    statistics(&SharedStatistics { title, tables }, &periods, true)
}

#[test]
fn statistics_have_names_and_bars() {
    let title = SharedTitle::Link { title: Some("Our fair".into()), url: SHORT.into() };
    let html = text(statistics_page(title, "news.example.com"));
    let page = parse(&html);
    let texts = |selector: &str| -> Vec<String> {
        all(&page, selector).iter().map(|element| element.text().collect()).collect()
    };
    assert_eq!(texts("h1"), ["Clicks of Our fair"]);
    assert_eq!(texts("h1 + p"), [SHORT]);
    assert_eq!(texts("thead th:first-child"), ["Day", "From the site", "Link or QR code"]);
    let names =
        ["1970-01-02", "1970-01-03", "1970-01-04", "news.example.com", "direct or unknown", "QR code"];
    assert_eq!(texts("tbody th"), names);
    let bars: Vec<_> = all(&page, "rect").iter().filter_map(|bar| bar.attr("width")).collect();
    assert_eq!(bars, ["100%", "5%", "0%", "100%", "50%", "100%"]);
    assert!(html.contains("The time zone in the address is unknown, so days are those of UTC."), "{html}");
    assert!(html.contains("Statistics for new clicks are switched off."), "{html}");
    let untitled = text(statistics_page(SharedTitle::Link { title: None, url: SHORT.into() }, "x"));
    assert!(untitled.contains(&format!("<h1>Clicks of {SHORT}</h1>\n<p>2 clicks")), "{untitled}");
}

/// Visitors choose the referrers that a page of statistics shows.
#[test]
fn statistics_show_texts_literally() {
    let harmless = shape(&parse(&text(statistics_of("news.example.com"))));
    for title in TITLES {
        let response = statistics_of(title);
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
        assert!(policy.starts_with(&**FOUNDATION), "{policy}");
        let page = parse(&text(response));
        assert_eq!(shape(&page), harmless, "{title}");
        let cells: Vec<String> = all(&page, "tbody th").iter().map(|cell| cell.text().collect()).collect();
        assert_eq!(cells[3], title);
        let heading: String = all(&page, "h1")[0].text().collect();
        assert_eq!(heading, format!("Clicks of links with the tag {title}"));
        assert_eq!(attribute(&page, "a", "href"), "/?share=x&interval=all");
    }
}

/// Returns all other pages, with their statuses.
fn of_nothing() -> Vec<(StatusCode, Response<Full<Bytes>>)> {
    let status = |code| StatusCode::from_u16(code).expect("a valid status");
    let errors = [400, 403, 404, 405, 410, 413, 414, 415, 429, 500, 503];
    let mut pages: Vec<_> = errors.into_iter().map(|code| (status(code), error(status(code)))).collect();
    let home = home();
    pages.push((status(404), error_at(status(404), &home)));
    pages.push((status(404), no_share()));
    for host in [Some(TITLES[0]), Some("xn--bse-sna.example"), None] {
        pages.push((status(403), denied(host, &home)));
    }
    let without_url = DomainHome { url: None, ..home.clone() };
    pages.push((status(410), error_at(status(410), &without_url)));
    pages.push((status(200), greeting()));
    pages.push((status(200), statistics_of(TITLES[0])));
    let to = DESTINATIONS[0].0;
    let others = [to.to_owned()];
    let chosen = Shown::Chosen(to, &others);
    for what in [Shown::Destination(to), chosen, Shown::Expired(to), Shown::Limited, Shown::Protected] {
        pages.push((status(200), shown(SHORT, "/s", what, Some("/admin/code/s"), &home)));
    }
    pages.push((status(503), unavailable()));
    for (code, prompt) in [
        (200, PasswordPrompt::First),
        (403, PasswordPrompt::Wrong),
        (429, PasswordPrompt::Locked { seconds: 90 }),
        (503, PasswordPrompt::Busy),
    ] {
        for what in [Protected::Link, Protected::Statistics] {
            pages.push((status(code), password(what, prompt, &ExtraSchemes::default(), &home)));
        }
    }
    pages
}

fn text(response: Response<Full<Bytes>>) -> String {
    let body = response.into_body().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let bytes = runtime.block_on(body).expect("a full body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Parses a page as a browser does. With `scripts` the content of a `noscript` is text, which shows a text
/// that ends the element early; without, the content is elements. Fails on any parse error.
fn parse_with(scripts: bool, html: &str) -> Html {
    let page = if scripts {
        Html::parse_document(html)
    } else {
        Html::parse_document(&html.replace("<noscript>", "").replace("</noscript>", ""))
    };
    assert!(page.errors.is_empty(), "{:?} in {html}", page.errors);
    page
}

fn parse(html: &str) -> Html {
    parse_with(true, html)
}

fn all<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn attribute<'a>(page: &'a Html, selector: &str, name: &str) -> &'a str {
    let found = all(page, selector);
    assert_eq!(found.len(), 1, "{selector}");
    found[0].attr(name).unwrap_or_else(|| panic!("{selector} has no {name}"))
}

/// Returns the number of elements and attributes by name.
fn shape(page: &Html) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for element in all(page, "*") {
        *counts.entry(element.value().name().to_owned()).or_default() += 1;
        // Attributes as well: a new `onload` would add no element.
        for (name, _) in element.value().attrs() {
            *counts.entry(format!("{}[{name}]", element.value().name())).or_default() += 1;
        }
    }
    counts
}

/// Checks that the page shows title and target in their places, character by character.
fn shows(name: &str, page: &Html, title: &str, target: &str, case: &str) {
    let words = |tag: &str| all(page, tag)[0].text().collect::<String>();
    match name {
        "cloaked" | "cloaked, pixels" => {
            assert_eq!(attribute(page, "iframe", "src"), target, "{case}");
            assert_eq!(attribute(page, "iframe", "title"), title, "{case}");
            assert_eq!(attribute(page, "a", "href"), target, "{case}");
            assert_eq!(attribute(page, "meta[name=description]", "content"), title, "{case}");
            assert_eq!(words("title"), title, "{case}");
            assert_eq!(words("h1"), title, "{case}");
        }
        "preview" => {
            for tag in ["og:title", "og:description"] {
                assert_eq!(attribute(page, &format!("meta[property='{tag}']"), "content"), title, "{case}");
            }
            for tag in ["title", "h1", "p"] {
                assert_eq!(words(tag), title, "{case}");
            }
        }
        _ => {
            let refresh = attribute(page, "meta[http-equiv=refresh]", "content");
            assert_eq!(refresh, format!("0;url={target}"), "{case}");
            assert_eq!(attribute(page, "a#go", "href"), target, "{case}");
            assert_eq!(words("script"), tags::SCRIPT, "{case}");
        }
    }
}

#[test]
fn t58_t59_hostile_words_add_nothing_and_are_shown() {
    let benign = link("A title", "https://e.test/path", LinkType::Url);
    let shapes = of_link(&benign).map(|(_, page)| {
        let html = text(page);
        [true, false].map(|scripts| shape(&parse_with(scripts, &html)))
    });
    let mut seen = 0;
    for title in TITLES {
        for (destination, kind) in DESTINATIONS {
            let options = link(title, destination, kind);
            let target = options.target();
            for ((name, page), want) in of_link(&options).into_iter().zip(&shapes) {
                // `Options::check` allows `cloaked` only with the type URL, so this page cannot exist.
                if name.starts_with("cloaked") && kind != LinkType::Url {
                    continue;
                }
                let html = text(page);
                let case = format!("{name}, {title:?}, {target}: {html}");
                for (scripts, want) in [true, false].into_iter().zip(want) {
                    assert_eq!(shape(&parse_with(scripts, &html)), *want, "{case}");
                }
                shows(name, &parse_with(false, &html), title, target.as_str(), &case);
                seen += 1;
            }
        }
    }
    // Four destinations are no web addresses, and each skips the two cloaked pages.
    assert_eq!(seen, TITLES.len() * (DESTINATIONS.len() * 4 - 8));
}

#[test]
fn t61_every_page_carries_what_keeps_it_harmless() {
    let mut pages = of_nothing();
    let links = [
        link("T", "https://e.test/", LinkType::Url),
        link(TITLES[0], "https://a;sandbox;.test/", LinkType::Url),
        link(TITLES[1], "tel:+4930123", LinkType::Tel),
    ];
    for options in &links {
        pages.extend(of_link(options).map(|(_, page)| (StatusCode::OK, page)));
    }
    for (status, response) in pages {
        assert_eq!(response.status(), status);
        let header = |name: &str| {
            let value = response.headers().get(name).unwrap_or_else(|| panic!("{status} has no {name}"));
            value.to_str().expect("ASCII").to_owned()
        };
        let policy = header("content-security-policy");
        for part in
            ["default-src 'none'; ", "base-uri 'none'; ", "form-action 'self'", "frame-ancestors 'none'; "]
        {
            assert!(policy.contains(part), "{status}: {policy}");
        }
        // `sandbox` would come from the host of an attacker; the others would allow more than a page needs.
        for bad in ["unsafe", "'strict-dynamic'", " *", "sandbox", "data:", "blob:"] {
            assert!(!policy.contains(bad), "{status}: {policy}");
        }
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-robots-tag"), "noindex");
        assert_eq!(header("cache-control"), "no-store");
        let referrer = header("referrer-policy");
        // Only the policy of the password page names schemes; see the head of `password.rs`.
        assert_eq!(referrer, if policy.contains("mailto:") { "same-origin" } else { "no-referrer" });

        let html = text(response);
        assert!(
            html.starts_with("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"),
            "{html}"
        );
        let page = parse(&html);
        assert_eq!(shape(&page)["style"], 1, "{html}");
        let style: String = all(&page, "style")[0].text().collect();
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
        for script in all(&page, "script") {
            let nonce = script.attr("nonce").expect("a nonce");
            assert!(policy.contains(&format!("script-src 'nonce-{nonce}'")), "{policy}");
        }
        // For assistive technology: each page has one main part, and in it one heading.
        assert_eq!((all(&page, "main").len(), all(&page, "main h1").len()), (1, 1), "{html}");
        // The policy forbids both, so a page must not need them.
        let inline = |name: &&String| name.contains("[on") || name.ends_with("[style]");
        assert_eq!(shape(&page).keys().find(inline), None, "{html}");
        assert!(!all(&page, "title")[0].text().collect::<String>().trim().is_empty(), "{html}");
    }
}

#[test]
fn t62_policies_word_for_word() {
    let foundation = FOUNDATION.as_str();
    assert!(foundation.starts_with("default-src 'none'; style-src 'sha256-"), "{foundation}");
    let more = |response: Response<Full<Bytes>>| {
        let policy = response.headers()["content-security-policy"].to_str().expect("ASCII");
        let more =
            policy.strip_prefix(foundation).expect("the foundation").trim_start_matches("; ").to_owned();
        match more.split_once("'nonce-") {
            Some((before, after)) => format!("{before}'nonce-{}", after.split_once('\'').expect("its end").1),
            None => more,
        }
    };
    assert_eq!(more(error(StatusCode::NOT_FOUND)), "form-action 'self'");
    let extra = ExtraSchemes::new(vec!["sip".to_owned(), "app".to_owned()]).expect("schemes");
    let form = "form-action 'self' https: http: mailto: tel: sms:";
    assert_eq!(
        more(password(Protected::Link, PasswordPrompt::First, &ExtraSchemes::default(), &home())),
        form
    );
    assert_eq!(
        more(password(Protected::Link, PasswordPrompt::First, &extra, &home())),
        format!("{form} sip: app:")
    );
    let options = link("T", "sip:a@b.test", LinkType::Url);
    assert_eq!(more(confirm(&options, StatusCode::OK, &extra, &home())), format!("{form} sip: app:"));
    let frames = [
        ("https://e.test/a;b?c#d", "frame-src https://e.test; form-action 'self'"),
        ("http://e.test:8080/", "frame-src http://e.test:8080; form-action 'self'"),
        ("https://a;sandbox;.test/", "frame-src 'none'; form-action 'self'"),
    ];
    for (to, want) in frames {
        assert_eq!(more(cloaked(&link("T", to, LinkType::Url), to, false)), want);
    }
    let mut both = link("T", "https://e.test/", LinkType::Url);
    // `link` sets both pixels, and the expected text is of one vendor.
    both.google_tag_id = None;
    let beside = "script-src 'nonce- https://connect.facebook.net; img-src https://www.facebook.com; \
                  connect-src https://www.facebook.com https://connect.facebook.net; \
                  frame-src https://e.test; form-action 'self'";
    assert_eq!(more(cloaked(&both, "https://e.test/", true)), beside);
    let meta = (Some("1234567890"), None);
    let google = |id| (None, Some(id));
    let rows = [
        (
            meta,
            "script-src 'nonce- https://connect.facebook.net; img-src https://www.facebook.com; \
             connect-src https://www.facebook.com https://connect.facebook.net; form-action 'self'",
        ),
        (
            google("G-ABC123XYZ"),
            "script-src 'nonce- https://www.googletagmanager.com https://*.googletagmanager.com \
             https://*.google-analytics.com; img-src https://www.googletagmanager.com \
             https://*.google-analytics.com https://*.googletagmanager.com; connect-src \
             https://www.googletagmanager.com https://www.google.com https://*.google-analytics.com \
             https://*.analytics.google.com https://*.googletagmanager.com; form-action 'self'",
        ),
    ];
    for ((meta, google), want) in rows {
        let mut options = link("T", "https://e.test/", LinkType::Url);
        options.meta_pixel_id = meta.map(Into::into);
        options.google_tag_id = google.map(Into::into);
        assert_eq!(more(pixels(&options, "https://e.test/")), want);
    }
}

#[test]
fn each_pixel_allows_its_vendor_only() {
    let rows = [
        (None, Some("AW-12345"), vec!["googleadservices"], vec!["facebook", "analytics", "fls."]),
        (None, Some("DC-12345"), vec!["fls.doubleclick"], vec!["facebook", "analytics", "adservices"]),
        (None, Some("UA-12345-1"), vec!["google-analytics"], vec!["facebook", "doubleclick"]),
        // A container may load the tags of every Google product.
        (None, Some("GT-ABCDE"), vec!["google-analytics", "adservices", "fls."], vec!["facebook"]),
        (None, Some("GTM-ABCDE"), vec!["google-analytics", "adservices", "fls."], vec!["facebook"]),
        (Some("12345"), None, vec!["facebook"], vec!["google", "doubleclick"]),
        (Some("12345"), Some("G-ABCDE"), vec!["facebook", "google-analytics"], vec!["doubleclick"]),
    ];
    for (meta, google, allowed, refused) in rows {
        let mut options = link("T", "https://e.test/", LinkType::Url);
        options.meta_pixel_id = meta.map(Into::into);
        options.google_tag_id = google.map(Into::into);
        let response = pixels(&options, "https://e.test/");
        let policy = response.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
        for host in allowed {
            assert!(policy.contains(host), "{meta:?} {google:?} needs {host}: {policy}");
        }
        for host in refused {
            assert!(!policy.contains(host), "{meta:?} {google:?} has {host}: {policy}");
        }
        let page = parse(&text(response));
        let script = all(&page, "script")[0];
        assert_eq!((script.attr("data-meta"), script.attr("data-google")), (meta, google));
    }
}

#[test]
fn no_two_pages_share_a_nonce() {
    let options = link("T", "https://e.test/", LinkType::Url);
    // Two pages of one link: a nonce that is repeated would allow a script that an attacker placed earlier.
    let nonce = || {
        let html = text(pixels(&options, "https://e.test/"));
        attribute(&parse(&html), "script", "nonce").to_owned()
    };
    let (first, second) = (nonce(), nonce());
    assert_ne!(first, second);
    assert_eq!(STANDARD.decode(first).expect("base64").len(), 18);
}

#[test]
fn previews_and_password_pages_do_not_tell_where_a_link_leads() {
    let options = link("T", "https://secret.test/", LinkType::Url);
    let response = preview(&options, SHORT);
    assert!(!format!("{:?}", response.headers()).contains("secret"));
    let html = text(response);
    assert!(!html.contains("secret"), "{html}");
    let page = parse(&html);
    assert_eq!(attribute(&page, "meta[property='og:url']", "content"), SHORT);
    assert_eq!(attribute(&page, "meta[name='twitter:card']", "content"), "summary_large_image");
    for tag in ["title", "description", "image"] {
        let twitter = attribute(&page, &format!("meta[name='twitter:{tag}']"), "content");
        assert_eq!(twitter, attribute(&page, &format!("meta[property='og:{tag}']"), "content"), "{tag}");
    }
}

#[test]
fn previews_show_what_is_set() {
    let mut options = link("T", "https://e.test/", LinkType::Url);
    let count = |options: &Options, tag: &str| {
        let page = parse(&text(preview(options, SHORT)));
        all(&page, &format!("meta[property='{tag}'],meta[name='{tag}'][content=summary]")).len()
    };
    options.image = None;
    assert_eq!((count(&options, "og:image"), count(&options, "twitter:card")), (0, 1));
    options.description = None;
    assert_eq!((count(&options, "og:description"), count(&options, "og:title")), (0, 1));
    options.title = None;
    assert_eq!((count(&options, "og:title"), count(&options, "og:url")), (0, 1));
}

#[test]
fn a_password_form_is_one_field_that_posts_here() {
    let rows = [
        (PasswordPrompt::First, "enter the password to open this link", None),
        (PasswordPrompt::Wrong, "This password is wrong", None),
        (PasswordPrompt::Locked { seconds: 1 }, "again in 1 minute.", Some("1")),
        (PasswordPrompt::Locked { seconds: 60 }, "again in 1 minute.", Some("60")),
        // Rounded up: a visitor must not retry too early.
        (PasswordPrompt::Locked { seconds: 61 }, "again in 2 minutes.", Some("61")),
        // The value of `RETRY_SECONDS`.
        (PasswordPrompt::Busy, "again in a moment", Some("5")),
    ];
    for (prompt, says, retry) in rows {
        let response = password(Protected::Link, prompt, &ExtraSchemes::default(), &home());
        let after = response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII"));
        assert_eq!(after, retry, "{prompt:?}");
        let html = text(response);
        let page = parse(&html);
        assert!(html.contains(says), "{prompt:?}: {html}");
        assert_eq!(attribute(&page, "form", "method"), "post");
        assert_eq!(all(&page, "form[action],form[enctype]").len(), 0, "{html}");
        let field = "form input[type=password][name=password][required][autofocus]\
                     [autocomplete=current-password][maxlength='1024']";
        // No other input: password managers fill the only one.
        assert_eq!((all(&page, field).len(), all(&page, "input").len()), (1, 1), "{html}");
        assert_eq!(attribute(&page, "label", "for"), attribute(&page, "input", "id"));
        assert_eq!(all(&page, "input[aria-invalid]").len(), usize::from(prompt == PasswordPrompt::Wrong));
    }
}

#[test]
fn each_status_says_its_own() {
    let rows = [
        (400, "Invalid request"),
        (403, "This link is not for robots"),
        (404, "Link not found"),
        (405, "This link accepts no form"),
        (410, "This link has expired"),
        (413, "The form is too large"),
        (414, "The address is too long"),
        (415, "Unknown kind of form"),
        (429, "Too many requests"),
        (500, "Something went wrong"),
        (503, "Please try again in a moment"),
    ];
    for (code, title) in rows {
        let page = parse(&text(error(StatusCode::from_u16(code).expect("a valid status"))));
        assert_eq!(all(&page, "h1")[0].text().collect::<String>().trim(), title, "{code}");
    }
}
