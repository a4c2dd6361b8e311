//! Chromium without a window, driven by chromedriver. The browser reaches this machine only: other host names
//! do not resolve, and requests to other hosts end at a proxy here that never answers. Both programs end with
//! the test.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::{ParseError, Url};

use crate::support::process::{PATIENCE, not_tested, poll};

/// Longest wait for chromedriver to close its browser, before both are killed.
const PARTING: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scripts {
    On,
    Off,
}

/// A browser with one window.
pub(crate) struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Driver,
}

impl Browser {
    /// Starts a browser. Returns `None` with a printed notice if Chromium is not installed, and fails instead
    /// if `CI` is set.
    pub(crate) fn start(scripts: Scripts) -> Option<Browser> {
        let (Some(chromium), Some(chromedriver)) = (installed("chromium"), installed("chromedriver")) else {
            assert!(std::env::var_os("CI").is_none(), "chromium and chromedriver must be installed");
            not_tested("pages in a browser: chromium and chromedriver are not installed");
            return None;
        };
        let mut driver = Driver::start(&chromedriver);
        let driver_url = format!("http://127.0.0.1:{}", driver.port());
        let proxy = format!("--proxy-server=http://{}", sink());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            // The User-Agent of a person. Chromium without a window names itself otherwise, and counts as a
            // bot.
            "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-default-apps",
            "--window-size=1000,800",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            &proxy,
        ];
        let javascript = if scripts == Scripts::On { 1 } else { 2 };
        let wishes = json!({
            // Wait for the page only: the hosts of its external resources never answer here.
            "pageLoadStrategy": "eager",
            "goog:chromeOptions": {
                "binary": chromium,
                "args": args,
                "prefs": {"profile.managed_default_content_settings.javascript": javascript},
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let Value::Object(wishes) = wishes else { unreachable!("an object stands above") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connected = builder.capabilities(wishes).connect(&driver_url);
        let client = runtime.block_on(async { tokio::time::timeout(PATIENCE, connected).await });
        let client = client.expect("a browser in time").expect("a session");
        Some(Browser { runtime, client: Some(client), driver })
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("taken only when dropped")
    }

    /// Opens a URL and waits until the page is parsed. Its resources may still be loading.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.runtime.block_on(self.client().goto(url)).expect(url);
    }

    /// Returns the URL in the address bar.
    pub(crate) fn url(&self) -> String {
        self.runtime.block_on(self.client().current_url()).expect("an address").into()
    }

    /// Waits until the URL in the address bar is `url`.
    #[track_caller]
    pub(crate) fn arrives(&self, url: &str) {
        let mut seen = String::new();
        let deadline = std::time::Instant::now() + PATIENCE;
        while seen != url && std::time::Instant::now() < deadline {
            seen = self.url();
        }
        assert_eq!(seen, url, "{:?}", self.console());
    }

    pub(crate) fn title(&self) -> String {
        self.runtime.block_on(self.client().title()).expect("a title")
    }

    /// Waits for the first element that matches.
    #[track_caller]
    fn element(&self, css: &str) -> Element {
        let found = self.client().wait().at_most(PATIENCE).for_element(Locator::Css(css));
        self.runtime.block_on(found).expect(css)
    }

    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.runtime.block_on(element.send_keys(text)).expect(css);
    }

    /// Clicks as a person does. Fails if another element covers this one.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        let element = self.element(css);
        self.runtime.block_on(element.click()).expect(css);
    }

