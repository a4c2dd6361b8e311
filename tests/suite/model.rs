//! The API answers like a map, with any sequence of operations, empty caches, stops, crashes and removed
//! tables in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::http::text;

/// Few, so that operations use the same codes.
const CODES: u8 = 6;

#[derive(Clone, Debug)]
enum Op {
    Create(u8, u16),
    Change(u8, u16),
    Switch(u8, bool),
    Delete(u8),
    Click(u8),
    Restart,
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let code = 0..CODES;
    let op = prop_oneof![
        6 => (code.clone(), any::<u16>()).prop_map(|(code, to)| Op::Create(code, to)),
        4 => (code.clone(), any::<u16>()).prop_map(|(code, to)| Op::Change(code, to)),
        2 => (code.clone(), any::<bool>()).prop_map(|(code, on)| Op::Switch(code, on)),
        3 => code.clone().prop_map(Op::Delete),
        8 => code.prop_map(Op::Click),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
    ];
    proptest::collection::vec(op, 1..40)
}

/// The expected state of a link.
struct Known {
    id: String,
    to: String,
    is_active: bool,
    clicks: u64,
}

fn step(app: TestApp, model: &mut BTreeMap<u8, Known>, op: &Op) -> TestApp {
    let (mut admin, row) = (app.admin(), format!("{op:?}"));
    let url = |to: &u16| format!("https://e.test/{to}");
    match op {
        Op::Create(code, to) => {
            let body = json!({"url": url(to), "customSlug": format!("c{code}")});
            let answer = admin.post("/api/v1/links", &body);
            if model.contains_key(code) {
                assert_eq!(answer.status, 409, "{row}: {answer:?}");
            } else {
                let id = text(&answer.expect(201, &row)["link"], "id").to_owned();
                model.insert(*code, Known { id, to: url(to), is_active: true, clicks: 0 });
            }
        }
        Op::Change(code, to) => {
            let Some(link) = model.get_mut(code) else { return app };
            admin.patch(&format!("/api/v1/links/{}", link.id), &json!({"url": url(to)})).expect(200, &row);
            link.to = url(to);
        }
        Op::Switch(code, on) => {
            let Some(link) = model.get_mut(code) else { return app };
            admin.patch(&format!("/api/v1/links/{}", link.id), &json!({"isActive": on})).expect(200, &row);
            link.is_active = *on;
        }
        Op::Delete(code) => {
            let Some(link) = model.remove(code) else { return app };
            let path = format!("/api/v1/links/{}", link.id);
            admin.delete(&path).expect(200, &row);
            admin.get(&path).expect(404, &row);
        }
        Op::Click(code) => {
            let answer = app.visitor().get(&format!("/c{code}"));
            match model.get_mut(code) {
                Some(link) if link.is_active => {
                    assert_eq!(answer.header("location"), Some(&*link.to), "{row}");
                    link.clicks += 1;
                }
                _ => assert_eq!(answer.status, 404, "{row}"),
            }
        }
        Op::Restart => return app.restart(),
        Op::Crash => {
            app.wait(app.app().core().click_log().flush()).expect("the clicks are written");
            return app.crashed();
        }
    }
    app
}

fn agrees(app: &TestApp, model: &BTreeMap<u8, Known>, row: &str) {
    let mut admin = app.admin();
    for code in 0..CODES {
        let answer = app.visitor().head(&format!("/c{code}"));
        let want = model.get(&code).filter(|link| link.is_active).map(|link| &*link.to);
        assert_eq!(answer.header("location"), want, "{row}: c{code}");
        if let Some(link) = model.get(&code) {
            assert_eq!(admin.clicks(&link.id), link.clicks, "{row}: c{code}");
        }
    }
    let list = admin.get("/api/v1/links").expect(200, row);
    assert_eq!(list["total"], model.len(), "{row}");
    let mut listed: Vec<&str> =
        list["links"].as_array().expect("links").iter().map(|link| text(link, "id")).collect();
    let mut known: Vec<&str> = model.values().map(|link| &*link.id).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known, "{row}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn t107_the_api_is_a_map_whatever_happens(ops in ops()) {
        let mut app = TestApp::start();
        let mut model = BTreeMap::new();
        for (number, op) in ops.iter().enumerate() {
            app = step(app, &mut model, op);
            agrees(&app, &model, &format!("step {number}, {op:?}"));
        }
    }
}
