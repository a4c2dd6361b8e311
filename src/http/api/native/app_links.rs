//! The files by which a domain names the apps that open its links. They are stored as they are given; the checks find the
//! mistakes after which a phone ignores a file without a word. What a newer version of a phone may know is stored with a
//! warning: an unknown member, and an unknown relation.
//!
//! Apple: `apple-app-site-association` ("Supporting associated domains"). Google: Digital Asset Links, `assetlinks.json`.

use crate::http::api::dialect::BadRequest;
use crate::json::{self, Field, Json, Object};
use crate::model::Invalid;
use crate::model::attachment::{APP_LINKS_MAX, Attachment, AttachmentFormat};

/// The services in Apple's file.
const SERVICES: [&str; 4] = ["applinks", "webcredentials", "appclips", "activitycontinuation"];

/// The members of `applinks`, of one of its `details`, and of one of their `components`.
const APP_LINKS: [&str; 4] = ["apps", "details", "defaults", "substitutionVariables"];
const DETAIL: [&str; 5] = ["appIDs", "appID", "components", "paths", "defaults"];
const COMPONENT: [&str; 7] = ["/", "?", "#", "exclude", "comment", "caseSensitive", "percentEncoded"];

/// The relations that Google documents.
const RELATIONS: [&str; 3] = [
    "delegate_permission/common.handle_all_urls",
    "delegate_permission/common.get_login_creds",
    "delegate_permission/common.use_as_origin",
];

/// A file, and warnings about what its phones may ignore.
pub(super) type CheckedFile = (Attachment, Vec<String>);

/// Most warnings about a file.
const WARNINGS_MAX: usize = 10;

/// Bytes of a SHA-256 fingerprint.
const FINGERPRINT: usize = 32;

/// Parses an `apple-app-site-association`.
pub(super) fn apple(body: &[u8]) -> Result<CheckedFile, BadRequest> {
    const FILE: &str = "apple-app-site-association";
    let Json::Object(file) = parsed(FILE, body)? else {
        return Err(rule(FILE, "must be a JSON object"));
    };
    if let Some((name, _)) = file.iter().find(|(name, _)| !SERVICES.contains(name)) {
        let known = SERVICES.join(", ");
        return Err(rule(FILE, format!("has the unknown service {:?}: it may have {known}", short(name))));
    }
    if file.iter().next().is_none() {
        return Err(rule(FILE, "is empty: it needs a service such as applinks"));
    }
    let mut warnings = Vec::new();
    for (name, service) in file.iter() {
        let Json::Object(service) = service else {
            return Err(rule(FILE, format!("{name} must be an object")));
        };
        if name == "applinks" {
            app_links(FILE, service, &mut warnings)?;
        } else {
            let apps = texts(service, "apps")
                .ok_or_else(|| rule(FILE, format!("{name}.apps must be an array of app ids")))?;
            apps.iter().try_for_each(|app| app_id(FILE, &format!("{name}.apps"), app))?;
        }
    }
    Ok((stored(body), warnings))
}

fn app_links(file: &'static str, service: &Object, warnings: &mut Vec<String>) -> Result<(), BadRequest> {
    note_unknown(file, "applinks", (service, &APP_LINKS), warnings);
    let Field::Value(Json::List(details)) = service.get("details") else {
        return Err(rule(file, "applinks.details must be an array of objects"));
    };
    for (at, detail) in details.iter().enumerate() {
        let place = format!("applinks.details[{at}]");
        let Json::Object(detail) = detail else {
            return Err(rule(file, format!("{place} must be an object")));
        };
        // `appID` is the older form, for one app.
        let apps: Vec<&str> = match (detail.get("appID"), texts(detail, "appIDs")) {
            (Field::Value(Json::Text(app)), _) => vec![app],
            (Field::Absent, Some(apps)) if !apps.is_empty() => apps,
            _ => return Err(rule(file, format!("{place} needs appIDs, an array of app ids, or appID"))),
        };
        apps.iter().try_for_each(|app| app_id(file, &place, app))?;
        note_unknown(file, &place, (detail, &DETAIL), warnings);
        patterns(file, &place, detail, warnings)?;
    }
    Ok(())
}

