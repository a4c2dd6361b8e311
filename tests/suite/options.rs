//! Every option of a link at the time of a click, rule by rule, and the result of `explain` before: both must
//! be equal.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, text};
use crate::support::native::NO_KEY;

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const GPTBOT: &str =
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; GPTBot/1.2; +https://openai.com/gptbot";
const SLACK: &str = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)";
const FACEBOOK: &str = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)";
const CURL: &str = "curl/8.5.0";

fn link(admin: &mut Client, code: &str, more: &Value) -> Value {
    let mut body = json!({"url": format!("https://e.test/{code}"), "customSlug": code});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    admin.create(&body)
}

/// One option, one visitor, and the response to that visitor.
struct Row {
    what: &'static str,
    options: Value,
    agent: &'static str,
    query: &'static str,
    outcome: &'static str,
    status: u16,
    location: Option<&'static str>,
    counts: bool,
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let row = |what, options, agent, query, outcome, status, location, counts| Row {
        what, options, agent, query, outcome, status, location, counts,
    };
    let to = "https://e.test/s";
    let card = json!({"title": "A title", "description": "More of it", "image": "https://e.test/i.png"});
    vec![
        row("nothing set", json!({}), CHROME, "", "redirect", 302, Some(to), true),
        row("a library", json!({}), CURL, "", "redirect", 302, Some(to), true),
        row("a bot", json!({}), GOOGLEBOT, "", "redirect", 302, Some(to), false),
        row("a counted bot", json!({"countBots": true}), GOOGLEBOT, "", "redirect", 302, Some(to), true),
        row("a counted preview", json!({"countBots": true}), SLACK, "", "redirect", 302, Some(to), true),
        row("skipSocialCrawlerTracking, a preview", json!({"countBots": true, "skipSocialCrawlerTracking": true}), SLACK, "", "redirect", 302, Some(to), false),
        row("skipSocialCrawlerTracking, a bot", json!({"countBots": true, "skipSocialCrawlerTracking": true}), GOOGLEBOT, "", "redirect", 302, Some(to), true),
        row("hideReferrer", json!({"hideReferrer": true}), CHROME, "", "redirect", 302, Some(to), true),
        row("countPixel", json!({"countPixel": true}), CHROME, "", "redirect", 302, Some(to), true),
        row("a tag container", json!({"gtmContainerId": "GTM-ABC1234"}), CHROME, "", "pixel page", 200, None, true),
        row("headTags, a preview", json!({"headTags": "<meta name='a' content='b'>"}), SLACK, "", "link preview", 200, None, false),
        row("headTags, a person", json!({"headTags": "<meta name='a' content='b'>", "bodyTags": "<p>x</p>"}), CHROME, "", "redirect", 302, Some(to), true),
        row("a preview without a card", json!({}), SLACK, "", "redirect", 302, Some(to), false),
        row("isActive", json!({"isActive": false}), CHROME, "", "not found", 404, None, false),
        row("validSince ahead", json!({"validSince": "2026-01-01T00:00:01Z"}), CHROME, "", "not found", 404, None, false),
        row("validSince now", json!({"validSince": "2026-01-01T00:00:00Z"}), CHROME, "", "redirect", 302, Some(to), true),
        row("expiresAt now", json!({"expiresAt": "2026-01-01T00:00:00Z"}), CHROME, "", "gone", 410, None, false),
        row("expiresAt ahead", json!({"expiresAt": "2026-01-01T00:00:01Z"}), CHROME, "", "redirect", 302, Some(to), true),
        row("expiredUrl", json!({"expiresAt": "2020-01-01", "expiredUrl": "https://e.test/after"}), CHROME, "", "gone", 302, Some("https://e.test/after"), false),
        row("expired and off", json!({"expiresAt": "2020-01-01", "isActive": false}), CHROME, "", "not found", 404, None, false),
        row("blockBots, a person", json!({"blockBots": true}), CHROME, "", "redirect", 302, Some(to), true),
        row("blockBots, a library", json!({"blockBots": true}), CURL, "", "redirect", 302, Some(to), true),
        row("blockBots, a search engine", json!({"blockBots": true}), GOOGLEBOT, "", "blocked", 403, None, false),
        row("blockBots, an AI crawler", json!({"blockBots": true, "countBots": true}), GPTBOT, "", "blocked", 403, None, false),
        row("blockBots, a preview with nothing to show", json!({"blockBots": true}), FACEBOOK, "", "blocked", 403, None, false),
        row("expired before blocked", json!({"blockBots": true, "expiresAt": "2020-01-01"}), GOOGLEBOT, "", "gone", 410, None, false),
        row("a card, a person", card.clone(), CHROME, "", "redirect", 302, Some(to), true),
        row("a card, a preview", card.clone(), SLACK, "", "link preview", 200, None, false),
        row("a title alone, a preview", json!({"title": "A title"}), FACEBOOK, "", "link preview", 200, None, false),
        row("a card, a search engine", card, GOOGLEBOT, "", "redirect", 302, Some(to), false),
        row("a card behind blockBots", json!({"title": "A title", "blockBots": true}), SLACK, "", "link preview", 200, None, false),
        row("a card behind a password", json!({"title": "A title", "password": "x"}), SLACK, "", "link preview", 200, None, false),
        row("a card of an expired link", json!({"title": "A title", "expiresAt": "2020-01-01"}), SLACK, "", "gone", 410, None, false),
        row("password", json!({"password": "x"}), CHROME, "", "password page", 200, None, false),
        row("password in the query", json!({"password": "x"}), CHROME, "password=x", "password page", 200, None, false),
        row("maxClicks", json!({"maxClicks": 1}), CHROME, "", "redirect", 302, Some(to), true),
        row("maxClicks, a bot", json!({"maxClicks": 1}), GOOGLEBOT, "", "withheld", 403, None, false),
        row("maxClicks, a counted bot", json!({"maxClicks": 1, "countBots": true}), GOOGLEBOT, "", "redirect", 302, Some(to), true),
        row("a query that stays here", json!({}), CHROME, "a=1", "redirect", 302, Some(to), true),
        row("forwardParameters", json!({"forwardParameters": true}), CHROME, "a=1", "redirect", 302, Some("https://e.test/s?a=1"), true),
        row("UTM", json!({"utmSource": "mail", "utmTerm": "a b"}), CHROME, "", "redirect", 302, Some("https://e.test/s?utm_source=mail&utm_term=a+b"), true),
        row("UTM in place of escaped names", json!({"url": "https://e.test/s?utm%5Fsource=x&a=1", "utmSource": "mail"}), CHROME, "", "redirect", 302, Some("https://e.test/s?a=1&utm_source=mail"), true),
        row("UTM and forwardParameters", json!({"utmSource": "mail", "forwardParameters": true}), CHROME, "utm_source=x", "redirect", 302, Some("https://e.test/s?utm_source=x"), true),
        row("redirectType", json!({"redirectType": 308}), CHROME, "", "redirect", 308, Some(to), true),
        row("a mail address", json!({"linkType": "MAILTO", "url": "jane@example.com"}), CHROME, "", "redirect", 302, Some("mailto:jane@example.com"), true),
        row("a mailto URI", json!({"linkType": "MAILTO", "url": "mailto:jane@example.com?subject=Hi%20you"}), CHROME, "", "redirect", 302, Some("mailto:jane@example.com?subject=Hi%20you"), true),
        row("a number", json!({"linkType": "TEL", "url": "+49 30 1234"}), CHROME, "", "redirect", 302, Some("tel:+49301234"), true),
        row("a tel URI", json!({"linkType": "TEL", "url": "tel:+49-30-1234"}), CHROME, "", "redirect", 302, Some("tel:+49301234"), true),
        row("a number for messages", json!({"linkType": "SMS", "url": "+49 30 1234"}), CHROME, "", "redirect", 302, Some("sms:+49301234"), true),
        row("cloaked", json!({"cloaked": true}), CHROME, "", "cloaked page", 200, None, true),
        row("cloaked, a bot", json!({"cloaked": true}), GOOGLEBOT, "", "cloaked page", 200, None, false),
        row("a Meta pixel", json!({"metaPixelId": "123456789012345"}), CHROME, "", "pixel page", 200, None, true),
        row("a Google tag", json!({"googleTagId": "G-ABCDEF1234"}), CHROME, "", "pixel page", 200, None, true),
        row("a pixel, a bot", json!({"metaPixelId": "123456789012345"}), GOOGLEBOT, "", "redirect", 302, Some(to), false),
        row("cloaked with a pixel", json!({"cloaked": true, "metaPixelId": "123456789012345"}), CHROME, "", "cloaked page", 200, None, true),
        row("a custom value", json!({"url": "https://e.test/{{custom_values.page}}?x"}), CHROME, "", "redirect", 302, Some("https://e.test/spring%20sale?x"), true),
        row("an unknown custom value", json!({"url": "https://e.test/{{custom_values.nothing}}"}), CHROME, "", "not found", 404, None, false),
    ]
}

