//! The URL that a click is redirected to: the link's own query, then its UTM parameters, then, with
//! `forwardParameters`, the visitor's query, whose values replace those of equal names; with `forwardPath`,
//! the part of the path after the code. The fragment is kept. The mark of QR codes, `qr=1`, is for the statistics of the
//! link, and is not forwarded; the link's own query keeps it.
//!
//! Scheme, host and port are always the stored ones, for any request, and the result is a legal header value.

use std::collections::HashSet;

use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;

use super::rule::{Evaluation, Forwarded, Presentation, Rule, Verdict, presentation};
use crate::model::destination::Destination;
use crate::model::escape;
use crate::model::link::Options;
use crate::model::short_code::is_punctuation;

/// The parameter that the URL of a QR code ends in ([`crate::qr::address::MARK`]).
const QR_MARK: &str = "qr=1";

/// The last rule: sends the visitor to the destination.
pub(super) const DESTINATION: Rule = Rule {
    name: "url",
    verdict: |evaluation| {
        Some(match of(evaluation) {
            Some(location) => Verdict::Destination { location, presentation: presented(evaluation) },
            None => Verdict::NotFound,
        })
    },
    why: |evaluation| match (evaluation.target(), of(evaluation)) {
        // Not reached: such a rule ends the visit before.
        (None, _) => "a rule of the link leads nowhere".to_owned(),
        (Some(Err(error)), _) => error.to_string(),
        (Some(Ok(_)), None) => "the link does not forward what follows its code in the path".to_owned(),
        (Some(Ok(_)), Some(location)) => {
            let how = match presented(evaluation) {
                Presentation::Redirect => "redirected to",
                Presentation::Cloaked => "shown a frame with",
                Presentation::Pixels => "sent through its pixels to",
            };
            format!("the visitor is {how} {}", location.to_str().unwrap_or_default())
        }
    },
};

/// Returns the presentation of this visit. A custom value may be a URI that no frame can show.
fn presented(evaluation: &Evaluation<'_>) -> Presentation {
    let is_web = evaluation.target().is_some_and(|target| target.as_ref().is_ok_and(Destination::is_web));
    presentation(evaluation, is_web)
}

/// Returns the `Location` of this visit, if it has one.
pub(super) fn of(evaluation: &Evaluation<'_>) -> Option<HeaderValue> {
    let target = evaluation.target()?.as_ref().ok()?;
    location(target, &evaluation.conditional.link.options, evaluation.facts.forwarded())
}

/// Returns the `Location` of a click. Returns `None` if the path after the code cannot be appended: the link
/// does not forward it, or it has dot segments.
pub(crate) fn location(
    target: &Destination,
    options: &Options,
    forwarded: Forwarded<'_>,
) -> Option<HeaderValue> {
    let text = if target.is_hierarchical() {
        merged(target.as_str(), options, forwarded)?
    } else if forwarded.rest.is_empty() {
        // A custom value may be a number or a mail address, to which a visitor must not append anything.
        target.as_str().to_owned()
    } else {
        return None;
    };
    Some(HeaderValue::try_from(text).expect("a destination and what was encoded are visible ASCII"))
}

fn merged(target: &str, options: &Options, forwarded: Forwarded<'_>) -> Option<String> {
    // The fragment first: a question mark inside of it begins no query.
    let (address, fragment) = match target.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (target, None),
    };
    let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    let mut text = with_path(path, options, forwarded.rest)?;
    // An empty query must not append a question mark.
    let visitor = forwarded.query.filter(|query| options.forward_parameters && !query.is_empty());
    match visitor {
        Some(visitor) => append_query(&mut text, query.unwrap_or(""), visitor),
        None => {
            if let Some(query) = query {
                text.push('?');
                text.push_str(query);
            }
        }
    }
    if let Some(fragment) = fragment {
        text.push('#');
        text.push_str(fragment);
    }
    Some(text)
}

fn with_path(path: &str, options: &Options, rest: &str) -> Option<String> {
    // `/code,` would reach the link, and so does `/code/,`.
    if rest.is_empty() || (!options.forward_path && is_punctuation(rest)) {
        return Some(path.to_owned());
    }
    // Browsers resolve dot segments, also percent-encoded ones: `..` would leave the stored path.
    let climbs = |segment: &str| {
        let decoded = percent_decode_str(segment).collect::<Vec<u8>>();
        // A backslash may hide a dot segment, since browsers read it as a slash.
        decoded == b"." || decoded == b".." || decoded.contains(&b'\\')
    };
    if !options.forward_path || rest.split('/').any(climbs) {
        return None;
    }
    // Exactly one slash between both, whether or not the stored path ends in one.
    let whole = format!("{}/{}", path.strip_suffix('/').unwrap_or(path), escape::path(rest));
    // A URL with a configured scheme may have no host, and the path would become the host: `app:` and
    // `/evil.test` would give `app://evil.test`.
    (host(&whole) == host(path)).then_some(whole)
}

