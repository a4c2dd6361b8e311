//! Positions in the log.

use std::fmt;

/// A position in the log. The first Change has position 1, each next Change one more; 0 is before all
/// Changes. The revision of a record is the position of the Change that wrote the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position before the first Change.
    pub const START: Position = Position(0);

    /// Returns the position after this one.
    #[must_use]
    pub fn next(self) -> Position {
        // Cannot overflow: at a million Changes a second, 64 bits last half a million years.
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
