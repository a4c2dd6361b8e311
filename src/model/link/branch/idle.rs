//! Rules that hold for no visit as the link is now. They are no errors: another change of the link, or of the clock, may
//! have made them so, and the next may end it.

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::link::Options;

use super::branches::Branch;
use super::condition::{Condition, ConditionField, ConditionValue, Operator};

impl Options {
    /// Returns the rules and conditions that hold for no visit from `now` on, with the present options.
    pub fn idle_rules(&self, now: Timestamp) -> Vec<Invalid> {
        let mut idle = Vec::new();
        for (at, branch) in self.branches().iter().enumerate().filter(|(_, branch)| branch.enabled) {
            // A winner stays after the end of its test.
            if branch.winner().is_none() && branch.until.is_some_and(|until| until <= now) {
                idle.push(idle_at(
                    &format!("[{at}].until"),
                    "is in the past, so the rule holds for no visitor",
                ));
                continue;
            }
            idle.extend(self.idle_conditions(at, branch, now));
        }
        idle
    }

    /// Returns the fields that the conditions of the rules compare, without rules that are switched off.
    pub fn condition_fields(&self) -> impl Iterator<Item = ConditionField> {
        let enabled = self.branches().iter().filter(|branch| branch.enabled);
        enabled.flat_map(|branch| branch.conditions.iter().map(|condition| condition.field))
    }

    fn idle_conditions(&self, rule: usize, branch: &Branch, now: Timestamp) -> Vec<Invalid> {
        let conditions = branch.conditions.iter().enumerate();
        let idle = conditions.filter_map(|(at, condition)| {
            let why = self.is_idle(condition, now)?;
            Some(idle_at(&format!("[{rule}].conditions[{at}]"), why))
        });
        idle.collect()
    }

    fn is_idle(&self, condition: &Condition, now: Timestamp) -> Option<&'static str> {
        match (&condition.value, condition.field) {
            (ConditionValue::Dates { to: Some(to), .. }, _) if *to <= now => {
                Some("holds for no visitor: its time is in the past")
            }
            // A visit without a path passes the others.
            (ConditionValue::Exists(false), _) => None,
            (_, ConditionField::Path) if !self.forward_path && condition.operator != Operator::NotIn => {
                Some("holds for no visitor: a link without forwardPath answers 404 to a path behind its code")
            }
            _ => None,
        }
    }
}

fn idle_at(place: &str, why: &str) -> Invalid {
    Invalid::new("rules", why).below(place)
}
