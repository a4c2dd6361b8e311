//! The limits of receivers: a receiver cannot delay others or a redirect, redirect an event, or be in a
//! private network.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waypost::webhooks::QUEUE_MAX;

use crate::support::app::TestApp;
use crate::support::hooks::{TRY, click, hooked, link, offer, results, results_so_far, start};
use crate::support::process::PATIENCE;
use crate::support::receiver::{Receiver, Reply, until};

/// A link that is clicked, and its receiver.
fn clicked(app: &TestApp, code: &str, reply: &Reply) -> (Receiver, Value) {
    let receiver = Receiver::answering(reply.clone());
    let made = hooked(app, code, &[receiver.url("/")]);
    offer(app, code);
    (receiver, made)
}

#[test]
fn t87_slow_and_broken_receivers_are_cut_off() {
    /// Most repetitions for a quick receiver, which may be slow on a stalled machine.
    const TRIES: usize = 10;
    let app = start(&["50m"]);
    let rows = [
        ("silence", Reply::Silence, true, "no answer within 5 s", false),
        ("trickle", Reply::Trickle, true, "no answer within 5 s", false),
        ("endless", Reply::Endless, false, "", true),
        ("huge", Reply::HugeHead, false, "no valid answer: ", false),
        ("close", Reply::Close, false, "no valid answer: ", false),
    ];
    let all: Vec<_> = rows.iter().map(|(name, reply, ..)| clicked(&app, name, reply)).collect();
    for ((name, reply, is_slow, error, delivered), first) in rows.iter().zip(all) {
        let mut tried = Some(first);
        for again in 0.. {
            let (receiver, made) =
                tried.take().unwrap_or_else(|| clicked(&app, &format!("{name}{again}"), reply));
            let one = &results(&app, &made, 1)[0];
            let took = Duration::from_millis(one["durationMs"].as_u64().expect("a number"));
            if !is_slow && took >= TRY && again < TRIES {
                continue;
            }
            assert_eq!(took >= TRY, *is_slow, "{name}: {took:?}");
            assert_eq!(one["delivered"], *delivered, "{name}: {one}");
            assert!(one["error"].as_str().unwrap_or("").starts_with(error), "{name}: {one}");
            assert_eq!(receiver.connections(), 1, "{name}");
            // Unread bytes are in the buffers of the system, which bound them.
            assert!(receiver.written() < 10 * 1024 * 1024, "{name}: {} bytes", receiver.written());
            break;
        }
    }
}

/// One event is delivered during the attempt at a silent receiver. Repeated if that attempt ends first, as on
/// a stalled machine.
#[test]
fn a_slow_receiver_delays_no_other() {
    let app = start(&["50m"]);
    let (silent, well) = (Receiver::answering(Reply::Silence), Receiver::start());
    let made = hooked(&app, "silent", &[silent.url("/")]);
    hooked(&app, "well", &[well.url("/")]);
    let mut tries = 0;
    until("a delivery beside a try", || {
        tries += 1;
        offer(&app, "silent");
        silent.wait_for(tries);
        offer(&app, "well");
        well.wait_for(tries);
        results_so_far(&app, &made).len() < tries
    });
}

