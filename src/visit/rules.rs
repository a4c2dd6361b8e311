//! The rules of a click, in their order. Each rule is in a file of its own, and contains the reason of its
//! decision in words, so that `explain` is generated from the rules themselves.

use super::rule::{Evaluation, Rule, Verdict};
use super::{bots, branches, confirm, denied, destination, password, preview, uncounted, validity};

/// The rules in the order of evaluation. The first that returns a verdict ends the visit.
///
/// 1. Validity is first, so that an expired link reveals nothing, not even that it has a password.
/// 2. `DENIED` is next: a link to a denied host shows nothing else to anyone.
/// 3. Bots and previews precede the password, since they cannot send one.
/// 4. `CONFIRM` is after the password, whose form confirms as well.
/// 5. `UNCOUNTED` is after both, which withhold the destination anyway.
/// 6. `BRANCHES`, the rules of the link, is next to last: only a visitor who may see the destination learns that there
///    is none.
/// 7. `DESTINATION` is last: it always returns a verdict.
pub(super) const RULES: &[Rule] = &[
    validity::IS_ACTIVE,
    validity::VALID_SINCE,
    validity::EXPIRES_AT,
    validity::MAX_CLICKS,
    denied::DENIED,
    bots::BLOCK_BOTS,
    preview::PREVIEW,
    password::PASSWORD,
    confirm::CONFIRM,
    uncounted::UNCOUNTED,
    branches::BRANCHES,
    destination::DESTINATION,
];

/// Returns the verdict of the first rule that has one.
pub(super) fn judge(evaluation: &Evaluation<'_>) -> Verdict {
    // The fallback is never used: the last rule always has a verdict.
    RULES.iter().find_map(|rule| (rule.verdict)(evaluation)).unwrap_or(Verdict::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Agent;
    use crate::clock::Timestamp;
    use crate::model::link::{Edit, PasswordHash};
    use crate::visit::intent::Intent;
    use crate::visit::rule::Presentation;
    use crate::visit::rule::tests::{conditional, evaluation, facts, now};

    /// Each row adds a reason of an earlier rule than the row before.
    #[test]
    fn the_first_rule_with_a_verdict_ends_the_visit() {
        // HEAD: not counted, so that the limit withholds the destination.
        let person = facts(Intent::Probe, Agent::Person);
        let bot = facts(Intent::Follow, Agent::Bot);
        let preview = facts(Intent::Follow, Agent::Preview);
        // One more than the three clicks of `evaluation`: not used up.
        let limited = Edit::MaxClicks(Some(4));
        let locked = Edit::Password(Some(PasswordHash::from_stored("$argon2id$".into())));
        let titled = Edit::Title(Some("a title".into()));
        let rows = [
            (Verdict::Withheld, &person, vec![limited.clone()]),
            (Verdict::PasswordRequired, &person, vec![limited.clone(), locked.clone()]),
            (Verdict::Preview, &preview, vec![limited.clone(), locked.clone(), titled.clone()]),
            (Verdict::Preview, &preview, vec![locked.clone(), titled.clone(), Edit::BlockBots(true)]),
            (Verdict::Blocked, &bot, vec![limited, locked.clone(), titled.clone(), Edit::BlockBots(true)]),
            (
                Verdict::Gone,
                &bot,
                vec![locked.clone(), titled.clone(), Edit::BlockBots(true), Edit::MaxClicks(Some(3))],
            ),
            (Verdict::Gone, &person, vec![locked.clone(), Edit::ExpiresAt(Some(now().into()))]),
            (
                Verdict::NotFound,
                &person,
                vec![
                    Edit::ValidSince(Some(Timestamp::from_millis(1_000_001).into())),
                    Edit::MaxClicks(Some(3)),
                ],
            ),
            (
                Verdict::NotFound,
                &preview,
                vec![Edit::IsActive(false), Edit::ExpiresAt(Some(now().into())), titled],
            ),
        ];
        for (want, facts, edits) in rows {
            let conditional = conditional(&edits);
            assert_eq!(judge(&evaluation(&conditional, facts)), want, "{edits:?}");
        }
        let conditional = conditional(&[locked, Edit::MaxClicks(Some(4))]);
        let person = facts(Intent::Follow, Agent::Person);
        let unlocked = Evaluation { is_unlocked: true, ..evaluation(&conditional, &person) };
        let Verdict::Destination { location, presentation } = judge(&unlocked) else { panic!("it leads on") };
        assert_eq!((location.as_bytes(), presentation), (&b"https://e.test/"[..], Presentation::Redirect));
    }
}
