//! Decides what an installation still needs. It changes nothing itself.

use std::path::Path;

use serde::Deserialize;

use super::layout::{self, CONFIG, MARK, PlannedFile, Prefix};
use super::machine::{Machine, SERVICE, SOCKET};
use super::steps::Step;
use crate::certificates::CertificateNames;
use crate::settings::listen::Listen;

/// The settings of an installation that `setup` did not make.
const OLD_CONFIG: &str = "/etc/waypost.toml";

/// What an installation should have.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) domains: Vec<String>,
    /// Whether systemd binds the ports.
    pub(super) has_sockets: bool,
}

/// The steps of an installation, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The user, the program, the settings and the units.
    pub(super) files: Vec<Step>,
    /// What makes the service run with them.
    pub(super) start: Vec<Step>,
}

/// Returns the settings that the service will have: those that exist, or new ones.
pub(super) fn settings(machine: &Machine, wanted: &Wanted) -> Result<PlannedFile, String> {
    let path = Path::new(CONFIG);
    let new = layout::settings(&wanted.domains);
    let Some(found) = machine.content(path) else {
        if machine.content(Path::new(OLD_CONFIG)).is_some() {
            return Err(format!(
                "{OLD_CONFIG} has the settings of an earlier installation, and setup uses {CONFIG}: move the file \
                 (sudo mkdir -p /etc/waypost; sudo mv {OLD_CONFIG} {CONFIG}), then repeat the command"
            ));
        }
        return Ok(new);
    };
    // These are the settings of the package, which has no domain to write.
    if found == layout::settings(&[]).bytes {
        return Ok(new);
    }
    let text = String::from_utf8_lossy(&found).into_owned();
    let missing: Vec<_> = {
        let named = domains_in(&text);
        wanted.domains.iter().filter(|domain| !named.contains(domain)).cloned().collect()
    };
    if let Some(first) = missing.first() {
        return Err(format!(
            "{CONFIG} exists and its `domain` does not contain {first}: add it there, or repeat the command without \
             --domain, which keeps the file"
        ));
    }
    Ok(PlannedFile::new(path, 0o644, found))
}

/// The setting `domain` of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DomainSetting {
    domain: CertificateNames,
}

/// Returns the names in the setting `domain`, in each of its spellings.
fn domains_in(text: &str) -> Vec<String> {
    // Another check reports a file that is not valid.
    let names: DomainSetting = toml::from_str(text).unwrap_or_default();
    names.domain.all().iter().map(ToString::to_string).collect()
}

/// What the files of an installation contain.
#[derive(Clone, Debug)]
pub(super) struct FileContents {
    pub(super) settings: PlannedFile,
    /// The bytes of this program.
    pub(super) program: Vec<u8>,
    pub(super) manual: PlannedFile,
}

/// Plans the installation on a machine. `listens` has the addresses and sockets of the settings.
pub(super) fn plan(
    machine: &Machine,
    wanted: &Wanted,
    content: FileContents,
    listens: &[Listen],
) -> Result<Plan, String> {
    let FileContents { settings, program, manual } = content;
    let prefix = machine.prefix();
    let mut plan = Plan::default();
    if !machine.has_user {
        let user = layout::user(prefix);
        let path = user.path.display().to_string();
        plan.write(machine, user);
        plan.files.push(Step::run(&["systemd-sysusers", &path]));
    }
    // A package owns its files, and its next version would overwrite ours.
    let is_new_program =
        prefix == Prefix::Local && plan.write(machine, PlannedFile::new(prefix.binary(), 0o755, program));
    // The unit names the page. A package has those of all commands.
    if prefix == Prefix::Local {
        plan.write(machine, manual);
    }
    let is_new_config = match machine.content(Path::new(CONFIG)) {
        Some(found) if found == settings.bytes => false,
        _ => plan.write(machine, settings),
    };
    // All units are checked before the first is written: a refused setup changes nothing.
    let mut units = Vec::new();
    let service = layout::service(prefix, &prefix.binary());
    if prefix == Prefix::Local || machine.content(&service.path).is_none() {
        units.push(layout::service(Prefix::Local, &prefix.binary()));
    }
    // In the folder of the administrator, which precedes that of the package.
    if wanted.has_sockets {
        units.extend(layout::sockets(Prefix::Local, listens));
    }
    let mut are_new_units = false;
    for unit in units {
        refuse_foreign(machine, &unit)?;
        are_new_units |= plan.write(machine, unit);
    }
    plan.plan_start(machine, wanted, are_new_units, is_new_program || is_new_config);
    Ok(plan)
}

