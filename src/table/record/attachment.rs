//! Records of files of domains and workspaces, and of the style of their QR codes.

use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, unknown, version, write};
use crate::model::attachment::{Attachment, AttachmentFormat};
use crate::model::color::Rgb;
use crate::model::qr_style::QrStyle;

#[derive(Serialize, Deserialize)]
pub(super) enum FormatV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Png,
    Svg,
    Json,
}

impl FormatV1 {
    fn from_model(format: AttachmentFormat) -> FormatV1 {
        match format {
            AttachmentFormat::Png => FormatV1::Png,
            AttachmentFormat::Svg => FormatV1::Svg,
            AttachmentFormat::Json => FormatV1::Json,
        }
    }

    fn into_model(self) -> AttachmentFormat {
        match self {
            FormatV1::Png => AttachmentFormat::Png,
            FormatV1::Svg => AttachmentFormat::Svg,
            FormatV1::Json => AttachmentFormat::Json,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AttachmentV1 {
    format: FormatV1,
    bytes: Box<[u8]>,
}

impl Stored for Attachment {
    fn encode(&self) -> Vec<u8> {
        write(1, &AttachmentV1 { format: FormatV1::from_model(self.format), bytes: self.bytes.clone() })
    }

    fn decode(bytes: &[u8]) -> Result<Attachment, Corrupt> {
        match version(bytes)? {
            (1, rest) => {
                let AttachmentV1 { format, bytes } = read(rest)?;
                // Not checked again: rules may have become stricter, and stored files keep working.
                Ok(Attachment { format: format.into_model(), bytes })
            }
            (other, _) => unknown("a file", other),
        }
    }
}

/// The style of QR codes in the records of domains (version 3) and workspaces (version 4).
#[derive(Serialize, Deserialize)]
pub(super) struct QrStyleV1 {
    foreground: Option<[u8; 3]>,
    background: Option<[u8; 3]>,
    logo: Option<FormatV1>,
}

impl QrStyleV1 {
    pub(super) fn from_model(style: &QrStyle) -> QrStyleV1 {
        let QrStyle { foreground, background, logo } = style;
        QrStyleV1 {
            foreground: foreground.map(|color| color.0),
            background: background.map(|color| color.0),
            logo: logo.map(FormatV1::from_model),
        }
    }

    pub(super) fn into_model(self) -> QrStyle {
        QrStyle {
            foreground: self.foreground.map(Rgb),
            background: self.background.map(Rgb),
            logo: self.logo.map(FormatV1::into_model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are on disks.
    #[test]
    fn a_file_has_its_bytes() {
        let rows = [(AttachmentFormat::Png, 0), (AttachmentFormat::Svg, 1), (AttachmentFormat::Json, 2)];
        for (format, index) in rows {
            let attachment = Attachment { format, bytes: (*b"ab").into() };
            let bytes = attachment.encode();
            assert_eq!(bytes, [1, index, 2, b'a', b'b']);
            assert_eq!(Attachment::decode(&bytes).ok(), Some(attachment));
        }
        assert!(Attachment::decode(&[2, 0, 0]).is_err() && Attachment::decode(&[1, 3, 0]).is_err());
    }
}