/// Returns the text between `://` and the path, if there is one.
fn host(url: &str) -> Option<&str> {
    let (_, behind) = url.split_once(':')?;
    behind.strip_prefix("//")?.split('/').next()
}

fn append_query(text: &mut String, stored: &str, visitor: &str) {
    let theirs: Vec<&str> = visitor.split('&').filter(|pair| !pair.is_empty() && *pair != QR_MARK).collect();
    // A set: both queries may contain thousands of names, and comparing each pair would be quadratic.
    let names: HashSet<Vec<u8>> = theirs.iter().map(|pair| name(pair)).collect();
    let replaced = |pair: &&str| names.contains(&name(pair));
    // The visitor's values replace the stored ones, so that a campaign can override a link's parameter. Empty
    // pairs (`&&`) have no name.
    let kept = stored.split('&').filter(|pair| !pair.is_empty() && !replaced(pair)).map(str::to_owned);
    let theirs = theirs.iter().map(|pair| escape::query(pair));
    let mut separator = '?';
    for pair in kept.chain(theirs) {
        text.push(separator);
        text.push_str(&pair);
        separator = '&';
    }
}

/// Returns the name of a parameter as its receiver decodes it: `a%20b` and `a+b` are the same name.
fn name(pair: &str) -> Vec<u8> {
    let name = pair.split('=').next().unwrap_or("");
    percent_decode_str(&name.replace('+', " ")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::model::destination::{Destination, ExtraSchemes, LinkType};
    use crate::model::link::Edit;

    fn options(url: &str) -> Options {
        let mut options =
            Options::new(Destination::parse_web("url", url).expect("a valid URL"), LinkType::Url);
        options.forward_parameters = true;
        options.forward_path = true;
        options
    }

    fn check(url: &str, rest: &str, query: Option<&str>, want: Option<&str>) {
        let options = options(url);
        let got = location(&options.target(), &options, Forwarded { rest, query });
        let got = got.as_ref().map(|value| value.to_str().expect("visible ASCII"));
        assert_eq!(got, want, "{url} + {rest:?} ? {query:?}");
    }

    #[test]
    fn queries() {
        let rows = [
            ("https://e.test/", "a=1", "https://e.test/?a=1"),
            ("https://e.test/p", "a=1", "https://e.test/p?a=1"),
            ("https://e.test/?b=2", "a=1", "https://e.test/?b=2&a=1"),
            ("https://e.test/?a=2", "a=1", "https://e.test/?a=1"),
            ("https://e.test/?a=2&b=3", "a=1", "https://e.test/?b=3&a=1"),
            ("https://e.test/?a=2&a=3", "a=1", "https://e.test/?a=1"),
            ("https://e.test/?a=2", "a=1&a=4", "https://e.test/?a=1&a=4"),
            // Names of parameters are case-sensitive.
            ("https://e.test/?a=2", "A=1", "https://e.test/?a=2&A=1"),
            ("https://e.test/?a", "a=1", "https://e.test/?a=1"),
            ("https://e.test/?a=1", "a", "https://e.test/?a"),
            ("https://e.test/?a=1", "a=", "https://e.test/?a="),
            ("https://e.test/?a=1", "=x", "https://e.test/?a=1&=x"),
            ("https://e.test/?a=1", "", "https://e.test/?a=1"),
            ("https://e.test/?a=1", "&&", "https://e.test/?a=1"),
            ("https://e.test/?a=1&&b=2", "c=3", "https://e.test/?a=1&b=2&c=3"),
            ("https://e.test/?", "a=1", "https://e.test/?a=1"),
            ("https://e.test/#f", "a=1", "https://e.test/?a=1#f"),
            ("https://e.test/?b=2#f?x=y", "a=1", "https://e.test/?b=2&a=1#f?x=y"),
            // An escaped `#` is data, and begins no fragment.
            ("https://e.test/#f", "a=%23g", "https://e.test/?a=%23g#f"),
            ("https://e.test/?a%20b=1", "a+b=2", "https://e.test/?a+b=2"),
            ("https://e.test/?a+b=1", "a%20b=2", "https://e.test/?a%20b=2"),
            ("https://e.test/?%61=1", "a=2", "https://e.test/?a=2"),
            // PHP's lists: the visitor's whole list replaces the stored one.
            ("https://e.test/?a[]=1", "a[]=2&a[]=3", "https://e.test/?a[]=2&a[]=3"),
            ("https://e.test/?a[]=1", "a%5B%5D=2", "https://e.test/?a%5B%5D=2"),
            ("https://e.test/?a[0]=1", "a[1]=2", "https://e.test/?a[0]=1&a[1]=2"),
            ("https://e.test/", "a=b=c", "https://e.test/?a=b=c"),
            ("https://e.test/", "a=%ff", "https://e.test/?a=%ff"),
            ("https://e.test/?%ff=1", "%ff=2", "https://e.test/?%ff=2"),
            // Compared as bytes: neither name is UTF-8.
            ("https://e.test/?%fe=1", "%ff=2", "https://e.test/?%fe=1&%ff=2"),
            ("https://e.test/", "a=%0d%0aX:y", "https://e.test/?a=%0d%0aX:y"),
            // A URL in a value changes no host.
            ("https://e.test/", "url=//evil.test", "https://e.test/?url=//evil.test"),
            ("https://e.test/", "a=\"<>`", "https://e.test/?a=%22%3C%3E%60"),
            // Browsers read a raw backslash as a slash.
            ("https://e.test/", "a=\\x", "https://e.test/?a=%5Cx"),
            ("https://e.test/", "a=ü", "https://e.test/?a=%C3%BC"),
            // A percent sign that begins no escape.
            ("https://e.test/", "off=100%&b=%zz&c=%4", "https://e.test/?off=100%25&b=%25zz&c=%254"),
            // The mark of a QR code belongs to this link. That of the destination is its own.
            ("https://e.test/", "qr=1", "https://e.test/"),
            ("https://e.test/?a=1#f", "qr=1", "https://e.test/?a=1#f"),
            ("https://e.test/?a=1", "b=2&qr=1&c=3", "https://e.test/?a=1&b=2&c=3"),
            ("https://e.test/?qr=1", "qr=1", "https://e.test/?qr=1"),
            ("https://e.test/?qr=5", "qr=1&a=1", "https://e.test/?qr=5&a=1"),
            // Only this pair.
            ("https://e.test/?qr=5", "qr=2", "https://e.test/?qr=2"),
            ("https://e.test/", "qr=true&qr&qr=11&xqr=1&QR=1", "https://e.test/?qr=true&qr&qr=11&xqr=1&QR=1"),
            // A semicolon separates nothing: the URL standard knows only `&`.
            ("https://e.test/", "a;b=1", "https://e.test/?a;b=1"),
            ("https://e.test/", "a?b=1", "https://e.test/?a?b=1"),
            ("https://e.test/", "a=1?b", "https://e.test/?a=1?b"),
            ("https://e.test:8443/x?a=1", "b=2", "https://e.test:8443/x?a=1&b=2"),
        ];
        for (url, query, want) in rows {
            check(url, "", Some(query), Some(want));
        }
        check("https://e.test/?a=1#f", "", None, Some("https://e.test/?a=1#f"));
    }

    /// No query may cost a visitor's thread more than others do: as many parameters in one query cost what
    /// they cost in many queries. Were each pair of names compared, it would be some sixty times as much.
    #[test]
    fn many_parameters_cost_no_more_than_their_length() {
        const PARAMETERS: usize = 20_000;
        let cost = |each: usize| {
            let many = |name: &str| vec![name; each].join("&");
            let url = format!("https://e.test/?{}", many("a="));
            let mut options = options("https://e.test/");
            // As stored: a new destination must not be as long as this one.
            options.destination = Destination::from_stored(url.as_str().into());
            let (target, query) = (options.target(), many("b="));
            let start = std::time::Instant::now();
            for _ in 0..PARAMETERS / each {
                let forwarded = Forwarded { rest: "", query: Some(&query) };
                let led = location(&target, &options, forwarded).expect("it leads on");
                assert_eq!(led.len(), url.len() + 1 + query.len());
            }
            start.elapsed()
        };
        // The quickest of a few, beside each other, since the machine has other work.
        let measured: Vec<_> = (0..5).map(|_| (cost(PARAMETERS), cost(PARAMETERS / 200))).collect();
        let in_one = measured.iter().map(|(in_one, _)| in_one).min();
        let in_many = measured.iter().map(|(_, in_many)| *in_many * 10).min();
        assert!(in_one < in_many.as_ref(), "{measured:?}");
    }

    #[test]
    fn paths() {
        let rows = [
            ("https://e.test/", "a", Some("https://e.test/a")),
            ("https://e.test/p", "a/b", Some("https://e.test/p/a/b")),
            ("https://e.test/p/", "a/", Some("https://e.test/p/a/")),
            ("https://e.test/p?x=1#f", "a", Some("https://e.test/p/a?x=1#f")),
            // The host is already written, so two slashes are only a part of the path.
            ("https://e.test/", "/evil.test", Some("https://e.test//evil.test")),
            // After a slash, `@` ends no user name.
            ("https://e.test/p", "@evil.test", Some("https://e.test/p/@evil.test")),
            ("https://e.test/", "a%2fb", Some("https://e.test/a%2fb")),
            ("https://e.test/", "ü", Some("https://e.test/%C3%BC")),
            ("https://e.test/", "50%/%4", Some("https://e.test/50%25/%254")),
            ("https://e.test/#a#b", "x", Some("https://e.test/x#a%23b")),
            ("https://e.test/p", "..", None),
            ("https://e.test/p", "a/../../b", None),
            ("https://e.test/p", "%2e%2E", None),
            ("https://e.test/p", ".%2e/x", None),
            ("https://e.test/p", ".", None),
            ("https://e.test/p", "a\\..\\b", None),
            ("https://e.test/p", "a%5c..%5cb", None),
        ];
        for (url, rest, want) in rows {
            check(url, rest, None, want);
        }
    }

    /// Found by the fuzz target `merge`: a scheme of the configuration's may have no host.
    #[test]
    fn t115_a_path_never_becomes_a_host() {
        let extra = ExtraSchemes::new(vec!["app".to_owned(), "sip".to_owned()]).expect("schemes");
        let rows = [
            ("app:", "/evil.test", None),
            ("app:/", "/evil.test", None),
            ("app://", "evil.test", None),
            // The host is empty before and after, and the slash keeps the text in the path.
            ("app:///", "evil.test", Some("app:///evil.test")),
            // Nothing can be appended without `//`.
            ("app:/x", "/evil.test", None),
            ("app:/x", "y", None),
            ("sip:a@b.test", "y", None),
            ("sip:a@b.test", "", Some("sip:a@b.test")),
            ("app://h", "/evil.test", Some("app://h//evil.test")),
        ];
        for (url, rest, want) in rows {
            let to = Destination::parse("url", url, LinkType::Url, &extra).expect("an accepted scheme");
            let mut options = Options::new(to.clone(), LinkType::Url);
            options.forward_path = true;
            options.forward_parameters = true;
            let query = url.starts_with("sip").then_some("to=evil@x.test");
            let got = location(&to, &options, Forwarded { rest, query });
            assert_eq!(got.as_ref().and_then(|value| value.to_str().ok()), want, "{url} + {rest}");
        }
    }

    #[test]
    fn nothing_is_forwarded_by_default_and_visitors_override_utm() {
        let mut options = options("https://e.test/?a=1");
        options.apply(Edit::UtmSource(Some("mail".into()))).expect("valid");
        let forwarded = Forwarded { rest: "", query: Some("utm_source=x&b=2") };
        let at = |options: &Options| {
            location(&options.target(), options, forwarded)
                .map(|value| value.to_str().expect("ASCII").to_owned())
        };
        assert_eq!(at(&options).as_deref(), Some("https://e.test/?a=1&utm_source=x&b=2"));
        options.forward_parameters = false;
        assert_eq!(at(&options).as_deref(), Some("https://e.test/?a=1&utm_source=mail"));
        options.forward_path = false;
        assert_eq!(location(&options.target(), &options, Forwarded { rest: "more", query: None }), None);
    }

    /// 2,000 cases here, a million in tests/soak/links.
    fn cases() -> u32 {
        std::env::var("WAYPOST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
        #[test]
        fn t50_the_stored_host_is_never_changed(
            rest in "[\\x21-\\x7eü/.%@:\\\\]{0,20}",
            query in proptest::option::of("[\\x21-\\x7eü&=%#/]{0,30}"),
        ) {
            let stored = Url::parse("https://e.test:8443/base?k=v#f").expect("a valid URL");
            let options = options(stored.as_str());
            let forwarded = Forwarded { rest: &rest, query: query.as_deref() };
            if let Some(value) = location(&options.target(), &options, forwarded) {
                let led = Url::parse(value.to_str().expect("visible ASCII")).expect("a URL");
                prop_assert_eq!(led.scheme(), stored.scheme());
                prop_assert_eq!(led.host_str(), stored.host_str());
                prop_assert_eq!(led.port(), stored.port());
                prop_assert_eq!(led.username(), "");
                prop_assert!(led.path().starts_with("/base"), "{}", led);
                prop_assert_eq!(led.fragment(), Some("f"));
                // The link's own parameter stays, unless the visitor has one of its name.
                let theirs = url::form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes());
                let is_replaced = { theirs }.any(|(name, _)| name == "k");
                prop_assert!(is_replaced || led.query_pairs().any(|(k, v)| k == "k" && v == "v"), "{}", led);
            }
        }
    }
}