#[test]
fn each_option_does_what_explain_says() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    admin.patch(&workspace, &json!({"customValues": {"page": "spring sale"}})).expect(200, "values");
    let mut visitor = app.visitor();
    for row in rows() {
        let made = link(&mut admin, "s", &row.options);
        let id = text(&made, "id");
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let asked = format!("?ua={}&query={}", encode(row.agent), encode(row.query));
        let explained = admin.get(&format!("/api/v1/links/{id}/explain{asked}")).expect(200, row.what);
        let explained = &explained["explain"];
        assert_eq!(explained["outcome"], row.outcome, "{}: {explained}", row.what);
        assert_eq!(explained["status"], row.status, "{}: {explained}", row.what);
        assert_eq!(explained["counted"], row.counts, "{}: {explained}", row.what);
        assert_eq!(admin.clicks(id), 0, "{}: explaining counts nothing", row.what);
        // Twice: from the table, then from memory.
        for round in 1..=2 {
            if round == 2 && made["maxClicks"] == 1 {
                break;
            }
            let target = if row.query.is_empty() { "/s".to_owned() } else { format!("/s?{}", row.query) };
            let answer = visitor.send("GET", &target, &[("User-Agent", row.agent)], None);
            let got = (answer.status, answer.header("location"));
            assert_eq!(got, (row.status, row.location), "{} {round}", row.what);
            assert_eq!(admin.clicks(id), if row.counts { round } else { 0 }, "{} {round}", row.what);
            if let Some(location) = row.location {
                assert_eq!(explained["location"], location, "{}: {explained}", row.what);
            }
            if !matches!(row.outcome, "redirect" | "cloaked page" | "pixel page") && row.location.is_none() {
                assert!(!format!("{answer:?}").contains("e.test/s"), "{}: {answer:?}", row.what);
            }
        }
        let steps = explained["steps"].as_array().expect("steps");
        let ends: Vec<_> = steps.iter().map(|step| step["passes"].as_bool().expect("a flag")).collect();
        let (last, before) = ends.split_last().expect("at least one");
        assert!(before.iter().all(|passes| *passes), "{}: {explained}", row.what);
        let leads = matches!(row.outcome, "redirect" | "cloaked page" | "pixel page");
        assert_eq!(*last, leads, "{}: {explained}", row.what);
        assert!(
            steps.iter().all(|step| step["why"].as_str().is_some_and(|why| why.len() > 10)),
            "{explained}"
        );
        admin.delete(&format!("/api/v1/links/{id}")).expect(200, "deleted");
    }
}

