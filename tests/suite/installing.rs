//! What `waypost setup` writes and `waypost print` prints works in the programs that read it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::https_app::HttpsApp;
use crate::support::process::{command, not_tested};

/// Runs a command that must succeed. Returns everything that it prints.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("the command runs");
    let printed = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{command:?}: {printed:?}");
    printed.concat()
}

fn waypost(arguments: &[&str]) -> Command {
    let mut waypost = command();
    waypost.args(arguments);
    waypost
}

fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        not_tested(&format!("files for {tool}, which is not installed"));
    }
    found
}

/// Lays out the files of a package.
fn package(more: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    succeeds(waypost(&["setup", "--root", &folder.path().display().to_string()]).args(more));
    folder
}

/// Returns all files below a folder with their modes and contents.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(inner).expect("a folder") {
            let path = entry.expect("an entry").path();
            let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o7777;
            if path.is_dir() {
                assert_eq!(mode, 0o755, "{}", path.display());
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").to_owned();
                found.insert(name, (mode, fs::read(&path).expect("a file")));
            }
        }
    }
    found
}

#[test]
fn a_package_has_all_files_with_the_modes_of_a_package() {
    let folder = package(&[]);
    let first = files(folder.path());
    let program = fs::read(env!("CARGO_BIN_EXE_waypost")).expect("the binary");
    assert_eq!(first[Path::new("usr/bin/waypost")], (0o755, program));
    for (name, want) in [
        (
            "usr/lib/systemd/system/waypost.service",
            "ExecStart=/usr/bin/waypost --config /etc/waypost/waypost.toml\n",
        ),
        ("usr/lib/sysusers.d/waypost.conf", "u waypost - "),
        ("etc/waypost/waypost.toml", "data_dir = \"/var/lib/waypost\"\n"),
        ("usr/share/man/man1/waypost.1", ".TH"),
        ("usr/share/man/man1/waypost-link-create.1", ".TH"),
        ("usr/share/bash-completion/completions/waypost", "_waypost()"),
        ("usr/share/zsh/vendor-completions/_waypost", "#compdef waypost"),
        ("usr/share/fish/vendor_completions.d/waypost.fish", "complete -c waypost"),
    ] {
        let (mode, bytes) = &first[Path::new(name)];
        let text = String::from_utf8_lossy(bytes);
        assert!(*mode == 0o644 && text.contains(want), "{name} {mode:o}: {text}");
    }
    assert!(!first.contains_key(Path::new("usr/lib/systemd/system/waypost.socket")));
    // The settings are those of a server.
    let config = folder.path().join("etc/waypost/waypost.toml").display().to_string();
    succeeds(&mut waypost(&["--check", "--config", &config]));
    // A second run writes the same.
    succeeds(&mut waypost(&["setup", "--root", &folder.path().display().to_string()]));
    assert_eq!(files(folder.path()), first);
}

#[test]
fn a_dry_run_prints_all_and_writes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().display().to_string();
    let arguments = ["setup", "--root", &root, "--socket", "--dry-run", "--domain", "go.test"];
    let printed = succeeds(&mut waypost(&arguments));
    for want in [
        "waypost.service (mode 644)\n# Written by",
        "\ndomain = \"go.test\"\n",
        "waypost.socket (mode 644)",
        "ListenStream=80\nListenStream=443\n",
    ] {
        assert!(printed.contains(want), "{want}: {printed}");
    }
    for names in [&["--domain", "a.test,b.test"][..], &["--domain", "a.test", "--domain", "b.test"]] {
        let printed = succeeds(waypost(&["setup", "--root", &root, "--dry-run"]).args(names));
        assert!(printed.contains("\ndomain = [\"a.test\", \"b.test\"]\n"), "{names:?}: {printed}");
    }
    assert_eq!(files(folder.path()), BTreeMap::new());
}

/// The settings and the units are what somebody reads before an installation, and manual pages have thousands of lines.
#[test]
fn a_dry_run_names_generated_files_and_ends_with_what_it_would_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().display().to_string();
    let printed = succeeds(&mut waypost(&["setup", "--root", &root, "--dry-run"]));
    assert!(printed.lines().count() < 200 && !printed.contains(".TH"), "{printed}");
    for want in
        ["share/man/man1/waypost.1 (mode 644): generated, ", "completions/_waypost (mode 644): generated, "]
    {
        assert!(printed.contains(want), "{want}: {printed}");
    }
    let last = printed.trim_end().lines().last().unwrap_or_default();
    assert!(
        last.starts_with("without --dry-run, these ") && last.ends_with("and no command is run"),
        "{last}"
    );
}

