//! The choosing stage: selects one of a link's targets for a visit. It runs after all rules that may end the
//! visit, and before the destination is built from the target and the forwarded parts of the request.

use super::rule::Evaluation;
use crate::cache::entry::Target;

/// One way to choose. Returns the position of the target, or `None` to leave the choice to the next chooser.
type Chooser = fn(&Evaluation<'_>) -> Option<usize>;

/// The choosers in their order; the first that returns a position decides. The last one always chooses the
/// link's own `url`.
const CHOOSERS: &[Chooser] = &[|_| Some(0)];

/// Returns the target of this visit.
pub(super) fn target<'a>(evaluation: &Evaluation<'a>) -> &'a Target {
    chosen(evaluation, CHOOSERS)
}

fn chosen<'a>(evaluation: &Evaluation<'a>, choosers: &[Chooser]) -> &'a Target {
    // Position 0 always exists: it is the link's own `url`.
    let at = choosers.iter().find_map(|choose| choose(evaluation)).unwrap_or(0);
    // `at` returns the link's own `url` for a position without a target.
    evaluation.conditional.targets.at(at)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::agents::Agent;
    use crate::cache::entry::{Conditional, Targets};
    use crate::clock::Timestamp;
    use crate::model::destination::LinkType;
    use crate::model::link::{Options, sample};
    use crate::visit::Visit;
    use crate::visit::intent::Intent;
    use crate::visit::peer::TrustedProxies;
    use crate::visit::rule::VisitFacts;
    use crate::visit::rule::tests::no_list;

    fn by_query(evaluation: &Evaluation<'_>) -> Option<usize> {
        evaluation.facts.query.as_deref().and_then(|query| query.parse().ok())
    }

    fn for_bots(evaluation: &Evaluation<'_>) -> Option<usize> {
        (evaluation.facts.agent.kind == Agent::Bot).then_some(2)
    }

    #[test]
    fn the_first_chooser_with_a_position_decides() {
        let [own, second, third] =
            ["https://own.test/", "https://b.test/", "https://c.test/"].map(sample::url);
        let options = Options::new(own.clone(), LinkType::Url);
        let link = sample::link(1, "a", options);
        let targets = Targets::new(Ok(own), [Ok(second), Ok(third)]);
        // Choosers do not read `leads_here`: only the loop check does.
        let conditional = Conditional { link, targets, leads_here: false, is_denied: false };
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
            let (method, proxies) = (&Method::GET, &TrustedProxies::default());
            let visit = Visit { method, host: "h", path: "/a", query, headers: &headers, peer, proxies };
            let facts = VisitFacts::new(Intent::Follow, agent, "", &visit);
            let now = Timestamp::from_millis(0);
            let evaluation = Evaluation {
                conditional: &conditional,
                facts: &facts,
                now,
                clicks: 0,
                is_unlocked: false,
                deny_list: no_list(),
            };
            let to = chosen(&evaluation, choosers).as_ref().expect("each leads somewhere");
            assert_eq!(to.as_str(), want, "{query:?} {agent:?}");
        }
    }
}
