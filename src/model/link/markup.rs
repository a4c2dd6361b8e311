//! [`Markup`]: elements that a workspace adds to the pages of its links. A page of a link has the origin of
//! the short domain, so foreign markup must not run a script, load a style, send a form or move the visitor.
//!
//! 1. The text is parsed against a list of elements and attributes, and what is not on the list is rejected
//!    with its name. Nothing is dropped in silence.
//! 2. The stored text is written from what was parsed ([`Parser::write`]): lower-case names, quoted and escaped
//!    values, closed elements. A browser therefore cannot read it in another way than this parser.
//! 3. A browser replaces references such as `&#114;` before it compares. So URLs are checked without them, and they are
//!    allowed in texts for people only ([`TEXT_ATTRIBUTES`]).
//!
//! Own code, since sanitizers of HTML drop what they do not allow, and a client must learn what was wrong.

use super::references;
use crate::model::destination::Destination;
use crate::model::{Invalid, plain_text};

/// Longest markup in characters, as given and as stored.
pub const MARKUP_MAX: usize = 2_000;

/// Deepest nesting. A browser's own limit is 512.
const DEPTH_MAX: usize = 20;

/// The rels of `<link>` that neither load a style or script nor connect to a host beside an image's.
const RELS: &[&str] = &[
    "icon",
    "shortcut icon",
    "apple-touch-icon",
    "apple-touch-icon-precomposed",
    "mask-icon",
    "canonical",
    "alternate",
    "author",
    "license",
    "me",
];

/// The elements of a body without a URL.
const TEXT_ELEMENTS: &[&str] = &[
    "p",
    "div",
    "span",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "strong",
    "b",
    "em",
    "i",
    "u",
    "s",
    "small",
    "sub",
    "sup",
    "blockquote",
    "code",
    "pre",
];

/// The attributes with a text for people, which may have references. No browser compares their values with a list.
const TEXT_ATTRIBUTES: &[&str] = &["content", "title", "alt"];

/// Elements without content and closing tag.
const VOID: &[&str] = &["meta", "link", "br", "hr", "img"];

/// Checked markup in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markup(Box<str>);

/// The part of a page that markup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MarkupPlace {
    Head,
    Body,
}

/// An element's attributes by name, in the order of the text. `None` is an attribute without a value.
type Attributes<'a> = Vec<(String, Option<&'a str>)>;

impl Markup {
    /// Parses markup for the head of a page. Returns `None` for an empty text.
    pub fn head(field: &'static str, text: Option<Box<str>>) -> Result<Option<Markup>, Invalid> {
        Markup::parse(field, text, MarkupPlace::Head)
    }

    /// Parses markup for the body of a page. Returns `None` for an empty text.
    pub fn body(field: &'static str, text: Option<Box<str>>) -> Result<Option<Markup>, Invalid> {
        Markup::parse(field, text, MarkupPlace::Body)
    }

    /// Wraps the text of a record.
    pub fn from_stored(text: Box<str>) -> Markup {
        Markup(text)
    }

    /// Returns the text, safe to be written into its part of a page.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns all its URLs.
    pub fn urls(&self) -> impl Iterator<Item = Destination> {
        // As for `images`: `write` puts the URL first.
        let starts = ["<a href=\"", "<img src=\"", "<link href=\""];
        let of = |start: &'static str| self.0.split(start).skip(1).filter_map(|rest| rest.split('"').next());
        let urls = starts.into_iter().flat_map(of);
        urls.map(stored_url)
    }

    /// Returns the URLs of its images and icons, which the policy of the page must allow.
    pub fn images(&self) -> impl Iterator<Item = Destination> {
        // `write` puts the URL first and escapes quotes and `<` in values, so the text splits unambiguously.
        let of = |start: &'static str| self.0.split(start).skip(1).filter_map(|rest| rest.split('"').next());
        let icons = self.0.split("<link href=\"").skip(1).filter(|rest| {
            let element = rest.split('>').next().unwrap_or_default();
            element.contains("icon")
        });
        let icons = icons.filter_map(|rest| rest.split('"').next());
        of("<img src=\"").chain(icons).map(stored_url)
    }

    fn parse(
        field: &'static str,
        text: Option<Box<str>>,
        part: MarkupPlace,
    ) -> Result<Option<Markup>, Invalid> {
        let Some(text) = text else { return Ok(None) };
        plain_text(field, &text, MARKUP_MAX)?;
        let mut parser = Parser { field, part, open: Vec::new(), out: String::with_capacity(text.len()) };
        parser.run(text.trim())?;
        // Escapes make it longer.
        plain_text(field, &parser.out, MARKUP_MAX)?;
        Ok((!parser.out.is_empty()).then(|| Markup(parser.out.into())))
    }
}

