//! The steps that change many links: each changes links for some seconds, by a request for each link.

use std::time::Instant;

use futures_util::StreamExt;
use hyper::Method;
use serde_json::Value;

use super::act::{ACTS, BulkAct};
use super::selected::{SelectedLinks, page_of};
use crate::http::admin::chart::grouped;
use crate::http::admin::form::Form;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::admin::screens::links::edit::tag_ids;
use crate::http::admin::screens::steps::{self, STEP_TIME, StepFailures, StepState, number};
use crate::http::body::HttpResponse;

/// Changes at the same time: they share one write of the log.
const AT_ONCE: usize = 16;

/// The path of the forms.
const PATH: &str = "/admin/links/bulk";

/// Returns the id of the tag or campaign that the form names. Creates a tag of a new name.
async fn target(request: &PageRequest<'_>, act: BulkAct) -> Result<String, PageError> {
    let form = &request.form;
    let given = form.text("target").unwrap_or("");
    match (act, form.text("name")) {
        // Later steps have its id, and a tag that is renamed in between stays the same.
        (BulkAct::AddTag, Some(name)) if given.is_empty() => {
            let mut ids = tag_ids(request, &[name]).await?;
            ids.pop().ok_or(PageError::Internal)
        }
        (BulkAct::AddTag | BulkAct::RemoveTag, _) if given.is_empty() => {
            Err(PageError::rule("tag", "choose a tag"))
        }
        _ => Ok(given.to_owned()),
    }
}

/// What the steps have done so far.
#[derive(Default)]
struct BulkProgress {
    done: u64,
    changed: u64,
    failures: StepFailures,
    /// Where the list continues. `None` at its end.
    cursor: Option<String>,
    /// Links that the server was too busy for.
    again: Vec<String>,
    wait: Option<u32>,
}

impl BulkProgress {
    /// Reads what the steps before have done, and the links that they left.
    fn read(form: &Form) -> (BulkProgress, Vec<String>) {
        let progress = BulkProgress {
            done: number(form, "done"),
            changed: number(form, "changed"),
            failures: StepFailures::read(form),
            cursor: form.text("cursor").map(str::to_owned),
            ..BulkProgress::default()
        };
        (progress, form.all("again").map(str::to_owned).collect())
    }

    /// Returns the fields that carry the progress to the next step.
    fn fields(&self) -> Vec<(String, String)> {
        let numbers = [("done", self.done), ("changed", self.changed)];
        let numbers = numbers.map(|(name, count)| (name.to_owned(), count.to_string()));
        let cursor = ("cursor".to_owned(), self.cursor.clone().unwrap_or_default());
        let again = self.again.iter().map(|id| ("again".to_owned(), id.clone()));
        numbers.into_iter().chain([cursor]).chain(again).collect()
    }

    fn is_over(&self) -> bool {
        self.cursor.is_none() && self.again.is_empty()
    }
}

/// Does a step, and shows how far the work is.
pub(super) async fn show(
    request: &PageRequest<'_>,
    (name, act): (&'static str, BulkAct),
    selected: &SelectedLinks,
) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let target = target(request, act).await?;
    let (mut progress, left) = BulkProgress::read(form);
    walk(request, &act.change(&target), selected, left, &mut progress).await?;
    let mut fields = [selected.fields(), progress.fields()].concat();
    let total = form.text("total").unwrap_or("0");
    for (name, value) in [("act", name), ("go", "1"), ("target", target.as_str()), ("total", total)] {
        fields.push((name.to_owned(), value.to_owned()));
    }
    let history = if act == BulkAct::Delete { "" } else { " Each change is in the history of its link." };
    let state = StepState {
        heading: ACTS.iter().find(|(known, ..)| *known == name).map_or("", |found| found.1).to_owned(),
        done: progress.done,
        total: number(form, "total"),
        unit: "links",
        results: vec![format!("{} {}.{history}", grouped(progress.changed), act.words().1)],
        next: (!progress.is_over()).then_some(PATH),
        fields,
        rows: None,
        wait: progress.wait,
        failures: progress.failures,
        back: (selected.list(), "Back to the list"),
    };
    Ok(steps::show(request, state))
}

/// Changes links until the time of a step is over, those that a step before has left first.
async fn walk(
    request: &PageRequest<'_>,
    change: &(Method, Value),
    selected: &SelectedLinks,
    left: Vec<String>,
    progress: &mut BulkProgress,
) -> Result<(), PageError> {
    let began = Instant::now();
    let is_first = progress.done == 0 && left.is_empty() && progress.cursor.is_none();
    // First, so that a link does not wait for the end of a long list.
    change_all(request, change, left, progress).await;
    match selected {
        SelectedLinks::Checked(ids) if is_first => change_all(request, change, ids.clone(), progress).await,
        SelectedLinks::Checked(_) => {}
        SelectedLinks::All(filters) => {
            let mut is_over = !is_first && progress.cursor.is_none();
            while !is_over && progress.wait.is_none() && began.elapsed() < STEP_TIME {
                let (ids, next) = match page_of(request, filters, progress.cursor.as_deref()).await {
                    // The next step continues at the same cursor. Before the first page there is none.
                    Err(error) if progress.cursor.is_some() && error.retry_after().is_some() => {
                        progress.wait = error.retry_after();
                        break;
                    }
                    page => page?,
                };
                change_all(request, change, ids, progress).await;
                is_over = next.is_none();
                progress.cursor = next;
            }
        }
    }
    Ok(())
}

async fn change_all(
    request: &PageRequest<'_>,
    (method, body): &(Method, Value),
    ids: Vec<String>,
    progress: &mut BulkProgress,
) {
    let change = |id: String| async move {
        let done = request.send(method, &format!("/api/v1/links/{id}"), body).await;
        (id, done.map(drop))
    };
    // In their order, so that failures are listed as the links are.
    let mut results = futures_util::stream::iter(ids).map(change).buffered(AT_ONCE);
    while let Some((id, result)) = results.next().await {
        match result {
            Ok(()) => {
                progress.done += 1;
                progress.changed += 1;
            }
            Err(error) if error.retry_after().is_some() => {
                progress.wait = progress.wait.max(error.retry_after());
                progress.again.push(id);
            }
            Err(error) => {
                progress.done += 1;
                let (name, path) = (id.as_str(), format!("/admin/links/{id}"));
                progress.failures.push(name, path, &error.words().1);
            }
        }
    }
}
