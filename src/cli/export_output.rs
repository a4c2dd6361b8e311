//! [`ExportOutput`]: where an export writes its lines.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::error::CommandError;
use crate::private_files::Replacement;

/// The destination of the lines. A file appears once it is complete.
pub(super) enum ExportOutput<'a> {
    Stdout(BufWriter<io::Stdout>),
    File(&'a Path, BufWriter<Replacement>),
}

impl ExportOutput<'_> {
    pub(super) fn open(file: Option<&Path>) -> Result<ExportOutput<'_>, CommandError> {
        let Some(path) = file else { return Ok(ExportOutput::Stdout(BufWriter::new(io::stdout()))) };
        let created = Replacement::create(path).map_err(|error| cannot_write(path, &error))?;
        Ok(ExportOutput::File(path, BufWriter::new(created)))
    }

    pub(super) fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            ExportOutput::Stdout(out) => out.write_all(line),
            ExportOutput::File(_, out) => out.write_all(line),
        }
    }

    pub(super) fn finish(self) -> Result<(), CommandError> {
        match self {
            ExportOutput::Stdout(mut out) => {
                out.flush().map_err(|error| CommandError::Failed(format!("cannot write: {error}")))
            }
            ExportOutput::File(path, out) => {
                // `into_inner` flushes: dropping the buffer would hide an error of the last write.
                let whole = out.into_inner().map_err(|error| cannot_write(path, error.error()))?;
                whole.publish().map_err(|error| cannot_write(path, &error))
            }
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    let mut text = format!("cannot write {}: {error}", path.display());
    if error.kind() == io::ErrorKind::InvalidInput {
        text.push_str("; to write there, omit --output and redirect stdout");
    }
    CommandError::Failed(text)
}
