//! [`Format`]: what a format of files does.

use crate::core::{Imported, LinkView};

/// A format of one link per line.
#[derive(Debug)]
pub struct Format {
    /// The name of the program that the format belongs to.
    pub name: &'static str,
    /// Returns the line of a link, without a line break.
    pub write: fn(&LinkView, Extras<'_>) -> Vec<u8>,
    /// Parses a line. The error is a sentence that names the field.
    pub read: fn(&[u8]) -> Result<ImportLine, String>,
}

/// What a line has besides the link as the API shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Whether the line has the hash of the password.
    pub with_password_hash: bool,
    /// The name of the link's campaign.
    pub campaign_name: Option<&'a str>,
}

/// A line of an import file.
#[derive(Debug)]
pub struct ImportLine {
    /// The id of the workspace that the line names.
    pub workspace: Option<String>,
    /// The link.
    pub link: Imported,
    /// The names of fields that the format does not have. They are ignored.
    pub unknown: Vec<Box<str>>,
}
