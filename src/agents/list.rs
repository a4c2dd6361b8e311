//! The list of known bots, compiled: plain texts into one automaton, the rest into one regex set.
//!
//! Compiled once per process, at the first use, in about 2 ms and 1 MiB. Matching is linear in the length of
//! the User-Agent and independent of the number of patterns, for any bytes.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{RegexSet, RegexSetBuilder};

use super::agent::Agent;

/// One pattern per line: class, tab, regular expression. Lines with `#` are comments.
const PATTERNS: &str = include_str!("crawlers.tsv");

/// The own list beside the vendored one: the same columns, then source and date.
const ADDITIONS: &str = include_str!("additions.tsv");

// Lazy, so that a command that serves no visitor does not compile the list.
static LIST: LazyLock<CrawlerList> = LazyLock::new(|| CrawlerList::compile(&[PATTERNS, ADDITIONS]));

/// Returns the kind of visitor that sends this User-Agent, and the number of the pattern that found it; 0 for a person.
pub(super) fn find(user_agent: &[u8]) -> (Agent, u16) {
    LIST.find(user_agent)
}

/// Returns the name of the bot that this pattern finds: the pattern without its operators. Numbers of other versions
/// have other names, so that a number must not be stored.
pub(super) fn name(number: u16) -> &'static str {
    LIST.names.get(usize::from(number)).map_or("", |name| name)
}

struct CrawlerList {
    /// Texts that match anywhere in a User-Agent, or at its start.
    texts: AhoCorasick,
    /// The kind for each text, by its number.
    of_text: Vec<TextPattern>,
    /// The few dozen patterns that need a regular expression.
    regexes: RegexSet,
    /// The kind for each regular expression, by its number.
    of_regex: Vec<Agent>,
    /// The names of all bots: those of texts, then those of regular expressions.
    names: Vec<String>,
}

struct TextPattern {
    agent: Agent,
    /// Matches only at the first byte.
    at_start: bool,
}

impl CrawlerList {
    fn compile(lists: &[&str]) -> CrawlerList {
        let (mut texts, mut of_text) = (Vec::new(), Vec::new());
        let (mut regexes, mut of_regex) = (Vec::new(), Vec::new());
        let (mut names, mut names_of_regexes) = (Vec::new(), Vec::new());
        for (agent, pattern) in lists.iter().flat_map(|list| rows(list)) {
            let (at_start, rest) = match pattern.strip_prefix('^') {
                Some(rest) => (true, rest),
                None => (false, pattern),
            };
            // All but a few dozen rows. The test `every_pattern_compiles` bounds the rest at 50.
            if let Some(text) = plain(rest) {
                names.push(name_of(&text));
                texts.push(text);
                of_text.push(TextPattern { agent, at_start });
            } else {
                names_of_regexes.push(name_of(&without_operators(pattern)));
                regexes.push(pattern);
                of_regex.push(agent);
            }
        }
        // Contiguous: 0.35 MiB, built in 1.5 ms, 0.3 us for a browser's User-Agent. A DFA has 7 MiB, 9 ms and
        // 0.2 us, too much for one match per User-Agent.
        let texts = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .expect("the texts are few and short");
        let regexes = RegexSetBuilder::new(&regexes)
            // A User-Agent may have any bytes. With Unicode, `[\s\S]` does not match a byte that is invalid
            // UTF-8.
            .unicode(false)
            .build()
            .expect("the test `every_pattern_compiles` compiles the same list");
        names.extend(names_of_regexes);
        CrawlerList { texts, of_text, regexes, of_regex, names }
    }