    /// Returns the visible text of an element.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> String {
        let element = self.element(css);
        self.runtime.block_on(element.text()).expect(css)
    }

    /// Runs `act` inside a frame.
    #[track_caller]
    pub(crate) fn within<T>(&self, frame: &str, act: impl FnOnce() -> T) -> T {
        let element = self.element(frame);
        self.runtime.block_on(element.enter_frame()).expect(frame);
        let result = act();
        self.runtime.block_on(self.client().enter_parent_frame()).expect("the page around it");
        result
    }

    /// Runs a script and returns its result.
    #[track_caller]
    pub(crate) fn eval(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute(script, Vec::new())).expect(script)
    }

    /// Returns the console messages since the last call.
    pub(crate) fn console(&self) -> Vec<String> {
        self.log("browser")
    }

    /// Returns the other hosts that pages requested since the last call, without the requests that Chromium
    /// sends to its vendor by itself.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        let events = self.log("performance").into_iter();
        let events = events.map(|event| serde_json::from_str::<Value>(&event).expect("JSON"));
        let requests = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let hosts = requests.filter_map(|event| {
            let url = event["message"]["params"]["request"]["url"].as_str().expect("an address");
            Url::parse(url).expect("an address").host_str().map(str::to_owned)
        });
        hosts.filter(|host| host != "127.0.0.1").collect()
    }

    /// Shows pages in a window of this size, and tells them whether the system is dark.
    pub(crate) fn shows(&self, width: u32, height: u32, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setDeviceMetricsOverride", size);
        self.tell("Emulation.setEmulatedMedia", media);
    }

    /// Lets scripts of the test run on pages whose policy allows none. Takes effect with the next page.
    pub(crate) fn bypasses_policies(&self, bypasses: bool) {
        self.tell("Page.setBypassCSP", json!({"enabled": bypasses}));
    }

    /// Runs a script that calls its last argument with its result.
    #[track_caller]
    pub(crate) fn eval_async(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute_async(script, Vec::new())).expect("a result")
    }

    /// Returns a picture of the window as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        self.runtime.block_on(self.client().screenshot()).expect("a picture")
    }

    /// Goes back to the page before.
    pub(crate) fn back(&self) {
        self.runtime.block_on(self.client().back()).expect("a page before");
    }

    fn tell(&self, command: &'static str, parameters: Value) {
        let told = self.client().issue_cmd(DevTools(command, parameters));
        self.runtime.block_on(told).expect(command);
    }

    /// Sends this header with every later request, instead of the one set before.
    pub(crate) fn sends(&self, name: &str, value: &str) {
        for (command, parameters) in [
            ("Network.enable", json!({})),
            ("Network.setExtraHTTPHeaders", json!({"headers": {name: value}})),
        ] {
            self.tell(command, parameters);
        }
    }

    fn log(&self, kind: &'static str) -> Vec<String> {
        let entries = self.runtime.block_on(self.client().issue_cmd(Log(kind))).expect(kind);
        let entries = entries.as_array().expect("a list").iter();
        entries.map(|entry| entry["message"].as_str().expect("a message").to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is closed ends by itself. The driver is killed in any case.
        if let Some(client) = self.client.take() {
            let closed = async { tokio::time::timeout(PARTING, client.close()).await };
            drop(self.runtime.block_on(closed));
        }
        self.driver.end();
    }
}

/// Returns the path of a program, if it is installed.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// chromedriver in a process group of its own, with a temporary folder. The browser's profile must be the one
/// that chromedriver creates below `TMPDIR`: with a named profile, Debian's Chromium loads its start page,
/// and the first command waits for it.
struct Driver {
    child: Child,
    folder: TempDir,
}

impl Driver {
    fn start(program: &PathBuf) -> Driver {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = File::create(folder.path().join("output")).expect("an output file");
        let child = Command::new(program)
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        Driver { child, folder }
    }

    /// Returns the port that chromedriver chose.
    #[track_caller]
    fn port(&mut self) -> u16 {
        let output = self.folder.path().join("output");
        poll("chromedriver's port", PATIENCE, || {
            let text = fs::read_to_string(&output).expect("its output");
            let (_, rest) = text.split_once("started successfully on port ")?;
            rest.split_once('.')?.0.parse().ok()
        })
    }

    fn end(&mut self) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // An error means that the process has ended already.
        let _ = kill_process(pid, Signal::TERM);
        let deadline = std::time::Instant::now() + PARTING;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(pid, Signal::KILL);
        drop(self.child.wait());
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a proxy that accepts every request and answers none, so that its clients wait. The proxy runs until
/// the process ends.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a bound port");
    thread::spawn(move || {
        let _open: Vec<TcpStream> = listener.incoming().flatten().collect();
    });
    address
}

/// A command of chromedriver for the developer tools of the browser.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.0, "params": self.1}).to_string()))
    }
}

/// A command of chromedriver: log entries of this kind since the last call.
#[derive(Debug)]
struct Log(&'static str);

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": self.0}).to_string()))
    }
}