/// A link with a title is a plain redirect in memory, without its record. A crawler gets the record of now.
#[test]
fn the_card_of_a_link_in_memory_is_that_of_its_record() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = link(&mut admin, "old", &json!({"title": "First", "headTags": "<meta name='a' content='b'>"}));
    let (id, mut visitor) = (text(&made, "id").to_owned(), app.visitor());
    // The former code becomes an alias.
    admin
        .patch(&format!("/api/v1/links/{id}"), &json!({"customSlug": "s", "keepOldCode": true}))
        .expect(200, "renamed");
    let mut ask = |agent: &str, method: &str, target: &str| {
        let answer = visitor.send(method, target, &[("User-Agent", agent)], None);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let title = ["First", "Second"].into_iter().find(|title| body.contains(title));
        (answer.status, title, answer.header("location").map(str::to_owned))
    };
    let (to, none) = (Some("https://e.test/old".to_owned()), None);
    for title in ["First", "Second"] {
        admin.patch(&format!("/api/v1/links/{id}"), &json!({"title": title})).expect(200, title);
        for round in 0..2 {
            for target in ["/s", "/old", "/s/", "/s."] {
                assert_eq!(ask(CHROME, "GET", target), (302, None, to.clone()), "{target} {title} {round}");
                assert_eq!(
                    ask(SLACK, "GET", target),
                    (200, Some(title), none.clone()),
                    "{target} {title} {round}"
                );
                assert_eq!(
                    ask(GOOGLEBOT, "GET", target),
                    (302, None, to.clone()),
                    "{target} {title} {round}"
                );
                assert_eq!(ask(SLACK, "HEAD", target), (200, None, none.clone()), "{target} {title} {round}");
            }
            // A path behind the code is that of no link for people, and crawlers get the card.
            assert_eq!(ask(CHROME, "GET", "/s/more").0, 404, "{title} {round}");
            assert_eq!(ask(SLACK, "GET", "/s/more"), (200, Some(title), none.clone()), "{title} {round}");
        }
    }
    assert_eq!(admin.clicks(&id), 16, "those of people");
    admin.delete(&format!("/api/v1/links/{id}")).expect(200, "deleted");
    assert_eq!(ask(SLACK, "GET", "/s").0, 404);
    // Another link at the same code.
    link(&mut admin, "s", &json!({}));
    assert_eq!(ask(SLACK, "GET", "/s"), (302, None, Some("https://e.test/s".to_owned())), "it has no card");
}

