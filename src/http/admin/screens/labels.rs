//! Tags and campaigns: both label links, and have a list, a form and a number of links.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::links::list::path_of;
use super::simple_form::{FormOutcome, NewObject, create};
use crate::http::admin::chart::grouped;
use crate::http::admin::fields::{FieldTexts, ShownField, SimpleField, SimpleInput};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::admin::pages::{ListPlace, of_page};
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;
use crate::model::key::Scope;
use crate::model::tag::DEFAULT_COLOR;
use crate::model::text::folded_name;

/// Labels on a page. Each of them asks for the number of its links, which the table counts.
const LABELS: usize = 25;

/// What differs between tags and campaigns.
#[derive(Debug)]
pub(in crate::http::admin) struct LabelKind {
    heading: &'static str,
    one: &'static str,
    path: &'static str,
    api: &'static str,
    /// The parameter of lists of links and of statistics that takes a name.
    filter: &'static str,
    /// The parameter of lists of links that takes an id.
    id_filter: &'static str,
    purpose: &'static str,
    new: NewObject,
}

const NAME: SimpleField =
    SimpleField::new("name", "Name", SimpleInput::Name, "At most 64 characters, once in the workspace.");

/// Tags.
pub(in crate::http::admin) const TAGS: LabelKind = LabelKind {
    heading: "Tags",
    one: "tag",
    path: "/admin/tags",
    api: "/api/v1/tags",
    filter: "tag",
    id_filter: "tagId",
    purpose: "Tags sort links: a link has as many as you like, and lists and statistics are filtered by them.",
    new: NewObject {
        heading: "New tag",
        intro: "",
        fields: &[NAME, SimpleField::new("color", "Color", SimpleInput::Color, "")],
        api: "/api/v1/tags",
        back: "/admin/tags",
        scope: Scope::LinksWrite,
    },
};

/// Campaigns.
pub(in crate::http::admin) const CAMPAIGNS: LabelKind = LabelKind {
    heading: "Campaigns",
    one: "campaign",
    path: "/admin/campaigns",
    api: "/api/v1/campaigns",
    filter: "campaign",
    id_filter: "campaignId",
    purpose: "A campaign groups links: each link belongs to one at most, and its clicks are counted together.",
    new: NewObject {
        heading: "New campaign",
        intro: "",
        fields: &[SimpleField::new(
            "name",
            "Name",
            SimpleInput::Name,
            "At most 200 characters. Several campaigns may have one name.",
        )],
        api: "/api/v1/campaigns",
        back: "/admin/campaigns",
        scope: Scope::LinksWrite,
    },
};

/// A tag or campaign.
struct Label {
    id: String,
    name: String,
    color: Option<String>,
}

#[derive(Template)]
#[template(path = "labels.html")]
struct LabelsPage<'a> {
    frame: &'a Frame,
    kind: &'a LabelKind,
    search: String,
    total: String,
    rows: Vec<LabelRow>,
    place: ListPlace,
}

struct LabelRow {
    label: Label,
    links: String,
    list: String,
    statistics: String,
}

#[derive(Template)]
#[template(path = "label.html")]
struct LabelPage<'a> {
    frame: &'a Frame,
    kind: &'a LabelKind,
    row: LabelRow,
    fields: Vec<ShownField>,
    error: Option<String>,
}

/// Shows the list.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    kind: &LabelKind,
) -> Result<HttpResponse, PageError> {
    let search = request.param("search").unwrap_or_default();
    let folded = folded_name(&search);
    let mut all = labels(request, kind).await?;
    all.retain(|label| folded_name(&label.name).contains(&*folded));
    let total = grouped(all.len() as u64);
    let repeated = repeated_names(&all);
    let (shown, place) = of_page(request, all, LABELS, kind.path, &[("search", &search)]);
    let mut rows = Vec::with_capacity(shown.len());
    for label in shown {
        let is_repeated = repeated.contains(&label.name);
        rows.push(row(request, kind, label, is_repeated).await?);
    }
    let page = LabelsPage { frame: request.frame, kind, search, total, rows, place };
    Ok(request.frame.page(StatusCode::OK, &page))
}

