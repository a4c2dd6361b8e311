//! The configuration: a file, and environment variables that override it.

use std::path::Path;

use super::input::Input;
use crate::config::Config;

/// The admin key of every run, which no message may contain.
const CANARY: &str = "canary-of-the-admin-key";

/// Takes lines `NAME=VALUE`, then a file. Asserts that an accepted configuration is accepted again as it is written,
/// and that an error contains no secret.
pub(super) fn config(data: &[u8]) {
    let mut input = Input(data);
    let mut environment = vec![("WAYPOST_ADMIN_KEY".to_owned(), CANARY.to_owned())];
    while !input.is_empty() {
        let line = input.text();
        let Some((name, value)) = line.split_once('=') else { break };
        environment.push((format!("WAYPOST_{name}"), value.to_owned()));
    }
    let text = String::from_utf8_lossy(input.0);
    if data.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
        return;
    }
    let path = Path::new("waypost.toml");
    match Config::parse(Some((path, &text)), environment) {
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(CANARY), "{shown}");
        }
        Ok(config) => {
            assert!(!format!("{config:?}").contains(CANARY));
            let written = toml::to_string(&config).expect("settings are written as TOML");
            assert!(!written.contains(CANARY));
            let mut again = Config::parse(Some((path, &written)), []).expect("what was accepted");
            again.admin_key.clone_from(&config.admin_key);
            // Defaults that depend on other settings are written as values.
            again.origin.clone_from(&config.origin);
            assert_eq!(again, config);
        }
    }
}