    /// Returns the kind of a User-Agent and the number of the pattern. A preview's pattern has priority over a bot's,
    /// since a preview is a bot too. Of two patterns of one kind, the one that the User-Agent has first.
    fn find(&self, user_agent: &[u8]) -> (Agent, u16) {
        // Overlapping: a preview's text may begin inside a bot's text, and has priority.
        let texts = self.texts.find_overlapping_iter(user_agent).filter_map(|found| {
            let text = &self.of_text[found.pattern().as_usize()];
            (!text.at_start || found.start() == 0).then_some((text.agent, found.pattern().as_usize()))
        });
        let regexes = self.regexes.matches(user_agent);
        let regexes = regexes.iter().map(|number| (self.of_regex[number], self.of_text.len() + number));
        let mut best = (Agent::Person, 0);
        for (agent, number) in texts.chain(regexes) {
            let number = u16::try_from(number).expect("the list has fewer patterns");
            match agent {
                Agent::Preview => return (agent, number),
                Agent::Bot if best.0 == Agent::Person => best = (agent, number),
                Agent::Bot | Agent::Person => {}
            }
        }
        best
    }
}

/// Returns the rows of the list that have a class and a pattern.
pub(super) fn rows(patterns: &str) -> impl Iterator<Item = (Agent, &str)> {
    patterns.lines().filter_map(|line| {
        let (class, rest) = line.split_once('\t')?;
        // Behind a second tab: source and date.
        let pattern = rest.split('\t').next()?;
        // A misspelt class skips the row here; the test `every_pattern_compiles` counts the rows.
        let agent = [Agent::Preview, Agent::Bot].into_iter().find(|agent| agent.name() == class)?;
        Some((agent, pattern))
    })
}

