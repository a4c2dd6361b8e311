//! The files that name the apps which open the links of a domain.

use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::{DomainView, Reply};

/// The files of app links by their names in the API.
pub(super) const APPLE: &str = "apple-app-site-association";
pub(super) const ANDROID: &str = "assetlinks.json";

/// The texts of both files.
pub(super) struct AppFiles {
    pub(super) apple: String,
    pub(super) android: String,
}

impl AppFiles {
    /// Reads the files of a domain. `entered` are name and text of one that could not be saved.
    pub(super) async fn read(
        request: &PageRequest<'_>,
        view: &DomainView,
        entered: Option<(String, String)>,
    ) -> Result<AppFiles, PageError> {
        let mut apps = AppFiles { apple: String::new(), android: String::new() };
        if view.domain.apple_apps {
            apps.apple = text(request, view, APPLE).await?;
        }
        if view.domain.android_apps {
            apps.android = text(request, view, ANDROID).await?;
        }
        match entered {
            Some((name, text)) if name == APPLE => apps.apple = text,
            Some((_, text)) => apps.android = text,
            None => {}
        }
        Ok(apps)
    }
}

async fn text(request: &PageRequest<'_>, view: &DomainView, name: &str) -> Result<String, PageError> {
    let path = format!("/api/v1/domains/{}/{name}", view.domain.id);
    match request.get(&path, "").await? {
        Reply::File(file) => Ok(String::from_utf8_lossy(&file.bytes).into_owned()),
        _ => Err(PageError::Internal),
    }
}
