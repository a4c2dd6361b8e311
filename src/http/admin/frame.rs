//! [`Frame`]: what surrounds each page: navigation, workspace, theme, the token of forms, and the policy.

use askama::Template;
use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};

use super::cookies::KeptChoice;
use super::{assets, form};
use crate::core::{Caller, SignedIn};
use crate::http::api::Api;
use crate::http::body::{Content, HttpResponse};
use crate::model::key::Scope;

/// Most workspaces that the menu offers; the rest is on the page of workspaces.
const WORKSPACES_SHOWN: usize = 100;

/// What surrounds a page.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Scheme and authority of the page.
    origin: String,
    /// Path and query of the page.
    pub(super) here: String,
    /// `light`, `dark`, or empty for that of the system.
    pub(super) theme: &'static str,
    /// Whether single keys act.
    pub(super) has_keys: bool,
    /// The person who is signed in.
    pub(super) person: Option<Person>,
    /// What the last form has done.
    pub(super) notice: Option<&'static str>,
}

/// A person who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// The name of the key.
    pub(super) name: String,
    /// The token for forms.
    pub(super) token: String,
    pub(super) may: May,
    /// The id of the workspace in which pages act.
    pub(super) workspace: Option<String>,
    /// Id and name of the workspaces within reach.
    pub(super) workspaces: Vec<(String, String)>,
}

/// What the key of a session may do.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // One for each scope that shows or hides something.
pub(super) struct May {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) read_statistics: bool,
    pub(super) read_snapshots: bool,
    pub(super) write_snapshots: bool,
    pub(super) administer: bool,
}

impl May {
    fn of(caller: &Caller) -> May {
        let scopes = caller.scopes();
        May {
            read: scopes.allow(Scope::LinksRead),
            write: scopes.allow(Scope::LinksWrite),
            read_statistics: scopes.allow(Scope::AnalyticsRead),
            read_snapshots: scopes.allow(Scope::SnapshotsRead),
            write_snapshots: scopes.allow(Scope::SnapshotsWrite),
            administer: scopes.allow(Scope::Admin),
        }
    }
}

/// A page of the navigation.
#[derive(Clone, Copy, Debug)]
pub(super) struct NavigationEntry {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// Whether the shown page belongs to it.
    pub(super) is_here: bool,
}

impl Frame {
    /// Creates the frame of a page at this origin, for nobody.
    pub(super) fn of(parts: &Parts, origin: String) -> Frame {
        let here = parts.uri.path_and_query().map_or("/admin", |here| here.as_str());
        let theme = match KeptChoice::Theme.of(&parts.headers) {
            Some("light") => "light",
            Some("dark") => "dark",
            // That of the system, also for the value of another version.
            _ => "",
        };
        // On unless a person has switched them off (WCAG 2.1.4).
        let has_keys = KeptChoice::Keys.of(&parts.headers) != Some("off");
        let notice = parts.uri.query().and_then(notice);
        Frame { origin, here: here.to_owned(), theme, has_keys, person: None, notice }
    }

    /// Returns whether browsers reach the page by HTTPS.
    pub(super) fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// Returns scheme and authority of the page.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Adds the person who is signed in.
    pub(super) fn sign_in(&mut self, api: &Api, who: &SignedIn, headers: &HeaderMap) {
        let tenants = &api.backend().tenants;
        let name = match &who.caller {
            // It has no record, and so no name of its own.
            Caller::Environment => "WAYPOST_ADMIN_KEY".to_owned(),
            Caller::Key { record, .. } => record.name.to_string(),
        };
        let chosen = KeptChoice::Workspace.of(headers);
        // One that is no longer within reach is forgotten.
        let acting = tenants.acting(&who.caller, chosen).or_else(|| tenants.acting(&who.caller, None));
        self.person = Some(Person {
            name,
            token: form::spelt(&who.session.token),
            may: May::of(&who.caller),
            workspace: acting.map(|workspace| workspace.id.to_string()),
            workspaces: tenants.workspace_names(&who.caller, WORKSPACES_SHOWN),
        });
    }

    /// Returns the token for the forms of the page.
    pub(super) fn token(&self) -> &str {
        self.person.as_ref().map_or("", |person| &person.token)
    }

    /// Returns what the key of the session may do.
    pub(super) fn may(&self) -> May {
        self.person.as_ref().map_or(May::default(), |person| person.may)
    }

