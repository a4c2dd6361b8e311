//! The fields of a link: created, returned, changed, cleared; and those that clients must not set.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::Client;
use crate::support::http::text;
use crate::support::native::{LINKS, path_of};

/// Returns the body of a link with every field set.
fn full(tag: &Value) -> Value {
    json!({
        "url": "https://e.test/page?keep=1#part",
        "customSlug": "full",
        "title": "T",
        "description": "D",
        "image": "https://e.test/i.png",
        "redirectType": "PERMANENT_301",
        "linkType": "URL",
        "isActive": false,
        "cloaked": true,
        "password": "open sesame",
        "validSince": "2026-02-01T00:00:00+02:00",
        "expiresAt": "2027-01-01",
        "maxClicks": 100,
        "expiredUrl": "https://e.test/after",
        "tagIds": [tag["id"]],
        "forwardParameters": true,
        "forwardPath": true,
        "blockBots": true,
        "countBots": true,
        "skipSocialCrawlerTracking": true,
        "hideReferrer": true,
        "countPixel": true,
        "statistics": false,
        "confirm": true,
        "utmSource": "s", "utmMedium": "m", "utmCampaign": "c d", "utmTerm": "t", "utmContent": "n",
        "metaPixelId": "123456789012345",
        "googleTagId": "G-ABC123XYZ",
        "gtmContainerId": "GTM-ABC1234",
        "headTags": "<META name='a' content='b'>",
        "bodyTags": "<p>c & d</p>",
        "webhookUrls": "https://h.test/1,https://h.test/2",
        "notes": "N",
    })
}

/// Creates that link, and returns it with its tag.
fn create_full(admin: &mut Client) -> (Value, Value) {
    let tag = admin.post("/api/v1/tags", &json!({"name": "red", "color": "#ff0000"})).expect(201, "a tag");
    let tag = tag["tag"].clone();
    (admin.create(&full(&tag)), tag)
}

#[test]
fn every_field_is_stored_and_returned() {
    let mut app = TestApp::start();
    let (made, tag) = create_full(&mut app.admin());
    let id = text(&made, "id").to_owned();
    let workspace = made["workspaceId"].clone();
    assert_eq!(id.len(), 20);
    let url =
        "https://e.test/page?keep=1&utm_source=s&utm_medium=m&utm_campaign=c+d&utm_term=t&utm_content=n#part";
    let mut want = json!({
        "id": id, "shortCode": "full", "shortUrl": "http://go.test/full", "url": url,
        "title": "T", "domain": HOST, "linkType": "URL", "isActive": false, "clickCount": 0,
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
        "tags": [{"tag": tag}], "qrCode": format!("http://go.test/api/v1/links/{id}/qr"), "description": "D", "image": "https://e.test/i.png",
        "password": "********", "expiresAt": "2027-01-01T23:59:59.999Z", "maxClicks": 100, "cloaked": true,
        "redirectType": "PERMANENT_301", "workspaceId": workspace, "forwardParameters": true,
        "blockBots": true, "skipSocialCrawlerTracking": true, "hideReferrer": true,
        "metaPixelId": "123456789012345", "googleTagId": "G-ABC123XYZ", "gtmContainerId": "GTM-ABC1234",
        "headTags": "<meta name=\"a\" content=\"b\">", "bodyTags": "<p>c &amp; d</p>", "webhookUrls": "https://h.test/1,https://h.test/2", "rules": [],
        "createdBy": null, "validSince": "2026-01-31T22:00:00.000Z", "expiredUrl": "https://e.test/after",
        "forwardPath": true, "countBots": true, "campaignId": null, "notes": "N",
    });
    // Apart, since the macro has a limit.
    let more = json!({
        "countPixel": true, "statistics": false, "confirm": true, "aliases": [], "clicks30d": 0, "lastClickAt": null,
    });
    want.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    assert_eq!(made, want);
    app = app.restart();
    let mut admin = app.admin();
    let path = format!("{LINKS}/{id}");
    assert_eq!(admin.get(&path).expect(200, "read")["link"], want, "after a restart");
    // A client may send a link back as it was returned.
    app.advance(Duration::from_secs(5));
    let same = admin.patch(&path, &want).expect(200, "sent back")["link"].clone();
    let mut stamped = want;
    stamped["updatedAt"] = json!("2026-01-01T00:00:05.000Z");
    assert_eq!(same["password"], "********");
    assert_eq!(same, stamped, "sent back whole");
}

