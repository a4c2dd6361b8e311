//! Which variant of a split a visitor gets.
//!
//! * `visitor`: weighted rendezvous hashing of address and User-Agent. Nothing is stored, each node gives the same answer,
//!   and a change of the weights moves only the visitors that it must.
//! * `cookie`: the same for a first visit, and the cookie from then on.
//! * `click`: the variants take turns by the clicks of the link.
//!
//! The key of the hash is the id of the link with the number of the rule. So it is another one for each test, and moves
//! with the link. It is no secret: whoever wants a certain variant can send any User-Agent until it comes.

use std::hash::Hasher as _;
use std::net::IpAddr;

use hyper::header::HeaderValue;
use siphasher::sip::SipHasher24;

use crate::cache::branching::{CompiledBranch, CompiledSplit, CompiledVariant};
use crate::clock::Timestamp;
use crate::model::escape;
use crate::model::id::Id;
use crate::model::link::branch::Sticky;

use super::visit_facts::VisitFacts;

/// The beginning of a cookie's name. The number of the rule follows; the path is that of the link.
const COOKIE: &str = "waypost_variant_";

/// The longest time that a cookie is kept, in seconds: the 400 days of browsers (RFC 6265bis 5.5).
const KEPT_MAX: i64 = 400 * 24 * 60 * 60;

/// The variant of a visit, and whether a cookie must be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub(super) variant: CompiledVariant,
    /// Whether the visit has no cookie with the variant yet.
    pub(super) needs_cookie: bool,
}

/// Returns the variant that a person gets during the test. `clicks` is the number of the link's clicks before this one.
pub(super) fn assign(
    split: &CompiledSplit,
    branch: &CompiledBranch,
    (link, facts, clicks): (Id, &VisitFacts, u64),
) -> Assigned {
    let fixed = |variant| Assigned { variant, needs_cookie: false };
    let by_hash = || {
        let user_agent = facts.user_agent.as_ref().map(HeaderValue::as_bytes);
        rendezvous(split, (link, branch.number), facts.address, user_agent.unwrap_or_default())
    };
    match split.sticky {
        Sticky::Visitor => fixed(by_hash()),
        Sticky::Cookie => match of_cookie(split, branch.number, &facts.cookies) {
            Some(variant) => fixed(variant),
            None => Assigned { variant: by_hash(), needs_cookie: true },
        },
        Sticky::Click => fixed(in_turn(split, (link, branch.number), clicks)),
    }
}