#[test]
fn explain_takes_a_time_and_rejects_invalid_parameters() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = link(&mut admin, "s", &json!({"expiresAt": "2026-06-01T00:00:00Z", "password": "geheim"}));
    let path = format!("/api/v1/links/{}/explain", text(&made, "id"));
    let outcome = |admin: &mut Client, query: &str| {
        let explained = admin.get(&format!("{path}{query}")).expect(200, query);
        assert!(!explained.to_string().contains("geheim") && !explained.to_string().contains("argon2"));
        explained["explain"]["outcome"].as_str().expect("a text").to_owned()
    };
    assert_eq!(outcome(&mut admin, ""), "password page");
    assert_eq!(outcome(&mut admin, "?at=2026-06-01T00:00:00Z"), "gone");
    assert_eq!(outcome(&mut admin, "?at=2026-05-31T23:59:59.999Z"), "password page");
    let rule = "at: must be a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z";
    admin.get(&format!("{path}?at=soon")).refuses(400, rule, "at");
    admin.get(&format!("{path}?ua=a&ua=b")).refuses(400, "ua: must be given once", "ua");
    admin.get("/api/v1/links/00000000000000000000/explain").refuses(404, "link not found", "unknown");
    app.visitor().get(&path).refuses(401, NO_KEY, "no key");
}

#[test]
fn combinations_that_cannot_work_are_rejected() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mail = |more: Value| {
        let mut body = json!({"url": "jane@example.com", "linkType": "MAILTO"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        body
    };
    let rows = [
        (mail(json!({"cloaked": true})), "cloaked: works only with linkType URL"),
        (mail(json!({"forwardParameters": true})), "forwardParameters: works only with linkType URL"),
        (mail(json!({"forwardPath": true})), "forwardPath: works only with linkType URL"),
        (mail(json!({"utmSource": "x"})), "utmSource: works only with linkType URL"),
        (
            json!({"url": "jane", "linkType": "MAILTO"}),
            "url: must be an e-mail address such as jane@example.com",
        ),
        (
            json!({"url": "https://e.test/", "metaPixelId": "1');alert(1);//"}),
            "metaPixelId: must be 5 to 20 digits",
        ),
        (
            json!({"url": "https://e.test/{{custom_values.}}"}),
            "url: must write placeholders as {{custom_values.NAME}}, NAME of A-Z, a-z, 0-9 and _, and other braces as %7B and %7D",
        ),
    ];
    for (body, rule) in rows {
        admin.post("/api/v1/links", &body).refuses(422, rule, &body.to_string());
    }
}

#[test]
fn changed_custom_values_are_filled_in() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    let made = link(&mut admin, "s", &json!({"url": "{{ custom_values.site }}/a?b=1", "utmSource": "mail"}));
    assert_eq!(made["url"], "{{custom_values.site}}/a?b=1&utm_source=mail");
    let mut visitor = app.visitor();
    let rows = [
        (json!({}), 404, None),
        (json!({"site": "https://one.test"}), 302, Some("https://one.test/a?b=1&utm_source=mail")),
        (json!({"site": "https://two.test/x"}), 302, Some("https://two.test/x/a?b=1&utm_source=mail")),
        (json!({"site": "javascript:alert(1)//"}), 404, None),
        (json!({"site": "two.test"}), 404, None),
        (json!({"site": "http://go.test/s"}), 404, None),
        (
            json!({"site": "https://two.test", "other": "x"}),
            302,
            Some("https://two.test/a?b=1&utm_source=mail"),
        ),
    ];
    for (values, status, location) in rows {
        admin.patch(&workspace, &json!({"customValues": values})).expect(200, &values.to_string());
        for round in 0..2 {
            let answer = visitor.get("/s");
            assert_eq!((answer.status, answer.header("location")), (status, location), "{values} {round}");
            assert!(!format!("{answer:?}").contains("{{"), "{answer:?}");
        }
    }
}

