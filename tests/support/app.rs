//! The program as `main` starts it, inside the test's process: on a free port, in a fresh folder, with a
//! clock that the test sets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use waypost::app::data_folder::FolderError;
use waypost::app::{App, StartError};
use waypost::clock::{Clock, Timestamp};
use waypost::config::{AdminKey, Config};
use waypost::http::conn::handover::HandedOver;
use waypost::log::LogError;

use crate::support::failing_log::Faults;
use crate::support::http::Client;
use crate::support::process::PATIENCE;

/// The instance key of every app and process under test.
pub(crate) const KEY: &str = "wp_KeyOfAllTestsThatNoExampleOfAnyApiShows0123";

/// The host of `public_url`.
pub(crate) const HOST: &str = "go.test";

/// The first time of the clock: 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000;

/// A running app. Stops in order when dropped.
pub(crate) struct TestApp {
    runtime: Runtime,
    app: Option<App>,
    config: Config,
    clock: Clock,
    folder: Option<TempDir>,
    address: SocketAddr,
}

impl TestApp {
    pub(crate) fn start() -> TestApp {
        TestApp::start_with(|_| {})
    }

    /// Starts an app with a changed configuration.
    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> TestApp {
        let (config, folder) = fresh(change);
        TestApp::launch(config, Clock::fixed(Timestamp::from_millis(START)), folder)
    }

    /// Starts an app whose clock is the system's.
    pub(crate) fn start_in_time(change: impl FnOnce(&mut Config)) -> TestApp {
        let (config, folder) = fresh(change);
        TestApp::launch(config, Clock::system(), folder)
    }

    /// Starts an app on a log with these faults. Returns without waiting for readiness if `ready` is false:
    /// some faults keep the app from becoming ready.
    pub(crate) fn start_ill(change: impl FnOnce(&mut Config), faults: &Faults, ready: bool) -> TestApp {
        let (config, folder) = fresh(change);
        let clock = Clock::fixed(Timestamp::from_millis(START));
        TestApp::launch_over(config, clock, folder, faults, ready)
    }

    fn launch(config: Config, clock: Clock, folder: TempDir) -> TestApp {
        TestApp::launch_over(config, clock, folder, &Faults::default(), true)
    }

    fn launch_over(config: Config, clock: Clock, folder: TempDir, faults: &Faults, ready: bool) -> TestApp {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let app = runtime.block_on(async {
            let app = start_unlocked(&config, &clock, faults).await;
            if ready {
                app.ready().await.expect("the app becomes ready");
            }
            app
        });
        let address = app.address();
        TestApp { runtime, app: Some(app), config, clock, folder: Some(folder), address }
    }

    /// Stops in order and starts again on the same folder, with the same clock.
    pub(crate) fn restart(self) -> TestApp {
        self.restart_with(|_| {})
    }

    /// Like `restart`, with something done while no app runs.
    pub(crate) fn restart_between(mut self, change: impl FnOnce()) -> TestApp {
        self.stop();
        change();
        self.restart()
    }

    /// Like `restart`, with a changed configuration.
    pub(crate) fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> TestApp {
        self.stop();
        change(&mut self.config);
        let folder = self.folder.take().expect("taken once");
        TestApp::launch(self.config.clone(), self.clock.clone(), folder)
    }

    /// Stops in order, removes the table, and starts again on a log with these faults. Returns without
    /// waiting for readiness.
    pub(crate) fn restart_ill(mut self, faults: &Faults) -> TestApp {
        self.stop();
        std::fs::remove_dir_all(self.config.data_dir.join("table")).expect("the table's folder");
        let folder = self.folder.take().expect("taken once");
        TestApp::launch_over(self.config.clone(), self.clock.clone(), folder, faults, false)
    }

    /// Starts a second app on a copy of the data folder as it is on disk now, as after a crash at this
    /// moment.
    pub(crate) fn crashed(&self) -> TestApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config { data_dir: folder.path().join("data"), ..self.config.clone() };
        copy(&self.config.data_dir, &config.data_dir);
        TestApp::launch(config, self.clock.clone(), folder)
    }

    fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            self.runtime.block_on(app.stop());
        }
    }

    /// Returns the app itself, for operations that no request offers.
    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().expect("it runs")
    }

    /// Blocks until a future of the app is complete.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Returns the clock, which the test can set.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a client without a key, for the default domain.
    pub(crate) fn visitor(&self) -> Client {
        Client::new(self.address, HOST)
    }

    /// Returns a client with the instance key.
    pub(crate) fn admin(&self) -> Client {
        self.visitor().with_key(KEY)
    }

    /// Advances the clock.
    pub(crate) fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a test's lifetime");
        self.clock.set(self.clock.now().plus_millis(millis));
    }
}

/// Returns a configuration with a fresh data folder.
fn fresh(change: impl FnOnce(&mut Config)) -> (Config, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
        data_dir: folder.path().join("data"),
        public_url: format!("http://{HOST}"),
        admin_key: Some(AdminKey(KEY.to_owned())),
        ..Config::default()
    };
    change(&mut config);
    (config, folder)
}

/// Copies a folder while the app writes to it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", target.display());
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // A test that already fails must not hang in an orderly stop.
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Starts an app once its folder is not locked: until they execute their program, the children that other
/// tests start have a copy of the descriptors of an app that stopped, and with them its locks.
async fn start_unlocked(config: &Config, clock: &Clock, faults: &Faults) -> App {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let over = faults.clone();
        let handed = HandedOver::default();
        match App::start_over(config.clone(), clock.clone(), handed, move |log| over.over(log)).await {
            Ok(app) => return app,
            Err(error) => assert!(is_locked(&error) && Instant::now() < deadline, "no start: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_locked(error: &StartError) -> bool {
    match error {
        StartError::Folder(FolderError::InUse { .. }) => true,
        StartError::Log(LogError::Io { source, .. }) => source.kind() == io::ErrorKind::ResourceBusy,
        _ => false,
    }
}
