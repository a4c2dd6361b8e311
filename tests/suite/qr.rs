//! QR codes are read back by a decoder that shares nothing with their encoder.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use waypost::qr::picture::{QrFormat, QrPicture, QrRequest};
use waypost::qr::symbol::ErrorLevel;

use crate::support::app::TestApp;
use crate::support::http::{Answer, text};
use crate::support::native::new_key;
use crate::support::process::{PATIENCE, poll};
use crate::support::qr_pictures::{Pixels, QrCase, matrix, pixels};

/// Returns the text of the code in a picture.
fn read(pixels: &Pixels) -> Result<String, String> {
    let Pixels { side, gray } = pixels;
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(*side, *side, |x, y| gray[y * side + x]);
    let found = picture.detect_grids();
    let [grid] = found.as_slice() else { return Err(format!("{} codes", found.len())) };
    grid.decode().map(|(_, text)| text).map_err(|error| error.to_string())
}

/// A part of the matrix of 4,800 pictures, which `tests/soak/run` reads whole with another decoder.
#[test]
fn pictures_are_read_back() {
    let mut failures = Vec::new();
    // A step without a common factor with the periods of the properties.
    for case in matrix(4_800).step_by(37) {
        let picture = case.draw();
        // A logo may be dark or light.
        for logo in if case.has_logo { &[0, 255][..] } else { &[0] } {
            match read(&pixels(&picture, *logo)) {
                Ok(text) if text == case.text() => {}
                other => failures.push(format!("{case:?}: {other:?}")),
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// The mean of the square around each pixel.
fn blurred(pixels: &Pixels, radius: usize) -> Pixels {
    let side = pixels.side;
    let mean = |at: usize| {
        let (y, x) = (at / side, at % side);
        let range = |at: usize| at.saturating_sub(radius)..(at + radius + 1).min(side);
        let (mut sum, mut count) = (0_u64, 0);
        for row in range(y) {
            for column in range(x) {
                sum += u64::from(pixels.gray[row * side + column]);
                count += 1;
            }
        }
        u8::try_from(sum / count).expect("a mean of bytes")
    };
    Pixels { side, gray: (0..side * side).map(mean).collect() }
}

/// 25 mm at 300 dots an inch are 295 pixels.
#[test]
fn a_printed_code_that_is_blurred_by_a_module_is_read() {
    for (format, url) in [
        (QrFormat::Png, "https://go.example.com/spring-sale"),
        (QrFormat::Svg, "https://go.example.com/spring-sale"),
        (QrFormat::Png, "https://w.test/a"),
    ] {
        let request = QrRequest { format, size: 295, ..QrRequest::default() };
        let case = QrCase { url: url.to_owned(), ignores_case: false, request, has_logo: false };
        let sharp = pixels(&case.draw(), 0);
        let module = sharp.side / (29 + 8);
        // A square of one module around each pixel.
        let blurred = blurred(&sharp, module / 2);
        assert_eq!(read(&blurred), Ok(case.text()), "{format:?} {url}");
    }
}

/// The picture of each size has it exactly, and its modules are in the middle.
#[test]
fn a_png_has_whole_pixels_for_each_module() {
    for size in [33, 37, 64, 100, 295, 512, 2_048] {
        let request =
            QrRequest { format: QrFormat::Png, size, level: Some(ErrorLevel::M), ..QrRequest::default() };
        let case =
            QrCase { url: "https://e.test/a".to_owned(), ignores_case: false, request, has_logo: false };
        let Pixels { side, gray } = pixels(&case.draw(), 0);
        assert_eq!(side as u64, size);
        let scale = side / 33;
        let (first, row) = (gray.iter().position(|pixel| *pixel == 0).expect("a dark pixel"), |y: usize| {
            &gray[y * side..][..side]
        });
        let start = first / side;
        assert_eq!(first % side, start, "{size}: as far from the left as from the top");
        assert_eq!(start, (side - 25 * scale) / 2, "{size}");
        for (y, x) in (0..25).flat_map(|y| (0..25).map(move |x| (y, x))) {
            let module = |dy: usize, dx: usize| row(start + y * scale + dy)[start + x * scale + dx];
            let corner = module(0, 0);
            assert!(
                (0..scale).all(|at| module(at, scale - 1) == corner && module(scale - 1, at) == corner),
                "{size}: {y} {x}"
            );
        }
    }
}

/// Returns the text of the code in an answer.
fn read_answer(answer: &Answer) -> String {
    let format = match answer.header("content-type") {
        Some("image/svg+xml") => QrFormat::Svg,
        Some("image/png") => QrFormat::Png,
        other => panic!("{other:?}: {answer:?}"),
    };
    read(&pixels(&QrPicture { format, bytes: answer.body.clone() }, 0)).expect("a code")
}

#[test]
fn a_link_has_a_picture_that_clients_keep() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin
        .create(&json!({"url": "https://e.test/?qr=1", "customSlug": "poster", "forwardParameters": true}));
    assert_eq!(made["qrCode"], json!(format!("http://go.test/api/v1/links/{}/qr", text(&made, "id"))));
    let path = text(&made, "qrCode").strip_prefix("http://go.test").expect("this server").to_owned();
    for query in ["", "?format=png", "?format=png&size=295&level=H&margin=0&fg=%231a237e&bg=ffe082"] {
        let answer = admin.get(&format!("{path}{query}"));
        assert_eq!(read_answer(&answer), "http://go.test/poster?qr=1", "{query}");
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert_eq!(policy, "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox");
        let tag = answer.header("etag").expect("a tag").to_owned();
        let kept = admin.send("GET", &format!("{path}{query}"), &[("if-none-match", &tag)], None);
        assert_eq!((kept.status, kept.body.len(), kept.header("etag")), (304, 0, Some(tag.as_str())));
        let other = admin.send("GET", &format!("{path}{query}"), &[("if-none-match", "\"x\"")], None);
        assert_eq!((other.status, other.body), (200, answer.body.clone()));
        let head = admin.head(&format!("{path}{query}"));
        assert_eq!((head.status, head.header("etag")), (200, Some(tag.as_str())));
    }
    let by_code = admin.get("/api/v1/links/by-code/poster/qr?format=png&domain=go.test");
    assert_eq!(by_code.header("x-warnings"), None);
    // A black code in place of a red one is found in print.
    let ignored = admin.get("/api/v1/links/by-code/poster/qr?color=red");
    let warning = r#"["color: is no parameter of this request, and was ignored; did you mean fg?"]"#;
    assert_eq!((ignored.status, ignored.header("x-warnings")), (200, Some(warning)));
    assert_eq!(read_answer(&by_code), "http://go.test/poster?qr=1");
    // A parameter that is not known is named, as everywhere.
    let answer = admin.get(&format!("{path}?colour=red"));
    assert!(
        answer.header("x-warnings").is_some_and(|text| text.contains("colour: is no parameter")),
        "{answer:?}"
    );

    // The mark is for this link: it is not forwarded, and the destination keeps its own.
    let mut visitor = app.visitor();
    for (query, want) in [
        ("qr=1", "https://e.test/?qr=1"),
        ("a=2&qr=1", "https://e.test/?qr=1&a=2"),
        ("qr=3", "https://e.test/?qr=3"),
    ] {
        let answer = visitor.get(&format!("/poster?{query}"));
        assert_eq!((answer.status, answer.header("location")), (302, Some(want)), "{query}");
    }
}

#[test]
fn a_domain_that_ignores_case_has_capitals_in_its_codes() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin
        .post("/api/v1/domains", &json!({"domain": "loud.test", "caseSensitive": false}))
        .expect(201, "a domain");
    let made = admin.create(&json!({"url": "https://e.test/", "domain": "loud.test", "customSlug": "Sale"}));
    let path = format!("/api/v1/links/{}/qr?format=png", text(&made, "id"));
    assert_eq!(read_answer(&admin.get(&path)), "HTTPS://LOUD.TEST/SALE?qr=1");
    let opened = app.visitor().at("loud.test").get("/SALE?qr=1");
    assert_eq!((opened.status, opened.header("location")), (302, Some("https://e.test/")));
}

#[test]
fn wrong_properties_of_a_picture_are_named() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let path = format!("/api/v1/links/{}/qr", text(&made, "id"));
    let rows = [
        ("format=gif", 422, "format: must be svg or png"),
        ("size=31", 422, "size: must be from 32 to 2048"),
        ("size=32", 422, "size: must be at least 33, one pixel for each module of this code and its margin"),
        ("size=99999999999999999999", 422, "size: must be from 32 to 2048"),
        ("size=big", 400, "size: must be a whole number"),
        ("size=100&size=200", 400, "size: must be given once"),
        ("margin=41", 422, "margin: must be from 0 to 40"),
        ("margin=-1", 400, "margin: must be a whole number"),
        ("level=Z", 422, "level: must be auto, L, M, Q or H"),
        ("fg=ink", 422, "fg: must be a color such as 1a2b3c or #1a2b3c, without transparency"),
        ("bg=00000000", 422, "bg: must be a color such as 1a2b3c or #1a2b3c, without transparency"),
        (
            "fg=888",
            422,
            "fg: has too little contrast to bg for scanners: #888888 on #ffffff is 3.54:1, and 4:1 is needed",
        ),
        (
            "fg=ffe082&bg=1a237e",
            422,
            "fg: must be darker than bg: many scanners do not read inverted codes (#ffe082 on #1a237e, contrast 10.23:1)",
        ),
        ("logo=yes", 400, "logo: must be true or false"),
        (
            "logo=true",
            422,
            "logo: is true, but neither the domain nor the workspace has a logo: upload one, or leave it out",
        ),
        (
            "logo=true&format=png",
            422,
            "logo: cannot be true with format png: ask for format svg, which has the logo, and convert the SVG, or leave it out",
        ),
    ];
    for (query, status, error) in rows {
        admin.get(&format!("{path}?{query}")).refuses(status, error, query);
    }
    admin.get("/api/v1/links/00000000000000000000/qr").refuses(404, "link not found", "an unknown id");
    admin.get("/api/v1/links/by-code/none/qr").refuses(404, "link not found", "an unknown code");
    let _: Value = app.visitor().get(&path).expect(401, "without a key");
}

const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9H0z" fill="#0f766e"/></svg>"##;

/// The id of the default domain.
const HOME: &str = "/api/v1/domains/00000000000000000000";

#[test]
fn a_picture_is_public_where_the_domain_allows_it() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "poster"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "off", "isActive": false}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "over", "expiresAt": "2020-01-01", "expiredUrl": "https://e.test/x"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "later", "validSince": "2100-01-01"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "locked", "password": "open sesame"}));
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/poster+qr.svg").status, 404, "off by default");
    admin.patch(HOME, &json!({"publicQr": true})).expect(200, "allowed");
    let link = admin.get("/api/v1/links/by-code/poster").expect(200, "a link");
    assert_eq!(link["link"]["qrCode"], "http://go.test/poster+qr.svg");
    for path in ["/poster+qr.svg", "/poster+qr.png", "/poster%2Bqr.svg", "/poster%2bqr.png?size=9999"] {
        let answer = visitor.get(path);
        assert_eq!(read_answer(&answer), "http://go.test/poster?qr=1", "{path}");
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!((header("cache-control").as_str(), answer.status), ("public, max-age=300", 200), "{path}");
        assert!(header("content-security-policy").ends_with("; sandbox"), "{path}");
        let tag = header("etag");
        let kept = visitor.send("GET", path, &[("if-none-match", &tag)], None);
        assert_eq!((kept.status, kept.body.len()), (304, 0), "{path}");
        assert_eq!(visitor.head(path).status, 200, "{path}");
    }
    // Nor what the rules choose for one visitor: caches keep the picture for everyone.
    let rules = json!([{"conditions": [{"field": "query", "key": "a", "operator": "exists", "value": false}], "status": 404}]);
    admin.create(&json!({"url": "https://e.test/", "customSlug": "ruled", "rules": rules}));
    assert_eq!(visitor.get("/ruled").status, 404);
    assert_eq!(read_answer(&visitor.get("/ruled+qr.png")), "http://go.test/ruled?qr=1");
    // The picture shows nothing but the short URL.
    assert_eq!(read_answer(&visitor.get("/locked+qr.png")), "http://go.test/locked?qr=1");
    for (path, status) in [
        ("/off+qr.svg", 404),
        ("/later+qr.svg", 404),
        ("/over+qr.svg", 410),
        ("/none+qr.svg", 404),
        ("/poster+qr.gif", 404),
        ("/poster/+qr.svg", 404),
        ("/+qr.svg", 404),
    ] {
        let answer = visitor.get(path);
        assert_eq!((answer.status, answer.header("etag")), (status, None), "{path}");
    }
    // It is no click.
    assert_eq!(admin.get("/api/v1/links/by-code/poster").expect(200, "a link")["link"]["clickCount"], 0);
    assert_eq!(visitor.get("/poster?qr=1").header("location"), Some("https://e.test/"), "the link itself");
    admin.patch(HOME, &json!({"publicQr": false})).expect(200, "not allowed any more");
    assert_eq!(visitor.get("/poster+qr.svg").status, 404);
}

