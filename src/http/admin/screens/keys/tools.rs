//! What other programs need to create links: ShareX, a phone, and the bookmarks of a browser.

use serde_json::json;
use url::form_urlencoded;

use crate::http::admin::frame::Frame;

/// In place of the secret, where there is none to show.
const PLACEHOLDER: &str = "YOUR_KEY";

/// The settings of other programs.
pub(super) struct Tools {
    /// The address that creates links.
    pub(super) endpoint: String,
    /// The value of the header with the key.
    pub(super) authorization: String,
    /// The configuration of ShareX.
    pub(super) sharex: String,
    /// The same as an address to download.
    pub(super) sharex_file: String,
    /// The text of a bookmark that opens the form of a new link for the page that is shown.
    pub(super) bookmarklet: String,
}

impl Tools {
    /// Returns the settings with this secret, or with a placeholder.
    pub(super) fn of(frame: &Frame, secret: Option<&str>) -> Tools {
        let origin = frame.origin();
        let endpoint = format!("{origin}/api/v1/links");
        let authorization = format!("Bearer {}", secret.unwrap_or(PLACEHOLDER));
        let sharex = json!({
            "Version": "14.0.0",
            "Name": format!("Waypost ({})", origin.split("://").nth(1).unwrap_or(origin)),
            "DestinationType": "URLShortener",
            "RequestMethod": "POST",
            "RequestURL": endpoint,
            "Headers": {"Authorization": authorization},
            "Body": "JSON",
            // ShareX escapes what it fills in.
            "Data": "{\"url\":\"{input}\"}",
            "URL": "{json:link.shortUrl}",
            "ErrorMessage": "{json:error}",
        });
        let sharex = serde_json::to_string_pretty(&sharex).expect("a value of texts can be written");
        // `+` for a space is of forms, and no part of a URL.
        let encoded =
            form_urlencoded::byte_serialize(sharex.as_bytes()).collect::<String>().replace('+', "%20");
        let bookmarklet = format!(
            "javascript:location.href='{origin}/admin/new?url='+encodeURIComponent(location.href)+'&title='+encodeURIComponent(document.title)"
        );
        Tools {
            endpoint,
            authorization,
            sharex_file: format!("data:application/json;charset=utf-8,{encoded}"),
            sharex,
            bookmarklet,
        }
    }
}
