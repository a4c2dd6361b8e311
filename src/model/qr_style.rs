//! [`QrStyle`]: how the QR codes of a domain or workspace look.

use crate::model::Invalid;
use crate::model::attachment::AttachmentFormat;
use crate::model::color::{Inks, Rgb};

/// The properties of QR codes for which a request gives no others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QrStyle {
    /// The color of the modules. `None` is black.
    pub foreground: Option<Rgb>,
    /// The color between and around them. `None` is white.
    pub background: Option<Rgb>,
    /// The format of the logo, which is an [`Attachment`](super::attachment::Attachment).
    pub logo: Option<AttachmentFormat>,
}

/// One change of a style. `None` clears the field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each sets the field of `QrStyle` of its name.
pub enum QrEdit {
    Foreground(Option<Rgb>),
    Background(Option<Rgb>),
}

impl QrStyle {
    /// Applies one change. The colors must pass [`QrStyle::check`] after the last change.
    pub fn apply(&mut self, edit: &QrEdit) {
        match edit {
            QrEdit::Foreground(color) => self.foreground = *color,
            QrEdit::Background(color) => self.background = *color,
        }
    }

    /// Fails if scanners would not read a code in these colors.
    pub fn check(&self) -> Result<(), Invalid> {
        self.inks().map_or(Ok(()), |inks| inks.check(["qrForeground", "qrBackground"]))
    }

    /// Returns both colors, or `None` if neither is set: they are of one owner, so that their contrast is known.
    pub fn inks(&self) -> Option<Inks> {
        let QrStyle { foreground, background, logo: _ } = *self;
        if foreground.is_none() && background.is_none() {
            return None;
        }
        // A dark foreground alone is on white, and not on the background of another owner.
        let default = Inks::default();
        Some(Inks {
            foreground: foreground.unwrap_or(default.foreground),
            background: background.unwrap_or(default.background),
        })
    }
}
