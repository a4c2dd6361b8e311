//! Signing in with an API key, and signing out.

use std::net::IpAddr;

use askama::Template;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::failed;
use crate::agents::classes::{AgentClass, ClassField};
use crate::core::Error;
use crate::http::admin::cookies::{keep_session, session};
use crate::http::admin::form::Form;
use crate::http::admin::frame::Frame;
use crate::http::admin::origin;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::Api;
use crate::http::api::query::Query;
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: &'a Frame,
    error: Option<String>,
    next: &'a str,
}

/// Responds to a request for the page with the form.
pub(in crate::http::admin) async fn respond(
    api: &Api,
    frame: &Frame,
    parts: &Parts,
    form: &Form,
    peer: IpAddr,
) -> Result<HttpResponse, PageError> {
    if parts.method != Method::POST {
        api.count_open(peer)?;
        let query = Query::parse(parts.uri.query());
        let next = query.all("next").first().map_or("/admin", |next| own_path(next));
        return Ok(frame.page(StatusCode::OK, &SignInPage { frame, error: None, next }));
    }
    let next = own_path(form.text("next").unwrap_or("/admin"));
    let refused = |status, error: &str| {
        Ok(frame.page(status, &SignInPage { frame, error: Some(error.to_owned()), next }))
    };
    let Some(key) = form.text("key") else {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "Enter an API key.");
    };
    let tenants = &api.backend().tenants;
    let Some(caller) = tenants.authenticate(key, tenants.clock().now()) else {
        // Like any request without a valid key, so that keys cannot be tried faster here.
        api.count_attempt(peer)?;
        return refused(StatusCode::UNAUTHORIZED, "This key is unknown, revoked or expired.");
    };
    api.count_page(&caller)?;
    let secret = match tenants.sign_in(&caller, &device(parts)).await {
        Ok(secret) => secret,
        Err(Error::Forbidden(why)) => return refused(StatusCode::FORBIDDEN, &why),
        Err(error) => return Err(PageError::Api(api.error(error))),
    };
    // A second session of this browser would stay open unseen.
    if let Some(former) = session(&parts.headers, frame.is_https())
        && let Some(former) = tenants.session_of(former, tenants.clock().now())
    {
        tenants.end_own_session(&former.session).await.ok();
    }
    Ok(Frame::with_cookie(frame.redirect(next), Some(keep_session(&secret, frame.is_https()))))
}

/// Ends the session of a request.
pub(in crate::http::admin) async fn sign_out(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let (api, frame) = (request.api, request.frame);
    let ended = api.backend().tenants.end_own_session(&request.who.session).await;
    ended.map_err(|error| PageError::Api(api.error(error)))?;
    Ok(Frame::with_cookie(frame.redirect("/admin/sign-in"), Some(keep_session("", frame.is_https()))))
}

/// Returns the response to a request without a session.
pub(in crate::http::admin) fn needed(
    api: &Api,
    frame: &Frame,
    parts: &Parts,
    peer: IpAddr,
) -> Result<HttpResponse, PageError> {
    let secret = session(&parts.headers, frame.is_https());
    // A secret may be of a session that has ended, and it may be a guess: both count like a wrong key.
    if secret.is_some() {
        api.count_attempt(peer)?;
    } else {
        api.count_open(peer)?;
    }
    let is_read = parts.method != Method::POST;
    if is_read && secret.is_none() && origin::is_from_another_site(&parts.headers) {
        // A browser leaves out a strict cookie if another site has opened the page, and sends it to this page's next.
        return Ok(failed::leading(frame, "Opening the dashboard", "This takes a moment.", &frame.here));
    }
    let next = if is_read { frame.here.as_str() } else { "/admin" };
    let path = format!("/admin/sign-in?{}", query_of(&[("next", next)]));
    // The browser forgets it, so that its next pages are no attempts.
    let forgotten = secret.is_some().then(|| keep_session("", frame.is_https()));
    Ok(Frame::with_cookie(frame.redirect(&path), forgotten))
}

/// Returns a path of the dashboard as it is, and that of the overview for anything else.
pub(super) fn own_path(path: &str) -> &str {
    let rest = path.strip_prefix("/admin");
    let is_own = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own && is_plain { path } else { "/admin" }
}

/// Returns the description of a browser: `Firefox on Linux`.
fn device(parts: &Parts) -> String {
    let agent = parts.headers.get(hyper::header::USER_AGENT);
    let class = AgentClass::of(agent.map_or(b"", |agent| agent.as_bytes()));
    let name = |field: ClassField| field.name_of(class.get(field)).unwrap_or("unknown");
    format!("{} on {}", name(ClassField::Browser), name(ClassField::Os))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_follow_a_sign_in() {
        for own in ["/admin", "/admin/links?search=a%20b", "/admin?done=saved"] {
            assert_eq!(own_path(own), own);
        }
        for foreign in
            ["https://evil.test", "//evil.test", "/\\evil.test", "/adminx", "/", "", "/admin/\\x", "/admin/ä"]
        {
            assert_eq!(own_path(foreign), "/admin", "{foreign}");
        }
    }
}
