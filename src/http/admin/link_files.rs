//! [`LinkFile`]: the links of a list as a file of any length, as comma-separated values or as JSON lines.
//!
//! The file is sent while its links are read from the API, one page at a time: a client that stops reading holds one page,
//! and a client that hangs up ends the reading. A file whose rest cannot be read is cut, which browsers report.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::sync::mpsc::Sender;

use super::page_error::PageError;
use super::page_request::{PageRequest, query_of, reply_of};
use crate::analytics::query::csv::push_field;
use crate::core::Caller;
use crate::formats::{self, Extras};
use crate::http::api::Api;
use crate::http::api::dialect::{ApiError, LinkView, Reply};
use crate::http::api::in_process::Ask;
use crate::http::api::native;
use crate::http::body::{BodyChunk, Content};
use crate::model::destination::Destination;

/// Links of one page, which is the most that the API lists.
const PAGE: &str = "100";

/// Attempts to read a page while the server is busy, with a pause after each. Past it, the file is cut.
const ATTEMPTS: u32 = 20;

/// The columns of comma-separated values. An import reads each of them by its name.
pub(super) const COLUMNS: &str = "shortUrl,domain,customSlug,url,title,tags,campaignName,isActive,validSince,expiresAt,\
    maxClicks,expiredUrl,redirectType,linkType,password,forwardParameters,forwardPath,cloaked,confirm,blockBots,countBots,\
    hideReferrer,statistics,description,notes,rules,clickCount,createdAt,id\r\n";

/// How links are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFileKind {
    /// Comma-separated values for spreadsheets. Rules are a number.
    Csv,
    /// A line of JSON for each link, as `waypost export` writes it, without hashes of passwords.
    Lines,
}

/// The links of a list, read page by page.
#[derive(Debug)]
pub(super) struct LinkFile {
    api: Api,
    caller: Caller,
    workspace: Option<String>,
    kind: LinkFileKind,
    /// The filters of the list, as its query.
    filters: String,
    /// The end of the page before. `None` before the first page.
    cursor: Option<String>,
    /// Names by the ids of campaigns.
    campaigns: HashMap<String, String>,
}

impl LinkFile {
    /// Begins the file of the links that pass the filters. Fails if the first page cannot be read.
    pub(super) async fn begin(
        request: &PageRequest<'_>,
        filters: String,
        kind: LinkFileKind,
    ) -> Result<Content, PageError> {
        let Reply::Campaigns(all) = request.get("/api/v1/campaigns", "").await? else {
            return Err(PageError::Internal);
        };
        let named = |view: &crate::core::CampaignView| {
            (view.campaign.id.as_str().to_owned(), view.campaign.name.to_string())
        };
        let mut file = LinkFile {
            api: request.api.clone(),
            caller: request.who.caller.clone(),
            workspace: request.workspace().map(str::to_owned),
            kind,
            filters,
            cursor: None,
            campaigns: all.campaigns.iter().map(named).collect(),
        };
        let mut text = match kind {
            // Excel takes a file for UTF-8 by its byte order mark only.
            LinkFileKind::Csv => format!("\u{feff}{COLUMNS}").into_bytes(),
            LinkFileKind::Lines => Vec::new(),
        };
        let is_over = file.next(&mut text).await?;
        if is_over {
            return Ok(Content::from(Bytes::from(text)));
        }
        let (sender, content) = Content::streamed();
        tokio::spawn(async move {
            let first = BodyChunk { bytes: text.into(), is_last: false };
            if sender.send(first).await.is_ok() {
                file.feed(sender).await;
            }
        });
        Ok(content)
    }

    /// Returns the file of these links.
    pub(super) fn of_some(views: &[LinkView], campaigns: &HashMap<String, String>) -> Vec<u8> {
        let mut text = format!("\u{feff}{COLUMNS}").into_bytes();
        for view in views {
            text.extend(row(view, campaigns).into_bytes());
        }
        text
    }

