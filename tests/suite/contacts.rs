//! Merge fields, and links that are rendered for one contact.

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::hooks;
use crate::support::http::{Client, text};
use crate::support::receiver::Receiver;

fn render(admin: &mut Client, body: &Value) -> Value {
    admin.post("/api/v1/render", body).expect(200, &body.to_string())
}

/// Returns the path of the only contact link in a text.
#[track_caller]
fn contact_path(rendered: &Value) -> String {
    let text = text(rendered, "text");
    let at = text.find("/links/r/2/").unwrap_or_else(|| panic!("no contact link in {text}"));
    text[at..].split(' ').next().expect("a word").to_owned()
}

#[test]
fn fields_become_short_urls_or_contact_links() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let one = admin.create(&json!({"url": "https://e.test/one", "customSlug": "one"}));
    let two = admin.create(&json!({"url": "https://e.test/two", "customSlug": "two"}));
    let (one, two) = (text(&one, "id").to_owned(), text(&two, "id").to_owned());
    let words = format!(
        "A {{{{trigger_link.{one}}}}}, {{{{trigger_link.{two}}}}} and {{{{trigger_link.{one}}}}} {{{{x}}}} {{{{trigger_link.nothing}}}}"
    );
    let rendered = render(&mut admin, &json!({"text": words}));
    let want = format!(
        "A http://{HOST}/one, http://{HOST}/two and http://{HOST}/one {{{{x}}}} {{{{trigger_link.nothing}}}}"
    );
    assert_eq!(rendered, json!({"text": want, "unknown": ["nothing"]}));

    let words = json!({"text": format!("go {{{{trigger_link.{one}}}}} now"), "contactId": "contact_7"});
    let path = contact_path(&render(&mut admin, &words));
    let mut visitor = app.visitor();
    let answer = visitor.get(&path);
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://e.test/one")));
    assert_eq!(admin.clicks(&one), 1);
    assert_eq!(visitor.head(&path).status, 302);
    assert_eq!(admin.clicks(&one), 1, "HEAD is no click here either");
    let app = app.restart();
    assert_eq!(app.visitor().get(&path).status, 302, "the key outlives a restart");

    let mut visitor = app.visitor();
    for forged in [
        format!("{path}x"),
        path.replace("eyJ", "eyK"),
        "/links/r/2/".to_owned(),
        "/links/r/2/a.b.c".to_owned(),
    ] {
        let answer = visitor.get(&forged);
        assert_eq!((answer.status, answer.header("location")), (404, None), "{forged}");
    }
    assert_eq!(visitor.send("POST", &path, &[], None).status, 405);
    app.admin().delete(&format!("/api/v1/links/{one}")).expect(200, "deleted");
    assert_eq!(visitor.get(&path).status, 404, "as its link");
}

#[test]
fn contact_links_keep_every_rule_of_their_link() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        (json!({"isActive": false}), 404, None),
        (json!({"expiresAt": "2020-01-01"}), 410, None),
        (json!({"maxClicks": 1}), 302, Some("https://e.test/")),
        (json!({"password": "open sesame"}), 200, None),
        (json!({"cloaked": true}), 200, None),
        (json!({"forwardParameters": true}), 302, Some("https://e.test/?a=1")),
    ];
    let mut visitor = app.visitor();
    for (number, (more, status, location)) in rows.iter().enumerate() {
        let mut body = json!({"url": "https://e.test/", "customSlug": format!("s{number}")});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let link = admin.create(&body);
        let words = json!({"text": format!("{{{{trigger_link.{}}}}}", text(&link, "id")), "contactId": "c"});
        let path = contact_path(&render(&mut admin, &words));
        let answer = visitor.get(&format!("{path}?a=1"));
        assert_eq!((answer.status, answer.header("location")), (*status, *location), "{more}");
        if more["maxClicks"] == 1 {
            assert_eq!(visitor.get("/s2").status, 410, "one limit under both names");
        }
    }
}

#[test]
fn the_contact_is_named_to_webhooks() {
    let app = hooks::start(&["10ms"]);
    let receiver = Receiver::start();
    let link = hooks::hooked(&app, "s", &[receiver.url("/")]);
    let words =
        json!({"text": format!("{{{{trigger_link.{}}}}}", text(&link, "id")), "contactId": "contact_7"});
    let path = contact_path(&render(&mut app.admin(), &words));
    assert_eq!(app.visitor().get(&path).status, 302);
    let event: Value = serde_json::from_slice(&receiver.wait_for(1)[0].body).expect("JSON");
    assert_eq!(event["data"]["contactId"], "contact_7");
}