#[test]
fn every_field_is_changed_alone_and_cleared() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let (mut stamped, _) = create_full(&mut admin);
    let path = path_of(&stamped);
    app.advance(Duration::from_secs(5));
    stamped["updatedAt"] = json!("2026-01-01T00:00:05.000Z");
    let changes = [
        ("title", json!("T2")),
        ("description", json!("D2")),
        ("image", json!("https://e.test/2.png")),
        ("redirectType", json!("308")),
        ("isActive", json!(true)),
        ("cloaked", json!(false)),
        ("validSince", json!("2026-01-01T00:00:00.000Z")),
        ("expiresAt", json!("2028-01-01T00:00:00.000Z")),
        ("maxClicks", json!(7)),
        ("expiredUrl", json!("https://e.test/after2")),
        ("forwardParameters", json!(false)),
        ("forwardPath", json!(false)),
        ("blockBots", json!(false)),
        ("countBots", json!(false)),
        ("skipSocialCrawlerTracking", json!(false)),
        ("hideReferrer", json!(false)),
        ("countPixel", json!(false)),
        ("statistics", json!(true)),
        ("confirm", json!(false)),
        ("gtmContainerId", json!("GTM-XYZ9")),
        ("headTags", json!("<meta name=\"e\" content=\"f\">")),
        ("bodyTags", json!("<p>g</p>")),
        ("metaPixelId", json!("54321")),
        ("googleTagId", json!("AW-12345")),
        ("webhookUrls", json!("https://h.test/3")),
        ("notes", json!("N2")),
    ];
    for (field, value) in changes {
        let got = admin.patch(&path, &json!({field: value})).expect(200, field)["link"].clone();
        stamped[field] = value;
        assert_eq!(got, stamped, "{field} changed, and nothing else");
    }
    let got = admin.patch(&path, &json!({"url": "https://e.test/2"})).expect(200, "url")["link"].clone();
    let url = "https://e.test/2?utm_source=s&utm_medium=m&utm_campaign=c+d&utm_term=t&utm_content=n";
    assert_eq!(got["url"], url, "a new url keeps the UTM parameters");
    stamped["url"] = json!(url);
    for field in [
        "title",
        "description",
        "image",
        "password",
        "expiresAt",
        "validSince",
        "maxClicks",
        "expiredUrl",
        "metaPixelId",
        "googleTagId",
        "gtmContainerId",
        "headTags",
        "bodyTags",
        "webhookUrls",
        "notes",
    ] {
        let got = admin.patch(&path, &json!({field: null})).expect(200, field)["link"].clone();
        stamped[field] = json!(null);
        assert_eq!(got, stamped, "{field} cleared, and nothing else");
    }
    let utm = json!({"utmSource": null, "utmMedium": null, "utmCampaign": null, "utmTerm": null, "utmContent": null});
    let got = admin.patch(&path, &utm).expect(200, "utm")["link"].clone();
    stamped["url"] = json!("https://e.test/2");
    assert_eq!(got, stamped, "UTM parameters cleared");
    let got = admin.patch(&path, &json!({"tagIds": []})).expect(200, "tags")["link"].clone();
    stamped["tags"] = json!([]);
    assert_eq!(got, stamped, "tags cleared");
    let got = admin.patch(&path, &json!({})).expect(200, "nothing")["link"].clone();
    assert_eq!(got, stamped, "an empty change");
    app = app.restart();
    assert_eq!(app.admin().get(&path).expect(200, "read")["link"], stamped, "after a restart");
}

#[test]
fn invalid_values_are_rejected_with_the_whole_change() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (before, _) = create_full(&mut admin);
    let path = path_of(&before);
    let rows = [
        ("customSlug", json!("a b"), "customSlug: must consist of"),
        ("domain", json!("other.test"), "domain: is not a domain of this workspace"),
        ("linkType", json!("TEL"), "linkType: cannot be changed"),
        ("keepOldCode", json!(true), "keepOldCode: works only with another customSlug or domain"),
        ("aliases", json!([{"domain": HOST, "shortCode": "x"}]), "aliases: \"x\" is no alias of this link"),
        ("gtmContainerId", json!("G-ABC123"), "gtmContainerId: must be a container id"),
        ("headTags", json!("<script>x</script>"), "headTags: must not contain <script>"),
        ("bodyTags", json!("<p onclick='x'>y</p>"), "bodyTags: must not have the attribute onclick"),
    ];
    for (field, value, rule) in rows {
        let refused = admin.patch(&path, &json!({field: value, "title": "not done"}));
        assert_eq!(refused.status, 422, "{field}: {refused:?}");
        let error = refused.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.starts_with(rule), "{field}: {error}");
    }
    assert_eq!(admin.get(&path).expect(200, "read")["link"], before, "after refusals");
}

#[test]
fn t72_fields_of_the_server_are_ignored() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let foreign = json!({
        "id": "00000000000000000000", "clickCount": 9, "workspaceId": null, "createdAt": "2000-01-01T00:00:00Z",
        "updatedAt": "2000-01-01T00:00:00Z", "passwordHash": "x", "shortCode": "other", "shortUrl": "https://evil.test/",
        "createdBy": {"id": "x"}, "verified": false,
    });
    let mut body = foreign.clone();
    body["url"] = json!("https://e.test/");
    body["customSlug"] = json!("mine");
    let made = admin.create(&body);
    let check = |link: &Value, when: &str| {
        assert_eq!((&link["clickCount"], &link["shortCode"]), (&json!(0), &json!("mine")), "{when}");
        assert_eq!(
            (&link["createdAt"], &link["password"]),
            (&json!("2026-01-01T00:00:00.000Z"), &json!(null)),
            "{when}"
        );
        assert_ne!(link["id"], foreign["id"], "{when}");
        assert_eq!(link["shortUrl"], "http://go.test/mine", "{when}");
    };
    check(&made, "create");
    let patched = admin.patch(&path_of(&made), &foreign).expect(200, "a change")["link"].clone();
    check(&patched, "change");
    assert_eq!(patched["id"], made["id"]);
}
