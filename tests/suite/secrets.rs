//! Secrets are placed wherever they can be. Then none of them occurs in the log at its most detailed level,
//! in errors, metrics, health or the output of commands. Each secret has one response that contains it.

use serde_json::json;

use crate::support::app::KEY;
use crate::support::http::{Answer, Client, text};
use crate::support::process::{PATIENCE, Plan, poll};

const PASSWORD: &str = "canary-password";
const GUESS: &str = "canary-guess";
const QUERY: &str = "canary-of-a-destination";
const VISITED: &str = "canary-of-a-visitor";
const BAD_KEY: &str = "wp_canary_that_is_no_key_0123456789abcdefghijk";

/// Outputs that must not contain a secret, with their origin.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn refusal(&mut self, what: &str, answer: &Answer) {
        assert!(answer.status >= 400, "{what}: {answer:?}");
        self.0.push((what.to_owned(), format!("{answer:?} {}", answer.text())));
    }

    #[track_caller]
    fn holds_none_of(&self, secrets: &[(&str, String)]) {
        for (place, said) in &self.0 {
            for (name, secret) in secrets {
                assert!(secret.len() >= 10, "{name} is too short to look for");
                assert!(!said.contains(secret.as_str()), "{name} stands in {place}:\n{said}");
            }
        }
    }
}

/// Sends invalid requests of every dialect, each with secrets in its body.
fn refused(admin: &mut Client, heard: &mut Heard, secret: &str) {
    let rows = [
        (
            "POST",
            "/api/v1/links",
            format!("{{\"url\":\"https://e.test/?{QUERY}\",\"password\":\"{PASSWORD}\""),
        ),
        ("POST", "/api/v1/links", format!("{{\"url\":\"https://e.test/\",\"password\":[\"{PASSWORD}\"]}}")),
        ("POST", "/api/v1/links", format!("{{\"url\":\"javascript:{QUERY}\",\"password\":\"{PASSWORD}\"}}")),
        ("POST", "/api/v1/links", format!("{{\"url\":\"https://u:{PASSWORD}@e.test/?{QUERY}\"}}")),
        ("POST", "/api/v1/links", format!("{{\"{PASSWORD}\":1,\"{PASSWORD}\":2}}")),
        ("POST", "/api/v1/keys", format!("{{\"name\":\"n\",\"scopes\":[\"{secret}\"]}}")),
        ("PATCH", "/api/v1/links/00000000000000000000", format!("{{\"password\":\"{PASSWORD}\"}}")),
        ("POST", "/api/links", format!("{{\"destinationUrl\":\"{QUERY}\",\"password\":\"{PASSWORD}\"}}")),
        ("POST", "/links", format!("{{\"redirectTo\":\"{QUERY}\",\"name\":{{\"{PASSWORD}\":1}}}}")),
        ("POST", "/snapshots/share/link", format!("{{\"snapshot_id\":\"{PASSWORD}\"}}")),
        ("POST", "/api/v1/snapshots/import", format!("{{\"shareLink\":\"{PASSWORD}\"}}")),
        ("POST", "/api/v1/nonsense", format!("{{\"password\":\"{PASSWORD}\"}}")),
    ];
    for (method, path, body) in rows {
        let answer = admin.send(method, path, &[], Some(body.as_bytes()));
        heard.refusal(&format!("the refusal of {method} {path} {body}"), &answer);
    }
}

