//! `confirm`: a page with a button precedes the destination, and the button is the click. Scanners of mails follow
//! links by GET as browsers do, so that no other sign distinguishes them from people. They would use up a link
//! with a limit before its recipient. A scanner does not send the form.
//!
//! The password form confirms as well, with or without the button: only a person has the password.

use super::rule::{Evaluation, Rule, Verdict};

pub(super) const CONFIRM: Rule = Rule {
    name: "confirm",
    verdict: |evaluation| {
        (is_asked(evaluation) && !evaluation.facts.is_confirmed).then_some(Verdict::ConfirmationRequired)
    },
    why: |evaluation| {
        let text = match (is_asked(evaluation), evaluation.facts.is_confirmed) {
            (false, _) => "the link asks for no confirmation",
            (true, false) => "the link shows a page with a button first, and the button is the click",
            (true, true) => "the visitor pressed the button",
        };
        text.to_owned()
    },
};

fn is_asked(evaluation: &Evaluation<'_>) -> bool {
    evaluation.conditional.link.options.confirm
}

/// Returns whether a form is that of the page with the button.
pub(super) fn is_confirmation(form: &[u8]) -> bool {
    url::form_urlencoded::parse(form).any(|(name, _)| name == BUTTON)
}

/// Returns whether a field is the button as the page sends it.
pub(super) fn is_button(name: &str, value: &str) -> bool {
    name == BUTTON && value == "1"
}

/// The name of the button.
const BUTTON: &str = "confirm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m2_the_button_is_known_by_its_name() {
        for (form, want) in [
            ("confirm=1", true),
            ("confirm=", true),
            ("a=b&confirm=1", true),
            ("password=confirm", false),
            ("Confirm=1", false),
            ("", false),
        ] {
            assert_eq!(is_confirmation(form.as_bytes()), want, "{form}");
        }
    }
}
