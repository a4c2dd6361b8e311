//! Errors of the server over a real socket, in every dialect: a full disk, a disk that does not confirm or is
//! gone, a panic, a store that is not loaded yet, a body that does not arrive. Status, headers and body are
//! checked to the last byte, and nothing remains after the error.

use std::time::Duration;

use serde_json::json;

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::failing_log::{Fault, Faults};
use crate::support::http::{Answer, Client, Connection};

/// The errors of a dialect.
struct Vendor {
    name: &'static str,
    /// A write; `HERE` stands for the workspace.
    write: (&'static str, &'static str, &'static str),
    read: &'static str,
    /// The header with the number of remaining requests.
    remaining: &'static str,
    /// Builds the body from status, phrase, Linquid's code, and the text in lower case.
    body: fn(u16, &str, &str, &str) -> String,
}

const HERE: &str = "ve9EPM428h8vShlRW1KT";
const AGENCY: &str = "5DP4iH6HLkQsiKESj6rh";
const SNAPSHOT: &str = "1eM2UgkfaECOYyUdCo9Pa";

const VENDORS: [Vendor; 4] = [
    Vendor {
        name: "native",
        write: ("POST", "/api/v1/links", r#"{"url":"https://e.test/"}"#),
        read: "/api/v1/links",
        remaining: "x-ratelimit-remaining",
        body: |_, _, _, sentence| format!(r#"{{"error":"{sentence}"}}"#),
    },
    Vendor {
        name: "linquid",
        write: ("POST", "/api/links", r#"{"destinationUrl":"https://e.test/"}"#),
        read: "/api/links",
        remaining: "x-ratelimit-remaining",
        body: |_, _, code, sentence| {
            let sentence = capital(sentence);
            format!(r#"{{"success":false,"error":{{"code":"{code}","message":"{sentence}"}}}}"#)
        },
    },
    Vendor {
        name: "highlevel links",
        write: (
            "POST",
            "/links/",
            r#"{"locationId":"ve9EPM428h8vShlRW1KT","name":"n","redirectTo":"https://e.test/"}"#,
        ),
        read: "/links/?locationId=ve9EPM428h8vShlRW1KT",
        remaining: "x-ratelimit-daily-remaining",
        body: |status, phrase, _, sentence| {
            format!(r#"{{"statusCode":{status},"message":"{sentence}","error":"{phrase}"}}"#)
        },
    },
    Vendor {
        name: "highlevel snapshots",
        write: (
            "POST",
            "/snapshots/share/link",
            r#"{"snapshot_id":"1eM2UgkfaECOYyUdCo9Pa","share_type":"link"}"#,
        ),
        read: "/snapshots/?companyId=5DP4iH6HLkQsiKESj6rh",
        remaining: "x-ratelimit-daily-remaining",
        body: |status, _, _, sentence| {
            format!(r#"{{"statusCode":{status},"message":"{}"}}"#, capital(sentence))
        },
    },
];

fn capital(sentence: &str) -> String {
    sentence[..1].to_ascii_uppercase() + &sentence[1..]
}

/// The response to one kind of error.
struct Told {
    status: u16,
    phrase: &'static str,
    /// Linquid's code.
    code: &'static str,
    sentence: &'static str,
    retry_after: Option<&'static str>,
}

const NOT_READY: Told = Told {
    status: 503,
    phrase: "Service Unavailable",
    code: "SERVICE_UNAVAILABLE",
    sentence: "the store is not ready; try again",
    retry_after: Some("5"),
};

impl Vendor {
    #[track_caller]
    fn check(&self, answer: &Answer, told: &Told) {
        let row = format!("{} {}: {answer:?}", self.name, told.status);
        assert_eq!(answer.status, told.status, "{row}");
        let body = (self.body)(told.status, told.phrase, told.code, told.sentence);
        assert_eq!(answer.text(), format!("{body}\n"), "{row}");
        for (name, want) in [
            ("content-type", Some("application/json; charset=utf-8")),
            ("cache-control", Some("no-store")),
            ("x-content-type-options", Some("nosniff")),
            ("retry-after", told.retry_after),
            ("access-control-allow-origin", None),
        ] {
            assert_eq!(answer.header(name), want, "{name}: {row}");
        }
    }

    #[track_caller]
    fn write(&self, client: &mut Client) -> Answer {
        let (method, target, body) = self.write;
        client.send(method, target, &[], Some(body.as_bytes()))
    }
}

/// Creates the workspace and the snapshot that the requests name.
fn furnish(app: &TestApp) {
    let mut admin = app.admin();
    admin.post("/api/v1/companies", &json!({"name": "Agency", "id": AGENCY})).expect(201, "a company");
    let location = json!({"name": "Location", "id": HERE, "companyId": AGENCY});
    admin.post("/api/v1/workspaces", &location).expect(201, "a workspace");
    let mut there = app.admin().with("X-Workspace-Id", HERE);
    there.post("/api/v1/snapshots", &json!({"name": "S", "id": SNAPSHOT})).expect(201, "a snapshot");
}

/// A client with a key of the agency, whose share names no company.
fn client(app: &TestApp) -> Client {
    app.admin().with("X-Workspace-Id", HERE)
}

#[test]
fn failed_writes_in_every_dialect() {
    let faults = Faults::default();
    let app = TestApp::start_ill(|_| {}, &faults, true);
    furnish(&app);
    let rows = [
        (
            Fault::Full,
            Told {
                status: 507,
                phrase: "Insufficient Storage",
                code: "INSUFFICIENT_STORAGE",
                sentence: "the disk is full; nothing was written",
                retry_after: Some("30"),
            },
        ),
        (
            Fault::Unconfirmed,
            Told {
                sentence: "outcome unknown: the disk did not confirm the write; repeat it with the same Idempotency-Key",
                ..NOT_READY
            },
        ),
        (Fault::Unavailable, NOT_READY),
        (
            Fault::Panic,
            Told {
                status: 500,
                phrase: "Internal Server Error",
                code: "INTERNAL_ERROR",
                sentence: "internal error",
                retry_after: None,
            },
        ),
    ];
    for vendor in &VENDORS {
        for (fault, told) in &rows {
            faults.set(Some(*fault));
            let answer = vendor.write(&mut client(&app));
            vendor.check(&answer, told);
            // After a panic the response lacks the request id and the rate headers.
            let is_known = *fault != Fault::Panic;
            for name in ["x-request-id", vendor.remaining] {
                assert_eq!(answer.header(name).is_some(), is_known, "{name}: {answer:?}");
            }
            faults.set(None);
            let answer = vendor.write(&mut client(&app));
            assert_eq!(answer.status, 201, "{} once it is over: {answer:?}", vendor.name);
        }
    }
}

#[test]
fn an_unreadable_store_in_every_dialect() {
    // The table is missing, and the log cannot be read to rebuild it.
    let faults = Faults::default();
    faults.set(Some(Fault::Unreadable));
    let app = TestApp::start().restart_ill(&faults);
    for vendor in &VENDORS {
        // With any key, since the valid ones are in the store.
        for key in [KEY, "any"] {
            let mut client = app.visitor().with_key(key);
            vendor.check(&client.get(vendor.read), &NOT_READY);
            vendor.check(&vendor.write(&mut client), &NOT_READY);
        }
    }
}

#[test]
fn a_missing_body_in_every_dialect() {
    let told = Told {
        status: 408,
        phrase: "Request Timeout",
        code: "REQUEST_TIMEOUT",
        sentence: "the body did not arrive in time",
        retry_after: None,
    };
    let app = TestApp::start_with(|config| config.http.body_timeout = Duration::from_millis(50));
    for vendor in &VENDORS {
        let (method, target, body) = vendor.write;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n{{",
            body.len(),
        );
        let mut connection = Connection::open(app.address()).expect("it listens");
        connection.send(head.as_bytes()).expect("it reads");
        let answer = connection.receive(false).expect("an answer").expect("one before the end");
        vendor.check(&answer, &told);
        assert!(answer.closes() && connection.is_closed(), "{}", vendor.name);
        assert!(answer.header(vendor.remaining).is_some(), "{answer:?}");
    }
}
