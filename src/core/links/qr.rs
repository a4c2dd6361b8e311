//! The QR code of a link: in the colors and with the logo of its domain and workspace.

use std::sync::Arc;

use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::view::LinkView;
use crate::model::attachment::{Attachment, AttachmentUse};
use crate::model::domain::Domain;
use crate::model::qr_style::QrStyle;
use crate::model::short_code::ShortCode;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::qr::address::QrAddress;
use crate::qr::logo::QrLogo;
use crate::qr::picture::{QrFormat, QrPicture, QrRequest, draw};
use crate::table::keys::{self, AttachmentOwner};

impl Links {
    /// Draws the QR code of a link.
    pub async fn qr(&self, view: &LinkView, request: QrRequest) -> Result<QrPicture, Error> {
        self.draw(&view.domain, &view.workspace, &view.short_url, request).await
    }

    /// Draws the QR code of a link as everyone sees it, where its domain shows it.
    pub async fn public_qr(
        &self,
        domain: &Arc<Domain>,
        workspace: WorkspaceNumber,
        code: &ShortCode,
        format: QrFormat,
    ) -> Result<QrPicture, Error> {
        let owner = self.directory().workspace(workspace).map(|versioned| Arc::clone(&versioned.record));
        let owner = owner.ok_or(Error::NotFound("workspace"))?;
        // Without parameters of the visitor: caches keep one picture for each address.
        let request = QrRequest { format, ..QrRequest::default() };
        self.draw(domain, &owner, &self.site().short_url(domain, code), request).await
    }

    async fn draw(
        &self,
        domain: &Arc<Domain>,
        workspace: &Arc<Workspace>,
        short_url: &str,
        request: QrRequest,
    ) -> Result<QrPicture, Error> {
        let address = QrAddress::new(short_url, !domain.case_sensitive);
        let styles = styles(domain, workspace);
        // Of one owner, so that their contrast was checked.
        let inks = styles.iter().find_map(|(style, _)| style.inks()).unwrap_or_default();
        let owner = styles.iter().find(|(style, _)| style.logo.is_some()).map(|(_, owner)| *owner);
        // Without a read for a picture that has no logo.
        let owner = if request.wants_logo()? { owner } else { None };
        let tenant = self.shared.tenant_of_workspace(workspace.number);
        // In the pool of long reads, which is fair between tenants and bounded, and behind redirects: a picture takes a
        // millisecond, and visitors may ask for many.
        self.computing(&tenant, move |shared, _| {
            let key = owner.map(|owner| keys::attachment(owner, AttachmentUse::Logo));
            let file = key.map(|key| shared.table.get::<Attachment>(&key)).transpose()?.flatten();
            // Removed since the directory was read: the picture is without it.
            let logo = file.map(|found| QrLogo::from_stored(found.record));
            Ok(draw(&address, &request, inks, logo.as_ref())?)
        })
        .await
    }
}

/// Returns the styles of a link, the most specific first: its own domain, its workspace, or the default domain that all
/// workspaces share.
fn styles<'a>(domain: &'a Domain, workspace: &'a Workspace) -> [(&'a QrStyle, AttachmentOwner); 2] {
    let of_domain = (&domain.qr, AttachmentOwner::Domain(domain.number));
    let of_workspace = (&workspace.qr, AttachmentOwner::Workspace(workspace.number));
    if domain.workspace.is_some() { [of_domain, of_workspace] } else { [of_workspace, of_domain] }
}