struct Parser {
    field: &'static str,
    part: MarkupPlace,
    open: Vec<&'static str>,
    out: String,
}

impl Parser {
    fn run(&mut self, mut rest: &str) -> Result<(), Invalid> {
        while let Some(at) = rest.find('<') {
            self.text(&rest[..at])?;
            let tag = &rest[at + 1..];
            rest = match tag.strip_prefix('/') {
                Some(closing) => self.close(closing)?,
                None => self.open(tag)?,
            };
        }
        self.text(rest)?;
        match self.open.last() {
            Some(name) => Err(self.wrong(format!("must close <{name}>"))),
            None => Ok(()),
        }
    }

    fn wrong(&self, why: impl Into<String>) -> Invalid {
        Invalid::new(self.field, why)
    }

    fn text(&mut self, text: &str) -> Result<(), Invalid> {
        if self.part == MarkupPlace::Head && !text.trim().is_empty() {
            return Err(self.wrong("must contain only meta and link elements, and no text"));
        }
        references::check_text(text).map_err(|why| self.wrong(why))?;
        escape(&mut self.out, text);
        Ok(())
    }

    fn close<'a>(&mut self, rest: &'a str) -> Result<&'a str, Invalid> {
        let (name, rest) = rest.split_once('>').ok_or_else(|| self.wrong("must not end inside a tag"))?;
        let name = name.trim().to_ascii_lowercase();
        match self.open.pop() {
            Some(open) if open == name => {
                self.out.extend(["</", open, ">"]);
                Ok(rest)
            }
            _ => Err(self.wrong(format!("must not close <{}>, which is not open there", shown(&name)))),
        }
    }

    fn open<'a>(&mut self, tag: &'a str) -> Result<&'a str, Invalid> {
        let length = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let (name, rest) = tag.split_at(length);
        let name = name.to_ascii_lowercase();
        let known: &[&[&'static str]] = match self.part {
            MarkupPlace::Head => &[&["meta", "link"]],
            MarkupPlace::Body => &[&["a", "img"], TEXT_ELEMENTS],
        };
        let Some(name) = known.iter().copied().flatten().find(|known| **known == name).copied() else {
            return Err(self.unknown(&name, tag));
        };
        let (attributes, is_closed, rest) = self.attributes(rest)?;
        self.write(name, &attributes)?;
        if VOID.contains(&name) {
            return Ok(rest);
        }
        if is_closed {
            // `<div/>` is an opening tag for browsers.
            return Err(self.wrong(format!("must close <{name}> by </{name}>")));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(self.wrong("must not nest elements more than 20 deep"));
        }
        self.open.push(name);
        Ok(rest)
    }

    fn unknown(&self, name: &str, tag: &str) -> Invalid {
        let allowed = match self.part {
            MarkupPlace::Head => "only meta and link are allowed",
            MarkupPlace::Body => "only text, lists, headings, links and images are allowed",
        };
        let why = match name {
            "script" => {
                "must not contain <script>: use googleTagId, gtmContainerId or metaPixelId".to_owned()
            }
            "noscript" => "must not contain <noscript>: give the element inside it".to_owned(),
            "title" if self.part == MarkupPlace::Head => {
                "must not contain <title>: use the field title".to_owned()
            }
            "" if tag.starts_with('!') => "must not contain comments or <!...>".to_owned(),
            "" => "must write < as &lt; outside of tags".to_owned(),
            _ => format!("must not contain <{}>: {allowed}", shown(name)),
        };
        self.wrong(why)
    }

    /// Returns the attributes of a tag, whether it ends in `/>`, and the text after it.
    fn attributes<'a>(&self, mut rest: &'a str) -> Result<(Attributes<'a>, bool, &'a str), Invalid> {
        let mut attributes: Attributes<'a> = Vec::new();
        let unfinished = || self.wrong("must not end inside a tag");
        loop {
            rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix('>') {
                return Ok((attributes, false, rest));
            }
            if let Some(rest) = rest.strip_prefix("/>") {
                return Ok((attributes, true, rest));
            }
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':')));
            let (name, behind) = rest.split_at(end.ok_or_else(unfinished)?);
            if name.is_empty() {
                return Err(self.wrong("must have attributes of the form name=\"value\""));
            }
            let name = name.to_ascii_lowercase();
            let (value, behind) = match behind.trim_start().strip_prefix('=').map(str::trim_start) {
                None => (None, behind),
                Some(quoted) => {
                    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''));
                    let quote = quote.ok_or_else(|| self.wrong("must quote the values of attributes"))?;
                    let (value, behind) = quoted[1..].split_once(quote).ok_or_else(unfinished)?;
                    (Some(value), behind)
                }
            };
            if attributes.iter().any(|(other, _)| *other == name) {
                return Err(self.wrong(format!("must not repeat the attribute {}", shown(&name))));
            }
            attributes.push((name, value));
            rest = behind;
        }
    }

    /// Writes the opening tag of an element on the list.
    fn write(&mut self, element: &'static str, attributes: &Attributes<'_>) -> Result<(), Invalid> {
        let (url, allowed): (Option<&str>, &[&str]) = match element {
            "meta" => (None, &["name", "property", "content"]),
            "link" => (Some("href"), &["rel", "sizes", "type", "media", "hreflang", "color", "title"]),
            // `rel` is always replaced.
            "a" => (Some("href"), &["rel", "title", "lang", "dir"]),
            "img" => (Some("src"), &["alt", "width", "height", "title"]),
            _ => (None, &["title", "lang", "dir"]),
        };
        let unknown = |name: &&str| url != Some(*name) && !allowed.contains(name);
        if let Some(name) = attributes.iter().map(|(name, _)| name.as_str()).find(unknown) {
            return Err(self.wrong(format!("must not have the attribute {} on <{element}>", shown(name))));
        }
        self.check_values(attributes)?;
        let value =
            |name: &str| attributes.iter().find(|(other, _)| other == name).and_then(|(_, value)| *value);
        match element {
            "meta" if value("name").is_some_and(|name| name.trim().eq_ignore_ascii_case("referrer")) => {
                return Err(self.wrong("must not set the referrer policy: use hideReferrer"));
            }
            "meta" if value("content").is_none() || value("name").or(value("property")).is_none() => {
                return Err(self.wrong("must give each <meta> a content and a name or property"));
            }
            "link" => {
                let rel = value("rel").unwrap_or_default().trim().to_ascii_lowercase();
                if !RELS.contains(&rel.as_str()) {
                    let list = RELS.join(", ");
                    return Err(self.wrong(format!("must give each <link> one of these as rel: {list}")));
                }
            }
            _ => {}
        }
        self.out.extend(["<", element]);
        if let Some(name) = url {
            self.write_url(element, name, value(name))?;
        }
        let is_replaced = |name: &str| url == Some(name) || (element == "a" && name == "rel");
        for (name, value) in attributes.iter().filter(|(name, _)| !is_replaced(name)) {
            self.out.extend([" ", name, "=\""]);
            escape(&mut self.out, value.unwrap_or_default());
            self.out.push('"');
        }
        if element == "a" {
            // The opened page must not reach this one, and search engines must not follow.
            self.out.push_str(" rel=\"noopener noreferrer nofollow\"");
        }
        self.out.push('>');
        Ok(())
    }

    /// Fails if a value that browsers compare with a list has references. URLs have a check of their own.
    fn check_values(&self, attributes: &Attributes<'_>) -> Result<(), Invalid> {
        for (name, value) in attributes {
            let value = value.unwrap_or_default();
            match name.as_str() {
                "href" | "src" => {}
                name if TEXT_ATTRIBUTES.contains(&name) => {
                    references::check_text(value).map_err(|why| self.wrong(why))?;
                }
                name if value.contains('&') => {
                    let why =
                        format!("must not contain & in the value of {name}: write the characters themselves");
                    return Err(self.wrong(why));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write_url(&mut self, element: &str, name: &str, value: Option<&str>) -> Result<(), Invalid> {
        let text = references::decoded(value.unwrap_or_default()).map_err(|why| self.wrong(why))?;
        let text = text.trim();
        let is =
            |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let fits = match element {
            // A page over https loads no image over http.
            "img" | "link" => is("https://"),
            _ => is("https://") || is("http://"),
        };
        if !fits {
            return Err(self.wrong(format!("must give each <{element}> an absolute https URL as {name}")));
        }
        let url = Destination::parse_web(self.field, text)?;
        self.out.extend([" ", name, "=\""]);
        // Without references, so that a browser reads the URL that was checked.
        url.as_str().chars().for_each(|c| escape_char(&mut self.out, c));
        self.out.push('"');
        Ok(())
    }
}

/// Returns a URL of stored markup.
fn stored_url(value: &str) -> Destination {
    // A version before this one kept references of other names.
    let url = references::decoded(value).map_or_else(|_| value.to_owned(), Into::into);
    Destination::from_stored(url.into())
}

/// Writes text that no browser takes for a tag or the end of a value. References such as `&eacute;` stay.
fn escape(out: &mut String, text: &str) {
    for (at, c) in text.char_indices() {
        match c {
            '&' if references::name_of(&text[at + 1..]).is_some() => out.push('&'),
            c => escape_char(out, c),
        }
    }
}

fn escape_char(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        c => out.push(c),
    }
}

/// Returns a short form of a name for an error.
fn shown(name: &str) -> String {
    name.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m10_what_is_on_the_list_is_kept_in_one_form() {
        let head = [
            ("", None),
            ("  \n ", None),
            (r#"<META Name='a' content="b">"#, Some(r#"<meta name="a" content="b">"#)),
            (
                r#"<meta property="og:x" content="1 < 2"/>"#,
                Some(r#"<meta property="og:x" content="1 &lt; 2">"#),
            ),
            (
                r#"<link rel="icon" href="https://e.test/i.png?a=1&amp;b=2">"#,
                Some(r#"<link href="https://e.test/i.png?a=1&amp;b=2" rel="icon">"#),
            ),
            (
                r#"<link rel="icon" href="https://&#101;.test/i.png?&copy&#61;1'">"#,
                Some(r#"<link href="https://e.test/i.png?&amp;copy=1%27" rel="icon">"#),
            ),
            (
                r#"<meta name="a" content="&eacute;&#233;">"#,
                Some(r#"<meta name="a" content="&eacute;&#233;">"#),
            ),
            // The end of a value cannot be reached from inside.
            (
                r#"<meta name="a" content='"><script>x</script>'>"#,
                Some(r#"<meta name="a" content="&quot;&gt;&lt;script&gt;x&lt;/script&gt;">"#),
            ),
        ];
        for (text, want) in head {
            let got = Markup::head("headTags", Some(text.into())).expect(text);
            assert_eq!(got.as_ref().map(Markup::as_str), want, "{text}");
        }
        let body = [
            ("<p>a &amp; b &eacute; & c</p>", "<p>a &amp; b &eacute; &amp; c</p>"),
            (
                r#"<a href="https://e.test/">x</a>"#,
                r#"<a href="https://e.test/" rel="noopener noreferrer nofollow">x</a>"#,
            ),
            (
                r#"<img alt="x" src="HTTPS://e.test/i.png" width="1">"#,
                r#"<img src="https://e.test/i.png" alt="x" width="1">"#,
            ),
        ];
        for (text, want) in body {
            let got = Markup::body("bodyTags", Some(text.into())).expect(text).expect(text);
            assert_eq!(got.as_str(), want, "{text}");
            // The stored form can be sent back.
            let again = Markup::body("bodyTags", Some(got.as_str().into())).expect(want);
            assert_eq!(again.as_ref(), Some(&got), "{text}");
        }
    }

    #[test]
    fn m10_what_cannot_be_made_safe_is_named() {
        let rows = [
            (MarkupPlace::Head, "<script src=x></script>", "<script>"),
            (MarkupPlace::Head, "<style>a{}</style>", "<style>"),
            (MarkupPlace::Head, "<title>x</title>", "the field title"),
            (MarkupPlace::Head, "<base href='https://e.test/'>", "<base>"),
            (MarkupPlace::Head, "hello", "no text"),
            (MarkupPlace::Head, "<!-- x -->", "comments"),
            (
                MarkupPlace::Head,
                r#"<meta http-equiv="refresh" content="0;url=https://e.test/">"#,
                "http-equiv",
            ),
            (MarkupPlace::Head, r#"<meta name="Referrer" content="unsafe-url">"#, "hideReferrer"),
            (MarkupPlace::Head, r#"<meta name="&#114;eferrer" content="unsafe-url">"#, "value of name"),
            (MarkupPlace::Head, r#"<meta name="r&#x65;ferrer" content="unsafe-url">"#, "value of name"),
            (MarkupPlace::Head, r#"<meta property="og&colon;x" content="a">"#, "value of property"),
            (MarkupPlace::Head, r#"<meta name="a" content="&#27;">"#, "no character"),
            (MarkupPlace::Head, r#"<link rel="&#115;tylesheet" href="https://e.test/">"#, "value of rel"),
            (
                MarkupPlace::Head,
                r#"<link rel="icon" type="a&sol;b" href="https://e.test/">"#,
                "value of type",
            ),
            (MarkupPlace::Head, r#"<link rel="icon" href="https://a&period;e.test/">"#, "&amp;"),
            (MarkupPlace::Body, r#"<img src="https://e.test&sol;@f.test/">"#, "&amp;"),
            (MarkupPlace::Body, r#"<p dir="&#114;tl">x</p>"#, "value of dir"),
            (MarkupPlace::Body, "<p>&#0;</p>", "no character"),
            (MarkupPlace::Head, r#"<meta charset="utf-7">"#, "charset"),
            (MarkupPlace::Head, r#"<meta name="a">"#, "content"),
            (MarkupPlace::Head, r#"<link rel="stylesheet" href="https://e.test/a.css">"#, "rel"),
            (MarkupPlace::Head, r#"<link rel="preconnect" href="https://e.test/">"#, "rel"),
            (MarkupPlace::Head, r#"<link rel="icon" href="http://e.test/i">"#, "https URL"),
            (MarkupPlace::Head, r#"<link rel="icon" href="data:image/png;base64,AA">"#, "https URL"),
            (MarkupPlace::Head, r#"<link rel=icon href="https://e.test/i">"#, "quote"),
            (MarkupPlace::Head, r#"<meta name="a" content="b"#, "inside a tag"),
            (MarkupPlace::Head, r#"<meta name="a" name="b" content="c">"#, "repeat"),
            (MarkupPlace::Body, "<script>alert(1)</script>", "<script>"),
            (MarkupPlace::Body, "<ScRiPt>alert(1)</sCrIpT>", "<script>"),
            (MarkupPlace::Body, "<noscript><img></noscript>", "<noscript>"),
            (MarkupPlace::Body, "<iframe src='https://e.test/'></iframe>", "<iframe>"),
            (MarkupPlace::Body, "<form action='https://e.test/'></form>", "<form>"),
            (MarkupPlace::Body, "<svg><a/></svg>", "<svg>"),
            (MarkupPlace::Body, r#"<img src="https://e.test/i" onerror="x()">"#, "onerror"),
            (MarkupPlace::Body, r#"<p style="position:fixed">x</p>"#, "style"),
            (MarkupPlace::Body, r#"<p id="password">x</p>"#, "id"),
            (MarkupPlace::Body, r#"<a href="javascript:alert(1)">x</a>"#, "https URL"),
            (MarkupPlace::Body, r#"<a href="java&#115;cript:alert(1)">x</a>"#, "https URL"),
            (MarkupPlace::Body, "<p>", "close <p>"),
            (MarkupPlace::Body, "</div>", "not open"),
            (MarkupPlace::Body, "<b><i></b></i>", "not open"),
            (MarkupPlace::Body, "<div/>", "close <div>"),
            (MarkupPlace::Body, "1 < 2", "&lt;"),
            (MarkupPlace::Body, "<img", "inside a tag"),
        ];
        for (part, text, want) in rows {
            let error = Markup::parse("field", Some(text.into()), part).expect_err(text);
            assert_eq!(error.field, "field", "{text}");
            assert!(error.why.contains(want), "{text}: {}", error.why);
        }
        let deep = "<b>".repeat(21);
        assert!(Markup::body("field", Some(deep.into())).is_err());
        let long = "&".repeat(MARKUP_MAX);
        assert!(Markup::body("field", Some(long.into())).is_err(), "escapes count");
    }

    #[test]
    fn m10_the_hosts_of_images_are_known() {
        let text =
            r#"<img alt="src=" src="https://a.test/1?x&y"><p>&lt;img src="</p><img src="https://b.test/2">"#;
        let markup = Markup::body("f", Some(text.into())).expect("valid").expect("some");
        let urls: Vec<_> = markup.images().map(|url| url.as_str().to_owned()).collect();
        assert_eq!(urls, ["https://a.test/1?x&y", "https://b.test/2"]);
        let text = r#"<link rel="icon" href="https://a.test/i"><link rel="author" href="https://b.test/">"#;
        let markup = Markup::head("f", Some(text.into())).expect("valid").expect("some");
        assert_eq!(markup.images().count(), 1);
    }
}