#[test]
fn t105_no_secret_is_logged_or_returned() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let plan = || Plan::on(&data).env("WAYPOST_LOG_FILTER", "trace").env("WAYPOST_METRICS__PUBLIC", "true");
    let mut heard = Heard::default();

    // The first start writes a key of its own into a file.
    let first = plan().without("WAYPOST_ADMIN_KEY").start();
    heard.0.push(("the first start's text".to_owned(), first.stdout()));
    heard.0.push(("the first start's log".to_owned(), first.stop()));
    let file = std::fs::read_to_string(data.join("admin.key")).expect("the key's file");

    let server = plan().start();
    let (mut admin, mut visitor) = (server.admin(), server.visitor());
    let made =
        admin.post("/api/v1/keys", &json!({"name": "k", "scopes": ["links.readonly"]})).expect(201, "a key");
    let secret = text(&made["key"], "secret").to_owned();
    let url = format!("https://e.test/?token={QUERY}");
    let plain = admin.create(&json!({"url": url, "customSlug": "plain", "forwardParameters": true}));
    admin.create(&json!({"url": url, "customSlug": "guarded", "password": PASSWORD}));
    let id = text(&plain, "id").to_owned();
    let spaces = admin.get("/api/v1/workspaces").expect(200, "the workspaces");
    let space = format!("/api/v1/workspaces/{}/webhook-secret", text(&spaces["workspaces"][0], "id"));
    let hooks = admin.get(&space).expect(200, "made on first need")["webhookSecret"].clone();
    let field = json!({"text": format!("{{{{trigger_link.{id}}}}}"), "contactId": "contact_7"});
    let rendered = admin.post("/api/v1/render", &field).expect(200, "a contact link");
    let (_, token) = text(&rendered, "text").split_once("/links/r/2/").expect("a token");
    let token = token.to_owned();

    // Visits with right and wrong values of visitors.
    assert_eq!(visitor.get(&format!("/plain?secret={VISITED}")).status, 302);
    assert_eq!(visitor.get(&format!("/links/r/2/{token}?secret={VISITED}")).status, 302);
    let forged = format!("{}x{}", &token[..20], &token[20..]);
    heard.refusal("a forged contact link's page", &visitor.get(&format!("/links/r/2/{forged}")));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let wrong = visitor.send_form("/guarded", &form, format!("password={GUESS}").as_bytes());
    heard.0.push(("the page after a wrong password".to_owned(), format!("{wrong:?} {}", wrong.text())));
    let asks = visitor.get("/guarded");
    heard.0.push(("the page that asks".to_owned(), format!("{asks:?} {}", asks.text())));
    let right = visitor.send_form("/guarded", &form, format!("password={PASSWORD}").as_bytes());
    let cookie =
        right.header("set-cookie").expect("it remembers").split(';').next().expect("a pair").to_owned();
    assert_eq!(visitor.send("GET", "/guarded", &[("Cookie", cookie.as_str())], None).status, 302);

    refused(&mut admin, &mut heard, &secret);
    for path in ["/api/v1/links", "/api/links", "/links/?locationId=x", "/snapshots/?companyId=x"] {
        let answer = server.visitor().with_key(BAD_KEY).get(path);
        heard.refusal(&format!("{path} with a bad key"), &answer);
    }
    assert_eq!(server.visitor().with_key(&secret).get("/api/v1/links").status, 200);
    for path in ["/metrics", "/healthz", "/readyz", "/api/openapi.json"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 200, "{path}");
        heard.0.push((path.to_owned(), answer.text()));
    }
    let shown = admin.get(&format!("/api/v1/links/{id}")).expect(200, "it is shown to its owner");
    assert!(shown.to_string().contains(QUERY));

    // Proof that the log is at its most detailed level.
    poll("the log of a request", PATIENCE, || server.stderr().contains("/api/v1/links").then_some(()));
    heard.0.push(("the server's text".to_owned(), server.stdout()));
    heard.0.push(("the log".to_owned(), server.stop()));
    for arguments in [&["doctor"][..], &["verify"], &["--check"]] {
        let plan = arguments.iter().fold(plan(), |plan, argument| plan.arg(argument));
        let (_, stdout, stderr) = plan.fails();
        heard.0.push((format!("what {arguments:?} prints"), stdout + &stderr));
    }
    let (_, _, refused) = plan().env("WAYPOST_ADMIN_KEY", "canary short").fails();
    heard.0.push(("a refused start".to_owned(), refused));

    let said: usize = heard.0.iter().map(|(_, said)| said.len()).sum();
    assert!(heard.0.len() > 25 && said > 10_000, "{said} bytes in {} places", heard.0.len());
    let (_, mac) = cookie.split_once('=').expect("a pair");
    heard.holds_none_of(&[
        ("the instance's key", KEY.to_owned()),
        ("the first key", file.trim().to_owned()),
        ("a bad key", BAD_KEY.to_owned()),
        ("a key that breaks a rule", "canary short".to_owned()),
        ("an API key", secret),
        ("a password", PASSWORD.to_owned()),
        ("a guess", GUESS.to_owned()),
        ("a destination's query", QUERY.to_owned()),
        ("a visitor's query", VISITED.to_owned()),
        ("a webhook secret", text(&hooks, "secret").to_owned()),
        ("a contact link's token", token),
        ("a cookie", mac.to_owned()),
    ]);
}