    /// Sends the rest. A return before the last chunk cuts the file.
    async fn feed(mut self, sender: Sender<BodyChunk>) {
        loop {
            // Before the read: no page is read for a client that does not accept the one before.
            let Ok(permit) = sender.reserve().await else { return };
            let mut text = Vec::new();
            let read = tokio::select! {
                read = self.patiently(&mut text) => read,
                () = sender.closed() => return,
            };
            match read {
                Ok(is_last) => {
                    permit.send(BodyChunk { bytes: text.into(), is_last });
                    if is_last {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(?error, "a file of links was cut: the rest could not be read");
                    return;
                }
            }
        }
    }

    /// Appends the next page like [`LinkFile::next`], and waits while the server is busy.
    async fn patiently(&mut self, text: &mut Vec<u8>) -> Result<bool, PageError> {
        let mut attempt = 0;
        loop {
            text.clear();
            match self.next(text).await {
                Err(error) if attempt < ATTEMPTS && error.retry_after().is_some() => {
                    // Other requests end soon; the client sees a slower file.
                    attempt += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                done => return done,
            }
        }
    }

    /// Appends the links of the next page. Returns whether it is the last one.
    async fn next(&mut self, text: &mut Vec<u8>) -> Result<bool, PageError> {
        // The order by id: other orders move while the file is sent.
        let own = query_of(&[("limit", PAGE), ("cursor", self.cursor.as_deref().unwrap_or(""))]);
        let query = if self.filters.is_empty() { own } else { format!("{}&{own}", self.filters) };
        let Reply::Links(page) = self.ask("/api/v1/links", &query).await? else {
            return Err(PageError::Internal);
        };
        for view in &page.links {
            // Lists lack long fields, such as notes, so each link is read by itself.
            match self.ask(&format!("/api/v1/links/{}", view.link.id), "").await {
                Ok(Reply::Link(view)) => self.push(text, &view),
                // It was deleted after the page was read.
                Err(PageError::Api(ApiError::NotFound(_))) => {}
                Ok(_) => return Err(PageError::Internal),
                Err(error) => return Err(error),
            }
        }
        self.cursor = page.next.as_ref().and_then(|next| native::cursor_text(next, page.sort));
        Ok(self.cursor.is_none())
    }

    fn push(&self, text: &mut Vec<u8>, view: &LinkView) {
        match self.kind {
            LinkFileKind::Csv => text.extend(row(view, &self.campaigns).into_bytes()),
            LinkFileKind::Lines => {
                let campaign =
                    view.link.options.campaign.as_ref().and_then(|id| self.campaigns.get(id.as_str()));
                let extras =
                    Extras { with_password_hash: false, campaign_name: campaign.map(String::as_str) };
                text.extend((formats::own().write)(view, extras));
                text.push(b'\n');
            }
        }
    }

    async fn ask(&self, path: &str, query: &str) -> Result<Reply, PageError> {
        let workspace = self.workspace.as_deref();
        let ask = Ask {
            method: &Method::GET,
            path,
            query,
            body: &[],
            workspace,
            if_match: None,
            once: None,
            streams: false,
        };
        reply_of(self.api.ask(&self.caller, ask).await?)
    }
}

/// Returns the row of a link. A text that a spreadsheet would run as a formula begins with an apostrophe.
fn row(view: &LinkView, campaigns: &HashMap<String, String>) -> String {
    let options = &view.link.options;
    let flag = |is_set: bool| if is_set { "true" } else { "false" }.to_owned();
    let text = |text: Option<&str>| text.unwrap_or("").to_owned();
    let tags: Vec<&str> = view.tags.iter().map(|tag| &*tag.name).collect();
    // By name: the campaign has another id on another server.
    let campaign = options.campaign.as_ref().and_then(|id| campaigns.get(id.as_str()));
    let fields = [
        view.short_url.clone(),
        view.domain_name.clone(),
        view.link.shown_code().as_str().to_owned(),
        options.target().as_str().to_owned(),
        text(options.title.as_deref()),
        tags.join(", "),
        text(campaign.map(String::as_str)),
        flag(options.is_active),
        options.valid_since.map_or_else(String::new, |at| at.to_string()),
        options.expires_at.map_or_else(String::new, |at| at.to_string()),
        options.max_clicks.map_or_else(String::new, |most| most.to_string()),
        text(options.expired_url.as_ref().map(Destination::as_str)),
        options.status.code().to_string(),
        formats::waypost::fields::show_link_type(options.link_type).to_owned(),
        // The mask, which an import refuses: without its password the link would be open to all.
        text(options.password.as_ref().map(|_| formats::waypost::draft::MASK)),
        flag(options.forward_parameters),
        flag(options.forward_path),
        flag(options.cloaked),
        flag(options.confirm),
        flag(options.block_bots),
        flag(options.count_bots),
        flag(options.hide_referrer),
        flag(options.statistics),
        text(options.description.as_deref()),
        text(options.notes.as_deref()),
        rules(view),
        view.clicks.to_string(),
        view.link.created_at.to_string(),
        view.link.id.to_string(),
    ];
    let mut row = String::new();
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            row.push(',');
        }
        push_field(&mut row, field);
    }
    row.push_str("\r\n");
    row
}

/// Returns the rules of a link as JSON. Empty without rules.
fn rules(view: &LinkView) -> String {
    // One column for all of them, since a rule has no fixed number of conditions.
    let rules: Vec<_> =
        view.link.options.branches().iter().map(formats::waypost::rule_json::RuleJson::of).collect();
    if rules.is_empty() {
        return String::new();
    }
    String::from_utf8(crate::json::to_bytes(&rules)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::waypost::LINE;
    use crate::formats::waypost::known::is_known;

    #[test]
    fn an_import_knows_each_column() {
        for column in COLUMNS.trim_end().split(',') {
            assert!(is_known(column, LINE), "{column}");
        }
    }
}