/// Fails unless a member of `details` has patterns that can match the path of a link.
fn patterns(
    file: &'static str,
    place: &str,
    detail: &Object,
    warnings: &mut Vec<String>,
) -> Result<(), BadRequest> {
    let mut count = 0;
    for (name, of) in [("components", "objects"), ("paths", "strings")] {
        let list = format!("{place}.{name}");
        let all = match detail.get(name) {
            Field::Absent => continue,
            Field::Value(Json::List(all)) => all,
            Field::Null | Field::Value(_) => {
                return Err(rule(file, format!("{list} must be an array of {of}")));
            }
        };
        count += all.len();
        for (at, each) in all.iter().enumerate() {
            let place = format!("{list}[{at}]");
            match (each, of) {
                (Json::Object(component), "objects") => {
                    note_unknown(file, &place, (component, &COMPONENT), warnings);
                    match component.get("/") {
                        Field::Value(Json::Text(path)) => path_pattern(file, &format!("{place}./"), path)?,
                        Field::Absent => {}
                        Field::Null | Field::Value(_) => {
                            return Err(rule(file, format!("{place}./ must be a string")));
                        }
                    }
                }
                // A path after `NOT ` is excluded.
                (Json::Text(path), "strings") => {
                    path_pattern(file, &place, path.strip_prefix("NOT ").unwrap_or(path))?;
                }
                _ => return Err(rule(file, format!("{list} must be an array of {of}"))),
            }
        }
    }
    if count == 0 {
        return Err(rule(
            file,
            format!("{place} needs components such as [{{\"/\": \"/*\"}}]: it names no link"),
        ));
    }
    Ok(())
}

/// Fails for a pattern that matches no path: each path begins with a slash.
fn path_pattern(file: &'static str, place: &str, pattern: &str) -> Result<(), BadRequest> {
    // A wildcard matches the slash as well, and a variable has any text.
    if pattern.starts_with(['/', '*', '?', '$']) {
        return Ok(());
    }
    let pattern = short(pattern);
    Err(rule(file, format!("{place}: {pattern:?} must begin with a slash, as the path of every link")))
}

/// Adds a warning for each member that Apple does not document.
fn note_unknown(file: &str, place: &str, (object, known): (&Object, &[&str]), warnings: &mut Vec<String>) {
    let unknown = object.iter().map(|(name, _)| name).filter(|name| !known.contains(name));
    // A file has at most 64 KB, and a page of warnings is not read.
    for name in unknown.take(WARNINGS_MAX.saturating_sub(warnings.len())) {
        let (name, known) = (short(name), known.join(", "));
        warnings.push(format!(
            "{file}: {place} has the unknown member {name:?}, which phones ignore: it may have {known}"
        ));
    }
}

/// Fails unless a text is the prefix of a team, a dot and the id of a bundle.
fn app_id(file: &'static str, place: &str, text: &str) -> Result<(), BadRequest> {
    // The usual mistake is the id of the bundle alone, which has no team before its first dot.
    let fits = text.split_once('.').is_some_and(|(team, bundle)| {
        team.len() == 10
            && team.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && !bundle.is_empty()
            && bundle.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    });
    if fits {
        return Ok(());
    }
    let text = short(text);
    Err(rule(file, format!("{place}: {text:?} is no app id such as ABCDE12345.com.example.app")))
}