    /// Returns the pages of the navigation that the key may open, in groups.
    pub(super) fn navigation(&self) -> Vec<Vec<NavigationEntry>> {
        let path = self.here.split('?').next().unwrap_or("");
        let entry = |path_of: &'static str, name, is_shown: bool| {
            // A whole segment: `/admin/linksx` is no page of the list.
            let below = path.strip_prefix(path_of).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let is_here = if path_of == "/admin" { path == path_of } else { below.is_some() };
            is_shown.then_some(NavigationEntry { path: path_of, name, is_here })
        };
        let may = self.may();
        let groups = [
            vec![
                entry("/admin", "Overview", may.read),
                entry("/admin/links", "Links", may.read),
                entry("/admin/statistics", "Statistics", may.read_statistics),
                entry("/admin/live", "Live", may.read_statistics),
            ],
            vec![
                entry("/admin/tags", "Tags", may.read),
                entry("/admin/campaigns", "Campaigns", may.read),
                entry("/admin/domains", "Domains", may.read),
            ],
            vec![
                entry("/admin/shares", "Shared statistics", may.write),
                entry("/admin/snapshots", "Snapshots", may.read_snapshots),
                entry("/admin/transfer", "Import and export", may.read),
            ],
            vec![
                // With the list for those who may manage keys, and the settings of other programs for all who write.
                entry("/admin/keys", "Keys", may.write || may.administer),
                entry("/admin/workspaces", "Workspaces", may.administer),
                entry("/admin/audit", "Audit", may.administer),
                entry("/admin/settings", "Settings", true),
            ],
        ];
        groups.into_iter().map(|group| group.into_iter().flatten().collect()).collect()
    }

    /// Returns the address of the style sheet.
    pub(super) fn style() -> &'static str {
        assets::STYLE.path()
    }

    /// Returns the address of the script.
    pub(super) fn script() -> &'static str {
        assets::SCRIPT.path()
    }

    /// Returns a response that shows a template.
    pub(super) fn page(&self, status: StatusCode, template: &impl Template) -> HttpResponse {
        let html = template.render().expect("texts and numbers can be written to a string");
        let mut response = Response::new(Content::from(Bytes::from(html)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        self.protect(response.headers_mut());
        response
    }

    /// Returns a response that leads to another page behind a form (303). `path` is an own one, in ASCII.
    pub(super) fn redirect(&self, path: &str) -> HttpResponse {
        let mut response = Response::new(Content::default());
        // The browser asks with GET, and a reload repeats no form.
        *response.status_mut() = StatusCode::SEE_OTHER;
        // A path comes from a form, and may have anything: then it is that of the overview.
        let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/admin"));
        response.headers_mut().insert(LOCATION, location);
        self.protect(response.headers_mut());
        response
    }

    /// Adds a cookie to a response.
    pub(super) fn with_cookie(mut response: HttpResponse, cookie: Option<HeaderValue>) -> HttpResponse {
        if let Some(cookie) = cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }

    /// Adds the headers of each response. A browser keeps, frames and sniffs none, and sends no referrer to other sites.
    pub(super) fn protect(&self, headers: &mut HeaderMap) {
        let same_origin = HeaderValue::from_static("same-origin");
        headers.insert(CONTENT_SECURITY_POLICY, self.policy());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // The page's own forms need the referrer of no one.
        headers.insert(REFERRER_POLICY, same_origin.clone());
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
        headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    }

    /// Returns the policy: one style sheet and one script by their addresses, own pictures, own forms.
    fn policy(&self) -> HeaderValue {
        let Frame { origin, .. } = self;
        // By their whole addresses: nothing else of this origin can run, such as a picture that was uploaded.
        let (script, style) = (Frame::script(), Frame::style());
        let policy = format!(
            "default-src 'none'; script-src {origin}{script}; style-src {origin}{style}; img-src 'self' data: blob:; \
             connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
             require-trusted-types-for 'script'"
        );
        // The authority was parsed as a host, which has no other characters.
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }
}

/// Returns what the form before this page has done, by the `done` of its query.
fn notice(query: &str) -> Option<&'static str> {
    let (_, done) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done")?;
    Some(match &*done {
        "created" => "Created.",
        "saved" => "Saved.",
        "deleted" => "Deleted.",
        "restored" => "Restored.",
        "undone" => "Undone.",
        "revoked" => "Revoked.",
        "ended" => "The session has ended.",
        "copied" => "A copy is in the form. Nothing is saved yet.",
        "unlocked" => "The lock of wrong passwords has ended.",
        "rotated" => "There is a new secret. The former one signs as well for 24 hours.",
        "imported" => "Imported.",
        "started" => "Started.",
        _ => return None,
    })
}
