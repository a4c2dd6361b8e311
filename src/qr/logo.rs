//! [`QrLogo`]: the picture in the middle of a code.

use super::{png, svg_logo};
use crate::model::Invalid;
use crate::model::attachment::{Attachment, AttachmentFormat};

/// Most bytes of a logo. A picture contains it twice, in base 64. Past it, the upload is rejected.
pub const LOGO_MAX: usize = 64 * 1024;

/// The picture in the middle of a code: a PNG or SVG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrLogo(Attachment);

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
        // A PNG has a signature; all else is parsed as an SVG, whose error then names the first mistake.
        let format = if png::is_png(bytes) {
            png::check(bytes).map_err(|why| invalid(why.to_owned()))?;
            AttachmentFormat::Png
        } else {
            svg_logo::check(bytes).map_err(invalid)?;
            AttachmentFormat::Svg
        };
        Ok(QrLogo(Attachment { format, bytes: bytes.into() }))
    }

    /// Wraps the file of a record, which was parsed before.
    pub fn from_stored(file: Attachment) -> QrLogo {
        QrLogo(file)
    }

    /// Returns the file.
    pub fn file(&self) -> &Attachment {
        &self.0
    }
}
