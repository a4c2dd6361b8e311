//! Links with webhooks, clicks on these links, and the results of the deliveries.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use waypost::cache::entry::Action;
use waypost::core::Resolved;
use waypost::model::domain::DomainNumber;
use waypost::model::link::Link;
use waypost::webhooks::ClickEvent;

use crate::support::app::TestApp;
use crate::support::http::text;
use crate::support::receiver::{Received, until};

/// The time limit of one delivery attempt. No setting changes it.
pub(crate) const TRY: Duration = Duration::from_secs(5);

/// Starts an app that may connect to receivers on this machine, with these delays between attempts.
pub(crate) fn start(retry_after: &[&str]) -> TestApp {
    TestApp::start_with(|config| {
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".to_owned()];
        config.webhooks.retry_after = retry_after.iter().map(|text| (*text).to_owned()).collect();
    })
}

/// Creates a link with this code and these receivers, and returns it.
#[track_caller]
pub(crate) fn hooked(app: &TestApp, code: &str, hooks: &[String]) -> Value {
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": code, "webhookUrls": hooks}))
}

/// Like [`hooked`], with other fields from `more`.
#[track_caller]
pub(crate) fn hooked_with(app: &TestApp, code: &str, hooks: &[String], more: &Value) -> Value {
    let mut body = json!({"url": "https://e.test/", "customSlug": code, "webhookUrls": hooks});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    app.admin().create(&body)
}

#[track_caller]
pub(crate) fn link(app: &TestApp, code: &str) -> Link {
    let found =
        app.wait(app.app().core().links().load(DomainNumber::DEFAULT, code)).expect("the table answers");
    let Resolved::Found(entry) = found else { panic!("no {code}") };
    match &entry.action {
        Action::Evaluate(decided) => decided.link.clone(),
        Action::Redirect { .. } => panic!("{code} tells nobody"),
    }
}

pub(crate) fn click<'a>(app: &TestApp, link: &'a Link) -> ClickEvent<'a> {
    let at = app.clock().now();
    ClickEvent {
        link,
        at,
        referrer: None,
        agent: "person",
        country: None,
        contact: None,
        rule: None,
        variant: None,
    }
}

/// Clicks on a link as a visitor does.
#[track_caller]
pub(crate) fn offer(app: &TestApp, code: &str) {
    assert_eq!(app.visitor().get(&format!("/{code}")).status, 302, "{code}");
}

/// Returns the delivery results of a link so far, the newest first.
#[track_caller]
pub(crate) fn results_so_far(app: &TestApp, link: &Value) -> Vec<Value> {
    let path = format!("/api/v1/links/{}/deliveries", text(link, "id"));
    let answer = app.admin().get(&path).expect(200, "deliveries");
    answer["deliveries"].as_array().expect("a list").clone()
}

/// Waits until a link has this many delivery results, and returns them, the newest first.
#[track_caller]
pub(crate) fn results(app: &TestApp, link: &Value, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    until(&format!("{count} results"), || {
        all = results_so_far(app, link);
        all.len() >= count
    });
    assert_eq!(all.len(), count, "{all:?}");
    all
}

/// Returns the id of the default workspace: the oldest one, which is last in the list.
pub(crate) fn workspace(app: &TestApp) -> String {
    let all = app.admin().get("/api/v1/workspaces").expect(200, "workspaces");
    let all = all["workspaces"].as_array().expect("a list");
    text(all.last().expect("one"), "id").to_owned()
}

pub(crate) fn secret_path(workspace: &str) -> String {
    format!("/api/v1/workspaces/{workspace}/webhook-secret")
}

pub(crate) fn secret(app: &TestApp) -> String {
    let shown = app.admin().get(&secret_path(&workspace(app))).expect(200, "the secret");
    text(&shown["webhookSecret"], "secret").to_owned()
}

/// Computes HMAC-SHA256 by RFC 2104 from the hash alone, independently of the crate that the server uses.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], message].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner[..]].concat()).to_vec()
}

/// Returns the signature that a receiver with this secret expects.
pub(crate) fn expected(secret: &str, request: &Received) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("its prefix")).expect("base64");
    assert_eq!(key.len(), 32);
    let signed = [
        request.header("webhook-id").as_bytes(),
        b".",
        request.header("webhook-timestamp").as_bytes(),
        b".",
        &request.body,
    ];
    format!("v1,{}", STANDARD.encode(hmac(&key, &signed.concat())))
}