#[test]
fn a_package_is_written_below_a_relative_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for root in ["pkg", "deep/er", "./here"] {
        succeeds(waypost(&["setup", "--root", root]).current_dir(folder.path()));
        let program = folder.path().join(root).join("usr/bin/waypost");
        assert!(program.is_file(), "{}", program.display());
    }
}

#[test]
fn wrong_domains_are_refused() {
    for name in ["https://go.test", "go.test/", "go.test:80", "*.go.test", ""] {
        let output = waypost(&["setup", "--dry-run", "--domain", name]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("must be "), "{name}: {said}");
    }
}

#[test]
fn a_machine_without_systemd_is_refused_with_the_remedies() {
    if Path::new("/run/systemd/system").exists() {
        // It would install the service here.
        return not_tested("setup without systemd: this machine runs it");
    }
    let remedies = ["does not run systemd", "`waypost print compose`", "`waypost setup --root FOLDER`"];
    for (arguments, code, start) in [
        (&["setup"][..], 2, "waypost: this machine "),
        // Everything is shown, and then what would stop it.
        (&["setup", "--dry-run"], 0, "without --dry-run, this stops: this machine "),
    ] {
        let output = waypost(arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with(start) && remedies.iter().all(|want| said.contains(want)), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains("==> "), code == 0, "{arguments:?}");
    }
}

/// Returns what `systemd-analyze security` computes for the service below a folder.
fn exposure(root: &Path) -> f64 {
    let root = format!("--root={}", root.display());
    let printed = succeeds(Command::new("systemd-analyze").args([
        "security",
        "--offline=true",
        "--no-pager",
        &root,
        "waypost.service",
    ]));
    let level = printed.rsplit_once("exposure level for waypost.service: ").expect("a level").1;
    level.split_whitespace().next().and_then(|level| level.parse().ok()).expect("a number")
}

/// E17: the units are valid, and what a broken server could reach is bounded.
#[test]
fn e17_the_units_are_valid_and_expose_little() {
    if !has("systemd-analyze") {
        return;
    }
    for (more, most) in [(&[][..], 1.6), (&["--socket"], 1.2)] {
        let folder = package(more);
        let level = exposure(folder.path());
        assert!(level <= most, "{more:?}: {level}");
        // On this machine, whose other units they name.
        let units = tempfile::tempdir().expect("a temporary folder");
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no"]);
        for name in ["waypost.service", "waypost.socket"] {
            let unit = folder.path().join("usr/lib/systemd/system").join(name);
            let Ok(text) = fs::read_to_string(&unit) else { continue };
            let text = text.replace("/usr/bin/waypost", env!("CARGO_BIN_EXE_waypost"));
            // The user of the service is not on this machine.
            fs::write(units.path().join(name), text).expect("a small file");
            verify.arg(units.path().join(name));
        }
        let printed = succeeds(&mut verify);
        assert!(!printed.contains("waypost"), "{printed}");
    }
}

/// Prints a configuration for a server behind `go.test`, into a file.
fn printed(folder: &TempDir, program: &str) -> PathBuf {
    let text = succeeds(&mut waypost(&["print", program, "--public-url", "https://go.test"]));
    let path = folder.path().join(program);
    fs::write(&path, text).expect("a small file");
    path
}

/// Writes a certificate and its key, which nginx reads also for a check.
fn certificate(folder: &TempDir) -> (PathBuf, PathBuf) {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let pem = |file: &str, label: &str| {
        let base64 = STANDARD.encode(fs::read(tls.join(file)).expect("a file of the tests"));
        let path = folder.path().join(file);
        fs::write(&path, format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n"))
            .expect("written");
        path
    };
    (pem("hooks.test.der", "CERTIFICATE"), pem("hooks.test.key.der", "PRIVATE KEY"))
}

/// Removes the # of the lines that close the APIs.
fn with_closed_apis(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let is_code = bare.starts_with('#') && !bare.starts_with("# ");
        lines.push(if is_code { line.replacen('#', "", 1) } else { line.to_owned() });
    }
    lines.join("\n") + "\n"
}

