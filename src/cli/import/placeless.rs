//! Rules of an import about the places of visitors, on a server that cannot know them. They are kept, since the server may
//! get a source of places later, and reported, since until then they hold for nobody.

use crate::app::files::{self, SOURCES};
use crate::cli::output::{counted, form};
use crate::config::Config;
use crate::model::link::Edit;
use crate::model::link::branch::{ConditionDraft, KnownPlaces};

/// The lines with such rules.
pub(super) struct PlacelessRules {
    known: KnownPlaces,
    lines: u64,
    first: u64,
}

impl PlacelessRules {
    /// Reads what a server with this configuration knows. Blocks for up to some seconds.
    pub(super) fn new(config: &Config) -> PlacelessRules {
        PlacelessRules { known: files::known_places(config), lines: 0, first: 0 }
    }

    /// Counts a line if a rule of its link needs an unknown place.
    pub(super) fn note(&mut self, line: u64, edits: &[Edit]) {
        let rules =
            edits.iter().filter_map(|edit| if let Edit::Rules(rules) = edit { Some(rules) } else { None });
        let enabled = rules.flatten().filter(|rule| rule.enabled);
        let mut fields = enabled.flat_map(|rule| rule.conditions.iter().map(ConditionDraft::field));
        if fields.any(|field| !self.known.has(field)) {
            (self.lines, self.first) = (self.lines + 1, if self.lines == 0 { line } else { self.first });
        }
    }

    /// Returns the warning at the end of an import.
    pub(super) fn summary(&self) -> Option<String> {
        let (lines, first) = (counted(self.lines, "line"), self.first);
        let have = form(self.lines, "has", "have");
        let text = format!(
            "warning: {lines}, from line {first} on, {have} rules that need the place of a visitor, and this server cannot \
             know it: these rules hold for nobody. {SOURCES}"
        );
        (self.lines > 0).then_some(text)
    }
}
