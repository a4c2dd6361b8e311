//! What `setup` does: files and commands, which are printed, or written and run.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::layout::PlannedFile;
use crate::app::data_folder::quoted;
use crate::cli::output::print_line;

/// The mode of new folders.
const FOLDER_MODE: u32 = 0o755;

/// One change of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(PlannedFile),
    Run(Vec<String>),
}

impl Step {
    pub(super) fn run(words: &[&str]) -> Step {
        Step::Run(words.iter().map(|&word| word.to_owned()).collect())
    }

    /// Prints the step: commands, settings and units whole, and generated files with their size.
    pub(super) fn show(&self) {
        match self {
            Step::Run(words) => print_line(&format!("$ {}", line(words))),
            Step::Write(file) => {
                let (path, mode) = (file.path.display(), file.mode);
                match std::str::from_utf8(&file.bytes) {
                    // Otherwise the settings and the unit are lost in thousands of lines of manual pages.
                    Ok(_) if file.is_generated => {
                        print_line(&format!(
                            "==> {path} (mode {mode:o}): generated, {} bytes\n",
                            file.bytes.len()
                        ));
                    }
                    Ok(text) => print_line(&format!("==> {path} (mode {mode:o})\n{text}")),
                    // No terminal shows a program.
                    Err(_) => print_line(&format!("==> {path} (mode {mode:o}): this program\n")),
                }
            }
        }
    }

    /// Executes the step and prints it in a line. Fails with a message that names the step.
    pub(super) fn execute(&self) -> Result<(), String> {
        match self {
            Step::Write(file) => {
                write(&file.path, file)
                    .map_err(|error| format!("cannot write {}: {error}", file.path.display()))?;
                print_line(&format!("wrote   {}", file.path.display()));
            }
            Step::Run(words) => {
                output_of(words)?;
                print_line(&format!("ran     {}", line(words)));
            }
        }
        Ok(())
    }
}

fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Returns what a command prints. Fails if it does not end with success.
pub(super) fn output_of(words: &[String]) -> Result<String, String> {
    let output = Command::new(&words[0]).args(&words[1..]).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", words[0]))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("`{}` failed ({}): {why}", line(words), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes a file beside its path and renames it, so that the path never has a part of it: a service may start from it at
/// any time.
pub(super) fn write(path: &Path, file: &PlannedFile) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    create_folder(folder)?;
    let mut beside = tempfile::Builder::new().prefix(".waypost-").tempfile_in(folder)?;
    beside.write_all(&file.bytes)?;
    beside.as_file().set_permissions(Permissions::from_mode(file.mode))?;
    // A file that is renamed before its content is on the disk may be empty after a crash.
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    Ok(())
}

/// Creates a folder and its parents. Folders that exist stay as they are.
fn create_folder(folder: &Path) -> io::Result<()> {
    // The parent of a relative path with one name is empty: the working folder.
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folder(parent)?;
    }
    fs::create_dir(folder)?;
    // The umask of the program has closed it to the user of the service.
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
}
