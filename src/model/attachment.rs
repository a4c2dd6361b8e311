//! [`Attachment`]: a file of a domain or workspace. It is in the table only, and not in memory: its owner's record has no
//! more than whether it exists.

/// Most bytes of a file of app links. Apple allows 128 KB, and few files have more than 4.
pub const APP_LINKS_MAX: usize = 64 * 1024;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentUse {
    /// The logo in QR codes.
    Logo,
    /// `/.well-known/apple-app-site-association` of a domain.
    AppleApps,
    /// `/.well-known/assetlinks.json` of a domain.
    AndroidApps,
}

impl AttachmentUse {
    /// Returns the kind of object, for errors.
    pub fn name(self) -> &'static str {
        match self {
            AttachmentUse::Logo => "logo",
            AttachmentUse::AppleApps => "apple-app-site-association",
            AttachmentUse::AndroidApps => "assetlinks.json",
        }
    }
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names of the formats.
pub enum AttachmentFormat {
    Png,
    Svg,
    Json,
}

impl AttachmentFormat {
    /// Returns the `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            AttachmentFormat::Png => "image/png",
            AttachmentFormat::Svg => "image/svg+xml",
            // Without a charset: Apple's manual asks for exactly this type.
            AttachmentFormat::Json => "application/json",
        }
    }
}

/// A file of a domain or workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct Attachment {
    pub format: AttachmentFormat,
    pub bytes: Box<[u8]>,
}
