//! [`Tag`]: a label of one workspace's links.

use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;
use crate::model::{Invalid, plain_text};

/// Longest tag name in characters.
pub const NAME_MAX: usize = 64;

/// The color of a tag that names none.
pub const DEFAULT_COLOR: &str = "#6b7280";

/// A label. Its name is unique within its workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What the APIs call it by.
    pub id: Id,
    /// Its owner.
    pub workspace: WorkspaceNumber,
    /// Display name.
    pub name: Box<str>,
    /// `#rrggbb`.
    pub color: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagEdit {
    /// Renames it.
    Name(Box<str>),
    /// Recolors it.
    Color(Box<str>),
}

impl Tag {
    /// Applies one change.
    pub fn apply(&mut self, edit: TagEdit) -> Result<(), Invalid> {
        match edit {
            TagEdit::Name(name) => {
                check_name(&name)?;
                self.name = name;
            }
            TagEdit::Color(color) => {
                let digits = color.strip_prefix('#').unwrap_or("");
                if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(Invalid::new("color", "must be a color such as #6b7280"));
                }
                self.color = color;
            }
        }
        Ok(())
    }
}

/// 1 to [`NAME_MAX`] characters, without white space at the ends.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new("name", "must not be empty"));
    }
    if name.trim() != name {
        return Err(Invalid::new("name", "must not begin or end with white space"));
    }
    plain_text("name", name, NAME_MAX)
}