/// Fails if another hand has written a file that setup would replace.
fn refuse_foreign(machine: &Machine, file: &PlannedFile) -> Result<(), String> {
    let found = machine.content(&file.path);
    if found.is_none_or(|found| found.starts_with(MARK.as_bytes())) {
        return Ok(());
    }
    let path = file.path.display();
    Err(format!(
        "{path} exists and was not written by setup: move it away (sudo mv {path} {path}.old), then repeat the command"
    ))
}

impl Plan {
    /// Adds a file that is not there yet. Returns whether it is new.
    fn write(&mut self, machine: &Machine, file: PlannedFile) -> bool {
        let is_new = !machine.has(&file);
        if is_new {
            self.files.push(Step::Write(file));
        }
        is_new
    }

    fn plan_start(&mut self, machine: &Machine, wanted: &Wanted, are_new_units: bool, is_changed: bool) {
        if are_new_units {
            // systemd reads units once, and would start the old one.
            self.start.push(Step::run(&["systemctl", "daemon-reload"]));
        }
        let wanted_units = if wanted.has_sockets { &[SERVICE, SOCKET][..] } else { &[SERVICE] };
        for unit in wanted_units.iter().filter(|unit| !machine.enabled.contains(unit)) {
            self.start.push(Step::run(&["systemctl", "enable", "--quiet", unit]));
        }
        let is_active = machine.active.contains(&SERVICE);
        let has_socket = !wanted.has_sockets || machine.active.contains(&SOCKET);
        let is_socket_changed = wanted.has_sockets
            && self.files.iter().any(|step| matches!(step, Step::Write(file) if file.path.ends_with(SOCKET)));
        // A socket unit that is active keeps the addresses of its start.
        if !has_socket || is_socket_changed {
            // The running service has the ports, which systemd could not bind.
            if is_active {
                self.start.push(Step::run(&["systemctl", "stop", SERVICE]));
            }
            self.start.push(Step::run(&["systemctl", "restart", SOCKET]));
            self.start.push(Step::run(&["systemctl", "start", SERVICE]));
        } else if !is_active {
            self.start.push(Step::run(&["systemctl", "start", SERVICE]));
        // A reload keeps the process, and with it the restrictions of the old unit.
        } else if are_new_units {
            self.start.push(Step::run(&["systemctl", "restart", SERVICE]));
        } else if is_changed {
            // Without a failed visit.
            self.start.push(Step::run(&["systemctl", "reload", SERVICE]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps;
    use super::*;

    fn wanted(domains: &[&str], has_sockets: bool) -> Wanted {
        Wanted { domains: domains.iter().map(|&name| name.to_owned()).collect(), has_sockets }
    }

    /// Writes all files of a plan below a folder.
    fn execute(plan: &Plan, root: &Path) {
        for step in &plan.files {
            if let Step::Write(file) = step {
                let path = root.join(file.path.strip_prefix("/").expect("an absolute path"));
                steps::write(&path, file).expect("a file");
            }
        }
    }

    fn planned(machine: &Machine, wanted: &Wanted) -> Result<Plan, String> {
        let listens = [Listen::parse(":80").expect("an address")];
        let manual = PlannedFile::new("/usr/local/share/man/man1/waypost.1", 0o644, "manual");
        let settings = settings(machine, wanted)?;
        plan(machine, wanted, FileContents { settings, program: b"program".to_vec(), manual }, &listens)
    }

    fn lines(plan: &Plan) -> Vec<String> {
        let line = |step: &Step| match step {
            Step::Write(file) => file.path.display().to_string(),
            Step::Run(words) => words.join(" "),
        };
        plan.files.iter().chain(&plan.start).map(line).collect()
    }

    #[test]
    fn a_new_machine_gets_everything_and_a_second_run_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut machine = Machine::empty(folder.path());
        let wanted = wanted(&["go.test"], false);
        let first = planned(&machine, &wanted).expect("a plan");
        assert_eq!(
            lines(&first),
            [
                "/etc/sysusers.d/waypost.conf",
                "systemd-sysusers /etc/sysusers.d/waypost.conf",
                "/usr/local/bin/waypost",
                "/usr/local/share/man/man1/waypost.1",
                CONFIG,
                "/etc/systemd/system/waypost.service",
                "systemctl daemon-reload",
                "systemctl enable --quiet waypost.service",
                "systemctl start waypost.service",
            ]
        );
        execute(&first, folder.path());
        (machine.has_user, machine.enabled, machine.active) = (true, vec![SERVICE], vec![SERVICE]);
        assert_eq!(planned(&machine, &wanted), Ok(Plan::default()));
        // A new version of the program, and no failed visit.
        std::fs::write(folder.path().join("usr/local/bin/waypost"), "old").expect("written");
        let upgrade = planned(&machine, &wanted).expect("a plan");
        assert_eq!(lines(&upgrade), ["/usr/local/bin/waypost", "systemctl reload waypost.service"]);
        execute(&upgrade, folder.path());
        // A new version of the unit.
        let unit = folder.path().join("etc/systemd/system/waypost.service");
        std::fs::write(&unit, format!("{MARK}`, long ago\n")).expect("written");
        let renewed = planned(&machine, &wanted).expect("a plan");
        assert_eq!(lines(&renewed)[1..], ["systemctl daemon-reload", "systemctl restart waypost.service"]);
    }

    #[test]
    fn the_sockets_of_systemd_replace_those_of_the_server() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut machine = Machine::empty(folder.path());
        execute(&planned(&machine, &wanted(&[], false)).expect("a plan"), folder.path());
        (machine.has_user, machine.enabled, machine.active) = (true, vec![SERVICE], vec![SERVICE]);
        let with_sockets = planned(&machine, &wanted(&[], true)).expect("a plan");
        assert_eq!(
            lines(&with_sockets),
            [
                "/etc/systemd/system/waypost.socket",
                "/etc/systemd/system/waypost.service.d/socket.conf",
                "systemctl daemon-reload",
                "systemctl enable --quiet waypost.socket",
                "systemctl stop waypost.service",
                "systemctl restart waypost.socket",
                "systemctl start waypost.service",
            ]
        );
        execute(&with_sockets, folder.path());
        (machine.enabled, machine.active) = (vec![SERVICE, SOCKET], vec![SERVICE, SOCKET]);
        assert_eq!(planned(&machine, &wanted(&[], true)), Ok(Plan::default()));
    }

    #[test]
    fn a_package_keeps_its_program_and_its_unit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut machine = Machine::empty(folder.path());
        machine.program = Prefix::Package.binary();
        machine.has_user = true;
        let service = layout::service(Prefix::Package, &machine.program);
        execute(&Plan { files: vec![Step::Write(service)], start: vec![] }, folder.path());
        execute(&Plan { files: vec![Step::Write(layout::settings(&[]))], start: vec![] }, folder.path());
        (machine.enabled, machine.active) = (vec![SERVICE], vec![SERVICE]);
        let plan = planned(&machine, &wanted(&["go.test"], false)).expect("a plan");
        // The untouched settings of the package get the domain.
        assert_eq!(lines(&plan), [CONFIG, "systemctl reload waypost.service"]);
    }

    #[test]
    fn files_of_others_are_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let machine = Machine::empty(folder.path());
        let file = |path: &str, text: &str| {
            execute(
                &Plan { files: vec![Step::Write(PlannedFile::new(path, 0o644, text))], start: vec![] },
                folder.path(),
            );
        };
        file(OLD_CONFIG, "");
        let why = planned(&machine, &wanted(&[], false)).expect_err("refused");
        assert!(why.contains("sudo mv /etc/waypost.toml /etc/waypost/waypost.toml"), "{why}");
        file(CONFIG, "domain = [\"a.test\", \"b.test\"]\n");
        let why = planned(&machine, &wanted(&["b.test", "c.test"], false)).expect_err("refused");
        assert!(why.contains("`domain` does not contain c.test"), "{why}");
        for spelling in ["[\"a.test\", \"B.test\"]", "\"a.test, b.test\"", "\"b.test\""] {
            file(CONFIG, &format!("domain = {spelling}\n"));
            let plan = planned(&machine, &wanted(&["b.test"], false)).expect(spelling);
            assert!(!lines(&plan).contains(&CONFIG.to_owned()), "{spelling}");
        }
        file("/etc/systemd/system/waypost.service", "[Unit]\n");
        let why = planned(&machine, &wanted(&[], false)).expect_err("refused");
        assert!(why.contains("was not written by setup: move it away"), "{why}");
    }
}