#[test]
fn t86_redirects_are_not_followed() {
    let app = start(&["50m"]);
    let target = Receiver::start();
    for status in [301, 302, 303, 307, 308] {
        let receiver = Receiver::answering(Reply::Location(status, target.url("/inner")));
        let made = hooked(&app, &format!("moved{status}"), &[receiver.url("/")]);
        offer(&app, &format!("moved{status}"));
        let one = &results(&app, &made, 1)[0];
        assert_eq!((&one["status"], &one["delivered"]), (&json!(status), &json!(false)), "{one}");
        assert_eq!(one["error"], "redirects are not followed");
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn t84_private_receivers_are_not_connected_to() {
    let app = start(&["50m"]);
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let hosts = ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"];
    let urls = hosts.map(|host| format!("http://{host}:{port}/"));
    let urls: Vec<_> = urls.into_iter().enumerate().map(|(at, url)| format!("{url}{at}")).collect();
    let made = hooked(&app, "private", &urls);
    let app = app.restart_with(|config| config.webhooks.allowed_networks.clear());
    offer(&app, "private");
    for one in results(&app, &made, urls.len()) {
        assert_eq!(one["error"], "the host leads into a private network", "{one}");
        assert_eq!(one["status"], Value::Null);
    }
    assert_eq!(receiver.connections(), 0);
    // The same link works once the address is allowed again: nothing else prevented it.
    let app = app.restart_with(|config| config.webhooks.allowed_networks = vec!["127.0.0.1".to_owned()]);
    offer(&app, "private");
    receiver.wait_for(1);
}

/// Repeated if the machine stalls for the time of an attempt, or of the end of a connection.
#[test]
fn a_host_has_four_attempts_at_once() {
    let end = Instant::now() + 5 * PATIENCE;
    while let Err(late) = four_attempts() {
        assert!(late && Instant::now() < end, "more than four at once");
    }
}

/// Fails with whether a deadline has passed that no setting changes.
fn four_attempts() -> Result<(), bool> {
    let app = start(&["50m"]);
    let receiver = Receiver::answering(Reply::Dally);
    receiver.hold();
    hooked(&app, "busy", &[receiver.url("/")]);
    let link = link(&app, "busy");
    let other = Receiver::start();
    hooked(&app, "idle", &[other.url("/")]);
    let began = Instant::now();
    for _ in 0..20 {
        app.app().webhooks().offer(&click(&app, &link));
    }
    receiver.wait_for(4);
    offer(&app, "idle");
    other.wait_for(1);
    until("one is delivered, four are under way", || {
        let numbers = app.app().webhooks().numbers();
        (numbers.in_flight, numbers.delivered) == (4, 1)
    });
    let held = receiver.connections();
    receiver.release();
    let is_over = || began.elapsed() >= TRY;
    until("all delivered", || app.app().webhooks().numbers().delivered == 21 || is_over());
    if held != 4 || receiver.most_at_once() > 4 || is_over() {
        return Err(is_over() || receiver.late() > 0);
    }
    let ids: std::collections::HashSet<_> =
        receiver.requests().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 20, "an id for each click");
    Ok(())
}

/// One link has receivers on five ports of one host that never answer. At the same time another tenant has
/// clicks.
#[test]
fn n15_a_flood_of_one_tenant_drops_no_delivery_of_another() {
    let app = start(&["50m"]);
    let deaf: Vec<_> = (0..5).map(|_| Receiver::answering(Reply::Silence)).collect();
    let urls: Vec<_> = deaf.iter().map(|receiver| receiver.url("/")).collect();
    hooked(&app, "flood", &urls);
    let mut admin = app.admin();
    admin.post("/api/v1/companies", &json!({"name": "B", "id": "B"})).expect(201, "a company");
    let body = json!({"name": "B", "id": "BW", "companyId": "B"});
    admin.post("/api/v1/workspaces", &body).expect(201, "a workspace");
    let well = Receiver::start();
    let body = json!({"url": "https://e.test/", "customSlug": "well", "webhookUrls": [well.url("/")]});
    app.admin().with("X-Workspace-Id", "BW").create(&body);
    let webhooks = app.app().webhooks();
    let (flood, other) = (link(&app, "flood"), link(&app, "well"));
    for _ in 0..2_600 {
        webhooks.offer(&click(&app, &flood));
    }
    for _ in 0..200 {
        webhooks.offer(&click(&app, &other));
        webhooks.offer(&click(&app, &flood));
    }
    well.wait_for(200);
    until("all are delivered", || webhooks.numbers().delivered == 200);
    // The dropped deliveries are of the flood, and the flood keeps its share.
    until("each is held, delivered or dropped", || {
        let numbers = webhooks.numbers();
        numbers.queued + numbers.in_flight + numbers.delivered + numbers.dropped == 5 * 2_800 + 200
    });
    assert_eq!(webhooks.numbers().dropped, 5 * 2_800 - QUEUE_MAX as u64 / 4);
    let ids: std::collections::HashSet<_> =
        well.requests().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 200, "each click once");
}

#[test]
fn t88_a_full_queue_drops_and_counts_and_no_redirect_waits() {
    let app = start(&["50m"]);
    let receivers: Vec<_> = (0..5).map(|_| Receiver::answering(Reply::Silence)).collect();
    let urls: Vec<_> = receivers.iter().map(|receiver| receiver.url("/")).collect();
    hooked(&app, "full", &urls);
    hooked(&app, "one", &urls[..1]);
    let webhooks = app.app().webhooks();
    let (five, one) = (link(&app, "full"), link(&app, "one"));
    // One host gets a quarter of the queue, over all its ports.
    let few = QUEUE_MAX / 4 + 100;
    for _ in 0..few {
        webhooks.offer(&click(&app, &one));
    }
    until("the surplus is dropped", || webhooks.numbers().dropped == 100);
    for _ in 0..QUEUE_MAX {
        webhooks.offer(&click(&app, &five));
    }
    let offered = (few + 5 * QUEUE_MAX) as u64;
    until("each is held or dropped", || {
        let numbers = webhooks.numbers();
        numbers.queued + numbers.in_flight + numbers.dropped == offered
    });
    let held = offered - webhooks.numbers().dropped;
    assert_eq!(held, QUEUE_MAX as u64 / 4);
    assert!(app.visitor().get("/healthz").text().contains("ok"));
    // All of them survive a restart.
    let app = app.restart();
    let numbers = || app.app().webhooks().numbers();
    until("they are queued again", || numbers().queued + numbers().in_flight == held);
    assert_eq!(numbers().dropped, 0);
}
