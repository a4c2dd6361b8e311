//! Responses about rules. A rule has the keys of both generations of the vendor's pages: `type` only with typed
//! conditions, and `conditionLogic` only with flat ones.

use serde::Serialize;

use super::flat::{self, FlatCondition};
use super::ids;
use super::typed::{self, TypedConditions};
use crate::http::api::dialect::{Body, RulePage, RuleView};
use crate::http::api::linquid::links;
use crate::http::api::linquid::paging::Pagination;
use crate::http::api::linquid::render::{DataBody, data_body, deleted_body};
use crate::model::link::branch::{BranchId, BranchOutcome};

/// Renders a created rule.
pub(in crate::http::api::linquid) fn created(rule: &RuleView) -> Body {
    Body::created(&data_body(RuleData::of(rule)))
}

/// Renders one rule.
pub(in crate::http::api::linquid) fn rule(rule: &RuleView) -> Body {
    Body::ok(&data_body(RuleData::of(rule)))
}

/// Renders a page of rules.
pub(in crate::http::api::linquid) fn page(page: &RulePage) -> Body {
    let data: Vec<_> = page.rules.iter().map(RuleData::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    Body::ok(&DataBody { success: true, data, pagination })
}

/// Renders the id of a deleted rule.
pub(in crate::http::api::linquid) fn deleted(id: &BranchId) -> Body {
    deleted_body(ids::show(*id))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleData<'a> {
    id: String,
    link_id: String,
    /// Always null: a rule belongs to a link.
    campaign_id: Option<&'a str>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'a str>,
    conditions: ShownConditions<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition_logic: Option<&'static str>,
    /// Null for a rule of the native API without a single destination.
    destination_url: Option<&'a str>,
    priority: u32,
    enabled: bool,
    created_at: Option<String>,
    updated_at: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownConditions<'a> {
    Flat(Vec<FlatCondition<'a>>),
    Typed(TypedConditions<'a>),
}

impl<'a> RuleData<'a> {
    fn of(view: &'a RuleView) -> RuleData<'a> {
        let (branch, memo) = (&view.branch, view.branch.memo.as_deref());
        let form = memo.and_then(|memo| memo.form.as_deref());
        let typed = form.and_then(|form| Some((form, typed::show(form, view)?)));
        let (form, conditions, logic) = if let Some((form, conditions)) = typed {
            (Some(form), ShownConditions::Typed(conditions), None)
        } else {
            let conditions = branch.conditions.iter().map(flat::show).collect();
            let logic = if branch.matches_any { "OR" } else { "AND" };
            (None, ShownConditions::Flat(conditions), Some(logic))
        };
        let url = match &branch.outcome {
            BranchOutcome::Url(url) => Some(url.as_str()),
            BranchOutcome::Split(split) if view.share.is_some() => Some(split.variants[0].url.as_str()),
            BranchOutcome::Split(_) | BranchOutcome::NotFound => None,
        };
        RuleData {
            id: ids::show(view.id),
            link_id: format!("{}{}", links::PREFIX, view.id.link),
            campaign_id: None,
            name: branch.name.as_deref(),
            description: memo.and_then(|memo| memo.description.as_deref()),
            r#type: form,
            conditions,
            condition_logic: logic,
            destination_url: url,
            priority: view.rank,
            enabled: branch.enabled,
            created_at: memo.and_then(|memo| memo.created_at).map(|at| at.to_string()),
            updated_at: view.updated_at.to_string(),
        }
    }
}
