//! [`Form`]: the fields that a page sends, and the files among them.

use std::convert::Infallible;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use subtle::ConstantTimeEq;

/// The name of the field with the token of the session.
pub(super) const TOKEN: &str = "token";

/// Most parts of a form with files: far more than any page has.
const PARTS_MAX: usize = 1_000;

/// The fields of a form, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
    files: Vec<(String, Bytes)>,
}

/// Returns whether a form has the type of forms with files.
pub(super) fn is_upload(headers: &HeaderMap) -> bool {
    kind(headers).starts_with("multipart/form-data")
}

fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.trim().to_ascii_lowercase()
}

impl Form {
    /// Reads a form. Returns `None` if the body is no form.
    pub(super) async fn parse(headers: &HeaderMap, body: Bytes) -> Option<Form> {
        if !is_upload(headers) {
            let is_form = kind(headers).starts_with("application/x-www-form-urlencoded");
            let fields = || url::form_urlencoded::parse(&body).into_owned().collect();
            return is_form.then(|| Form { fields: fields(), files: Vec::new() });
        }
        let boundary = multer::parse_boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?).ok()?;
        // Read before, within its limits of length and time.
        let whole = futures_util::stream::once(async { Ok::<_, Infallible>(body) });
        let mut parts = multer::Multipart::new(whole, boundary);
        let mut form = Form::default();
        while let Some(part) = parts.next_field().await.ok()? {
            let name = part.name()?.to_owned();
            // Also if no file was chosen: then its name and its content are empty.
            let is_file = part.file_name().is_some();
            let content = part.bytes().await.ok()?;
            if is_file {
                form.files.push((name, content));
            } else {
                form.fields.push((name, String::from_utf8_lossy(&content).into_owned()));
            }
            if form.fields.len() + form.files.len() > PARTS_MAX {
                return None;
            }
        }
        Some(form)
    }

    /// Returns the text of a field, without white space at its ends. `None` if it is absent or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// Returns the text of a field as it was sent.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns all texts of a field that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.fields.iter().filter(move |(key, _)| key == name);
        values.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns whether a box is checked, or a button pressed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// Returns the content of a file that was chosen.
    pub(super) fn file(&self, name: &str) -> Option<&Bytes> {
        self.files
            .iter()
            .find(|(key, content)| key == name && !content.is_empty())
            .map(|(_, content)| content)
    }

    /// Returns whether the form has the token of a session.
    pub(super) fn has_token(&self, token: &[u8; 16]) -> bool {
        let want = spelt(token);
        let given = self.raw(TOKEN).unwrap_or("");
        // Constant time: the token is a secret of the session.
        given.as_bytes().ct_eq(want.as_bytes()).into()
    }
}

/// Returns the spelling of a session's token in forms.
pub(super) fn spelt(token: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*token))
}

/// Returns a key for a form that acts once, also if a browser sends it again.
pub(super) fn new_key() -> String {
    // Without randomness all forms have the same key: a form with other fields is then refused, and acts never twice.
    let half = || getrandom::u64().unwrap_or(0);
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    async fn parse(kind: &'static str, body: &'static [u8]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Form::parse(&headers, Bytes::from_static(body)).await
    }

    #[tokio::test]
    async fn fields_are_read() {
        let form =
            parse("application/x-www-form-urlencoded", b"url=+https%3A%2F%2Fe.test+&tag=a&tag=&tag=b&on=")
                .await
                .expect("a form");
        assert_eq!(form.text("url"), Some("https://e.test"));
        assert_eq!(form.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((form.has("on"), form.text("on"), form.has("off")), (true, None, false));
        assert!(parse("application/json", b"{}").await.is_none());
        assert!(parse("text/plain", b"url=x").await.is_none());
    }

    #[tokio::test]
    async fn files_are_read() {
        let body = b"--xy\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nabc\r\n--xy\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n\
            url\r\n--x\r\nhttps://e.test\r\n\r\n--xy--\r\n";
        let form = parse("multipart/form-data; boundary=xy", body).await.expect("a form");
        assert_eq!(form.text("token"), Some("abc"));
        let file = form.file("file").expect("the file");
        assert_eq!(&file[..], b"url\r\n--x\r\nhttps://e.test\r\n");
        for broken in [&b""[..], b"--xy\r\nContent-Disposition: form-data\r\n\r\n\r\n--xy--"] {
            assert!(parse("multipart/form-data; boundary=xy", broken).await.is_none(), "{broken:?}");
        }
        assert!(parse("multipart/form-data", body).await.is_none());
    }

    #[tokio::test]
    async fn a_token_is_compared_whole() {
        let token = [7; 16];
        for (body, want) in [
            (&b"token=07070707070707070707070707070707"[..], true),
            (b"token=0707070707070707070707070707070", false),
            (b"token=", false),
            (b"x=1", false),
        ] {
            let form = parse("application/x-www-form-urlencoded", body).await.expect("a form");
            assert_eq!(form.has_token(&token), want, "{body:?}");
        }
    }
}
