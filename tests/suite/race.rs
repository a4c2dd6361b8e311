//! Parallel requests: where only one can succeed, one does, and where all can, none is lost.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::http::text;

#[test]
fn t57_one_code_is_created_once() {
    const CLIENTS: usize = 64;
    let app = TestApp::start();
    for round in 0..3 {
        let code = format!("wanted{round}");
        let barrier = Barrier::new(CLIENTS);
        let answers: Vec<(u16, usize)> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (mut admin, barrier, code) = (app.admin(), &barrier, &code);
                    scope.spawn(move || {
                        admin.get("/api/v1/tags");
                        barrier.wait();
                        let body = json!({"url": format!("https://e.test/{number}"), "customSlug": code});
                        (admin.post("/api/v1/links", &body).status, number)
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().expect("a client")).collect()
        });
        let winners: Vec<usize> = answers.iter().filter(|a| a.0 == 201).map(|a| a.1).collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        let refused = answers.iter().filter(|answer| answer.0 == 409).count();
        assert_eq!(refused, CLIENTS - 1, "round {round}: {answers:?}");
        let answer = app.visitor().get(&format!("/{code}"));
        let to = format!("https://e.test/{}", winners[0]);
        assert_eq!(answer.header("location"), Some(&*to), "round {round}: the winner's target");
    }
}

#[test]
fn t55_generated_codes_are_unique_even_if_few_are_left() {
    // More links than the 10,000 codes of this length, so that codes must become longer.
    let app = TestApp::start_with(|config| {
        "abcdefghij".clone_into(&mut config.links.code_alphabet);
        config.links.code_length = 4;
    });
    let bulk = json!({"links": vec![json!({"url": "https://e.test/"}); 1_000]});
    let codes: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (mut admin, bulk) = (app.admin(), &bulk);
                scope.spawn(move || {
                    let mut codes = Vec::new();
                    for _ in 0..4 {
                        let made = admin.post("/api/v1/links/bulk", bulk).expect(201, "a bulk");
                        assert_eq!(made["failed"], json!([]));
                        let links = made["links"].as_array().expect("links").clone();
                        codes.extend(links.iter().map(|link| text(link, "shortCode").to_owned()));
                    }
                    codes
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    assert_eq!(codes.len(), 12_000);
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 12_000, "no code twice");
}

#[test]
fn concurrent_changes_of_one_link_are_all_kept() {
    let app = TestApp::start();
    let made = app.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let path = format!("/api/v1/links/{}", text(&made, "id"));
    let fields =
        ["title", "description", "notes", "utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent"];
    for round in 0..5 {
        let barrier = Barrier::new(fields.len());
        std::thread::scope(|scope| {
            for field in fields {
                let (mut admin, path, barrier) = (app.admin(), &path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    loop {
                        let answer = admin.patch(path, &json!({field: format!("{field}{round}")}));
                        // With 503 for a conflict, the client retries.
                        if answer.status != 503 {
                            answer.expect(200, field);
                            break;
                        }
                    }
                });
            }
        });
        let link = app.admin().get(&path).expect(200, "the link")["link"].clone();
        for field in &fields[..3] {
            assert_eq!(link[field], format!("{field}{round}"), "round {round}: {link}");
        }
        let names = ["source", "medium", "campaign", "term", "content"];
        let query: Vec<String> = names
            .iter()
            .zip(&fields[3..])
            .map(|(name, field)| format!("utm_{name}={field}{round}"))
            .collect();
        assert_eq!(link["url"], format!("https://e.test/?{}", query.join("&")), "round {round}");
    }
}

#[test]
fn t108_clicks_are_exact_while_they_are_flushed_edited_and_evicted() {
    const CLICKERS: u64 = 8;
    const EACH: u64 = 500;
    // A small cache, and constant flushes.
    let app = TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.cache.max_memory = 1024 * 1024;
    });
    let mut admin = app.admin();
    let ids: Vec<String> = (0..3)
        .map(|number| {
            let body = json!({"url": "https://e.test/", "customSlug": format!("s{number}")});
            text(&admin.create(&body), "id").to_owned()
        })
        .collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ids, over, app) = (&ids, &over, &app);
        let editor = scope.spawn(move || {
            let mut admin = app.admin();
            for number in 0_u64.. {
                let id = &ids[usize::try_from(number % 3).expect("small")];
                admin
                    .patch(&format!("/api/v1/links/{id}"), &json!({"title": number.to_string()}))
                    .expect(200, id);
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let reader = scope.spawn(move || {
            let mut admin = app.admin();
            let mut last = vec![0; ids.len()];
            while !over.load(Ordering::Relaxed) {
                for (id, last) in ids.iter().zip(&mut last) {
                    let now = admin.clicks(id);
                    assert!(now >= *last, "{id} went from {last} back to {now}");
                    *last = now;
                }
            }
        });
        let clickers: Vec<_> = (0..CLICKERS)
            .map(|clicker| {
                let mut visitor = app.visitor();
                scope.spawn(move || {
                    for click in 0..EACH {
                        let answer = visitor.get(&format!("/s{}", (clicker + click) % 3));
                        assert_eq!(answer.status, 302, "clicker {clicker}, click {click}");
                    }
                })
            })
            .collect();
        let done: Vec<_> = clickers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        assert!(done.iter().all(Result::is_ok), "a clicker saw what it must not");
        editor.join().expect("every edit is taken");
        reader.join().expect("totals never go back");
    });
    let totals: Vec<u64> = ids.iter().map(|id| admin.clicks(id)).collect();
    assert_eq!(totals.iter().sum::<u64>(), CLICKERS * EACH, "{totals:?}");
    let app = app.restart();
    let mut admin = app.admin();
    let again: Vec<u64> = ids.iter().map(|id| admin.clicks(id)).collect();
    assert_eq!(again, totals, "after a restart");
}

#[test]
fn a_limit_holds_for_parallel_clicks() {
    const LIMIT: usize = 20;
    let app = TestApp::start();
    let body = json!({"url": "https://e.test/", "customSlug": "s", "maxClicks": LIMIT});
    let made = app.admin().create(&body);
    let barrier = Barrier::new(8);
    let passed: usize = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..8)
            .map(|_| {
                let (mut visitor, barrier) = (app.visitor(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    (0..10).filter(|_| visitor.get("/s").status == 302).count()
                })
            })
            .collect();
        visitors.into_iter().map(|visitor| visitor.join().expect("a visitor")).sum()
    });
    assert_eq!(passed, LIMIT);
    assert_eq!(app.admin().clicks(text(&made, "id")), LIMIT as u64);
    assert_eq!(app.visitor().get("/s").status, 410);
}

#[test]
fn a_click_and_a_deletion_at_once() {
    let app = TestApp::start();
    for round in 0..20 {
        let mut admin = app.admin();
        let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "s"}));
        let path = format!("/api/v1/links/{}", text(&made, "id"));
        std::thread::scope(|scope| {
            let mut visitor = app.visitor();
            scope.spawn(move || {
                let mut gone = false;
                for _ in 0..100 {
                    let status = visitor.get("/s").status;
                    assert!(status == 404 || (status == 302 && !gone), "round {round}: {status} after 404");
                    gone = status == 404;
                }
            });
            admin.delete(&path).expect(200, "deleted");
            assert_eq!(app.visitor().get("/s").status, 404, "round {round}: after the answer");
        });
        admin.get(&path).refuses(404, "link not found", "deleted");
    }
}
