//! Work on many objects in steps: each form does a part, and its page shows how far the work is. The page continues by a
//! script, or by its button. All state is in the form: a server that restarts and a browser that is closed lose nothing
//! that was done, and a repetition does the rest.

use std::time::Duration;

use askama::Template;
use hyper::StatusCode;

use crate::http::admin::chart::grouped;
use crate::http::admin::form::Form;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_request::PageRequest;
use crate::http::body::HttpResponse;

/// Time after which a step ends. Browsers and proxies wait longer.
pub(super) const STEP_TIME: Duration = Duration::from_secs(2);

/// Most failures that a page lists; more are counted.
const FAILURES_MAX: usize = 200;

/// An object on which a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepFailure {
    /// The name of the object on the page.
    pub(super) name: String,
    /// The address of its page, or empty.
    pub(super) path: String,
    pub(super) reason: String,
}

/// The failures so far.
#[derive(Clone, Debug, Default)]
pub(super) struct StepFailures {
    pub(super) listed: Vec<StepFailure>,
    /// Those that are not listed included.
    pub(super) count: u64,
}

impl StepFailures {
    /// Reads the failures of the steps before.
    pub(super) fn read(form: &Form) -> StepFailures {
        let listed: Vec<_> = form
            .all("failed")
            .filter_map(|text| {
                let mut parts = text.splitn(3, '\t').map(str::to_owned);
                Some(StepFailure { name: parts.next()?, path: parts.next()?, reason: parts.next()? })
            })
            .take(FAILURES_MAX)
            .collect();
        let count = number(form, "failures").max(listed.len() as u64);
        StepFailures { listed, count }
    }

    /// Adds a failure.
    pub(super) fn push(&mut self, name: &str, path: String, reason: &str) {
        self.count += 1;
        // All of them are in each form: a million failures would not fit.
        if self.listed.len() < FAILURES_MAX {
            let flat = |text: &str| text.replace(['\t', '\r', '\n'], " ");
            self.listed.push(StepFailure { name: flat(name), path, reason: flat(reason) });
        }
    }

    /// Returns the fields that carry the failures to the next step.
    fn fields(&self) -> Vec<(String, String)> {
        let carried = |failure: &StepFailure| {
            let StepFailure { name, path, reason } = failure;
            ("failed".to_owned(), format!("{name}\t{path}\t{reason}"))
        };
        let mut fields: Vec<_> = self.listed.iter().map(carried).collect();
        fields.push(("failures".to_owned(), self.count.to_string()));
        fields
    }
}

/// Returns a number that a form carries. 0 for any other text.
pub(super) fn number(form: &Form, name: &str) -> u64 {
    form.text(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The state of some work, as its page shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct StepState {
    pub(super) heading: String,
    /// Objects that are done, failures included, and all of them.
    pub(super) done: u64,
    pub(super) total: u64,
    /// What the numbers count, as a plural.
    pub(super) unit: &'static str,
    /// What was done so far, in sentences.
    pub(super) results: Vec<String>,
    pub(super) failures: StepFailures,
    /// The path of the next step. `None` after the last one.
    pub(super) next: Option<&'static str>,
    /// Hidden fields of the next step, beside failures and token.
    pub(super) fields: Vec<(String, String)>,
    /// A long text of the next step, as the field `rows`.
    pub(super) rows: Option<String>,
    /// Seconds until the next step, if the server is busy.
    pub(super) wait: Option<u32>,
    /// The page behind the work, and its name.
    pub(super) back: (String, &'static str),
}

#[derive(Template)]
#[template(path = "steps.html")]
struct StepsPage<'a> {
    frame: &'a Frame,
    state: StepState,
    done: String,
    total: String,
    /// The length of the bar, which is not 0.
    most: u64,
    failed: String,
    hidden: Vec<(String, String)>,
    /// Failures that are not listed.
    more: String,
}

/// Shows how far the work is, with the form of the next step.
pub(super) fn show(request: &PageRequest<'_>, state: StepState) -> HttpResponse {
    // In the page and not in the server: see the head of this file.
    let hidden = [state.fields.clone(), state.failures.fields()].concat();
    let page = StepsPage {
        frame: request.frame,
        done: grouped(state.done),
        total: grouped(state.total.max(state.done)),
        most: state.total.max(state.done).max(1),
        failed: grouped(state.failures.count),
        more: grouped(state.failures.count - state.failures.listed.len() as u64),
        hidden,
        state,
    };
    request.frame.page(StatusCode::OK, &page)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::{CONTENT_TYPE, HeaderValue};

    use super::*;

    #[tokio::test]
    async fn failures_survive_a_step() {
        let mut failures = StepFailures::default();
        failures.push("a\tb", "/admin/links/1".to_owned(), "url: must\nnot");
        for _ in 0..FAILURES_MAX {
            failures.push("c", String::new(), "gone");
        }
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(failures.fields()).finish();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let form = Form::parse(&headers, Bytes::from(body)).await.expect("a form");
        let read = StepFailures::read(&form);
        assert_eq!((read.count, read.listed.len()), (FAILURES_MAX as u64 + 1, FAILURES_MAX));
        assert_eq!(read.listed, failures.listed);
        assert_eq!(read.listed[0].reason, "url: must not");
        assert_eq!(read.listed[1].path, "");
    }
}
