//! Checks the SVG of a logo: it must be self-contained, and must not run anything.
//!
//! Browsers already run no script and load nothing in an SVG within a picture. This check does not rely on that: a logo is
//! also shown as a file, and other programs render the pictures. The file is kept as it is, so everything that the
//! check does not understand is rejected.

/// Deepest nesting of elements. Programs for drawings nest some ten groups.
const DEPTH_MAX: usize = 64;

/// Most `<use>` elements. Each may draw what others draw, so their number is an exponent: these draw at most a
/// hundred thousand parts.
const USES_MAX: usize = 32;

/// Elements that run, load or change something, in lower case and without prefix.
const FORBIDDEN: &[&str] = &[
    "script",
    "foreignobject",
    "iframe",
    "embed",
    "object",
    "audio",
    "video",
    "canvas",
    "link",
    "handler",
    "listener",
    "set",
    "animate",
    "animatemotion",
    "animatetransform",
    "animatecolor",
    "discard",
    // Of HTML: they load or send something, also where a program puts the file into a page.
    "base",
    "button",
    "form",
    "img",
    "input",
    "meta",
];

/// Encodings in which every letter has the byte that it has in UTF-8. Others could turn checked texts into a script.
const ENCODINGS: &[&str] = &["utf-8", "us-ascii", "iso-8859-1", "windows-1252"];

/// What styles must not contain, in lower case: it loads something, runs something, or hides one of these in an escape.
const NOT_IN_STYLES: &[&str] =
    &["@import", "@font-face", "image-set", "src(", "expression", "behavior", "\\"];

/// Checks the file. Fails with what is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| "must be a PNG, or an SVG in UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with('<') {
        return Err("must be a PNG or an SVG".to_owned());
    }
    // XML has no other control characters, and some parsers skip them within names.
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err("is no SVG: it has control characters".to_owned());
    }
    let mut scan = SvgScan { rest: text, open: Vec::new(), has_root: false, uses: 0, style: String::new() };
    while scan.step()? {}
    match scan.open.last() {
        Some(name) => Err(format!("is no SVG: <{name}> is not closed")),
        None if !scan.has_root => Err("is no SVG: it has no <svg>".to_owned()),
        None => Ok(()),
    }
}

struct SvgScan<'a> {
    rest: &'a str,
    /// The names of the elements around the rest.
    open: Vec<&'a str>,
    has_root: bool,
    /// The number of `<use>` elements so far.
    uses: usize,
    /// The text of the `<style>` so far: a browser joins its parts, and ignores comments between them.
    style: String,
}

impl<'a> SvgScan<'a> {
    /// Checks the text up to the next mark, and the mark. Returns false at the end.
    fn step(&mut self) -> Result<bool, String> {
        let Some(at) = self.rest.find('<') else {
            self.text(self.rest)?;
            return Ok(false);
        };
        let (text, mark) = self.rest.split_at(at);
        self.text(text)?;
        if let Some(behind) = mark.strip_prefix("<!--") {
            let (text, rest) = behind.split_once("-->").ok_or("is no SVG: a comment is not closed")?;
            // As XML requires. A parser of HTML would end such a comment earlier.
            if text.contains("--") || text.starts_with(['>', '-']) || text.ends_with('-') {
                return Err("is no SVG: a comment has -- or begins with >".to_owned());
            }
            self.rest = rest;
        } else if let Some(behind) = mark.strip_prefix("<![CDATA[") {
            let (text, rest) = behind.split_once("]]>").ok_or("is no SVG: a CDATA section is not closed")?;
            self.text(text)?;
            self.rest = rest;
        } else if let Some(behind) = mark.strip_prefix("<?") {
            self.rest = self.instruction(behind)?;
        } else if let Some(behind) = mark.strip_prefix("<!") {
            self.rest = self.doctype(behind)?;
        } else if let Some(behind) = mark.strip_prefix("</") {
            self.rest = self.close(behind)?;
        } else {
            self.rest = self.element(&mark[1..])?;
        }
        Ok(true)
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        // XML allows white space there, and a file that has more is cut or joined.
        if self.open.is_empty() && !text.trim().is_empty() {
            return Err("is no SVG: it has text outside of <svg>".to_owned());
        }
        // Other texts are shown and never read as styles.
        if self.is_in_style() {
            self.style.push_str(&decoded(text)?);
        }
        Ok(())
    }

    fn is_in_style(&self) -> bool {
        self.open.last().is_some_and(|name| local(name) == "style")
    }