/// Visitors from many addresses ask for more pictures of one workspace than may wait. Its searches have places of their own.
#[test]
fn a_flood_of_public_pictures_leaves_the_lists_of_its_workspace_alone() {
    // More than all places of the waiting room, of which a workspace has a part.
    const VISITORS: usize = 96;
    let app = TestApp::start_with(|config| config.http.trusted_proxies = vec!["127.0.0.1".to_owned()]);
    let mut admin = app.admin();
    admin.patch(HOME, &json!({"publicQr": true})).expect(200, "allowed");
    admin.create(&json!({"url": "https://e.test/", "customSlug": "poster"}));
    let mut own = app.visitor().with_key(&new_key(&mut admin, &json!({})));
    let (stops, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let statuses = std::thread::scope(|scope| {
        for n in 0..VISITORS {
            let mut visitor = app.visitor().with("x-forwarded-for", &format!("198.51.100.{n}"));
            let (stops, refused) = (&stops, &refused);
            scope.spawn(move || {
                while !stops.load(Ordering::Relaxed) {
                    match visitor.get("/poster+qr.svg").status {
                        200 => {}
                        503 => _ = refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    }
                }
            });
        }
        let mut statuses = Vec::new();
        for _ in 0..10 {
            let before = refused.load(Ordering::Relaxed);
            // The room of the pictures is full.
            poll("a refused picture", PATIENCE, || (refused.load(Ordering::Relaxed) > before).then_some(()));
            statuses.push(own.get("/api/v1/links?search=poster").status);
        }
        stops.store(true, Ordering::Relaxed);
        statuses
    });
    assert_eq!(statuses, [200; 10]);
}

#[test]
fn colors_and_logo_are_those_of_domain_and_workspace() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let own = admin
        .post("/api/v1/domains", &json!({"domain": "own.test", "qrForeground": "#1a237e"}))
        .expect(201, "a domain");
    assert_eq!(own["domain"]["qrForeground"], "#1a237e");
    let own = format!("/api/v1/domains/{}", text(&own["domain"], "id"));
    let workspace =
        text(&admin.get("/api/v1/workspaces").expect(200, "all")["workspaces"][0], "id").to_owned();
    let workspace = format!("/api/v1/workspaces/{workspace}");
    admin.patch(&workspace, &json!({"qrForeground": "0f766e"})).expect(200, "the color of the workspace");
    admin
        .patch(HOME, &json!({"qrForeground": "#333", "qrBackground": "#ffe"}))
        .expect(200, "of the default domain");
    let mut picture = |domain: &str| {
        let made = admin.create(&json!({"url": "https://e.test/", "domain": domain}));
        let path = format!("/api/v1/links/{}/qr", text(&made, "id"));
        move |admin: &mut crate::support::http::Client| admin.get(&path).text()
    };
    let (of_own, of_home) = (picture("own.test"), picture("go.test"));
    assert!(of_own(&mut admin).contains("<path fill=\"#1a237e\""), "the domain of the workspace wins");
    // The default domain belongs to all workspaces, so that of the workspace wins.
    let shown = of_home(&mut admin);
    assert!(shown.contains("fill=\"#ffffff\"") && shown.contains("<path fill=\"#0f766e\""), "{shown}");
    admin.patch(&workspace, &json!({"qrForeground": null})).expect(200, "cleared");
    let shown = of_home(&mut admin);
    assert!(shown.contains("fill=\"#ffffee\"") && shown.contains("<path fill=\"#333333\""), "{shown}");
    admin.patch(&own, &json!({"qrBackground": "#1a237e"})).refuses(
        422,
        "qrForeground: has too little contrast to qrBackground for scanners: #1a237e on #1a237e is 1:1, and 4:1 is needed",
        "both colors are compared",
    );
    admin.patch(&own, &json!({"qrForeground": "red"})).refuses(
        422,
        "qrForeground: must be a color such as 1a2b3c or #1a2b3c, without transparency",
        "no color",
    );

    // A logo of the workspace, then one of the domain.
    let put = |admin: &mut crate::support::http::Client, path: &str, body: &[u8]| {
        admin.send("PUT", &format!("{path}/qr-logo"), &[], Some(body))
    };
    let shown = put(&mut admin, &workspace, LOGO.as_bytes()).expect(200, "a logo");
    assert_eq!(shown["workspace"]["qrLogo"], "image/svg+xml");
    let logo = admin.get(&format!("{workspace}/qr-logo"));
    assert_eq!((logo.header("content-type"), logo.text().as_str()), (Some("image/svg+xml"), LOGO));
    for shown in [of_own(&mut admin), of_home(&mut admin)] {
        assert!(shown.contains("xlink:href=\"data:image/svg+xml;base64,"), "{shown}");
    }
    let drawn = QrCase {
        url: "https://e.test/".to_owned(),
        ignores_case: false,
        request: QrRequest { format: QrFormat::Png, ..QrRequest::default() },
        has_logo: false,
    };
    let png = drawn.draw().bytes;
    let shown = put(&mut admin, &own, &png).expect(200, "a picture as a logo");
    assert_eq!(shown["domain"]["qrLogo"], "image/png");
    assert!(of_own(&mut admin).contains("href=\"data:image/png;base64,"));
    // Restarts read the records again.
    let app = app.restart();
    let mut admin = app.admin();
    assert!(of_own(&mut admin).contains("href=\"data:image/png;base64,"));
    assert_eq!(admin.get(&format!("{own}/qr-logo")).body, png);
    admin.delete(&format!("{own}/qr-logo")).expect(200, "removed");
    admin.delete(&format!("{own}/qr-logo")).refuses(404, "logo not found", "removed before");
    assert!(of_own(&mut admin).contains("data:image/svg+xml"), "that of the workspace again");
    for (body, error) in [
        (&b""[..], "logo: is empty: send the bytes of a PNG or SVG as the body"),
        (&b"GIF89a"[..], "logo: must be a PNG or an SVG"),
        (
            &b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n<svg/>\r\n--x--"[..],
            "logo: must be the body itself and no form: `curl --data-binary @FILE`, without -F",
        ),
        (&png[..100], "logo: is a damaged PNG: it ends within a chunk"),
        (&b"<svg><script/></svg>"[..], "logo: must not have <script>: it could run or load something"),
        (&b"<svg onload='x'/>"[..], "logo: must not have the attribute onload: it could run a script"),
    ] {
        put(&mut admin, &own, body).refuses(422, error, error);
    }
    // A body beyond the bound of all bodies is refused before it is read.
    assert_eq!(put(&mut admin, &own, &vec![b' '; 64 * 1024 + 1]).status, 413);
}

