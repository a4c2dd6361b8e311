//! The files by which a domain names the apps that open its links: `/.well-known/apple-app-site-association` and
//! `/.well-known/assetlinks.json`. They are served as they were given, without a redirect, which Apple requires.

use std::sync::Arc;

use super::pages;
use super::qr_picture::kept;
use super::request::{Visit, VisitResponse};
use super::visitor::Visitor;
use crate::core::Error;
use crate::model::attachment::AttachmentUse;

impl Visitor {
    /// Answers a GET or HEAD of a file of app links. Returns `None` if the domain has none.
    pub fn app_links(&self, used: AttachmentUse, visit: &Visit<'_>) -> Option<VisitResponse> {
        let directory = self.links.directory();
        let domain = self.domain(&directory, visit.host)?;
        let has_file = match used {
            AttachmentUse::AppleApps => domain.apple_apps,
            AttachmentUse::AndroidApps => domain.android_apps,
            AttachmentUse::Logo => false,
        };
        // By the record in memory: a scanner costs no read of the table.
        if !has_file {
            return None;
        }
        let (number, headers, state) = (domain.number, visit.headers.clone(), Arc::clone(&self.state));
        Some(VisitResponse::Later(Box::pin(async move {
            match state.tenants.public_file(number, used).await {
                Ok(file) => kept(file.bytes.into_vec(), file.format.media_type(), &headers),
                // Removed since the directory was read.
                Err(Error::NotFound(_)) => pages::error(hyper::StatusCode::NOT_FOUND),
                Err(error) => {
                    // Debug: any visitor can cause this line.
                    tracing::debug!(%error, "a file of app links could not be read");
                    pages::unavailable()
                }
            }
        })))
    }
}
