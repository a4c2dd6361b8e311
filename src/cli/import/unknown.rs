//! Fields that the lines of an import have and links do not. Each is reported once, with its line, and counted at the end.
//!
//! Only names that look like names of fields are repeated, since any other key may be a secret at the wrong place.

use crate::cli::output::counted;
use crate::formats::waypost::LINE;
use crate::formats::waypost::known::meant;
use crate::json::looks_like_a_field;

/// Most fields that are named; the others are counted together.
const NAMED_MAX: usize = 20;

/// The unknown fields of an import.
#[derive(Default)]
pub(super) struct IgnoredFields {
    /// Each name, and the number of its lines.
    named: Vec<(Box<str>, u64)>,
    /// The number of fields that are not named.
    more: u64,
}

impl IgnoredFields {
    /// Counts the unknown fields of a line. Returns the warnings about those that no line had before.
    pub(super) fn note(&mut self, line: u64, names: &[Box<str>]) -> Vec<String> {
        let mut warnings = Vec::new();
        for name in names {
            if let Some((_, lines)) = self.named.iter_mut().find(|(known, _)| known == name) {
                *lines += 1;
            } else if self.named.len() == NAMED_MAX || !looks_like_a_field(name) {
                self.more += 1;
            } else {
                let hint =
                    meant(name, LINE).map_or_else(String::new, |field| format!("; did you mean {field}?"));
                warnings.push(format!(
                    "warning: line {line}: {name}: is no field of a link, and is ignored{hint}"
                ));
                self.named.push((name.clone(), 1));
            }
        }
        warnings
    }

    /// Returns a line with the number of lines of each field, or `None` if no field was unknown.
    pub(super) fn summary(&self) -> Option<String> {
        let mut parts: Vec<_> =
            self.named.iter().map(|(name, lines)| format!("{name} in {}", counted(*lines, "line"))).collect();
        if self.more > 0 {
            parts.push(counted(self.more, "more field"));
        }
        (!parts.is_empty()).then(|| format!("warning: ignored {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_named_once_and_counted() {
        let mut unknown = IgnoredFields::default();
        assert_eq!(unknown.summary(), None);
        let names = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<Box<str>>>();
        let first = unknown.note(3, &names(&["slug", "wp_0123"]));
        assert_eq!(
            first,
            ["warning: line 3: slug: is no field of a link, and is ignored; did you mean customSlug?"]
        );
        assert_eq!(unknown.note(4, &names(&["slug"])), [""; 0]);
        assert_eq!(unknown.summary().as_deref(), Some("warning: ignored slug in 2 lines, 1 more field"));
        let many: Vec<Box<str>> =
            (b'a'..=b'z').map(|letter| format!("zq{}", char::from(letter)).into()).collect();
        assert_eq!(unknown.note(5, &many).len(), NAMED_MAX - 1);
    }
}