#[test]
fn files_of_app_links_are_served_as_given() {
    let app = TestApp::start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let apple = r#"{"applinks": {"details": [{"appIDs": ["ABCDE12345.com.example.app"], "components": [{"/": "/*"}]}]}}"#;
    let android = r#"[{"relation":["delegate_permission/common.handle_all_urls"],"target":{"namespace":"web","site":"https://e.test"}}]"#;
    for (name, shown, file) in [
        ("apple-app-site-association", "appleAppSiteAssociation", apple),
        ("assetlinks.json", "assetLinks", android),
    ] {
        let (public, path) = (format!("/.well-known/{name}"), format!("{HOME}/{name}"));
        assert_eq!(visitor.get(&public).status, 404, "{name}: unset");
        let set = admin.send("PUT", &path, &[], Some(file.as_bytes())).expect(200, name);
        assert_eq!(set["domain"][shown], true, "{name}");
        let answer = visitor.get(&public);
        assert_eq!(
            (answer.status, answer.header("content-type"), answer.text().as_str()),
            (200, Some("application/json"), file),
            "{name}"
        );
        assert_eq!(visitor.head(&public).status, 200, "{name}");
        let tag = answer.header("etag").expect("a tag").to_owned();
        assert_eq!(visitor.send("GET", &public, &[("if-none-match", &tag)], None).status, 304, "{name}");
        assert_eq!(visitor.get(&format!("{public}/")).status, 404, "{name}: a file has no slash at its end");
        assert_eq!(visitor.delete(&public).status, 405, "{name}");
        admin.send("PUT", &path, &[], Some(b"{}")).expect(422, "a mistake");
        // What a phone may ignore is named, and what it has is served.
        let doubtful = file.replace(r#"[{"/""#, r#"[{"comments":"c","/""#).replace("all_urls", "all_url");
        let stored = admin.send("PUT", &path, &[], Some(doubtful.as_bytes())).expect(200, "doubtful");
        assert!(stored["warnings"][0].as_str().is_some_and(|text| text.starts_with(name)), "{stored}");
        assert_eq!(visitor.get(&public).text(), doubtful, "{name}");
        admin.send("PUT", &path, &[], Some(b"{")).expect(400, "no JSON");
        admin.delete(&path).expect(200, name);
        assert_eq!(visitor.get(&public).status, 404, "{name}: removed");
        admin.get(&path).refuses(404, &format!("{name} not found"), "removed");
    }
    // A domain takes its files with it, so that another one of the name has none.
    let made = |admin: &mut crate::support::http::Client| {
        let made = admin.post("/api/v1/domains", &json!({"domain": "app.test"})).expect(201, "a domain");
        format!("/api/v1/domains/{}", text(&made["domain"], "id"))
    };
    let first = made(&mut admin);
    admin
        .send("PUT", &format!("{first}/assetlinks.json"), &[], Some(android.as_bytes()))
        .expect(200, "a file");
    assert_eq!(app.visitor().at("app.test").get("/.well-known/assetlinks.json").status, 200);
    assert_eq!(visitor.get("/.well-known/assetlinks.json").status, 404, "another domain");
    admin.delete(&first).expect(200, "deleted");
    made(&mut admin);
    assert_eq!(app.visitor().at("app.test").get("/.well-known/assetlinks.json").status, 404);
}
