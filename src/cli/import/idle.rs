//! Rules of an import that hold for nobody at present, such as those of a test that is over. They are kept, as in a creation,
//! and reported once at the end.

use crate::cli::output::{counted, form};
use crate::model::Invalid;

/// The lines with such rules.
#[derive(Default)]
pub(super) struct IdleRules {
    lines: u64,
    /// The first of the lines, and its first reason.
    first: Option<(u64, String)>,
}

impl IdleRules {
    /// Counts a line if its link has such rules.
    pub(super) fn note(&mut self, line: u64, idle: &[Invalid]) {
        let Some(reason) = idle.first() else { return };
        self.lines += 1;
        // One example: a file of a million links may have as many lines of this kind.
        self.first.get_or_insert_with(|| (line, reason.to_string()));
    }

    /// Returns the warning at the end of an import.
    pub(super) fn summary(&self) -> Option<String> {
        let (line, reason) = self.first.as_ref()?;
        let (lines, have) = (counted(self.lines, "line"), form(self.lines, "has", "have"));
        Some(format!(
            "warning: {lines} {have} rules that hold for nobody at present. The first one is line {line}: {reason}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_named_and_the_others_are_counted() {
        let mut rules = IdleRules::default();
        rules.note(1, &[]);
        assert_eq!(rules.summary(), None);
        let (first, second) = (Invalid::new("rules", "is over"), Invalid::new("rules", "never"));
        rules.note(3, &[first.clone(), second.clone()]);
        let one = "warning: 1 line has rules that hold for nobody at present. The first one is line 3: rules: is over";
        assert_eq!(rules.summary().as_deref(), Some(one));
        rules.note(9, &[second]);
        let both = "warning: 2 lines have rules that hold for nobody at present. The first one is line 3: rules: is over";
        assert_eq!(rules.summary().as_deref(), Some(both));
    }
}
