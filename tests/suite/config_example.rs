//! The example configuration is correct: it contains every key with its default.

use std::fs;
use std::path::Path;

use toml::{Table, Value};
use waypost::config::Config;

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    fs::read_to_string(path).expect("the example")
}

/// Returns the example with its keys uncommented. `#key = value` is a key, `# words` is prose.
fn uncommented() -> String {
    let mut text = String::new();
    for line in example().lines() {
        let key = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        text.push_str(key.unwrap_or(line));
        text.push('\n');
    }
    text
}

/// Returns all keys, prefixed by their section, with their values.
fn flat(prefix: &str, table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => found.extend(flat(&format!("{prefix}{key}."), inner)),
            plain => found.push((format!("{prefix}{key}"), plain.clone())),
        }
    }
    found
}

#[test]
fn the_example_changes_nothing_as_it_is() {
    let config: Config = toml::from_str(&example()).expect("a valid file");
    assert_eq!(config, Config::default());
}

#[test]
fn each_key_is_shown_at_its_default() {
    let shown: Table = toml::from_str(&uncommented()).expect("valid with its keys un-commented");
    let shown = flat("", &shown);
    let defaults = Table::try_from(Config::default()).expect("settings serialize");
    let mut defaults = flat("", &defaults);
    // Unset by default; the effective value depends on the machine.
    defaults.push(("http.max_connections".to_owned(), Value::Integer(20_000)));
    // Unset by default: a multiple of another limit.
    defaults.push(("limits.workspace_requests_per_minute".to_owned(), Value::Integer(30_000)));
    defaults.push(("limits.company_requests_per_minute".to_owned(), Value::Integer(60_000)));
    // Unset by default: there is no list.
    defaults.push(("links.denied_hosts".to_owned(), Value::String("denied-hosts.txt".to_owned())));
    // Unset by default: there is no file of countries.
    defaults.push(("clicks.country_file".to_owned(), Value::String("country.mmdb".to_owned())));
    // Unset by default: any client could send the header.
    defaults.push(("clicks.country_header".to_owned(), Value::String("CF-IPCountry".to_owned())));
    // Unset by default: the address follows `domain`, and there is no private authority.
    defaults.push(("https.listen".to_owned(), Value::String("[::]:443".to_owned())));
    defaults.push(("https.authority_roots".to_owned(), Value::String("authority.pem".to_owned())));
    for (key, value) in &defaults {
        let found = shown.iter().find(|(name, _)| name == key);
        assert_eq!(found.map(|(_, value)| value), Some(value), "{key}");
    }
    for (key, _) in &shown {
        assert!(defaults.iter().any(|(name, _)| name == key), "{key} is no key");
    }
    let config: Config = toml::from_str(&uncommented()).expect("its values are accepted");
    let mut want = Config::default();
    want.http.max_connections = Some(20_000);
    want.limits.workspace_requests_per_minute = Some(30_000);
    want.limits.company_requests_per_minute = Some(60_000);
    want.links.denied_hosts = Some("denied-hosts.txt".into());
    want.clicks.country_file = Some("country.mmdb".into());
    want.clicks.country_header = Some("CF-IPCountry".into());
    want.https.listen = Some("[::]:443".parse::<std::net::SocketAddr>().expect("an address").into());
    want.https.authority_roots = Some("authority.pem".into());
    assert_eq!(config, want);
}

#[test]
fn each_key_can_be_set_by_the_environment() {
    let shown: Table = toml::from_str(&uncommented()).expect("valid");
    for (key, value) in flat("", &shown) {
        let name = format!("WAYPOST_{}", key.replace('.', "__").to_ascii_uppercase());
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let loaded = Config::load(None, [(name.clone(), text.clone())]);
        assert!(loaded.is_ok(), "{name}={text}: {loaded:?}");
        assert!(
            Config::load(None, [(name.clone(), "[[nonsense".to_owned())]).is_err() || value.is_str(),
            "{name} takes anything"
        );
    }
}
