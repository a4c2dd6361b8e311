//! Revisions of objects: `ETag`, and changes that rely on it. Edits at the same time lose nothing, or the client learns it.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, text};
use crate::support::native::LINKS;

/// The sentence of 412.
const CHANGED: &str =
    "If-Match: it was changed since you read it: read it again, and repeat the change with the new ETag";

fn tag(answer: &Answer) -> String {
    let tag = answer.header("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}"));
    tag.to_owned()
}

fn send(client: &mut Client, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let body = body.to_string();
    client.send(method, path, headers, (method == "PATCH").then_some(body.as_bytes()))
}

#[test]
fn a_change_with_an_old_tag_is_refused() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.post(LINKS, &json!({"url": "https://e.test/", "customSlug": "a"}));
    let path = format!("{LINKS}/{}", text(&made.expect(201, "a link")["link"], "id"));
    for path in [path.clone(), format!("{LINKS}/by-code/a")] {
        let first = tag(&admin.get(&path));
        // Clicks are no edit.
        app.visitor().get("/a");
        assert_eq!(tag(&admin.get(&path)), first);
        assert_eq!(tag(&admin.head(&path)), first);
        let changed = send(&mut admin, "PATCH", &path, &[("If-Match", &first)], &json!({"title": "one"}));
        let second = tag(&changed);
        assert_eq!((changed.status, second == first), (200, false));
        let late = send(&mut admin, "PATCH", &path, &[("If-Match", &first)], &json!({"title": "two"}));
        late.refuses(412, CHANGED, &path);
        send(&mut admin, "DELETE", &path, &[("If-Match", &first)], &json!({})).refuses(412, CHANGED, &path);
        let read = admin.get(&path);
        assert_eq!((tag(&read), text(&read.json()["link"], "title")), (second.clone(), "one"));
        // One of several, and whichever there is.
        for tags in [format!("{first}, {second}"), format!("W/{second}"), "*".to_owned()] {
            let headers = [("If-Match", &*tags)];
            // An edit that changes nothing is an edit, so the tag is read again.
            let now = tag(&admin.get(&path));
            let tags = tags.replace(&second, &now);
            let headers = [("If-Match", &*tags), headers[0]];
            assert_eq!(send(&mut admin, "PATCH", &path, &headers[..1], &json!({})).status, 200, "{tags}");
        }
        let why = "If-Match: must be `*`, or at most 100 tags in double quotes as an `ETag` has them, with commas between";
        send(&mut admin, "PATCH", &path, &[("If-Match", "abc")], &json!({})).refuses(400, why, "no quotes");
        // A tag of another server is one that the link does not have.
        send(&mut admin, "PATCH", &path, &[("If-Match", "\"abc-1\"")], &json!({}))
            .refuses(412, CHANGED, "other");
    }
    // An undo is a change as well.
    let undo = |client: &mut Client, tag: &str| {
        client.send("POST", &format!("{path}/undo"), &[("If-Match", tag)], Some(b"{}"))
    };
    let old = tag(&admin.get(&path));
    admin.patch(&path, &json!({"title": "of another client"})).expect(200, "an edit");
    undo(&mut admin, &old).refuses(412, CHANGED, "an undo of what the client does not know");
    undo(&mut admin, "abc").refuses(400, "If-Match: must be `*`, or at most 100 tags in double quotes as an `ETag` has them, with commas between", "no quotes");
    assert_eq!(admin.get(&path).json()["link"]["title"], "of another client");
    let now = tag(&admin.get(&path));
    let undone = undo(&mut admin, &now);
    assert_eq!((undone.status, undone.json()["link"]["title"].as_str()), (201, Some("one")));
    assert_eq!(tag(&undone), tag(&admin.get(&path)));
    // Other POSTs have no object yet, and ignore it.
    let made = admin.send("POST", LINKS, &[("If-Match", "abc")], Some(br#"{"url": "https://e.test/"}"#));
    assert_eq!(made.status, 201);
    let last = tag(&admin.get(&path));
    assert_eq!(send(&mut admin, "DELETE", &path, &[("If-Match", &last)], &json!({})).status, 200);
    send(&mut admin, "DELETE", &path, &[("If-Match", &last)], &json!({})).refuses(
        404,
        "link not found",
        "gone",
    );
}

#[test]
fn a_read_with_the_present_tag_has_no_body() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let id = text(&admin.create(&json!({"url": "https://e.test/", "customSlug": "a"})), "id").to_owned();
    let path = format!("{LINKS}/{id}");
    let first = tag(&admin.get(&path));
    let get = |app: &TestApp, tags: &str| app.admin().send("GET", &path, &[("If-None-Match", tags)], None);
    let same = get(&app, &first);
    assert_eq!((same.status, same.body.len(), tag(&same)), (304, 0, first.clone()));
    // The connection goes on behind it.
    assert_eq!(admin.send("GET", &path, &[("If-None-Match", &first)], None).status, 304);
    assert_eq!(admin.get(&path).status, 200);
    assert_eq!(get(&app, "\"1\"").status, 200);
    admin.patch(&path, &json!({"title": "t"})).expect(200, "changed");
    let now = get(&app, &first);
    assert_eq!((now.status, text(&now.json()["link"], "title")), (200, "t"));
    // A revision is of the log, so it is the same after a restart.
    let before = tag(&now);
    app = app.restart();
    assert_eq!(tag(&app.admin().get(&path)), before);
    // A change that requires another revision than the one that the client knows.
    let known = app.admin().send("PATCH", &path, &[("If-None-Match", &before)], Some(b"{}"));
    known.refuses(412, CHANGED, "a known revision");
}