/// Returns the variant with the highest score: -weight / ln(u), with u from the hash.
fn rendezvous(
    split: &CompiledSplit,
    (link, rule): (Id, u16),
    address: IpAddr,
    user_agent: &[u8],
) -> CompiledVariant {
    let mut visitor = hasher(link);
    visitor.write(&rule.to_le_bytes());
    match address {
        IpAddr::V4(address) => visitor.write(&address.octets()),
        // The network alone: browsers change the rest of the address each day (RFC 8981).
        IpAddr::V6(address) => visitor.write(&address.octets()[..8]),
    }
    visitor.write(user_agent);
    let score = |variant: &CompiledVariant| {
        let mut hasher = visitor;
        hasher.write(&variant.number.to_le_bytes());
        // 53 bits, the precision of a float. Never 0, whose logarithm is infinite, nor 1, whose logarithm is 0.
        #[allow(clippy::cast_precision_loss)]
        let u = ((hasher.finish() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(variant.weight) / u.ln()
    };
    let best = split.variants.iter().max_by(|one, other| score(one).total_cmp(&score(other)));
    *best.expect("a split has variants")
}

/// Returns the hasher with the key of a link.
fn hasher(link: Id) -> SipHasher24 {
    // Both halves of the id: links of one moment differ in few bits.
    SipHasher24::new_with_key(&link.bits().to_le_bytes())
}

/// Returns the variant at this click. Each piece of consecutive clicks has nearly the shares of the weights.
fn in_turn(split: &CompiledSplit, (link, rule): (Id, u16), clicks: u64) -> CompiledVariant {
    // Multiples of the golden ratio divide a circle most evenly, whatever part of the clicks comes to this rule.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut start = hasher(link);
    start.write(&rule.to_le_bytes());
    let point = start.finish().wrapping_add(clicks.wrapping_mul(GOLDEN));
    // The high half of the product: a number below the sum of the weights.
    let mut at = u64::try_from((u128::from(point) * u128::from(split.weight)) >> 64).unwrap_or(0);
    for variant in &split.variants {
        match at.checked_sub(u64::from(variant.weight)) {
            Some(rest) => at = rest,
            None => return *variant,
        }
    }
    // Not reached: the point is below the sum of the weights.
    split.variants[0]
}

/// Returns the variant in the cookie of a rule, if it still exists.
fn of_cookie(split: &CompiledSplit, rule: u16, cookies: &[HeaderValue]) -> Option<CompiledVariant> {
    let lines = cookies.iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let values = pairs.filter_map(|(name, value)| {
        let number = name.strip_prefix(COOKIE)?;
        (number.parse() == Ok(rule)).then_some(value)
    });
    // Another link with a path above this one may have set a cookie of this name: the first with a variant counts.
    { values }.find_map(|value| {
        let number: u16 = value.parse().ok()?;
        split.variants.iter().find(|variant| variant.number == number).copied()
    })
}

/// Returns the cookie that keeps a variant for the visitor until the end of the test.
pub(super) fn cookie(
    (rule, variant): (u16, u16),
    path: &str,
    is_secure: bool,
    (now, until): (Timestamp, Option<Timestamp>),
) -> HeaderValue {
    let left = until.map_or(KEPT_MAX, |until| (until.as_millis() - now.as_millis()) / 1_000);
    let (path, secure) = (escape::path(path), if is_secure { "; Secure" } else { "" });
    let age = left.clamp(1, KEPT_MAX);
    let text =
        format!("{COOKIE}{rule}={variant}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).expect("numbers and an escaped path are visible ASCII")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::agents::Agent;
    use crate::cache::branching::{CompiledBranches, CompiledOutcome};
    use crate::model::link::branch::{Branch, BranchOutcome, Branches, Split, Variant};
    use crate::model::link::sample;
    use crate::visit::intent::Intent;
    use crate::visit::peer::TrustedProxies;
    use crate::visit::request::Visit;

    const VISITORS: u32 = 100_000;

    /// Returns a rule that splits by these weights. The numbers of the variants begin with 1.
    fn branches(sticky: Sticky, weights: &[u32]) -> CompiledBranches {
        let variant = |(at, weight): (usize, &u32)| Variant {
            number: u16::try_from(at + 1).expect("a few"),
            name: None,
            url: sample::url("https://e.test/"),
            weight: *weight,
        };
        let variants = weights.iter().enumerate().map(variant).collect();
        let branch = Branch {
            number: 3,
            name: None,
            enabled: true,
            matches_any: false,
            conditions: Vec::new(),
            outcome: BranchOutcome::Split(Split { variants, sticky, winner: None }),
            from: None,
            until: None,
            memo: None,
        };
        let mut options = sample::plain();
        let rules = Branches { list: vec![branch], last_branch: 3, last_variant: 9 };
        options.rules = Some(std::sync::Arc::new(rules));
        CompiledBranches::compile(&options)
    }

    fn facts(visitor: u32, cookie: Option<&str>) -> VisitFacts {
        let mut headers = HeaderMap::new();
        headers
            .insert("user-agent", HeaderValue::from_str(&format!("Browser {}", visitor % 7)).expect("text"));
        if let Some(cookie) = cookie {
            headers.insert("cookie", HeaderValue::from_str(cookie).expect("text"));
        }
        // Addresses of one network differ in few bits.
        let peer = IpAddr::from((0x0a00_0000 + visitor).to_be_bytes());
        let (method, proxies) = (&Method::GET, &TrustedProxies::default());
        let visit = Visit { method, host: "h", path: "/a", query: None, headers: &headers, peer, proxies };
        VisitFacts::new(Intent::Follow, Agent::Person, "", &visit)
    }

    fn variant_of(branches: &CompiledBranches, facts: &VisitFacts, clicks: u64) -> Assigned {
        let branch = &branches.list()[0];
        let CompiledOutcome::Split(split) = &branch.outcome else { panic!("no split") };
        assign(split, branch, (Id::from_bits(77 << 64 | 5), facts, clicks))
    }

    /// Returns the variants of many visitors.
    fn all(branches: &CompiledBranches) -> Vec<u16> {
        (0..VISITORS).map(|visitor| variant_of(branches, &facts(visitor, None), 0).variant.number).collect()
    }

    fn share(variants: &[u16], number: u16) -> f64 {
        let count = variants.iter().filter(|variant| **variant == number).count();
        f64::from(u32::try_from(count).expect("at most all")) / f64::from(VISITORS)
    }

    #[test]
    fn a_visitor_keeps_a_variant_and_new_weights_move_only_those_who_must() {
        let before = all(&branches(Sticky::Visitor, &[60, 40]));
        assert!((share(&before, 1) - 0.6).abs() < 0.005, "{}", share(&before, 1));
        assert_eq!(
            all(&branches(Sticky::Visitor, &[60, 40])),
            before,
            "the same visitors, the same variants"
        );
        let after = all(&branches(Sticky::Visitor, &[50, 50]));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let moved = f64::from(u32::try_from(moved).expect("at most all")) / f64::from(VISITORS);
        assert!((moved - 0.1).abs() < 0.005, "{moved}");
        assert!(
            before.iter().zip(&after).all(|(before, after)| *before == 1 || *after == 2),
            "one direction"
        );
        // A third variant takes its share from the others, and moves nobody between them.
        let three = all(&branches(Sticky::Visitor, &[60, 40, 100]));
        assert!((share(&three, 3) - 0.5).abs() < 0.005, "{}", share(&three, 3));
        assert!(before.iter().zip(&three).all(|(before, after)| before == after || *after == 3));
        let large = all(&branches(Sticky::Visitor, &[1_000_000, 1]));
        assert!(share(&large, 2) < 0.0005);
    }

    #[test]
    fn the_network_of_an_ipv6_address_is_the_visitor() {
        let branches = branches(Sticky::Visitor, &[50, 50]);
        for network in 0..100_u16 {
            let at = |host: u16| {
                let address = Ipv6Addr::new(0x2001, 0xdb8, network, 1, host, host, 3, host);
                let facts = VisitFacts { address: address.into(), ..facts(1, None) };
                variant_of(&branches, &facts, 0).variant.number
            };
            assert_eq!(at(1), at(0xffff), "{network}");
        }
    }

    #[test]
    fn a_cookie_wins_over_the_address() {
        let branches = branches(Sticky::Cookie, &[50, 50]);
        let by_hash = variant_of(&branches, &facts(1, None), 0);
        assert!(by_hash.needs_cookie);
        let rows = [
            ("waypost_variant_3=1", Some(1)),
            ("a=b; waypost_variant_3=2", Some(2)),
            // Of another rule, of a variant that is gone, and no number.
            ("waypost_variant_4=2", None),
            ("waypost_variant_3=9", None),
            ("waypost_variant_3=x; waypost_variant_3=2", Some(2)),
            ("waypost_variant_=1", None),
        ];
        for (cookie, want) in rows {
            let assigned = variant_of(&branches, &facts(1, Some(cookie)), 0);
            assert_eq!(assigned.needs_cookie, want.is_none(), "{cookie}");
            assert_eq!(assigned.variant.number, want.unwrap_or(by_hash.variant.number), "{cookie}");
        }
        let (now, until) = (Timestamp::from_millis(1_000), Timestamp::from_millis(61_000));
        let cookie = cookie((3, 2), "/a", true, (now, Some(until)));
        assert_eq!(cookie, "waypost_variant_3=2; Path=/a; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn clicks_take_turns() {
        let branches = branches(Sticky::Click, &[60, 30, 10]);
        let number = |clicks: u64| variant_of(&branches, &facts(1, None), clicks).variant.number;
        for (start, length) in [(0, 1_000), (12_345, 1_000), (1 << 60, 1_000)] {
            for (variant, share) in [(1, 600_i32), (2, 300), (3, 100)] {
                let count = (start..start + length).filter(|clicks| number(*clicks) == variant).count();
                let count = i32::try_from(count).expect("at most a thousand");
                assert!((count - share).abs() <= 4, "{variant}: {count}");
            }
        }
    }
}
