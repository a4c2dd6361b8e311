//! The choosing stage: which of a link's targets a visit is sent to. It runs behind all rules that may end
//! the visit, and before the destination is made of the target and of what the visitor brings along.

use super::rules::Case;
use crate::cache::entry::Target;

/// One way to choose. Returns the position of the target, or `None` to leave the choice to the next.
type Chooser = fn(&Case<'_>) -> Option<usize>;

/// In order; the first that chooses ends the stage: always the link's own `url`.
const CHOOSERS: &[Chooser] = &[|_| Some(0)];

/// Returns the target of this visit.
pub(super) fn target<'a>(case: &Case<'a>) -> &'a Target {
    chosen(case, CHOOSERS)
}

fn chosen<'a>(case: &Case<'a>, choosers: &[Chooser]) -> &'a Target {
    let at = choosers.iter().find_map(|choose| choose(case)).unwrap_or(0);
    case.conditional.targets.at(at)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::cache::entry::{Conditional, Targets};
    use crate::clock::Timestamp;
    use crate::model::destination::{Destination, LinkType};
    use crate::model::domain::DomainNumber;
    use crate::model::id::Id;
    use crate::model::link::{Link, Options};
    use crate::model::network::Networks;
    use crate::model::short_code::ShortCode;
    use crate::model::workspace::WorkspaceNumber;
    use crate::visit::Visit;
    use crate::visit::agents::Agent;
    use crate::visit::counting::How;
    use crate::visit::rules::Asking;

    fn by_query(case: &Case<'_>) -> Option<usize> {
        case.asking.query.as_deref().and_then(|query| query.parse().ok())
    }

    fn for_bots(case: &Case<'_>) -> Option<usize> {
        (case.asking.agent == Agent::Bot).then_some(2)
    }

    #[test]
    fn the_first_that_chooses_decides() {
        let url = |text: &str| Destination::parse_web("url", text).expect("valid");
        let [own, second, third] = ["https://own.test/", "https://b.test/", "https://c.test/"].map(url);
        let options = Options::new(own.clone(), LinkType::Url);
        let link = Link {
            id: Id::from_bits(1),
            workspace: WorkspaceNumber(0),
            domain: DomainNumber::DEFAULT,
            code: ShortCode::parse("a").expect("valid"),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            created_by: None,
            options,
        };
        let targets = Targets::new(Ok(own), [Ok(second), Ok(third)]);
        let conditional = Conditional { link, targets, leads_here: false };
        let rows: [(&[Chooser], Option<&str>, Agent, &str); 6] = [
            (CHOOSERS, Some("1"), Agent::Bot, "https://own.test/"),
            (&[], None, Agent::Person, "https://own.test/"),
            (&[for_bots, by_query], Some("1"), Agent::Bot, "https://c.test/"),
            (&[for_bots, by_query], Some("1"), Agent::Person, "https://b.test/"),
            (&[for_bots, by_query], None, Agent::Person, "https://own.test/"),
            // No target has this position.
            (&[by_query], Some("3"), Agent::Person, "https://own.test/"),
        ];
        for (choosers, query, agent, want) in rows {
            let (headers, peer) = (HeaderMap::new(), IpAddr::from([192, 0, 2, 1]));
            let (method, proxies) = (&Method::GET, &Networks::default());
            let visit = Visit { method, host: "h", path: "/a", query, headers: &headers, peer, proxies };
            let asking = Asking::new(How::Follow, agent, "", &visit);
            let now = Timestamp::from_millis(0);
            let case =
                Case { conditional: &conditional, asking: &asking, now, clicks: 0, is_unlocked: false };
            let to = chosen(&case, choosers).as_ref().expect("each leads somewhere");
            assert_eq!(to.as_str(), want, "{query:?} {agent:?}");
        }
    }
}
