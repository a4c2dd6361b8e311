//! `waypost backup`: a consistent copy of the log, made beside a running server. The copy is a
//! data folder: `waypost restore` puts it back, and a server can be started on it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, Failure, load, progress, tell, verify};
use crate::app::LOG_FOLDER;

/// Arguments of `backup`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A new or empty folder to write to. It holds password and key hashes: keep it private.
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
}

/// Runs to its end.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.common)?;
    let archive = verify::open(&config.data_dir)?;
    make_private(&arguments.to)?;
    let bar = progress::bytes("copying");
    let copied = archive.copy_to(&arguments.to.join(LOG_FOLDER), &mut progress::follow(&bar));
    bar.finish_and_clear();
    copied.map_err(Failure::from)?;
    let report = verify::check(&arguments.to)?;
    if !report.is_sound() {
        return Err(Failure::Failed(format!(
            "the copy in {} is not sound; do not rely on it",
            arguments.to.display()
        )));
    }
    tell(&format!(
        "{} holds position {} with {} records, verified",
        arguments.to.display(),
        report.position,
        report.records
    ));
    Ok(())
}

/// Makes the folder, for its owner only.
fn make_private(folder: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::Failed(format!("cannot make {}: {error}", folder.display()));
    if folder.exists() {
        let mut inside = fs::read_dir(folder).map_err(cannot)?;
        if inside.next().is_some() {
            return Err(Failure::Failed(format!("{} is not empty: name a new folder", folder.display())));
        }
        return fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(cannot);
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)
}
