//! The QR code of a link.

use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::view::LinkView;
use crate::model::color::Inks;
use crate::qr::address::QrAddress;
use crate::qr::picture::{QrPicture, QrRequest, draw};

impl Links {
    /// Draws the QR code of a link.
    pub async fn qr(&self, view: &LinkView, request: QrRequest) -> Result<QrPicture, Error> {
        let address = QrAddress::new(&view.short_url, !view.domain.case_sensitive);
        // On a thread that may block: a large picture takes milliseconds, in which redirects would wait.
        self.blocking(move |_| Ok(draw(&address, &request, Inks::default(), None)?)).await
    }
}