/// Parses an `assetlinks.json`.
pub(super) fn android(body: &[u8]) -> Result<CheckedFile, BadRequest> {
    const FILE: &str = "assetlinks.json";
    let Json::List(statements) = parsed(FILE, body)? else {
        return Err(rule(FILE, "must be a JSON array of statements"));
    };
    if statements.is_empty() {
        return Err(rule(FILE, "is empty: it needs a statement"));
    }
    let mut warnings = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let wrong = |why: &str| rule(FILE, format!("[{at}]{why}"));
        let Json::Object(statement) = statement else { return Err(wrong(" must be an object")) };
        // The address of another file with statements, which the phone fetches.
        if let Field::Value(included) = statement.get("include") {
            if !is_https(included) {
                return Err(wrong(".include must be an https URL"));
            }
            continue;
        }
        // A relation has its kind in front of a slash, which people leave out.
        let relations = texts(statement, "relation").filter(|all| !all.is_empty());
        let Some(relations) = relations.filter(|all| all.iter().all(|relation| relation.contains('/')))
        else {
            return Err(wrong(
                ".relation must be an array of strings such as delegate_permission/common.handle_all_urls",
            ));
        };
        let unknown = relations.into_iter().filter(|relation| !RELATIONS.contains(relation));
        for relation in unknown.take(WARNINGS_MAX.saturating_sub(warnings.len())) {
            let (relation, known) = (short(relation), RELATIONS.join(", "));
            warnings.push(format!(
                "{FILE}: [{at}].relation has {relation:?}, which is none that Android documents: {known}"
            ));
        }
        let Field::Value(Json::Object(target)) = statement.get("target") else {
            return Err(wrong(".target must be an object"));
        };
        check_target(target).map_err(wrong)?;
    }
    Ok((stored(body), warnings))
}

/// Fails unless the target of a statement is an app or a site. The error is the place within the statement, and the rule.
fn check_target(target: &Object) -> Result<(), &'static str> {
    match target.get("namespace") {
        Field::Value(Json::Text(name)) if name == "android_app" => {
            // A name without a dot is no package, and the name of the app is often taken for it.
            if !matches!(target.get("package_name"), Field::Value(Json::Text(name)) if name.contains('.')) {
                return Err(".target.package_name must be a name such as com.example.app");
            }
            let fingerprints = texts(target, "sha256_cert_fingerprints").filter(|all| !all.is_empty());
            if !fingerprints.is_some_and(|all| all.iter().all(|text| is_fingerprint(text))) {
                return Err(
                    ".target.sha256_cert_fingerprints must be an array of 32 bytes each, in capitals such as 14:6D:E9:...",
                );
            }
            Ok(())
        }
        Field::Value(Json::Text(name)) if name == "web" => {
            let is_site = matches!(target.get("site"), Field::Value(site) if is_https(site));
            if is_site { Ok(()) } else { Err(".target.site must be an https URL") }
        }
        _ => Err(".target.namespace must be android_app or web"),
    }
}

fn is_https(value: &Json) -> bool {
    // Phones take no statements from http, which others on the way could change.
    matches!(value, Json::Text(url) if url.starts_with("https://"))
}

fn is_fingerprint(text: &str) -> bool {
    // In capitals, as `keytool` prints it: Android compares the texts.
    let is_byte =
        |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    text.split(':').count() == FINGERPRINT && text.split(':').all(is_byte)
}

/// Returns the strings of an array, or `None` if the member is no array of strings.
fn texts<'o>(object: &'o Object, name: &str) -> Option<Vec<&'o str>> {
    let Field::Value(Json::List(all)) = object.get(name) else { return None };
    all.iter().map(|each| if let Json::Text(text) = each { Some(text.as_str()) } else { None }).collect()
}

fn parsed(file: &'static str, body: &[u8]) -> Result<Json, BadRequest> {
    if body.len() > APP_LINKS_MAX {
        return Err(rule(file, format!("must be at most {APP_LINKS_MAX} bytes, and has {}", body.len())));
    }
    json::parse(body).map_err(BadRequest::Malformed)
}

