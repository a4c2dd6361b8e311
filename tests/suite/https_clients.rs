//! E15: clients of others over HTTPS, with HTTP/1.1 and HTTP/2. Each reads to the end of the connection and reports a
//! connection that is cut instead of closed.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::app::HOST;
use crate::support::https_app::HttpsApp;

/// Reads one response as `http.client` does, and one to the end, which fails without a `close_notify`.
const PYTHON: &str = r#"
import http.client, socket, ssl, sys
host, port, roots = sys.argv[1], int(sys.argv[2]), sys.argv[3]
trust = ssl.create_default_context(cafile=roots)
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    trust.minimum_version = trust.maximum_version = version
    def connect():
        connection = socket.create_connection(("127.0.0.1", port))
        return trust.wrap_socket(connection, server_hostname=host, suppress_ragged_eofs=False)
    client = http.client.HTTPConnection(host)
    client.sock = connect()
    for _ in range(3):
        client.request("GET", "/abc")
        response = client.getresponse()
        response.read()
        print(client.sock.version(), response.status, response.headers["Location"])
    client.close()
    last = connect()
    last.sendall(f"GET /abc HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    text = b"".join(iter(lambda: last.recv(65536), b""))
    print(text.split(b"\r\n")[0].decode())
"#;

/// An app with a link, and the root of its certificate in a file.
struct Site {
    app: HttpsApp,
    roots: String,
}

impl Site {
    fn start() -> Site {
        let app = HttpsApp::start();
        app.app.admin().create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
        let roots = app.folder.path().join("roots.pem");
        fs::write(&roots, app.authority.pem()).expect("a small file");
        Site { app, roots: roots.display().to_string() }
    }

    fn address(&self) -> SocketAddr {
        self.app.address
    }
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Returns stdout and stderr.
fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn e15_curl_is_served_over_http1_and_http2_and_sees_whole_responses() {
    let site = Site::start();
    let address = site.address();
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2"), ("--http1.0", "1")] {
        let url = format!("https://{HOST}:{}/abc", address.port());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", option, "--cacert", &site.roots, "--max-time", "60"])
            .args(["--resolve", &format!("{HOST}:{}:{}", address.port(), address.ip())])
            .args(["--write-out", "%{http_version} %{http_code} %{redirect_url} %{num_connects}\n"])
            // Twice, on one connection if the protocol keeps it.
            .args([&url, &url]);
        let output = output(&mut curl);
        let (said, complaint) = texts(&output);
        assert!(output.status.success() && complaint.is_empty(), "{option}: {complaint}");
        let lines: Vec<&str> = said.lines().collect();
        let want = |connects: u8| format!("{version} 302 https://example.com/ {connects}");
        let second = u8::from(option == "--http1.0");
        assert_eq!(lines, [want(1), want(second)], "{option}");
    }
}

#[test]
fn e15_openssl_sees_the_announced_end_of_a_connection() {
    let site = Site::start();
    for version in ["-tls1_2", "-tls1_3"] {
        let request = format!("GET /abc HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let requests = site.app.folder.path().join("request");
        fs::write(&requests, request).expect("a small file");
        let mut openssl = Command::new("openssl");
        openssl
            .args(["s_client", version, "-quiet", "-verify_return_error", "-CAfile", &site.roots])
            .args(["-connect", &site.address().to_string(), "-servername", HOST])
            .stdin(Stdio::from(fs::File::open(&requests).expect("it was written")));
        let output = output(&mut openssl);
        let (said, complaint) = texts(&output);
        assert!(said.starts_with("HTTP/1.1 302 Found\r\n"), "{version}: {said}\n{complaint}");
        // Without the announcement OpenSSL 3 says "unexpected eof while reading".
        assert!(output.status.success() && !complaint.contains("error:"), "{version}: {complaint}");
    }
}

#[test]
fn e15_python_reads_to_the_announced_end() {
    let site = Site::start();
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON, HOST, &site.address().port().to_string(), &site.roots]);
    let output = output(&mut python);
    let (said, complaint) = texts(&output);
    assert!(output.status.success(), "{complaint}");
    let want: Vec<String> = ["TLSv1.2", "TLSv1.3"]
        .iter()
        .flat_map(|version| {
            let kept = format!("{version} 302 https://example.com/");
            [kept.clone(), kept.clone(), kept, "HTTP/1.1 302 Found".to_owned()]
        })
        .collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), want);
}
