//! The file formats of links: what `waypost export` writes and `waypost import` reads, one file per program.
//!
//! Promise: what a format writes, it reads back as the same link.

pub mod format;
pub mod waypost;

pub use self::format::Extras;
use self::format::Format;

/// All formats. The first one is the format of this program.
pub(crate) static FORMATS: [Format; 1] = [waypost::FORMAT];

/// Returns the format of this program.
pub fn own() -> &'static Format {
    // The order is fixed by the test `names_are_unique`.
    &FORMATS[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = FORMATS.iter().map(|format| format.name).collect();
        assert_eq!(names.len(), FORMATS.len());
        assert_eq!(own().name, "waypost");
    }
}
