//! Properties of any bytes: one function per kind of input from clients, disks or operators. Each panics if a
//! property is broken.
//!
//! Compiled for tests and fuzzers only, never into the program. `fuzz/` calls the functions from libFuzzer. The test
//! below calls them with the corpora in `fuzz/`, so that every `cargo test` repeats what a fuzzer found once.

mod address;
mod analytics;
mod bodies;
mod countries;
mod details;
mod input;
mod log;
mod record;
mod request;
mod secrets;
mod settings;

/// All targets, by the name of the binary and of the corpus.
pub static TARGETS: &[(&str, fn(&[u8]))] = &[
    ("request", request::request),
    ("forwarded", request::forwarded),
    ("agent", request::agent),
    ("short_code", address::short_code),
    ("destination", address::destination),
    ("merge", address::merge),
    ("native", bodies::native),
    ("linquid", bodies::linquid),
    ("links", bodies::links),
    ("snapshots", bodies::snapshots),
    ("log", log::log),
    ("record", record::record),
    ("tokens", secrets::tokens),
    ("config", settings::config),
    ("details", details::details),
    ("parts", details::parts),
    ("countries", countries::countries),
    ("analytics", analytics::analytics),
];

/// Runs a target; `name` is one of [`TARGETS`].
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(data);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Largest size of all corpora together: every test run reads them, and every clone copies them.
    const CORPORA_MAX: u64 = 300 * 1024;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn corpus(target: &str) -> Vec<PathBuf> {
        let folder = root().join("corpus").join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    #[test]
    fn t115_every_file_of_the_corpora_holds() {
        let mut bytes = 0;
        for (name, target) in TARGETS {
            let files = corpus(name);
            assert!(files.len() >= 5, "{name}: {} files", files.len());
            for file in files {
                let data = fs::read(&file).expect("a file");
                bytes += data.len() as u64;
                // Caught, so that the message names the file.
                let outcome = std::panic::catch_unwind(|| target(&data));
                assert!(outcome.is_ok(), "{} breaks {name}", file.display());
            }
            target(b"");
        }
        assert!(bytes <= CORPORA_MAX, "the corpora have {bytes} bytes");
    }

    #[test]
    fn t115_every_target_has_a_binary_and_a_corpus() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let listed = |folder: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(root().join(folder)).expect("a folder");
            let name = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
            entries.map(|entry| name(entry.expect("an entry").path())).collect()
        };
        assert_eq!(listed("fuzz_targets"), names);
        assert_eq!(listed("corpus"), names);
        let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
        for name in names {
            assert!(manifest.contains(&format!("\nname = \"{name}\"\n")), "{name} has no [[bin]]");
            let binary = root().join("fuzz_targets").join(format!("{name}.rs"));
            let binary = fs::read_to_string(binary).expect("its source");
            assert!(binary.contains(&format!("waypost::fuzz::run(\"{name}\", data)")), "{name}: {binary}");
        }
    }
}
