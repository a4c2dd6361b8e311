//! [`Tag`]: a label for links of one workspace.

use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;
use crate::model::{Invalid, plain_text, text};

/// Longest tag name in characters.
pub const NAME_MAX: usize = 64;

/// The color of a tag that was created without one.
pub const DEFAULT_COLOR: &str = "#6b7280";

/// A label. Its name is unique within its workspace, without regard to case, Unicode spelling and what cannot be
/// seen ([`text::folded_name`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Tag {
    pub id: Id,
    /// The number of its workspace.
    pub workspace: WorkspaceNumber,
    pub name: Box<str>,
    /// `#rrggbb`.
    pub color: Box<str>,
    pub created_at: Timestamp,
}

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub enum TagEdit {
    Name(Box<str>),
    Color(Box<str>),
}

impl Tag {
    /// Applies one change. Fails if a value breaks a rule.
    pub fn apply(&mut self, edit: TagEdit) -> Result<(), Invalid> {
        match edit {
            TagEdit::Name(name) => {
                check_name(&name)?;
                self.name = name;
            }
            TagEdit::Color(color) => {
                check_color(&color)?;
                self.color = color;
            }
        }
        Ok(())
    }
}

/// Rejects a color other than `#rrggbb`.
pub fn check_color(color: &str) -> Result<(), Invalid> {
    let digits = color.strip_prefix('#').unwrap_or("");
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Invalid::new("color", "must be a color such as #6b7280"));
    }
    Ok(())
}

/// Rejects a name that is empty, longer than [`NAME_MAX`] characters, or has white space at an end.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    // Also if nothing of it can be seen.
    if name.is_empty() || text::folded_name(name).is_empty() {
        return Err(Invalid::new("name", "must not be empty"));
    }
    // Rejected and not trimmed: the stored name would differ from the sent one.
    if name.trim() != name {
        return Err(Invalid::new("name", "must not begin or end with white space"));
    }
    plain_text("name", name, NAME_MAX)
}