/// Every object that has a revision: its answers to POST, GET and PATCH have one tag, and old tags are refused.
#[test]
fn all_objects_with_revisions_have_tags() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        ("/api/v1/links", "link", json!({"url": "https://e.test/"}), json!({"title": "t"}), true, true),
        (
            "/api/v1/domains",
            "domain",
            json!({"domain": "d.test"}),
            json!({"rootUrl": "https://e.test/"}),
            true,
            true,
        ),
        ("/api/v1/campaigns", "campaign", json!({"name": "C"}), json!({"name": "D"}), true, true),
        ("/api/v1/tags", "tag", json!({"name": "t"}), json!({"name": "u"}), false, true),
        ("/api/v1/workspaces", "workspace", json!({"name": "W"}), json!({"name": "V"}), true, false),
    ];
    for (list, name, body, change, can_read, can_delete) in rows {
        let made = admin.post(list, &body);
        let path = format!("{list}/{}", text(&made.expect(201, list)[name], "id"));
        let first = tag(&made);
        if can_read {
            assert_eq!(tag(&admin.get(&path)), first, "{path}");
        }
        let changed = send(&mut admin, "PATCH", &path, &[("If-Match", &first)], &change);
        let second = tag(&changed);
        assert_eq!((changed.status, second == first), (200, false), "{path}");
        if can_read {
            assert_eq!(tag(&admin.get(&path)), second, "{path}");
        }
        send(&mut admin, "PATCH", &path, &[("If-Match", &first)], &change).refuses(412, CHANGED, &path);
        if can_delete {
            send(&mut admin, "DELETE", &path, &[("If-Match", &first)], &change).refuses(412, CHANGED, &path);
            assert_eq!(
                send(&mut admin, "DELETE", &path, &[("If-Match", &second)], &change).status,
                200,
                "{path}"
            );
        }
    }
    // Lists and answers about several objects have none.
    for path in ["/api/v1/links", "/api/v1/tags", "/api/v1/workspaces", "/api/v1/keys"] {
        assert_eq!(admin.get(path).header("etag"), None, "{path}");
    }
}

/// A file of a domain or workspace has the tag of its owner, and a picture of a link's code one of its own.
#[test]
fn files_have_the_tag_of_their_owner() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspace =
        text(&admin.get("/api/v1/workspaces").expect(200, "all")["workspaces"][0], "id").to_owned();
    let domain = "/api/v1/domains/00000000000000000000".to_owned();
    let logo = r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#;
    let apps = r#"{"webcredentials":{"apps":["ABCDE12345.a.b"]}}"#;
    for (owner, name, file) in [
        (format!("/api/v1/workspaces/{workspace}"), "qr-logo", logo),
        (domain.clone(), "qr-logo", logo),
        (domain, "apple-app-site-association", apps),
    ] {
        let path = format!("{owner}/{name}");
        let put = |admin: &mut Client, tag: &str| {
            admin.send("PUT", &path, &[("If-Match", tag)], Some(file.as_bytes()))
        };
        let first = tag(&admin.get(&owner));
        let set = put(&mut admin, &first);
        let second = tag(&set);
        assert_eq!((set.status, second == first), (200, false), "{path}");
        let read = admin.get(&path);
        // One header of the name.
        assert_eq!(read.headers.iter().filter(|(name, _)| name == "etag").count(), 1, "{path}");
        assert_eq!((tag(&read), tag(&admin.get(&owner))), (second.clone(), second.clone()), "{path}");
        assert_eq!(admin.send("GET", &path, &[("If-None-Match", &second)], None).status, 304, "{path}");
        put(&mut admin, &first).refuses(412, CHANGED, &path);
        let known = admin.send("PUT", &path, &[("If-None-Match", "*")], Some(file.as_bytes()));
        known.refuses(412, CHANGED, "there is one");
        admin.send("GET", &path, &[("If-Match", &first)], None).refuses(412, CHANGED, &path);
        admin.send("DELETE", &path, &[("If-Match", &first)], None).refuses(412, CHANGED, &path);
        assert_eq!(admin.send("DELETE", &path, &[("If-Match", &second)], None).status, 200, "{path}");
    }
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    for path in [format!("{LINKS}/{}/qr", text(&link, "id")), format!("{LINKS}/by-code/a/qr")] {
        let picture = tag(&admin.get(&path));
        // An edit that the picture does not show.
        admin.patch(&format!("{LINKS}/by-code/a"), &json!({"title": "t"})).expect(200, "changed");
        assert_eq!(tag(&admin.get(&path)), picture);
        assert_eq!(admin.send("GET", &path, &[("If-None-Match", &picture)], None).status, 304);
        assert_eq!(admin.send("GET", &path, &[("If-Match", &picture)], None).status, 200);
    }
}

