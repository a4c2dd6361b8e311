//! The dashboard: pages under `/admin`, rendered on the server, for people who are signed in with an API key.
//!
//! 1. A page asks the native API within the process ([`crate::http::api::in_process`]): it can do what the key of the
//!    session can do, by the same commands, limits and rights, and nothing else.
//! 2. Pages are on the host of `public_url` only. No other domain of the instance has them, since pages of links run
//!    scripts that users choose.
//! 3. A request that changes something is a POST of a form with the token of its session, from this origin.
//! 4. Every page works without a script, but for the live view. The policy of each page allows one style sheet and one
//!    script by their addresses, and no request to another host.

mod answers;
mod assets;
mod browser_files;
pub mod chart;
mod cookies;
mod csv;
mod fields;
mod form;
mod format;
mod frame;
mod link_files;
mod origin;
mod page_error;
mod page_request;
mod pages;
mod routes;
mod screens;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Method, Request};

use self::form::Form;
use self::frame::Frame;
use self::page_error::PageError;
use self::page_request::PageRequest;
use super::api::Api;
use super::api::ops::Ops;
use super::body::{self, BodyError, HttpResponse};
use super::conn::server::Settings;

/// Longest body of a form in bytes: that of a link with all its rules. A file to import has `http.max_bulk_body`.
const FORM_MAX: usize = 1024 * 1024;

/// The dashboard. Cheap to clone: all clones share one state.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    api: Api,
    ops: Arc<Ops>,
    body_timeout: Duration,
    /// Longest file that a form uploads.
    max_file: usize,
}

impl Admin {
    /// Creates the dashboard over the APIs and the endpoints for operators.
    pub fn new(api: Api, ops: Arc<Ops>, settings: &Settings) -> Admin {
        let (body_timeout, max_file) = (settings.body_timeout, settings.max_bulk_body);
        Admin(Arc::new(Shared { api, ops, body_timeout, max_file }))
    }

    /// Responds to a request for a path under `/admin` at this host, from this address.
    pub async fn respond<B>(self, request: Request<B>, host: String, peer: IpAddr) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send,
    {
        let (parts, body) = request.into_parts();
        let site = self.0.api.backend().links.site();
        // First: on any other domain not even the form for signing in exists.
        if host != site.host() {
            // Scanners ask for it on every domain.
            return match self.0.api.count_open(peer) {
                Ok(()) => screens::elsewhere::page(site, &host),
                Err(error) => screens::failed::page(&Frame::of(&parts, self.origin(&parts)), &error.into()),
            };
        }
        if let Some(asset) = assets::respond(&parts) {
            return asset;
        }
        if let Some(file) = browser_files::respond(&parts, &self.origin(&parts)) {
            return file;
        }
        let has_body = !body.is_end_stream();
        let response = self.open(&parts, body, peer).await;
        if has_body {
            // A body that was dropped unread: see `Api::respond`.
            tokio::task::yield_now().await;
        }
        response
    }

    async fn open<B>(&self, parts: &Parts, body: B, peer: IpAddr) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send,
    {
        let mut frame = Frame::of(parts, self.origin(parts));
        match self.page(&mut frame, parts, body, peer).await {
            Ok(response) => response,
            Err(error) => screens::failed::page(&frame, &error),
        }
    }

    async fn page<B>(
        &self,
        frame: &mut Frame,
        parts: &Parts,
        body: B,
        peer: IpAddr,
    ) -> Result<HttpResponse, PageError>
    where
        B: Body<Data = Bytes> + Send,
    {
        let api = &self.0.api;
        let tenants = &api.backend().tenants;
        if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
            return Err(PageError::WrongMethod);
        }
        let is_post = parts.method == Method::POST;
        // Before the body is read and before the session is looked up: a page of another site learns nothing.
        if is_post && !origin::is_own(&parts.headers) {
            return Err(PageError::Foreign);
        }
        if !api.backend().links.is_ready() {
            return Err(PageError::NotReady);
        }
        let path = parts.uri.path();
        // A GET has no body here, whatever its headers say.
        let form = if is_post { self.form(parts, body).await? } else { Form::default() };
        if routes::is_sign_in(path) {
            return screens::sign_in::respond(api, frame, parts, &form, peer).await;
        }
        let now = tenants.clock().now();
        let secret = cookies::session(&parts.headers, frame.is_https());
        let Some(who) = secret.and_then(|secret| tenants.session_of(secret, now)) else {
            return screens::sign_in::needed(api, frame, parts, peer);
        };
        // Before the checks below, so that their errors have the navigation.
        frame.sign_in(api, &who, &parts.headers);
        if is_post && !form.has_token(&who.session.token) {
            return Err(PageError::NoToken);
        }
        // Once for a page, however often it asks the API.
        api.count_page(&who.caller)?;
        // A conflict with another request that renews the session is no failure of this page.
        tenants.renew_session(&who.session).await.ok();
        let request = PageRequest { api, ops: &self.0.ops, who: &who, frame, parts, form };
        let mut response = routes::respond(&request).await?;
        // A page is as long as its longest list. A client may read it slowly, and holds its room until then.
        if let Some(bytes) = response.body().long() {
            response.body_mut().hold(api.room_for_page(&who.caller, bytes)?);
        }
        Ok(response)
    }

    /// Reads a form. Fails before a byte of the body is read if the body is declared too long.
    async fn form<B>(&self, parts: &Parts, body: B) -> Result<Form, PageError>
    where
        B: Body<Data = Bytes>,
    {
        let is_upload = form::is_upload(&parts.headers);
        // The type decides: a form without a file has no use for the longer limit.
        let max = if is_upload { self.0.max_file } else { FORM_MAX };
        let bytes = body::read(&parts.headers, body, max, self.0.body_timeout).await;
        let bytes = bytes.map_err(|error| match error {
            BodyError::TooLarge { .. } => PageError::TooLarge(max),
            BodyError::Slow | BodyError::Encoded | BodyError::Busy | BodyError::Broken => PageError::BadBody,
        })?;
        Form::parse(&parts.headers, bytes).await.ok_or(PageError::BadBody)
    }

    /// Returns scheme and authority at which the browser has opened the page.
    fn origin(&self, parts: &Parts) -> String {
        let base = self.0.api.backend().links.site().base_url();
        let scheme = base.split_once("://").map_or("http", |(scheme, _)| scheme);
        // The port may be another than that of `public_url`, behind a tunnel. The host was compared.
        let given = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        match parts.uri.authority().map(hyper::http::uri::Authority::as_str).or(given) {
            Some(authority) => format!("{scheme}://{authority}"),
            None => base.to_owned(),
        }
    }
}
