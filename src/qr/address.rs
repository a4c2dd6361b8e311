//! The URL in a QR code.

/// What the URL in a code ends in. A visit with it is one of a QR code in the statistics.
pub const MARK: &str = "?qr=1";

/// The URL in a QR code, split where the mode of the symbol changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrAddress {
    /// In capitals, which take 5.5 bits each in place of 8. Empty if the case of the URL counts.
    pub(super) capitals: String,
    pub(super) rest: String,
}

impl QrAddress {
    /// Creates the address of a short URL, without query or fragment. `ignores_case` is whether its code may be written in
    /// capitals; scheme and host always may.
    pub fn new(short_url: &str, ignores_case: bool) -> QrAddress {
        let capitals = short_url.to_ascii_uppercase();
        // The mark has characters that the mode lacks.
        if ignores_case && capitals.bytes().all(is_alphanumeric) {
            return QrAddress { capitals, rest: MARK.to_owned() };
        }
        QrAddress { capitals: String::new(), rest: format!("{short_url}{MARK}") }
    }

    /// Returns the text that a scanner reads.
    pub fn text(&self) -> String {
        format!("{}{}", self.capitals, self.rest)
    }
}

/// Returns whether the alphanumeric mode has this character (ISO/IEC 18004, table 5).
fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" $%*+-./:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_where_case_does_not_count() {
        let rows = [
            ("https://go.example.com/sale", true, "HTTPS://GO.EXAMPLE.COM/SALE?qr=1"),
            ("https://go.example.com/sale", false, "https://go.example.com/sale?qr=1"),
            ("http://localhost:8080/%C3%BC", true, "HTTP://LOCALHOST:8080/%C3%BC?qr=1"),
            // The mode has no underscore.
            ("https://go.example.com/a_b", true, "https://go.example.com/a_b?qr=1"),
        ];
        for (url, ignores_case, want) in rows {
            assert_eq!(QrAddress::new(url, ignores_case).text(), want, "{url}");
        }
    }
}