    fn instruction(&self, behind: &'a str) -> Result<&'a str, String> {
        let (text, rest) = behind.split_once("?>").ok_or("is no SVG: an instruction is not closed")?;
        // A stylesheet is loaded by its instruction, so only the declaration of XML passes.
        let is_declaration =
            text.strip_prefix("xml").is_some_and(|rest| rest.starts_with(char::is_whitespace));
        if !is_declaration || self.has_root {
            return Err("must not have instructions such as <?xml-stylesheet?>".to_owned());
        }
        let text = text.to_lowercase();
        if text.contains("encoding") && !ENCODINGS.iter().any(|known| text.contains(known)) {
            return Err("must be in UTF-8, and its first line names another encoding".to_owned());
        }
        Ok(rest)
    }

    fn doctype(&self, behind: &'a str) -> Result<&'a str, String> {
        let (text, rest) = behind.split_once('>').ok_or("is no SVG: a declaration is not closed")?;
        // Declarations of entities are in brackets. Parsers do not load the named file of old programs' SVGs.
        if self.has_root || !text.starts_with("DOCTYPE") || text.contains('[') {
            return Err("must not declare entities or other things in a DOCTYPE".to_owned());
        }
        Ok(rest)
    }

    fn close(&mut self, behind: &'a str) -> Result<&'a str, String> {
        let (name, rest) = behind.split_once('>').ok_or("is no SVG: a tag is not closed")?;
        // Only the end of a closing tag may have white space.
        let name = name.trim_end();
        if self.is_in_style() {
            check_style(&std::mem::take(&mut self.style))?;
        }
        if self.open.pop() != Some(name) {
            return Err(format!("is no SVG: </{}> closes no element", shown(name)));
        }
        Ok(rest)
    }

    fn element(&mut self, behind: &'a str) -> Result<&'a str, String> {
        let (name, mut rest) = name(behind).ok_or("is no SVG: a < begins no tag; write &lt;")?;
        if FORBIDDEN.contains(&local(name).as_str()) {
            return Err(format!("must not have <{name}>: it could run or load something"));
        }
        if local(name) == "use" {
            self.uses += 1;
        }
        if self.uses > USES_MAX {
            return Err(format!("must not have more than {USES_MAX} <use> elements"));
        }
        if self.is_in_style() {
            return Err("must not have elements within <style>".to_owned());
        }
        if self.open.is_empty() {
            if self.has_root || local(name) != "svg" {
                return Err("is no SVG: it must be one <svg>".to_owned());
            }
            self.has_root = true;
        }
        loop {
            let behind = rest.trim_start();
            if let Some(rest) = behind.strip_prefix("/>") {
                return Ok(rest);
            }
            if let Some(rest) = behind.strip_prefix('>') {
                if self.open.len() == DEPTH_MAX {
                    return Err(format!("must not nest more than {DEPTH_MAX} elements"));
                }
                self.open.push(name);
                return Ok(rest);
            }
            if behind.len() == rest.len() {
                return Err(format!(
                    "is no SVG: <{name}> is not closed, or lacks a space between attributes"
                ));
            }
            rest = attribute(behind)?;
        }
    }
}

/// Checks the attribute at the start of a text, and returns what follows it.
fn attribute(text: &str) -> Result<&str, String> {
    let malformed = || "is no SVG: an attribute is not written as name=\"value\"".to_owned();
    let (name, behind) = name(text).ok_or_else(malformed)?;
    let behind = behind.trim_start().strip_prefix('=').ok_or_else(malformed)?.trim_start();
    // XML requires quotes. Without them, parsers differ in where a value ends.
    let quote = behind.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or_else(malformed)?;
    let (value, rest) = behind[1..].split_once(quote).ok_or_else(malformed)?;
    // Not well formed, and a parser of HTML would read it in another way.
    if value.contains('<') {
        return Err(malformed());
    }
    // Decoded before it is compared, as a browser does.
    let (key, value) = (local(name), decoded(value)?);
    if key.starts_with("on") {
        return Err(format!("must not have the attribute {name}: it could run a script"));
    }
    // Names of namespaces are no references. Elements of HTML have that of HTML.
    if name.starts_with("xmlns") {
        if value.contains("xhtml") {
            return Err("must not have elements of HTML".to_owned());
        }
        return Ok(rest);
    }
    if matches!(key.as_str(), "href" | "src" | "base" | "data") && !is_internal(value.trim()) {
        let why = "only fragments such as #a and data: URLs of PNG, JPEG, GIF and WebP are allowed";
        return Err(format!("must not refer to other files: {name}=\"{}\"; {why}", shown(&value)));
    }
    // Any attribute may be one of presentation.
    check_style(&value)?;
    Ok(rest)
}

/// Returns whether a reference stays within the file. An SVG in a `data:` URL would need this check as well.
fn is_internal(reference: &str) -> bool {
    const IMAGES: [&str; 5] =
        ["data:image/png;", "data:image/jpeg;", "data:image/jpg;", "data:image/gif;", "data:image/webp;"];
    reference.is_empty()
        || reference.starts_with('#')
        || IMAGES
            .iter()
            .any(|image| reference.get(..image.len()).is_some_and(|at| at.eq_ignore_ascii_case(image)))
}

fn check_style(text: &str) -> Result<(), String> {
    // CSS ignores the case of its names.
    let lower = text.to_lowercase();
    if let Some(found) = NOT_IN_STYLES.iter().find(|found| lower.contains(**found)) {
        return Err(format!("must not have {found} in styles or attributes: it could load or run something"));
    }
    for behind in lower.split("url(").skip(1) {
        let reference = behind.trim_start().trim_start_matches(['"', '\'']).trim_start();
        if !is_internal(reference) || reference.is_empty() {
            let why = "only fragments such as url(#a) and data: URLs of images are allowed";
            return Err(format!("must not refer to other files by url({}); {why}", shown(behind)));
        }
    }
    Ok(())
}

/// Splits a name off the start of a text.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts.then(|| text.split_at(end))
}

/// Returns a name without its prefix, in lower case. XML counts case, and browsers do not when a file is parsed as HTML.
fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_lowercase()
}

/// Returns a value with its references replaced. Fails at a reference that XML itself does not have.
fn decoded(text: &str) -> Result<String, String> {
    let mut parts = text.split('&');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let unknown = || format!("has the unknown reference &{}", shown(part));
        let (name, rest) = part.split_once(';').ok_or_else(unknown)?;
        // The five of XML, and numbers: a document type could declare more, and is refused.
        let c = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let digits = name.strip_prefix('#').ok_or_else(unknown)?;
                let number = match digits.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => digits.parse(),
                };
                number.ok().and_then(char::from_u32).ok_or_else(unknown)?
            }
        };
        decoded.push(c);
        decoded.push_str(rest);
    }
    Ok(decoded)
}

