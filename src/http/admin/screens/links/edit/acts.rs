//! What the buttons of the form do to its rules. Nothing is saved.

use super::rules::{ConditionForm, RuleForm, VariantForm};

/// Does what a button says: `rule-add`, `rule-up-1`, `rule-remove-1`, `condition-add-1`... Returns false for the name of
/// another button.
pub(super) fn apply(act: &str, rules: &mut Vec<RuleForm>) -> bool {
    let mut words = act.splitn(3, '-');
    let (kind, verb) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let at: usize = words.next().and_then(|at| at.parse().ok()).unwrap_or(usize::MAX);
    match (kind, verb) {
        ("rule", "add") => rules.push(RuleForm::new()),
        ("rule", "remove") if at < rules.len() => {
            rules.remove(at);
        }
        ("rule", "up") if at > 0 && at < rules.len() => rules.swap(at - 1, at),
        ("rule", "down") if at.saturating_add(1) < rules.len() => rules.swap(at, at + 1),
        ("condition", "add") => {
            if let Some(rule) = rules.get_mut(at) {
                rule.conditions.push(ConditionForm::default());
            }
        }
        ("variant", "add") => {
            if let Some(rule) = rules.get_mut(at) {
                rule.variants.push(VariantForm::default());
            }
        }
        // A form that somebody has changed meanwhile may name a rule that is gone.
        ("rule", "remove" | "up" | "down") => {}
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_added_moved_and_removed() {
        let mut rules = Vec::new();
        assert!(!apply("save", &mut rules) && !apply("explain", &mut rules));
        for name in ["a", "b", "c"] {
            assert!(apply("rule-add", &mut rules));
            rules.last_mut().expect("added").name = name.to_owned();
        }
        let names = |rules: &[RuleForm]| rules.iter().map(|rule| rule.name.clone()).collect::<String>();
        for (act, want) in [
            ("rule-up-0", "abc"),
            ("rule-up-2", "acb"),
            ("rule-down-0", "cab"),
            ("rule-down-2", "cab"),
            ("rule-down-18446744073709551615", "cab"),
            ("rule-remove-9", "cab"),
            ("rule-remove-x", "cab"),
            ("rule-remove-1", "cb"),
        ] {
            assert!(apply(act, &mut rules), "{act}");
            assert_eq!(names(&rules), want, "{act}");
        }
        assert!(apply("condition-add-1", &mut rules) && apply("variant-add-1", &mut rules));
        assert_eq!((rules[1].conditions.len(), rules[1].variants.len()), (2, 3));
    }
}
