//! The dialects, and which of them the paths belong to.

use super::dialect::Dialect;
use super::highlevel::links::HighLevelLinks;
use super::highlevel::snapshots::HighLevelSnapshots;
use super::linquid::Linquid;
use super::native::Native;

/// Every dialect. The first one that claims a path renders its responses.
pub(crate) static DIALECTS: &[&dyn Dialect] = &[&NATIVE, &Linquid, &HighLevelLinks, &HighLevelSnapshots];

/// Also renders errors on paths that no dialect claims.
pub(super) static NATIVE: Native = Native;

/// Returns the dialect that renders the responses of a path.
pub(crate) fn dialect_of(path: &str) -> &'static dyn Dialect {
    DIALECTS.iter().copied().find(|dialect| dialect.claims(path)).unwrap_or(&NATIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_its_vendor_and_else_to_native() {
        // Only a whole segment claims: `/snapshotsx` is no path of a vendor.
        for path in ["/api/v1/links", "/api", "/api/v2/x", "/snapshotsx"] {
            assert_eq!(dialect_of(path).name(), "native", "{path}");
        }
        for path in ["/links", "/links/", "/links/x", "/locations/x"] {
            assert_eq!(dialect_of(path).name(), "highlevel-links", "{path}");
        }
    }
}