/// Returns the start of a text for a message.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(40).collect();
    text.escape_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The logos of usual programs.
    #[test]
    fn drawings_pass() {
        let rows = [
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z" fill="#0f766e"/></svg>"##,
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- Drawn by hand. -->\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">\n<svg xmlns='http://www.w3.org/2000/svg'/>\n",
            r##"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><defs><linearGradient id="a"><stop offset="0" stop-color="red"/></linearGradient></defs><rect fill="url(#a)" style="stroke:url('#a')"/><use xlink:href="#a"/></svg>"##,
            r#"<svg xmlns="http://www.w3.org/2000/svg"><style><![CDATA[.a{fill:red}]]></style><text>a &amp; b &#233;</text><image href="data:image/png;base64,AAAA"/></svg>"#,
            r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd"><sodipodi:namedview id="v"/><metadata><rdf:RDF xmlns:rdf="x"></rdf:RDF></metadata></svg>"#,
        ];
        for text in rows {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn scripts_and_references_are_named() {
        const LINK: &str = "only fragments such as #a and data: URLs of PNG, JPEG, GIF and WebP are allowed";
        const URL: &str = "only fragments such as url(#a) and data: URLs of images are allowed";
        let rows = [
            ("<script>x</script>", "must not have <script>: it could run or load something".to_owned()),
            ("<svg:SCRIPT/>", "must not have <svg:SCRIPT>: it could run or load something".to_owned()),
            ("<foreignObject/>", "must not have <foreignObject>: it could run or load something".to_owned()),
            ("<animate/>", "must not have <animate>: it could run or load something".to_owned()),
            ("<g onload='x'/>", "must not have the attribute onload: it could run a script".to_owned()),
            (
                "<g ev:onclick='x'/>",
                "must not have the attribute ev:onclick: it could run a script".to_owned(),
            ),
            (
                "<a href='javascript:x'/>",
                format!("must not refer to other files: href=\"javascript:x\"; {LINK}"),
            ),
            (
                "<a href='&#106;avascript:x'/>",
                format!("must not refer to other files: href=\"javascript:x\"; {LINK}"),
            ),
            (
                "<use xlink:href='//e.test/a.svg#a'/>",
                format!("must not refer to other files: xlink:href=\"//e.test/a.svg#a\"; {LINK}"),
            ),
            (
                "<image href='data:image/svg+xml;base64,AA'/>",
                format!("must not refer to other files: href=\"data:image/svg+xml;base64,AA\"; {LINK}"),
            ),
            (
                "<g fill='url(https://e.test/)'/>",
                format!("must not refer to other files by url(https://e.test/)); {URL}"),
            ),
            (
                "<g fill='u&#114;l(\"//e.test\")'/>",
                format!("must not refer to other files by url(\\\"//e.test\\\")); {URL}"),
            ),
            ("<style>a{b:URL( x )}</style>", format!("must not refer to other files by url( x )}}); {URL}")),
            (
                "<style><![CDATA[@import 'x';]]></style>",
                "must not have @import in styles or attributes: it could load or run something".to_owned(),
            ),
            (
                "<g style='fill:u\\72l(x)'/>",
                "must not have \\ in styles or attributes: it could load or run something".to_owned(),
            ),
            (
                "<?xml-stylesheet href='x'?>",
                "must not have instructions such as <?xml-stylesheet?>".to_owned(),
            ),
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>]>",
                "must not declare entities or other things in a DOCTYPE".to_owned(),
            ),
            // A browser joins the parts of a style.
            (
                "<style>@im<!-- a -->port 'x';</style>",
                "must not have @import in styles or attributes: it could load or run something".to_owned(),
            ),
            (
                "<style>@im<![CDATA[port 'x';]]></style>",
                "must not have @import in styles or attributes: it could load or run something".to_owned(),
            ),
            (
                "<style>a{b:u<![CDATA[rl(//e.test)]]>}</style>",
                format!("must not refer to other files by url(//e.test)}}); {URL}"),
            ),
            ("<style>@im<g/>port 'x';</style>", "must not have elements within <style>".to_owned()),
            ("<h:meta xmlns:h='x'/>", "must not have <h:meta>: it could run or load something".to_owned()),
            ("<g xmlns:h='http://www.w3.org/1999/xhtml'/>", "must not have elements of HTML".to_owned()),
            // Within a comment of XML, and outside of one of HTML.
            ("<!--><script/>-->", "is no SVG: a comment has -- or begins with >".to_owned()),
            ("<!-- a --!><script/>-->", "is no SVG: a comment has -- or begins with >".to_owned()),
            ("<g id='&b;'/>", "has the unknown reference &b;".to_owned()),
            ("<g id='&b'/>", "has the unknown reference &b".to_owned()),
        ];
        for (inside, want) in rows {
            assert_eq!(check(format!("<svg>{inside}</svg>").as_bytes()), Err(want), "{inside}");
        }
    }

    #[test]
    fn other_texts_are_no_svg() {
        let deep = format!("<svg>{}", "<g>".repeat(DEPTH_MAX));
        let uses = |count: usize| format!("<svg>{}</svg>", "<s:use href='#a'/>".repeat(count));
        assert_eq!(check(uses(USES_MAX).as_bytes()), Ok(()));
        let many = uses(USES_MAX + 1);
        let rows: [(&[u8], &str); 18] = [
            (many.as_bytes(), "must not have more than 32 <use> elements"),
            (b"hello", "must be a PNG or an SVG"),
            (b"\xff\xd8\xff\xe0", "must be a PNG, or an SVG in UTF-8"),
            (b"GIF89a", "must be a PNG or an SVG"),
            (b"<html/>", "is no SVG: it must be one <svg>"),
            (b"<svg/><svg/>", "is no SVG: it must be one <svg>"),
            (b"<svg>", "is no SVG: <svg> is not closed"),
            (b"<svg></g>", "is no SVG: </g> closes no element"),
            (b"<svg a=b/>", "is no SVG: an attribute is not written as name=\"value\""),
            (b"<svg a='b'c='d'/>", "is no SVG: <svg> is not closed, or lacks a space between attributes"),
            (b"<svg a='<'/>", "is no SVG: an attribute is not written as name=\"value\""),
            (b"<svg/>text", "is no SVG: it has text outside of <svg>"),
            (b"<svg/><![CDATA[text]]>", "is no SVG: it has text outside of <svg>"),
            (
                b"<?xml version='1.0' encoding='IBM037'?><svg/>",
                "must be in UTF-8, and its first line names another encoding",
            ),
            (b"<svg>\0</svg>", "is no SVG: it has control characters"),
            (b"<!-- only -->", "is no SVG: it has no <svg>"),
            (b"<svg>1 < 2</svg>", "is no SVG: a < begins no tag; write &lt;"),
            (deep.as_bytes(), "must not nest more than 64 elements"),
        ];
        for (bytes, want) in rows {
            assert_eq!(check(bytes), Err(want.to_owned()), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
