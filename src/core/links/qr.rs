//! The QR code of a link: in the colors and with the logo of its domain and workspace.

use std::sync::Arc;

use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::view::LinkView;
use crate::model::attachment::{Attachment, AttachmentUse};
use crate::model::domain::Domain;
use crate::model::qr_style::QrStyle;
use crate::model::short_code::ShortCode;
use crate::model::tenant::Tenant;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::qr::address::QrAddress;
use crate::qr::logo::QrLogo;
use crate::qr::picture::{QrFormat, QrPicture, QrRequest, draw};
use crate::table::keys::{self, AttachmentOwner};

impl Links {
    /// Draws the QR code of a link.
    pub async fn qr(&self, view: &LinkView, request: QrRequest) -> Result<QrPicture, Error> {
        let (tenant, draw) = self.drawing(&view.domain, &view.workspace, &view.short_url, request)?;
        self.computing(&tenant, draw).await
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
        let (tenant, draw) = self.drawing(domain, &owner, &self.site().short_url(domain, code), request)?;
        self.computing_for_visitor(&tenant, draw).await
    }

    /// Returns the work of drawing a code, and the tenant on whose behalf it is done: in a pool of long reads, which is fair
    /// between tenants and bounded, and behind redirects.
    fn drawing(
        &self,
        domain: &Arc<Domain>,
        workspace: &Arc<Workspace>,
        short_url: &str,
        request: QrRequest,
    ) -> Result<(Tenant, impl FnOnce(&Shared, &Cancel) -> Result<QrPicture, Error> + Send + use<>), Error>
    {
        let address = QrAddress::new(short_url, !domain.case_sensitive);
        let styles = styles(domain, workspace);
        // Of one owner, so that their contrast was checked.
        let inks = styles.iter().find_map(|(style, _)| style.inks()).unwrap_or_default();
        let owner = styles.iter().find(|(style, _)| style.logo.is_some()).map(|(_, owner)| *owner);
        // Without a read for a picture that has no logo.
        let owner = if request.wants_logo()? { owner } else { None };
        let tenant = self.shared.tenant_of_workspace(workspace.number);
        // A picture takes a millisecond, so it needs no look at the flag.
        let draw = move |shared: &Shared, _: &Cancel| {
            let key = owner.map(|owner| keys::attachment(owner, AttachmentUse::Logo));
            let file = key.map(|key| shared.table.get::<Attachment>(&key)).transpose()?.flatten();
            // Removed since the directory was read: the picture is without it.
            let logo = file.map(|found| QrLogo::from_stored(found.record));
            Ok(draw(&address, &request, inks, logo.as_ref())?)
        };
        Ok((tenant, draw))
    }
}

/// Returns the styles of a link, the most specific first: its own domain, its workspace, or the default domain that all
/// workspaces share.
fn styles<'a>(domain: &'a Domain, workspace: &'a Workspace) -> [(&'a QrStyle, AttachmentOwner); 2] {
    let of_domain = (&domain.qr, AttachmentOwner::Domain(domain.number));
    let of_workspace = (&workspace.qr, AttachmentOwner::Workspace(workspace.number));
    if domain.workspace.is_some() { [of_domain, of_workspace] } else { [of_workspace, of_domain] }
}
