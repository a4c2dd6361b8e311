//! [`PageRequest`]: a request of a person who is signed in, and how its page asks the API.

use hyper::Method;
use hyper::http::request::Parts;
use serde_json::Value;

use super::form::Form;
use super::frame::Frame;
use super::page_error::PageError;
use crate::clock::Timestamp;
use crate::core::SignedIn;
use crate::http::api::Api;
use crate::http::api::dialect::{ApiError, BadRequest, Reply};
use crate::http::api::in_process::{Ask, PageAnswer, PageContent, json_of};
use crate::http::api::ops::Ops;
use crate::http::api::query::Query;
use crate::http::body::HttpResponse;
use crate::model::Invalid;
use crate::model::key::Scope;

/// A request of a person who is signed in.
#[derive(Debug)]
pub(super) struct PageRequest<'a> {
    pub(super) api: &'a Api,
    pub(super) ops: &'a Ops,
    pub(super) who: &'a SignedIn,
    pub(super) frame: &'a Frame,
    pub(super) parts: &'a Parts,
    /// Empty unless the method is POST.
    pub(super) form: Form,
}

impl PageRequest<'_> {
    /// Returns whether the request is a form.
    pub(super) fn is_post(&self) -> bool {
        self.parts.method == Method::POST
    }

    /// Fails as the API does if the key of the session lacks a scope. For pages that ask the API only once they are sent.
    pub(super) fn needs(&self, scope: Scope) -> Result<(), PageError> {
        if self.who.caller.scopes().allow(scope) {
            return Ok(());
        }
        let why = format!("this key lacks the scope {}", scope.name());
        Err(PageError::Api(ApiError::Forbidden(why)))
    }

    /// Returns the time of the request.
    pub(super) fn now(&self) -> Timestamp {
        self.api.backend().tenants.clock().now()
    }

    /// Returns the name of the zone of the workspace in which the page acts, if it has one.
    pub(super) fn zone(&self) -> Option<String> {
        let chosen = self.frame.person.as_ref()?.workspace.as_deref();
        let workspace = self.api.backend().tenants.acting(&self.who.caller, chosen)?;
        workspace.timezone.as_deref().map(str::to_owned)
    }

    /// Returns the query of the address.
    pub(super) fn query(&self) -> Query<'_> {
        Query::parse(self.parts.uri.query())
    }

    /// Returns the first value of a name in the query, if it is not empty.
    pub(super) fn param(&self, name: &'static str) -> Option<String> {
        self.query().all(name).first().map(|value| (*value).to_owned())
    }

    /// Asks the API to read.
    pub(super) async fn get(&self, path: &str, query: &str) -> Result<Reply, PageError> {
        self.ask(&Method::GET, path, query, &[], None).await.and_then(reply_of)
    }

    /// Asks the API to read, and returns what it would answer.
    pub(super) async fn json(&self, path: &str, query: &str) -> Result<Value, PageError> {
        Ok(json_of(&self.get(path, query).await?))
    }

    /// Asks the API to read, and returns the answer with its tag and warnings.
    pub(super) async fn read(&self, path: &str, query: &str) -> Result<PageAnswer, PageError> {
        self.ask(&Method::GET, path, query, &[], None).await
    }

    /// Asks the API to act.
    pub(super) async fn send(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Result<PageAnswer, PageError> {
        let body = if body.is_null() { Vec::new() } else { crate::json::to_bytes(body) };
        self.ask(method, path, "", &body, None).await
    }

    /// Asks the API to act on an object that still has the tag with which its page was rendered.
    pub(super) async fn send_if(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
        tag: Option<&str>,
    ) -> Result<PageAnswer, PageError> {
        let body = if body.is_null() { Vec::new() } else { crate::json::to_bytes(body) };
        self.ask(method, path, "", &body, tag).await
    }

    /// Asks the API for events, which follow as long as the browser listens.
    pub(super) async fn events(&self, path: &str, query: &str) -> Result<HttpResponse, PageError> {
        let ask = Ask { streams: true, ..self.asking(&Method::GET, path, query) };
        let answer = self.api.ask(&self.who.caller, ask).await?;
        let PageContent::Stream(mut response) = answer.content else { return Err(PageError::Internal) };
        // Batches are produced until the stream ends.
        if let Some(room) = answer.room {
            response.body_mut().hold(room);
        }
        self.frame.protect(response.headers_mut());
        Ok(response)
    }

    /// Asks the API.
    pub(super) async fn ask(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
        if_match: Option<&str>,
    ) -> Result<PageAnswer, PageError> {
        let ask = Ask { body, if_match, ..self.asking(method, path, query) };
        Ok(self.api.ask(&self.who.caller, ask).await?)
    }

    /// Asks the API to create something, once for each key: a form that a browser sends again gets the first answer.
    pub(super) async fn send_once(
        &self,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Result<PageAnswer, PageError> {
        let body = crate::json::to_bytes(body);
        let ask = Ask { body: &body, once: Some(key), ..self.asking(&Method::POST, path, "") };
        Ok(self.api.ask(&self.who.caller, ask).await?)
    }

    /// Returns the workspace in which the page acts.
    pub(super) fn workspace(&self) -> Option<&str> {
        self.frame.person.as_ref().and_then(|person| person.workspace.as_deref())
    }

    /// Returns a request to the API in the workspace of the page.
    fn asking<'b>(&'b self, method: &'b Method, path: &'b str, query: &'b str) -> Ask<'b> {
        let workspace = self.workspace();
        Ask { method, path, query, body: &[], workspace, if_match: None, once: None, streams: false }
    }
}

/// Returns the reply of an answer. The room of the reply is released: the page that shows it is bounded.
pub(super) fn reply_of(answer: PageAnswer) -> Result<Reply, PageError> {
    match answer.content {
        PageContent::Reply(reply) => Ok(*reply),
        PageContent::Stream(_) => Err(PageError::Internal),
    }
}

/// Returns the error of a field of a form that breaks a rule of the dashboard, in the words of the API.
pub(super) fn refused(field: &'static str, why: impl Into<String>) -> PageError {
    PageError::Api(ApiError::BadRequest(BadRequest::Rule(Invalid::new(field, why))))
}

/// Returns a query of these names and values, encoded. Empty values are left out.
pub(super) fn query_of(pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    query.finish()
}
