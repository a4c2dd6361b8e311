//! The names of all settings, and what an unknown one was meant to be. A value under an unknown name may
//! be a secret under a misspelt one, so nothing here takes or returns a value.

use super::{ADMIN_KEY, Config, PREFIX};

/// Names this similar, from 0 to 1, are taken for a misspelling: one letter in four may differ. `max_conections`
/// and `max_connections` have 0.93, `nonsense` and `listen` 0.25.
const ALIKE: f64 = 0.75;

/// A key that no setting has, since no setting needs quotes.
const NO_KEY: &str = "\"?\" = 1\n";

/// Returns all names as the file spells them, sections before dots. Asks the types themselves, which name
/// their keys when they reject one: a setting without a default is not among the defaults.
pub(super) fn all() -> Vec<String> {
    let defaults = toml::Table::try_from(Config::default()).expect("settings serialize");
    let mut names = Vec::new();
    for key in keys_of(NO_KEY) {
        if defaults.get(&key).is_some_and(toml::Value::is_table) {
            names.extend(keys_of(&format!("[{key}]\n{NO_KEY}")).iter().map(|inner| format!("{key}.{inner}")));
        } else {
            names.push(key);
        }
    }
    names
}

/// The keys that are allowed where this text has one that is not.
fn keys_of(text: &str) -> Vec<String> {
    let Err(error) = toml::from_str::<Config>(text) else { return Vec::new() };
    // unknown field `?`, expected one of `a`, `b`
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// Returns whether a key of the file names a setting, with its section or within it.
pub(super) fn is_known(key: &str) -> bool {
    all().iter().any(|name| name == key || last(name) == key)
}

/// Returns the last part of a name: what it is called within its section.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Returns the variable of the environment that sets the setting of this name.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "__").to_ascii_uppercase())
}

/// Returns the variable that a misspelt one was meant to be.
pub(super) fn nearest_variable(unknown: &str) -> Option<String> {
    let unknown = bare(unknown.strip_prefix(PREFIX).unwrap_or(unknown));
    let known = all().into_iter().map(|name| (bare(&name), variable(&name)));
    let admin = (bare("ADMIN_KEY"), ADMIN_KEY.to_owned());
    // A section that was forgotten is no misspelling, but as likely.
    let without_section = all().into_iter().map(|name| (bare(last(&name)), variable(&name)));
    nearest(&unknown, known.chain([admin]).chain(without_section))
}

/// Returns what to write instead of an unknown key of the file, as half a sentence.
pub(super) fn nearest_key(unknown: &str) -> Option<String> {
    let unknown = bare(unknown);
    let known = all().into_iter().map(|name| (bare(last(&name)), format!("did you mean `{name}`?")));
    let admin = format!("the admin key is set by the environment variable {ADMIN_KEY} alone");
    nearest(&unknown, known.chain([(bare("admin_key"), admin)]))
}

/// A name without what is easily misplaced.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn nearest(unknown: &str, known: impl Iterator<Item = (String, String)>) -> Option<String> {
    let scored = known.map(|(name, shown)| (strsim::normalized_damerau_levenshtein(unknown, &name), shown));
    let (score, shown) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= ALIKE).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_recognised() {
        let rows = [
            ("WAYPOST_ADMINKEY", Some("WAYPOST_ADMIN_KEY")),
            ("WAYPOST_ADMIN__KEY", Some("WAYPOST_ADMIN_KEY")),
            ("WAYPOST_ADMIN_KEY_", Some("WAYPOST_ADMIN_KEY")),
            ("WAYPOST_ADMIN_TOKEN", None),
            ("WAYPOST_HTTP_MAX_BODY", Some("WAYPOST_HTTP__MAX_BODY")),
            ("WAYPOST_MAX_BODY", Some("WAYPOST_HTTP__MAX_BODY")),
            ("WAYPOST_HTTP__MAX_CONECTIONS", Some("WAYPOST_HTTP__MAX_CONNECTIONS")),
            ("WAYPOST_PUBLICURL", Some("WAYPOST_PUBLIC_URL")),
            ("WAYPOST_", None),
            ("WAYPOST_NONSENSE", None),
        ];
        for (unknown, want) in rows {
            // An admin key of another name is near enough or not: it is never a reason to show it.
            let found = nearest_variable(unknown);
            assert!(found.as_deref() == want || unknown == "WAYPOST_ADMIN_TOKEN", "{unknown}: {found:?}");
        }
        assert_eq!(nearest_key("max_conections").as_deref(), Some("did you mean `http.max_connections`?"));
        assert!(nearest_key("adminkey").is_some_and(|text| text.contains(ADMIN_KEY)));
        assert_eq!(nearest_key("zzz"), None);
    }

    /// Every setting that has a default is among the names that the types tell, and one that has none.
    #[test]
    fn every_name_is_known() {
        let names = all();
        assert!(names.len() > 30, "{names:?}");
        for name in ["listen", "http.max_connections", "clicks.flush_interval"] {
            assert!(names.iter().any(|known| known == name), "{name}");
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
