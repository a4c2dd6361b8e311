//! The names of all settings, and the nearest name of an unknown one. A value under an unknown name may be a
//! misspelt secret, so nothing here takes or returns a value.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The prefix of the environment variables. `WAYPOST_HTTP__MAX_BODY` sets `max_body` of `[http]`.
pub(super) const PREFIX: &str = "WAYPOST_";

/// The only variable that is no key of the file: a file is no place for a secret.
pub(super) const ADMIN_KEY: &str = "WAYPOST_ADMIN_KEY";

/// The key of an external account at the certificate authority. Read only from the environment, like the admin key.
pub(super) const EAB_KEY: &str = "WAYPOST_HTTPS__EAB_KEY";

/// The key of the commands that are clients of a server. It is no setting of the server.
pub const CLIENT_KEY: &str = "WAYPOST_KEY";

/// The file with the key of these commands.
pub const CLIENT_KEY_FILE: &str = "WAYPOST_KEY_FILE";

/// The server of these commands.
pub const CLIENT_SERVER: &str = "WAYPOST_SERVER";

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "WAYPOST_CONFIG";

/// Names that other programs have for a setting.
const SYNONYMS: [(&str, &str); 16] = [
    ("port", "listen"),
    ("host", "listen"),
    ("address", "listen"),
    ("bind", "listen"),
    ("url", "public_url"),
    ("baseurl", "public_url"),
    ("hostname", "domain"),
    ("domains", "domain"),
    ("acmeemail", "https.email"),
    ("data", "data_dir"),
    ("dir", "data_dir"),
    ("loglevel", "log_filter"),
    ("level", "log_filter"),
    ("denylist", "links.denied_hosts"),
    ("blocklist", "links.denied_hosts"),
    ("blockedhosts", "links.denied_hosts"),
];

/// Names with at least this similarity, from 0 to 1, count as misspellings: one letter in four may differ.
/// `max_conections` and `max_connections` have 0.93, `nonsense` and `listen` 0.25.
const ALIKE: f64 = 0.75;

/// A key that no setting has, since no setting needs quotes.
const NO_KEY: &str = "\"?\" = 1\n";

/// The names of all settings as the file writes them, with the section and a dot before a name.
#[derive(Debug)]
pub(super) struct SettingNames(Vec<String>);

impl SettingNames {
    /// Returns the names that `T` accepts. They come from the errors of `T`, which list the allowed keys: a
    /// setting without a default is not among the defaults.
    pub(super) fn of<T: Default + Serialize + DeserializeOwned>() -> SettingNames {
        let defaults = toml::Table::try_from(T::default()).expect("settings serialize");
        let mut names = Vec::new();
        for key in keys_of::<T>(NO_KEY) {
            if defaults.get(&key).is_some_and(toml::Value::is_table) {
                // A section: its own unknown key makes the parser list its keys.
                let inner = keys_of::<T>(&format!("[{key}]\n{NO_KEY}"));
                names.extend(inner.iter().map(|inner| format!("{key}.{inner}")));
            } else {
                names.push(key);
            }
        }
        SettingNames(names)
    }

    /// Returns whether this is the whole name of a setting.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    /// Returns whether this is the name of a section.
    pub(super) fn is_section(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.split_once('.').is_some_and(|(section, _)| section == name))
    }

    /// Returns whether a key of the file names a setting, with or without its section.
    pub(super) fn is_known(&self, key: &str) -> bool {
        self.0.iter().any(|name| name == key || last(name) == key)
    }

    /// Returns the variables of all settings.
    #[cfg(test)]
    pub(super) fn variables(&self) -> Vec<String> {
        self.0.iter().map(|name| variable(name)).collect()
    }

    /// Returns a list of the variables that an unknown one may have meant: of its section, or else of all settings
    /// outside sections, with the sections.
    pub(super) fn variables_beside(&self, unknown: &str) -> String {
        let section = unknown.split_once('.').map(|(section, _)| section);
        let is_beside = |name: &&String| name.split_once('.').map(|(section, _)| section) == section;
        let inside: Vec<_> = self.0.iter().filter(is_beside).map(|name| variable(name)).collect();
        if section.is_some() && !inside.is_empty() {
            return inside.join(", ");
        }
        let mut all: Vec<String> = Vec::new();
        for name in &self.0 {
            let shown = match name.split_once('.') {
                Some((section, _)) => format!("{}__...", variable(section)),
                None => variable(name),
            };
            if all.last() != Some(&shown) {
                all.push(shown);
            }
        }
        all.extend([ADMIN_KEY.to_owned(), CONFIG.to_owned()]);
        all.join(", ")
    }

    /// Returns the variable that is nearest to an unknown one.
    pub(super) fn nearest_variable(&self, unknown: &str) -> Option<String> {
        let unknown = bare(unknown.strip_prefix(PREFIX).unwrap_or(unknown));
        let known = self.0.iter().map(|name| (bare(name), variable(name)));
        let others = [(bare("ADMIN_KEY"), ADMIN_KEY.to_owned()), (bare("CONFIG"), CONFIG.to_owned())];
        let synonyms = SYNONYMS.map(|(word, name)| (word.to_owned(), variable(name)));
        // A missing section is no misspelling, but as likely.
        let without_section = self.0.iter().map(|name| (bare(last(name)), variable(name)));
        nearest(&unknown, known.chain(others).chain(without_section).chain(synonyms))
    }

    /// Returns a hint about an unknown key of a section of the file, as half a sentence. The section is empty for a key
    /// outside sections.
    pub(super) fn nearest_key(&self, unknown: &str, section: &str) -> Option<String> {
        let unknown = bare(unknown);
        let section_of = |name: &str| name.split_once('.').map_or("", |(section, _)| section).to_owned();
        // Of two names that are as near, the one of this section.
        let (beside, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|name| section_of(name) == section);
        let hint = |name: &str| {
            let place = "at the top of the file, above the first [section]";
            if section.is_empty() || name.contains('.') {
                format!("did you mean `{name}`?")
            } else if bare(name) == unknown {
                format!("`{name}` belongs {place}")
            } else {
                format!("did you mean `{name}`, which belongs {place}?")
            }
        };
        let known = beside.into_iter().chain(others).map(|name| (bare(last(name)), hint(name)));
        let admin = format!("the admin key is set by the environment variable {ADMIN_KEY} alone");
        let synonyms = SYNONYMS.map(|(word, name)| (word.to_owned(), hint(name)));
        nearest(&unknown, known.chain([(bare("admin_key"), admin)]).chain(synonyms))
    }
}

