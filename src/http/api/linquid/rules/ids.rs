//! Ids of rules: the id of the link and the number that the link gave the rule, in one text. A number is given once in
//! a link, so an id never names another rule.

use crate::model::link::branch::BranchId;

/// Before the id of a rule.
const PREFIX: &str = "rule_";

/// Between the id of the link and the number of the rule. No character of an id.
const BEFORE_NUMBER: char = '_';

/// Parses the id of a rule: that of its link and its number, with or without the prefix.
pub(super) fn parse(text: &str) -> Option<BranchId> {
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    let (link, number) = text.split_once(BEFORE_NUMBER)?;
    // One spelling only: `+1` and `01` are numbers as well.
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let number = number.parse().ok().filter(|_| is_plain)?;
    Some(BranchId { link: link.parse().ok()?, number })
}

/// Returns the id of a rule as responses show it.
pub(super) fn show(id: BranchId) -> String {
    format!("{PREFIX}{}{BEFORE_NUMBER}{}", id.link, id.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling_and_may_lack_the_prefix() {
        let link = "0000000000000000000A";
        let id = parse(&format!("{link}_12")).expect("an id");
        assert_eq!((id.link.to_string(), id.number), (link.to_owned(), 12));
        assert_eq!(show(id), format!("rule_{link}_12"));
        assert_eq!(parse(&show(id)), Some(id));
        for number in ["", "_", "_0", "_01", "_+1", "_65536", "_1x", "_1_2"] {
            assert_eq!(parse(&format!("rule_{link}{number}")), None, "{number}");
        }
        assert_eq!(parse("rule_x_1"), None);
    }
}