fn stored(body: &[u8]) -> Attachment {
    // A phone's parser may not skip the mark.
    let bytes = body.strip_prefix(json::BYTE_ORDER_MARK).unwrap_or(body);
    Attachment { format: AttachmentFormat::Json, bytes: bytes.into() }
}

fn rule(file: &'static str, why: impl Into<String>) -> BadRequest {
    BadRequest::Rule(Invalid::new(file, why))
}

/// Returns the start of a text for a message.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(parsed: Result<CheckedFile, BadRequest>) -> String {
        match parsed {
            Ok((_, warnings)) => warnings.join("\n"),
            Err(BadRequest::Rule(invalid)) => invalid.why,
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn files_of_apple() {
        const NO_PATTERNS: &str =
            "applinks.details[0] needs components such as [{\"/\": \"/*\"}]: it names no link";
        let detail = |detail: &str| format!(r#"{{"applinks":{{"details":[{detail}]}}}}"#);
        let rows = [
            (detail(r#"{"appIDs":["ABCDE12345.com.example.app"],"components":[{"/":"/sale/*"}]}"#), ""),
            (
                r#"{"applinks":{"apps":[],"details":[{"appID":"ABCDE12345.com.e-x.app","paths":["*"]}]}}"#
                    .to_owned(),
                "",
            ),
            (r#"{"webcredentials":{"apps":["ABCDE12345.com.example.app"]}}"#.to_owned(), ""),
            ("[]".to_owned(), "must be a JSON object"),
            ("{}".to_owned(), "is empty: it needs a service such as applinks"),
            (
                r#"{"applink":{}}"#.to_owned(),
                "has the unknown service \"applink\": it may have applinks, webcredentials, appclips, activitycontinuation",
            ),
            (r#"{"applinks":[]}"#.to_owned(), "applinks must be an object"),
            (r#"{"applinks":{}}"#.to_owned(), "applinks.details must be an array of objects"),
            (detail("1"), "applinks.details[0] must be an object"),
            (detail("{}"), "applinks.details[0] needs appIDs, an array of app ids, or appID"),
            (detail(r#"{"appIDs":[]}"#), "applinks.details[0] needs appIDs, an array of app ids, or appID"),
            (
                detail(r#"{"appIDs":["com.example.app"]}"#),
                "applinks.details[0]: \"com.example.app\" is no app id such as ABCDE12345.com.example.app",
            ),
            (
                detail(r#"{"appID":"ABCDE12345.a","components":["/*"]}"#),
                "applinks.details[0].components must be an array of objects",
            ),
            (
                detail(r#"{"appID":"ABCDE12345.a","paths":"*"}"#),
                "applinks.details[0].paths must be an array of strings",
            ),
            (r#"{"appclips":{}}"#.to_owned(), "appclips.apps must be an array of app ids"),
            (detail(r#"{"appIDs":["ABCDE12345.a"]}"#), NO_PATTERNS),
            (detail(r#"{"appIDs":["ABCDE12345.a"],"components":[]}"#), NO_PATTERNS),
            (detail(r#"{"appIDs":["ABCDE12345.a"],"component":[{"/":"*"}]}"#), NO_PATTERNS),
            (
                detail(r#"{"appIDs":["ABCDE12345.a"],"components":[{"/":"/*"},{"/":"app/*"}]}"#),
                "applinks.details[0].components[1]./: \"app/*\" must begin with a slash, as the path of every link",
            ),
            (
                detail(r#"{"appIDs":["ABCDE12345.a"],"components":[{"/":1}]}"#),
                "applinks.details[0].components[0]./ must be a string",
            ),
            (
                detail(r#"{"appID":"ABCDE12345.a","paths":["/a","NOT b"]}"#),
                "applinks.details[0].paths[1]: \"b\" must begin with a slash, as the path of every link",
            ),
            (detail(r#"{"appID":"ABCDE12345.a","paths":["/a","NOT /b","*","?x","$(lang)/*"]}"#), ""),
            (
                detail(r#"{"appID":"ABCDE12345.a","components":[{"path":"*"}]}"#),
                "apple-app-site-association: applinks.details[0].components[0] has the unknown member \"path\", which phones ignore: it may have /, ?, #, exclude, comment, caseSensitive, percentEncoded",
            ),
            (
                r#"{"applinks":{"details":[],"detail":[]}}"#.to_owned(),
                "apple-app-site-association: applinks has the unknown member \"detail\", which phones ignore: it may have apps, details, defaults, substitutionVariables",
            ),
        ];
        for (body, want) in rows {
            assert_eq!(why(apple(body.as_bytes())), want, "{body}");
        }
        assert!(matches!(apple(b"{"), Err(BadRequest::Malformed(_))));
        let long = format!("{}{{}}", " ".repeat(APP_LINKS_MAX));
        assert_eq!(why(apple(long.as_bytes())), "must be at most 65536 bytes, and has 65538");
    }

    #[test]
    fn files_of_android() {
        const FINGERPRINTS: &str = "[0].target.sha256_cert_fingerprints must be an array of 32 bytes each, in capitals such as 14:6D:E9:...";
        let fingerprint = ["AB"; FINGERPRINT].join(":");
        let of = |target: &str| {
            format!(r#"[{{"relation":["delegate_permission/common.handle_all_urls"],"target":{target}}}]"#)
        };
        let app = |fingerprint: &str| {
            of(&format!(
                r#"{{"namespace":"android_app","package_name":"com.example.app","sha256_cert_fingerprints":["{fingerprint}"]}}"#
            ))
        };
        let rows = [
            (app(&fingerprint), ""),
            (of(r#"{"namespace":"web","site":"https://e.test"}"#), ""),
            (r#"[{"include":"https://e.test/statements.json"}]"#.to_owned(), ""),
            (r#"[{"include":"http://e.test/a.json"}]"#.to_owned(), "[0].include must be an https URL"),
            (r#"[{"include":1}]"#.to_owned(), "[0].include must be an https URL"),
            ("{}".to_owned(), "must be a JSON array of statements"),
            ("[]".to_owned(), "is empty: it needs a statement"),
            ("[1]".to_owned(), "[0] must be an object"),
            (
                "[{}]".to_owned(),
                "[0].relation must be an array of strings such as delegate_permission/common.handle_all_urls",
            ),
            (
                app(&fingerprint).replace("delegate_permission/common.", ""),
                "[0].relation must be an array of strings such as delegate_permission/common.handle_all_urls",
            ),
            (
                app(&fingerprint).replace("all_urls", "all_url"),
                "assetlinks.json: [0].relation has \"delegate_permission/common.handle_all_url\", which is none that Android documents: delegate_permission/common.handle_all_urls, delegate_permission/common.get_login_creds, delegate_permission/common.use_as_origin",
            ),
            (of("1"), "[0].target must be an object"),
            (of(r#"{"namespace":"ios"}"#), "[0].target.namespace must be android_app or web"),
            (
                of(r#"{"namespace":"android_app","package_name":"app"}"#),
                "[0].target.package_name must be a name such as com.example.app",
            ),
            (of(r#"{"namespace":"android_app","package_name":"a.b"}"#), FINGERPRINTS),
            (app("AB:CD"), FINGERPRINTS),
            (app(&fingerprint.to_lowercase()), FINGERPRINTS),
            (of(r#"{"namespace":"web","site":"e.test"}"#), "[0].target.site must be an https URL"),
        ];
        for (body, want) in rows {
            assert_eq!(why(android(body.as_bytes())), want, "{body}");
        }
        let marked = [json::BYTE_ORDER_MARK, app(&fingerprint).as_bytes()].concat();
        assert_eq!(
            android(&marked).map(|(file, _)| file.bytes.into_vec()),
            Ok(app(&fingerprint).into_bytes())
        );
    }
}
