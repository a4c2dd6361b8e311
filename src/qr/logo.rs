//! [`QrLogo`]: the picture in the middle of a code.

use super::{png, svg_logo};
use crate::model::Invalid;

/// Most bytes of a logo. A picture contains it twice, in base 64. Past it, the upload is rejected.
pub const LOGO_MAX: usize = 64 * 1024;

/// The formats of logos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names of the formats.
pub enum LogoFormat {
    Png,
    Svg,
}

impl LogoFormat {
    /// Returns the `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            LogoFormat::Png => "image/png",
            LogoFormat::Svg => "image/svg+xml",
        }
    }
}

/// The picture in the middle of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct QrLogo {
    pub format: LogoFormat,
    pub bytes: Box<[u8]>,
}

impl QrLogo {
    /// Parses the file of a logo. Its format is that of its bytes, whatever a client calls it.
    pub fn parse(bytes: &[u8]) -> Result<QrLogo, Invalid> {
        let invalid = |why: String| Invalid::new("logo", why);
        if bytes.is_empty() {
            return Err(invalid("is empty: send the bytes of a PNG or SVG as the body".to_owned()));
        }
        if bytes.len() > LOGO_MAX {
            return Err(invalid(format!("must be at most {LOGO_MAX} bytes, and has {}", bytes.len())));
        }
        let format = if png::is_png(bytes) {
            png::check(bytes).map_err(|why| invalid(why.to_owned()))?;
            LogoFormat::Png
        } else {
            svg_logo::check(bytes).map_err(invalid)?;
            LogoFormat::Svg
        };
        Ok(QrLogo { format, bytes: bytes.into() })
    }
}