#[test]
fn t118_no_third_party_is_loaded_with_a_privacy_signal() {
    let app = TestApp::start();
    let mut admin = app.admin();
    link(&mut admin, "s", &json!({"metaPixelId": "123456789012345", "googleTagId": "GTM-ABC1234"}));
    let mut visitor = app.visitor();
    let status = |answer: Answer| (answer.status, answer.header("location").map(str::to_owned));
    for signal in ["Sec-GPC", "DNT"] {
        let redirect = (302, Some("https://e.test/s".to_owned()));
        assert_eq!(status(visitor.send("GET", "/s", &[(signal, "1")], None)), redirect, "{signal}");
        assert_eq!(status(visitor.send("GET", "/s", &[(signal, "0")], None)).0, 200, "{signal}");
    }
}

#[test]
fn a_raised_date_revives_the_link() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = link(&mut admin, "s", &json!({"expiresAt": "2026-01-01T00:00:10Z"}));
    let path = format!("/api/v1/links/{}", text(&made, "id"));
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/s").status, 302);
    app.advance(Duration::from_secs(10));
    assert_eq!(visitor.get("/s").status, 410);
    admin.patch(&path, &json!({"expiresAt": "2026-01-01T00:00:20Z"})).expect(200, "raised");
    assert_eq!(visitor.get("/s").status, 302);
    app.advance(Duration::from_secs(10));
    assert_eq!(visitor.get("/s").status, 410);
    admin.patch(&path, &json!({"expiresAt": null})).expect(200, "removed");
    assert_eq!(visitor.get("/s").status, 302);
    assert_eq!(admin.clicks(text(&made, "id")), 3);
}

/// `explain` returns the exact text for each rule, also at the bounds.
#[test]
fn t116_explain_returns_the_text_of_each_rule() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let now = "2026-01-01T00:00:00.000Z";
    let ahead = "2026-01-01T00:00:00.001Z";
    let past = "2025-12-31T23:59:59.999Z";
    let rows = [
        ("isActive", json!({}), "the link is switched on".to_owned()),
        ("isActive", json!({"isActive": false}), "the link is switched off".to_owned()),
        ("validSince", json!({}), "the link is valid from its creation on".to_owned()),
        ("validSince", json!({"validSince": ahead}), format!("the link is not valid before {ahead}")),
        ("validSince", json!({"validSince": now}), format!("the link is valid since {now}")),
        ("validSince", json!({"validSince": past}), format!("the link is valid since {past}")),
        ("expiresAt", json!({}), "the link does not expire".to_owned()),
        ("expiresAt", json!({"expiresAt": past}), format!("the link expired at {past}")),
        ("expiresAt", json!({"expiresAt": now}), format!("the link expired at {now}")),
        ("expiresAt", json!({"expiresAt": ahead}), format!("the link is valid until {ahead}")),
        ("maxClicks", json!({}), "the link has no limit".to_owned()),
        ("maxClicks", json!({"maxClicks": 1, "notes": "used"}), "all 1 clicks are used up".to_owned()),
        ("maxClicks", json!({"maxClicks": 2, "notes": "used"}), "1 of 2 clicks are used".to_owned()),
    ];
    for (step, options, why) in rows {
        let made = link(&mut admin, "s", &options);
        if options["notes"] == "used" {
            assert_eq!(app.visitor().get("/s").status, 302);
        }
        let path = format!("/api/v1/links/{}", text(&made, "id"));
        let explained = admin.get(&format!("{path}/explain")).expect(200, &options.to_string());
        let steps = explained["explain"]["steps"].as_array().expect("steps");
        let said = steps.iter().find(|one| one.to_string().contains(&format!("\"{step}\"")));
        let said = said.unwrap_or_else(|| panic!("no {step} in {explained}"));
        assert_eq!(said["why"], why, "{step} of {options}");
        admin.delete(&path).expect(200, "deleted");
    }
}
