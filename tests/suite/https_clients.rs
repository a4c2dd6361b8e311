//! E15: clients of others over HTTPS, with HTTP/1.1 and HTTP/2. Each reads to the end of the connection and reports a
//! connection that is cut instead of closed.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::app::HOST;
use crate::support::https_app::HttpsApp;
use crate::support::process::not_tested;

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

/// Three requests on a connection with each protocol, and one that is read to the end with each version of TLS.
const GO: &str = r#"
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	host, port := os.Args[1], os.Args[2]
	pem, err := os.ReadFile(os.Args[3])
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	address := "127.0.0.1:" + port
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	for _, isSecond := range []bool{false, true} {
		transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: isSecond}
		if !isSecond {
			transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
		for i := 0; i < 3; i++ {
			response, err := client.Get("https://" + host + ":" + port + "/abc")
			check(err)
			_, err = io.ReadAll(response.Body)
			check(err)
			response.Body.Close()
			fmt.Println(response.Proto, response.StatusCode, response.Header.Get("Location"))
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{RootCAs: roots, ServerName: host, MinVersion: version, MaxVersion: version}
		connection, err := tls.Dial("tcp", address, config)
		check(err)
		fmt.Fprintf(connection, "GET /abc HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		text, err := io.ReadAll(connection)
		check(err)
		fmt.Println(strings.SplitN(string(text), "\r\n", 2)[0])
	}
}
"#;

/// The same.
const JAVA: &str = r#"
import java.io.FileInputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    public static void main(String[] arguments) throws Exception {
        String host = arguments[0];
        int port = Integer.parseInt(arguments[1]);
        var roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null);
        var root = CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(arguments[2]));
        roots.setCertificateEntry("root", root);
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        for (var version : HttpClient.Version.values()) {
            var client = HttpClient.newBuilder().sslContext(context).version(version).build();
            var request = HttpRequest.newBuilder(URI.create("https://" + host + ":" + port + "/abc")).build();
            for (int i = 0; i < 3; i++) {
                var response = client.send(request, HttpResponse.BodyHandlers.ofString());
                var location = response.headers().firstValue("location").orElse("");
                System.out.println(response.version() + " " + response.statusCode() + " " + location);
            }
        }
        for (String version : new String[] {"TLSv1.2", "TLSv1.3"}) {
            var plain = new Socket("127.0.0.1", port);
            var socket = (SSLSocket) context.getSocketFactory().createSocket(plain, host, port, true);
            socket.setEnabledProtocols(new String[] {version});
            var text = "GET /abc HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(text.getBytes());
            System.out.println(new String(socket.getInputStream().readAllBytes()).split("\r\n")[0]);
        }
    }
}
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

fn has(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).output().is_ok();
    if !found {
        not_tested(&format!("a client over HTTPS: {program} is not installed"));
    }
    found
}

/// Checks that a client got all redirects, and both ends of connections.
#[track_caller]
fn got_all(output: &Output, versions: [&str; 2]) {
    let (said, complaint) = texts(output);
    assert!(output.status.success(), "{complaint}");
    let redirects =
        versions.map(|version| [&*format!("{version} 302 https://example.com/"); 3].map(str::to_owned));
    let want: Vec<String> = redirects
        .concat()
        .into_iter()
        .chain(["HTTP/1.1 302 Found".to_owned(), "HTTP/1.1 302 Found".to_owned()])
        .collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), want, "{complaint}");
}

#[test]
fn e15_go_is_served_over_http1_and_http2_and_reads_to_the_announced_end() {
    if !has("go", "version") {
        return;
    }
    let site = Site::start();
    let folder = site.app.folder.path();
    let source = folder.join("client.go");
    fs::write(&source, GO).expect("a small file");
    let mut go = Command::new("go");
    go.arg("run").arg(&source).args([HOST, &site.address().port().to_string(), &site.roots]);
    go.env("GOCACHE", folder.join("cache")).env("GO111MODULE", "off").env("GOFLAGS", "");
    got_all(&output(&mut go), ["HTTP/1.1", "HTTP/2.0"]);
}

#[test]
fn e15_java_is_served_over_http1_and_http2_and_reads_to_the_announced_end() {
    if !has("java", "-version") {
        return;
    }
    let site = Site::start();
    let folder = site.app.folder.path();
    let (source, hosts) = (folder.join("Client.java"), folder.join("hosts"));
    fs::write(&source, JAVA).expect("a small file");
    fs::write(&hosts, format!("127.0.0.1 {HOST}\n")).expect("a small file");
    let mut java = Command::new("java");
    java.arg(format!("-Djdk.net.hosts.file={}", hosts.display())).arg(&source);
    java.args([HOST, &site.address().port().to_string(), &site.roots]);
    got_all(&output(&mut java), ["HTTP_1_1", "HTTP_2"]);
}

#[test]
fn e15_chromium_shows_a_page() {
    if !has("chromium", "--version") {
        return;
    }
    let site = Site::start();
    let profile = tempfile::tempdir().expect("a temporary folder");
    let mut chromium = Command::new("chromium");
    chromium
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // Its list of authorities is not that of the machine.
        .arg("--ignore-certificate-errors")
        .arg(format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--dump-dom")
        .arg(format!("https://{HOST}:{}/", site.address().port()));
    let output = output(&mut chromium);
    let (page, complaint) = texts(&output);
    assert!(output.status.success() && page.contains("Waypost is running"), "{page}\n{complaint}");
}
