//! The file formats of links: what `waypost export` writes and `waypost import` reads, one file per program.
//!
//! Promise: what a format writes, it reads back as the same link.

pub mod waypost;

use crate::core::{Imported, LinkView};

/// All formats. The first one is the format of this program.
pub static FORMATS: [Format; 1] = [waypost::FORMAT];

/// A format of one link per line.
#[derive(Debug)]
pub struct Format {
    /// The name of the program that the format belongs to.
    pub name: &'static str,
    /// Returns the line of a link, without a line break. Contains the hash of the password only if the
    /// second argument is true.
    pub write: fn(&LinkView, bool) -> Vec<u8>,
    /// Parses a line. The error is a sentence that names the field.
    pub read: fn(&[u8]) -> Result<ImportLine, String>,
}

impl Format {
    /// Returns the format of this program.
    pub fn own() -> &'static Format {
        &FORMATS[0]
    }
}

/// A line of an import file.
#[derive(Debug)]
pub struct ImportLine {
    /// The id of the workspace that the line names.
    pub workspace: Option<String>,
    /// The link.
    pub link: Imported,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = FORMATS.iter().map(|format| format.name).collect();
        assert_eq!(names.len(), FORMATS.len());
        assert_eq!(Format::own().name, "waypost");
    }
}
