//! The files by which a domain names the apps that open its links. They are stored as they are given; the checks find the
//! mistakes after which a phone ignores a file without a word.
//!
//! Apple: `apple-app-site-association` ("Supporting associated domains"). Google: Digital Asset Links, `assetlinks.json`.

use crate::http::api::dialect::BadRequest;
use crate::json::{self, Field, Json, Object};
use crate::model::Invalid;
use crate::model::attachment::{APP_LINKS_MAX, Attachment, AttachmentFormat};

/// The services in Apple's file.
const SERVICES: [&str; 4] = ["applinks", "webcredentials", "appclips", "activitycontinuation"];

/// Bytes of a SHA-256 fingerprint.
const FINGERPRINT: usize = 32;

/// Parses an `apple-app-site-association`.
pub(super) fn apple(body: &[u8]) -> Result<Attachment, BadRequest> {
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
    for (name, service) in file.iter() {
        let Json::Object(service) = service else {
            return Err(rule(FILE, format!("{name} must be an object")));
        };
        if name == "applinks" {
            app_links(FILE, service)?;
        } else {
            let apps = texts(service, "apps")
                .ok_or_else(|| rule(FILE, format!("{name}.apps must be an array of app ids")))?;
            apps.iter().try_for_each(|app| app_id(FILE, &format!("{name}.apps"), app))?;
        }
    }
    Ok(stored(body))
}

fn app_links(file: &'static str, service: &Object) -> Result<(), BadRequest> {
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
        for (name, of) in [("components", "objects"), ("paths", "strings")] {
            let fits = match detail.get(name) {
                Field::Absent => true,
                Field::Value(Json::List(all)) => all.iter().all(|each| {
                    matches!((each, of), (Json::Object(_), "objects") | (Json::Text(_), "strings"))
                }),
                Field::Null | Field::Value(_) => false,
            };
            if !fits {
                return Err(rule(file, format!("{place}.{name} must be an array of {of}")));
            }
        }
    }
    Ok(())
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
pub(super) fn android(body: &[u8]) -> Result<Attachment, BadRequest> {
    const FILE: &str = "assetlinks.json";
    let Json::List(statements) = parsed(FILE, body)? else {
        return Err(rule(FILE, "must be a JSON array of statements"));
    };
    if statements.is_empty() {
        return Err(rule(FILE, "is empty: it needs a statement"));
    }
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
        if texts(statement, "relation").is_none_or(|relations| relations.is_empty()) {
            return Err(wrong(
                ".relation must be an array of strings such as delegate_permission/common.handle_all_urls",
            ));
        }
        let Field::Value(Json::Object(target)) = statement.get("target") else {
            return Err(wrong(".target must be an object"));
        };
        match target.get("namespace") {
            Field::Value(Json::Text(name)) if name == "android_app" => {
                // A name without a dot is no package, and the name of the app is often taken for it.
                if !matches!(target.get("package_name"), Field::Value(Json::Text(name)) if name.contains('.'))
                {
                    return Err(wrong(".target.package_name must be a name such as com.example.app"));
                }
                let fingerprints = texts(target, "sha256_cert_fingerprints");
                if !fingerprints
                    .is_some_and(|all| !all.is_empty() && all.iter().all(|text| is_fingerprint(text)))
                {
                    return Err(wrong(
                        ".target.sha256_cert_fingerprints must be an array of 32 bytes each, in capitals such as 14:6D:E9:...",
                    ));
                }
            }
            Field::Value(Json::Text(name)) if name == "web" => {
                if !matches!(target.get("site"), Field::Value(site) if is_https(site)) {
                    return Err(wrong(".target.site must be an https URL"));
                }
            }
            _ => return Err(wrong(".target.namespace must be android_app or web")),
        }
    }
    Ok(stored(body))
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

    fn why(parsed: Result<Attachment, BadRequest>) -> String {
        match parsed {
            Ok(_) => String::new(),
            Err(BadRequest::Rule(invalid)) => invalid.why,
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn files_of_apple() {
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
        assert_eq!(android(&marked).map(|file| file.bytes.into_vec()), Ok(app(&fingerprint).into_bytes()));
    }
}