/// Shows the form of a new label, or creates one.
pub(in crate::http::admin) async fn new(
    request: &PageRequest<'_>,
    kind: &LabelKind,
) -> Result<HttpResponse, PageError> {
    let mut texts = FieldTexts::default();
    texts.set("color", DEFAULT_COLOR);
    match create(request, &kind.new, texts).await? {
        FormOutcome::Page(page) => Ok(page),
        FormOutcome::Done(_) => Ok(request.frame.redirect(&format!("{}?done=created", kind.path))),
    }
}

/// Shows a label with its form, or changes it.
pub(in crate::http::admin) async fn one(
    request: &PageRequest<'_>,
    kind: &LabelKind,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let all = labels(request, kind).await?;
    let repeated = repeated_names(&all);
    let label = all.into_iter().find(|label| label.id == id).ok_or(PageError::NoPage)?;
    let fields = kind.new.fields;
    let mut texts = FieldTexts::of(fields, &json!({"name": label.name, "color": label.color}));
    let mut error = None;
    if request.is_post() {
        texts.enter(fields, &request.form);
        let body = Value::Object(texts.body(fields, false)?);
        match request.send(&Method::PATCH, &format!("{}/{id}", kind.api), &body).await {
            Ok(_) => return Ok(request.frame.redirect(&format!("{}?done=saved", kind.path))),
            Err(failed) if failed.is_of_server() => return Err(failed),
            Err(failed) => error = Some(failed),
        }
    }
    let failed = error.as_ref().and_then(PageError::field);
    let is_repeated = repeated.contains(&label.name);
    let page = LabelPage {
        frame: request.frame,
        kind,
        row: row(request, kind, label, is_repeated).await?,
        fields: texts.shown(fields, failed.as_ref()),
        error: error.as_ref().map(|error| error.words().1),
    };
    Ok(request.frame.page(error.map_or(StatusCode::OK, |error| error.words().0), &page))
}

/// Deletes a label.
pub(in crate::http::admin) async fn delete(
    request: &PageRequest<'_>,
    kind: &LabelKind,
    id: &str,
) -> Result<HttpResponse, PageError> {
    request.send(&Method::DELETE, &format!("{}/{id}", kind.api), &Value::Null).await?;
    Ok(request.frame.redirect(&format!("{}?done=deleted", kind.path)))
}

/// Returns the labels of the workspace.
async fn labels(request: &PageRequest<'_>, kind: &LabelKind) -> Result<Vec<Label>, PageError> {
    match request.get(kind.api, "").await? {
        Reply::Tags(tags) => {
            let label = |tag: &crate::model::tag::Tag| Label {
                id: tag.id.to_string(),
                name: tag.name.to_string(),
                color: Some(tag.color.to_string()),
            };
            Ok(tags.iter().map(label).collect())
        }
        Reply::Campaigns(page) => {
            let named = page.campaigns.into_iter().map(|view| view.campaign);
            let label = |campaign: crate::model::campaign::Campaign| Label {
                id: campaign.id.to_string(),
                name: campaign.name.to_string(),
                color: None,
            };
            Ok(named.map(label).collect())
        }
        _ => Err(PageError::Internal),
    }
}

/// Returns the names that several labels have. Those of campaigns need not be unique.
fn repeated_names(labels: &[Label]) -> Vec<String> {
    let mut names: Vec<&str> = labels.iter().map(|label| &*label.name).collect();
    names.sort_unstable();
    let mut repeated: Vec<_> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned()).collect();
    repeated.dedup();
    repeated
}

async fn row(
    request: &PageRequest<'_>,
    kind: &LabelKind,
    label: Label,
    is_repeated: bool,
) -> Result<LabelRow, PageError> {
    let query = query_of(&[(kind.id_filter, &label.id), ("limit", "1")]);
    let Reply::Links(page) = request.get("/api/v1/links", &query).await? else {
        return Err(PageError::Internal);
    };
    // A name means all labels of this name, and reads better where it is the only one.
    let named = if is_repeated { &label.id } else { &label.name };
    let quoted = format!("\"{}\"", named.replace('"', "\"\""));
    Ok(LabelRow {
        links: grouped(page.total),
        list: path_of(&[(kind.filter, named)]),
        statistics: format!("/admin/statistics?{}", query_of(&[(kind.filter, &quoted)])),
        label,
    })
}
