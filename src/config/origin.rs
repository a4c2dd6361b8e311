//! [`ConfigOrigin`]: where the values of a configuration come from, for messages and for defaults that depend on other
//! settings.

use std::path::PathBuf;

/// Where the values come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigOrigin {
    /// The configuration file, as an absolute path.
    pub file: Option<PathBuf>,
    /// The variables and the options that override the file or the defaults, by name.
    pub overrides: Vec<String>,
    /// `public_url` is not set, and follows the port of `listen`.
    pub follows_port: bool,
    /// `http.trusted_proxies` is not set.
    pub has_default_proxies: bool,
    /// Variables of the environment that a container platform created: they have the prefix and are no settings.
    pub passed_over: Vec<String>,
    /// What the operator should know before the first request.
    pub warnings: Vec<String>,
}

impl ConfigOrigin {
    /// Returns the file, or that there is none, and what overrides it.
    pub fn shown(&self) -> String {
        let file =
            self.file.as_ref().map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
        if self.overrides.is_empty() {
            file
        } else {
            format!("{file}, overridden by {}", self.overrides.join(", "))
        }
    }

    /// Returns a line about the variables that are passed over, if there are any.
    pub fn passed_over_text(&self) -> Option<String> {
        (!self.passed_over.is_empty()).then(|| {
            format!(
                "variables of a Kubernetes service or a linked container have the prefix of settings and are passed over: {}",
                self.passed_over.join(", ")
            )
        })
    }
}
