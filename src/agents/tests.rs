//! Tests with real User-Agents of people, previews and bots, and with hostile ones.

use std::thread;

use proptest::prelude::*;

use super::*;

/// Real User-Agents, one per line: class, tab, User-Agent.
const SAMPLES: &str = include_str!("samples.tsv");

/// The environment variable with the path of a file of examples that `refresh` wrote.
const EXAMPLES: &str = "WAYPOST_CRAWLER_INSTANCES";

/// Returns the class and the User-Agent of each line. Panics on an unknown class.
fn samples(text: &str) -> Vec<(Agent, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line| {
        let (class, user_agent) = str::split_once(line, '\t').expect("a tab");
        let all = [Agent::Person, Agent::Preview, Agent::Bot];
        let agent = all.into_iter().find(|agent| agent.name() == class);
        (agent.unwrap_or_else(|| panic!("{line}")), user_agent)
    };
    lines.map(row).collect()
}

/// Classifies each User-Agent twice, by the list and from the cache.
fn check(rows: &[(Agent, &str)]) {
    let agents = Agents::new();
    let of = |user_agent: &str| agents.of(Some(user_agent.as_bytes()));
    let wrong: Vec<_> = rows
        .iter()
        .map(|&(want, user_agent)| (want, [of(user_agent), of(user_agent)], user_agent))
        .filter(|(want, found, _)| *found != [*want, *want])
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:#?}", wrong.len(), rows.len());
}

#[test]
fn people_previews_and_bots_are_distinguished() {
    let rows = samples(SAMPLES);
    for (agent, at_least) in [(Agent::Person, 60), (Agent::Preview, 30), (Agent::Bot, 60)] {
        let count = rows.iter().filter(|(of, _)| *of == agent).count();
        assert!(count >= at_least, "{count} samples of a {}", agent.name());
    }
    check(&rows);
}

/// Every example of the data has the class of its tags. The examples are not in the repository.
#[test]
fn every_example_of_the_data() {
    // The examples are data of others, so only `refresh` has them.
    let Some(path) = std::env::var_os(EXAMPLES) else { return };
    let text = std::fs::read_to_string(path).expect("the file that the variable names");
    let rows = samples(&text);
    assert!(rows.len() > 2_000, "{} examples", rows.len());
    check(&rows);
}

#[test]
fn a_visitor_without_a_user_agent_is_a_person() {
    let agents = Agents::new();
    assert_eq!(agents.of(None), Agent::Person);
    assert_eq!(agents.of(Some(b"")), Agent::Person);
    // Not empty, so this one is matched against the list.
    assert_eq!(agents.of(Some(b" ")), Agent::Person);
}

#[test]
fn bytes_behind_the_limit_are_ignored() {
    let agents = Agents::new();
    let bot = |padding: usize| [" ".repeat(padding), "Googlebot/2.1".to_owned()].concat();
    // The pattern ends in the slash; the version after it may be cut off.
    let last = MAX_LOOKED_AT - "Googlebot/".len();
    assert_eq!(agents.of(Some(bot(last).as_bytes())), Agent::Bot);
    assert_eq!(agents.of(Some(bot(last + 1).as_bytes())), Agent::Person);
    // The same bytes within the limit are the same User-Agent.
    assert_eq!(agents.of(Some(bot(8_192).as_bytes())), Agent::Person);
}

#[test]
fn hostile_bytes_are_classified() {
    let agents = Agents::new();
    let long = vec![b'a'; 1 << 20];
    let rows: [(&[u8], Agent); 6] = [
        (b"\xff\xfe\x00Googlebot/2.1\xff", Agent::Bot),
        (b"\x00\x01\x02", Agent::Person),
        (b"\xf0\x9f\xa4\x96 Twitterbot/1.0", Agent::Preview),
        // A regular expression has to match the two bytes, which are invalid UTF-8.
        (b"Current\xff\x80RSS Reader", Agent::Bot),
        (b"(((((((((((\\\\\\\\[[[[", Agent::Person),
        (&long, Agent::Person),
    ];
    for (user_agent, want) in rows {
        let shown = String::from_utf8_lossy(&user_agent[..user_agent.len().min(40)]);
        assert_eq!(agents.of(Some(user_agent)), want, "{shown}");
        assert_eq!(agents.of(Some(user_agent)), want, "{shown}, remembered");
    }
}

#[test]
fn a_result_is_cached_in_one_slot() {
    let agents = Agents::new();
    let filled = || agents.cache.slots.iter().filter(|slot| slot.load(Ordering::Relaxed) != 0).count();
    assert_eq!(filled(), 0);
    for _ in 0..3 {
        assert_eq!(agents.of(Some(b"Twitterbot/1.0")), Agent::Preview);
        assert_eq!(filled(), 1);
    }
    // The cached kind is returned: a changed bit shows.
    for slot in &agents.cache.slots {
        if slot.load(Ordering::Relaxed) != 0 {
            slot.fetch_or(VERDICT, Ordering::Relaxed);
        }
    }
    assert_eq!(agents.of(Some(b"Twitterbot/1.0")), Agent::Bot);
    // Other User-Agents only evict, and an evicted one is matched again.
    // Four times the slots, so that nearly every slot is overwritten.
    for n in 0..4 * SLOTS {
        assert_eq!(agents.of(Some(format!("Mozilla/5.0 ({n})").as_bytes())), Agent::Person);
    }
    assert!(filled() <= SLOTS);
    assert_eq!(agents.of(Some(b"Facebot")), Agent::Preview);
}

#[test]
fn threads_agree() {
    let agents = Agents::new();
    let rows = samples(SAMPLES);
    thread::scope(|scope| {
        for start in 0..4 {
            let (agents, rows) = (agents.clone(), &rows);
            scope.spawn(move || {
                for round in 0..20 * rows.len() {
                    // Each thread begins at another sample, so threads read slots that other threads write.
                    let (want, user_agent) = rows[(start * 31 + round) % rows.len()];
                    assert_eq!(agents.of(Some(user_agent.as_bytes())), want, "{user_agent}");
                }
            });
        }
    });
}

proptest! {
    #[test]
    fn the_cache_returns_what_the_list_returns(
        before in proptest::collection::vec(any::<u8>(), 0..40),
        row in 0..samples(SAMPLES).len(),
        after in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let agents = Agents::new();
        let user_agent = [&before, samples(SAMPLES)[row].1.as_bytes(), &after].concat();
        let (matched, _) = list::find(&user_agent[..user_agent.len().min(MAX_LOOKED_AT)]);
        for time in ["first", "second", "third"] {
            prop_assert_eq!(agents.of(Some(&user_agent)), matched, "{}", time);
        }
        // Other bytes do not hit the cached result.
        let _ = agents.of(Some(&before));
        prop_assert_eq!(agents.of(Some(&user_agent)), matched);
    }
}