/// Returns the text of a pattern that matches only one text, without its escapes.
fn plain(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            // An escaped letter or digit is a class (`\d`) or an assertion.
            '\\' => text.push(chars.next().filter(char::is_ascii_punctuation)?),
            '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}' => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

/// Returns the name in a text that a bot's User-Agent has.
fn name_of(text: &str) -> String {
    let is_edge = |c: char| !c.is_alphanumeric();
    let start = text.strip_prefix("compatible;").unwrap_or(text);
    let name = start.trim_matches(is_edge);
    if name.is_empty() { text.trim().to_owned() } else { name.to_owned() }
}

/// Returns a pattern with the first of its alternatives and without its operators, to be read. It ends before the first
/// part that may be anything.
fn without_operators(pattern: &str) -> String {
    let (mut text, mut chars) = (String::new(), pattern.chars());
    // In a class and in a group, what comes after the first alternative is skipped.
    let (mut class, mut skips) = (None, false);
    // Where the last character or class begins, and whether it may be one of several characters.
    let (mut last, mut is_open) = (0, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let plain = chars.next().filter(char::is_ascii_punctuation);
                (last, is_open) = (text.len(), plain.is_none() || class.is_some());
                text.extend(plain.filter(|_| !skips && class.is_none()));
            }
            '[' => (class, last, is_open) = (Some(0), text.len(), true),
            ']' => class = None,
            '|' => skips = true,
            '(' | ')' => skips = false,
            '.' => (last, is_open) = (text.len(), true),
            '?' | '*' => {
                text.truncate(last);
                if is_open && !text.trim().is_empty() {
                    break;
                }
            }
            '^' | '$' | '+' => {}
            c if class.is_none() && !skips => {
                (last, is_open) = (text.len(), false);
                text.push(c);
            }
            c if class == Some(0) && !skips => {
                text.push(c);
                class = Some(1);
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        let all = [PATTERNS, ADDITIONS];
        let lines = all.iter().flat_map(|list| list.lines()).filter(|line| !line.starts_with('#')).count();
        let list = CrawlerList::compile(&all);
        // No line was skipped for a misspelt class, and few need a regular expression.
        assert_eq!(list.of_text.len() + list.of_regex.len(), lines);
        // A refresh that loses a part of the list fails here.
        assert!(lines > 1_400, "{lines} patterns");
        assert!(list.of_regex.len() < 50, "{} regular expressions", list.of_regex.len());
    }

    #[test]
    fn every_addition_is_new_and_has_source_and_date() {
        let vendored = CrawlerList::compile(&[PATTERNS]);
        for line in ADDITIONS.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [_, pattern, source, date] = columns[..] else { panic!("{line}") };
            assert!(!source.is_empty() && date.parse::<jiff::civil::Date>().is_ok(), "{line}");
            let text =
                plain(pattern.trim_start_matches('^')).unwrap_or_else(|| panic!("an operator: {line}"));
            // Behind a browser's name, unless the pattern is for the start.
            let before = if pattern.starts_with('^') { "" } else { "Mozilla/5.0 " };
            let (agent, _) = vendored.find(format!("{before}{text}").as_bytes());
            assert_eq!(agent, Agent::Person, "the vendored list has it: {line}");
        }
    }

    #[test]
    fn patterns_without_operators_are_plain() {
        let rows = [
            (r"Googlebot\/", Some("Googlebot/")),
            (r"a\.b\-c", Some("a.b-c")),
            (r"\(x\)", Some("(x)")),
            (r"[cC]laude", None),
            (r"\d", None),
            // An anchor at the end is lost in a plain text. One at the start is removed before `plain`.
            (r"SSL Labs$", None),
            (r"a|b", None),
            // A pattern that ends in an escape escapes nothing.
            (r"x\", None),
        ];
        for (pattern, want) in rows {
            assert_eq!(plain(pattern).as_deref(), want, "{pattern}");
        }
    }

    #[test]
    fn anchors_apply_and_previews_have_priority() {
        let list = CrawlerList::compile(&[
            "# a comment\nbot\t^Start\nbot\tend$\nbot\tMiddle\npreview\tCa[rR]d\nbot\tddle",
        ]);
        let rows = [
            ("Start x", Agent::Bot),
            ("x Start", Agent::Person),
            ("x end", Agent::Bot),
            ("end x", Agent::Person),
            ("x Middle x", Agent::Bot),
            ("x middle x", Agent::Bot),
            ("x MIDDLE x", Agent::Person),
            ("Middle CaRd", Agent::Preview),
            // The preview has priority in either order.
            ("Card Middle", Agent::Preview),
            ("card", Agent::Person),
        ];
        for (user_agent, want) in rows {
            assert_eq!(list.find(user_agent.as_bytes()).0, want, "{user_agent}");
        }
    }

    #[test]
    fn patterns_are_read_as_names() {
        for (pattern, want) in [
            (r"^[A-Za-z]*WhatsApp", "WhatsApp"),
            (r"Sogou [A-Za-z ]*[Ss]pider", "Sogou "),
            (r"ContextualBot[\s\S]*outcomes\.net", "ContextualBot"),
            (r"Spider[\s\S]*spider\.com", "Spider"),
            (r"(sistrix|SISTRIX) [cC]rawler", "sistrix crawler"),
            (r"[aA]cunetix", "acunetix"),
            (r"colou?r\/", "color/"),
            (r"a.*b", "a"),
        ] {
            assert_eq!(without_operators(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn bots_have_the_names_of_their_patterns() {
        let rows = [
            (&b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"[..], "Googlebot"),
            (
                b"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
                "facebookexternalhit",
            ),
            (b"Slackbot-LinkExpanding 1.0", "Slackbot"),
            (b"Mozilla/5.0 (compatible; SISTRIX Crawler)", "sistrix crawler"),
        ];
        for (user_agent, want) in rows {
            let (agent, number) = find(user_agent);
            assert_eq!((agent != Agent::Person, name(number)), (true, want));
        }
        assert!(LIST.names.iter().all(|name| !name.is_empty() && name.len() <= 64), "{:?}", LIST.names);
        assert_eq!(LIST.names.len(), LIST.of_text.len() + LIST.of_regex.len());
        // A number has 13 bits: see `UserAgent`.
        assert!(LIST.names.len() < 1 << 13);
    }
}