/// The form keeps query and contact, and so does the cookie.
#[test]
fn f07_contact_links_keep_query_and_contact_through_the_password() {
    let app = hooks::start(&["10ms"]);
    let receiver = Receiver::start();
    let more = json!({"password": "open sesame", "forwardParameters": true});
    let link = hooks::hooked_with(&app, "s", &[receiver.url("/")], &more);
    let words =
        json!({"text": format!("{{{{trigger_link.{}}}}}", text(&link, "id")), "contactId": "contact_7"});
    let path = contact_path(&render(&mut app.admin(), &words));
    let mut visitor = app.visitor();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let rows = [
        ("", "https://e.test/"),
        ("?utm_source=mail", "https://e.test/?utm_source=mail"),
        ("/?a=1&b=2", "https://e.test/?a=1&b=2"),
    ];
    for (number, (more, to)) in rows.iter().enumerate() {
        let path = format!("{path}{more}");
        let asked = visitor.get(&path);
        assert!(asked.status == 200 && asked.text().contains("type=\"password\""), "{asked:?}");
        assert_eq!(visitor.send_form(&path, &form, b"password=wrong").status, 403, "{path}");
        let right = visitor.send_form(&path, &form, b"password=open+sesame");
        assert_eq!((right.status, right.header("location")), (303, Some(*to)), "{path}");
        let set = right.header("set-cookie").expect("a cookie").to_owned();
        let cookie = set.split(';').next().expect("a pair");
        let again = visitor.send("GET", &path, &[("Cookie", cookie)], None);
        assert_eq!((again.status, again.header("location")), (302, Some(*to)), "{path}");
        let events = receiver.wait_for(2 * number + 2);
        for event in &events[2 * number..] {
            let event: Value = serde_json::from_slice(&event.body).expect("JSON");
            assert_eq!(event["data"]["contactId"], "contact_7", "{path}");
        }
    }
}

/// One slash and the punctuation of a sentence behind a contact link belong to the same link, as for codes.
#[test]
fn f07_what_mail_programs_append_to_contact_links() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/", "redirectType": 307, "forwardParameters": true});
    let link = admin.create(&body);
    let words = json!({"text": format!("{{{{trigger_link.{}}}}}", text(&link, "id")), "contactId": "c"});
    let path = contact_path(&render(&mut admin, &words));
    let mut visitor = app.visitor();
    for end in
        ["", "/", "/?a=1", ".", ",", ")", "%22", "%E2%80%8B", "?a=1", "/,", "/)", ",/", "/%22?a=1", "./)"]
    {
        let answer = visitor.get(&format!("{path}{end}"));
        let to = if end.ends_with("a=1") { "https://e.test/?a=1" } else { "https://e.test/" };
        assert_eq!((answer.status, answer.header("location")), (307, Some(to)), "{end}");
    }
    for end in ["//", "/x", "x", "%2Ex", "/x,", "//,"] {
        assert_eq!(visitor.get(&format!("{path}{end}")).status, 404, "{end}");
    }
    let sent = visitor.send("POST", &path, &[], Some(b"{}"));
    assert_eq!((sent.status, sent.header("location")), (307, Some("https://e.test/")));
}

#[test]
fn what_render_refuses() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        (json!({}), 400, "text: is required"),
        (json!({"text": 5}), 400, "text: must be a string"),
        (
            json!({"text": "x", "contactId": "a b"}),
            422,
            "contactId: must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
        ),
    ];
    for (body, status, error) in rows {
        admin.post("/api/v1/render", &body).refuses(status, error, &body.to_string());
    }
    let other = admin.post("/api/v1/companies", &json!({"name": "Other"})).expect(201, "a company");
    let company = text(&other["company"], "id");
    let space = json!({"name": "Theirs", "companyId": company});
    let space = admin.post("/api/v1/workspaces", &space).expect(201, "a workspace");
    let key = json!({"name": "theirs", "workspaceId": text(&space["workspace"], "id"), "scopes": ["links.readonly"]});
    let key = admin.post("/api/v1/keys", &key).expect(201, "a key");
    let mut theirs = app.visitor().with_key(text(&key["key"], "secret"));
    let link = admin.create(&json!({"url": "https://e.test/"}));
    let id = text(&link, "id");
    let rendered = render(&mut theirs, &json!({"text": format!("{{{{trigger_link.{id}}}}}")}));
    assert_eq!(rendered["unknown"], json!([id]), "another company's link is no link");
}