/// The answer to a write is never 304: the client could not tell it from one that has not been done.
#[test]
fn writes_are_not_answered_with_304() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let path = "/api/v1/domains/00000000000000000000/verify";
    let current = tag(&admin.get("/api/v1/domains/00000000000000000000"));
    for known in ["*", &current] {
        let verified = admin.send("POST", path, &[("If-None-Match", known)], None);
        assert_eq!((verified.status, tag(&verified)), (200, current.clone()), "{known}");
    }
}

/// Of edits at the same time with one tag, one wins.
#[test]
fn one_of_many_edits_with_one_tag_wins() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let id = text(&admin.create(&json!({"url": "https://e.test/"})), "id").to_owned();
    let path = format!("{LINKS}/{id}");
    let first = tag(&admin.get(&path));
    let edit = |number: usize| {
        let body = json!({"title": format!("t{number}")});
        send(&mut app.admin(), "PATCH", &path, &[("If-Match", &first)], &body).status
    };
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let edits: Vec<_> = (0..8).map(|number| scope.spawn(move || edit(number))).collect();
        edits.into_iter().map(|edit| edit.join().expect("it ends")).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}

#[test]
fn tags_are_added_and_removed_at_the_same_time() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let ids: Vec<String> = (0..8)
        .map(|number| {
            let made = admin.post("/api/v1/tags", &json!({"name": format!("t{number}")}));
            text(&made.expect(201, "a tag")["tag"], "id").to_owned()
        })
        .collect();
    let link = admin.create(&json!({"url": "https://e.test/", "tagIds": ids[..2]}));
    let path = format!("{LINKS}/{}", text(&link, "id"));
    std::thread::scope(|scope| {
        for (at, id) in ids.iter().enumerate() {
            let (path, mut client) = (&path, app.admin());
            scope.spawn(move || {
                let field = if at < 2 { "removeTagIds" } else { "addTagIds" };
                client.patch(path, &json!({field: [id]})).expect(200, field);
            });
        }
    });
    let names = |link: &Value| -> Vec<String> {
        let tags = link["tags"].as_array().expect("tags");
        let mut names: Vec<_> = tags.iter().map(|tag| text(&tag["tag"], "name").to_owned()).collect();
        names.sort();
        names
    };
    let link = admin.get(&path).expect(200, "it")["link"].clone();
    assert_eq!(names(&link), ["t2", "t3", "t4", "t5", "t6", "t7"]);
    // Removed first, so that one request can do both. A tag that the link does not have is no error.
    let both = json!({"removeTagIds": [ids[2], ids[0]], "addTagIds": [ids[2], ids[1], ids[1]]});
    let link = admin.patch(&path, &both).expect(200, "both")["link"].clone();
    assert_eq!(names(&link), ["t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
    let rows = [
        (json!({"addTagIds": ["x"]}), 422, "addTagIds: \"x\" is not a tag's id"),
        (json!({"addTagIds": null}), 400, "addTagIds: must be an array of strings"),
        (json!({"addTagIds": [], "tagIds": []}), 422, "addTagIds: cannot be given together with tagIds"),
        (
            json!({"removeTagIds": [], "tagIds": []}),
            422,
            "removeTagIds: cannot be given together with tagIds",
        ),
        (
            json!({"addTagIds": ["00000000000000000001"]}),
            422,
            "addTagIds: 00000000000000000001 is not a tag of this workspace",
        ),
    ];
    for (body, status, why) in rows {
        admin.patch(&path, &body).refuses(status, why, &body.to_string());
    }
    let many: Vec<String> = (0..50).map(|number| format!("{number:020}")).collect();
    let why = "addTagIds: must be at most 50 tags, with those of the link";
    admin.patch(&path, &json!({"addTagIds": many})).refuses(422, why, "too many");
}