#[test]
fn nginx_accepts_its_site() {
    if !has("nginx") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (chain, key) = certificate(&folder);
    let site = fs::read_to_string(printed(&folder, "nginx")).expect("the site");
    let site = site
        .replace("/etc/letsencrypt/live/go.test/fullchain.pem", &chain.display().to_string())
        .replace("/etc/letsencrypt/live/go.test/privkey.pem", &key.display().to_string());
    for site in [site.clone(), with_closed_apis(&site)] {
        let here = folder.path().display();
        let whole = format!(
            "pid {here}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{site}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), whole).expect("a small file");
        let config = folder.path().join("nginx.conf");
        let said = succeeds(Command::new("nginx").args(["-t", "-e", "stderr", "-c"]).arg(config));
        assert!(said.contains("test is successful"), "{said}");
    }
}

#[test]
fn caddy_accepts_its_file() {
    if !has("caddy") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = printed(&folder, "caddy");
    let text = fs::read_to_string(&path).expect("the file");
    for text in [text.clone(), with_closed_apis(&text)] {
        fs::write(&path, text).expect("a small file");
        let mut validate = Command::new("caddy");
        validate.args(["validate", "--adapter", "caddyfile", "--config"]).arg(&path);
        let said = succeeds(validate.env("HOME", folder.path()));
        assert!(said.contains("Valid configuration") && !said.contains("not formatted"), "{said}");
    }
}

#[test]
fn prometheus_accepts_its_files() {
    if !has("promtool") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job, alerts) = (printed(&folder, "prometheus"), printed(&folder, "alerts"));
    succeeds(Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(job));
    let said = succeeds(Command::new("promtool").args(["check", "rules"]).arg(&alerts));
    assert!(said.contains("SUCCESS: 20 rules found"), "{said}");
    // Every metric in them exists.
    let metrics = HttpsApp::start().app.admin().get("/metrics").text();
    let rules = fs::read_to_string(alerts).expect("the rules");
    // Receivers route an alert by its severity, and show its summary.
    for rule in rules.split("- alert: ").skip(1) {
        let (severity, summary) = (field(rule, "severity"), field(rule, "summary"));
        assert!(["critical", "warning"].contains(&severity) && summary.len() > 20, "{rule}");
    }
    let named = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for name in named.filter(|name| name.starts_with("waypost_")) {
        assert!(metrics.contains(name), "{name}");
    }
}

/// Returns the value of a key in a rule.
fn field<'a>(rule: &'a str, key: &str) -> &'a str {
    let key = format!("{key}: ");
    rule.lines()
        .find_map(|line| line.trim().strip_prefix(&*key))
        .unwrap_or_else(|| panic!("no {key} in {rule}"))
}

/// Each alert about certificates is raised by what it is for, and by nothing less.
#[test]
fn alerts_about_certificates_are_raised_in_time() {
    if !has("promtool") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = fs::read_to_string(printed(&folder, "alerts")).expect("the rules");
    // The series, its values a minute apart, and the minutes at which its alert is not yet and is there.
    let rows = [
        ("WaypostCertificateMissing", "waypost_certificates_degraded", "0 1x30", 9, 12),
        ("WaypostCertificateExpiring", "waypost_certificates{state=\"expiring\"}", "0 1x90", 59, 62),
        ("WaypostCertificateExpiring", "waypost_certificates{state=\"expired\"}", "0 1x90", 59, 62),
        ("WaypostCertificateFailing", "waypost_certificates{state=\"failing\"}", "0 1x1500", 1_439, 1_442),
        ("WaypostCertificateUntrusted", "waypost_certificates_untrusted", "0 1x30", 9, 12),
        ("WaypostCertificatesUnwritten", "waypost_certificates_unwritten", "0 1x30", 9, 12),
        ("WaypostClockWrong", "waypost_certificate_clock_wrong", "0 1x30", 9, 12),
    ];
    let tests: Vec<_> = rows
        .iter()
        .map(|(alert, series, values, before, after)| {
            let rule = rules.split("- alert: ").find(|rule| rule.starts_with(alert)).expect(alert);
            let mut labels = json!({"severity": field(rule, "severity")});
            // Labels of sums are gone.
            if *alert == "WaypostCertificateFailing" {
                labels["state"] = json!("failing");
            }
            let raised = json!([{
                "exp_labels": labels,
                "exp_annotations": {"summary": field(rule, "summary")},
            }]);
            json!({
                "interval": "1m",
                "input_series": [{"series": series, "values": values}],
                "alert_rule_test": [
                    {"eval_time": format!("{before}m"), "alertname": alert, "exp_alerts": []},
                    {"eval_time": format!("{after}m"), "alertname": alert, "exp_alerts": raised},
                ],
            })
        })
        .collect();
    // JSON is YAML.
    let test = json!({"rule_files": ["alerts"], "evaluation_interval": "1m", "tests": tests});
    let path = folder.path().join("test.yml");
    fs::write(&path, test.to_string()).expect("a small file");
    succeeds(Command::new("promtool").args(["test", "rules"]).arg(path));
}