/// Returns the keys that are allowed where `text` has an unknown one.
fn keys_of<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let Err(error) = toml::from_str::<T>(text) else { return Vec::new() };
    // unknown field `?`, expected one of `a`, `b`
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// Returns the last part of a name: the key within its section.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Returns the environment variable of a setting.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "__").to_ascii_uppercase())
}

/// Returns a name without case and separators, which are easily confused.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn nearest(unknown: &str, known: impl Iterator<Item = (String, String)>) -> Option<String> {
    let scored = known.map(|(name, shown)| (strsim::normalized_damerau_levenshtein(unknown, &name), shown));
    // The first of the nearest ones.
    let nearest = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
    nearest.filter(|(score, _)| *score >= ALIKE).map(|(_, shown)| shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn names() -> SettingNames {
        SettingNames::of::<Config>()
    }

    #[test]
    fn misspelt_names_are_recognised() {
        let rows = [
            ("WAYPOST_ADMINKEY", Some("WAYPOST_ADMIN_KEY")),
            ("WAYPOST_ADMIN__KEY", Some("WAYPOST_ADMIN_KEY")),
            ("WAYPOST_ADMIN_KEY_", Some("WAYPOST_ADMIN_KEY")),
            ("WAYPOST_ADMIN_TOKEN", None),
            // One underscore in place of two is the likeliest mistake.
            ("WAYPOST_HTTP_MAX_BODY", Some("WAYPOST_HTTP__MAX_BODY")),
            ("WAYPOST_MAX_BODY", Some("WAYPOST_HTTP__MAX_BODY")),
            ("WAYPOST_LISEN", Some("WAYPOST_LISTEN")),
            ("WAYPOST_HTTP__MAX_CONECTIONS", Some("WAYPOST_HTTP__MAX_CONNECTIONS")),
            ("WAYPOST_PUBLICURL", Some("WAYPOST_PUBLIC_URL")),
            ("WAYPOST_", None),
            ("WAYPOST_NONSENSE", None),
        ];
        for (unknown, want) in rows {
            // `ADMIN_TOKEN` may be near enough or not. Its value is never shown.
            let found = names().nearest_variable(unknown);
            assert!(found.as_deref() == want || unknown == "WAYPOST_ADMIN_TOKEN", "{unknown}: {found:?}");
        }
        let top = "`domain` belongs at the top of the file, above the first [section]";
        let meant = "did you mean `domain`, which belongs at the top of the file, above the first [section]?";
        let rows = [
            ("max_conections", "http", Some("did you mean `http.max_connections`?")),
            ("max_conections", "", Some("did you mean `http.max_connections`?")),
            ("deny_list", "", Some("did you mean `links.denied_hosts`?")),
            // Two settings have the name.
            ("lisen", "", Some("did you mean `listen`?")),
            ("lisen", "https", Some("did you mean `https.listen`?")),
            ("domain", "https", Some(top)),
            ("domains", "https", Some(meant)),
            ("zzz", "", None),
        ];
        for (unknown, section, want) in rows {
            let hint = names().nearest_key(unknown, section);
            assert_eq!(hint.as_deref(), want, "{unknown} in [{section}]");
        }
        assert!(names().nearest_key("adminkey", "").is_some_and(|text| text.contains(ADMIN_KEY)));
    }

    /// Settings with and without a default are among the names.
    #[test]
    fn every_name_is_known() {
        let names = names();
        assert!(names.0.len() > 30, "{names:?}");
        for name in ["listen", "http.max_connections", "clicks.flush_interval"] {
            assert!(names.contains(name), "{name}");
        }
        let defaults = toml::Table::try_from(Config::default()).expect("settings serialize");
        for (key, value) in &defaults {
            let inner =
                value.as_table().map(|table| table.keys().map(|inner| format!("{key}.{inner}")).collect());
            for name in inner.unwrap_or_else(|| vec![key.clone()]) {
                assert!(names.contains(&name), "{name} is missing");
            }
        }
    }
}
