//! The configuration: a file and variables over it.

use std::path::Path;

use super::Input;
use crate::config::Config;

/// What the admin key holds in every run, and no message may.
const CANARY: &str = "canary-of-the-admin-key";

/// Lines `NAME=VALUE` up to an empty one are variables, the rest is the file: what is accepted is
/// accepted again as it is written, what is refused is refused in words that hold no secret.
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
            let said = format!("{error} {error:?}");
            assert!(!said.contains(CANARY), "{said}");
        }
        Ok(config) => {
            assert!(!format!("{config:?}").contains(CANARY));
            let written = toml::to_string(&config).expect("settings are written as TOML");
            assert!(!written.contains(CANARY));
            let mut again = Config::parse(Some((path, &written)), []).expect("what was accepted");
            again.admin_key.clone_from(&config.admin_key);
            assert_eq!(again, config);
        }
    }
}
