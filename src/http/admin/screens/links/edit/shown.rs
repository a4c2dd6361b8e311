//! What the template of the form shows: fields with their values, rules, and the explanation of a visit.

use super::fields::{FieldPresence, FormField, InputKind};
use super::rules::{RuleForm, RuleOutcome};
use super::values::LinkValues;
use crate::http::admin::fields::{ShownField, ShownOption};
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::{Explanation, Reply};
use crate::model::link::branch::{ConditionField, Operator};

/// Most campaigns that the menu offers.
const CAMPAIGNS: &str = "limit=100";

/// The properties of a visit that can be tried, by their names in the API, and their labels.
pub(super) const TEST_FIELDS: [(&str, &str); 8] = [
    ("device", "Device"),
    ("os", "System"),
    ("country", "Country"),
    ("language", "Language"),
    ("query", "Query"),
    ("referrer", "Referrer"),
    ("ua", "User-Agent"),
    ("at", "Time"),
];

/// A part of the form.
pub(super) struct ShownSection {
    pub(super) heading: &'static str,
    pub(super) fields: Vec<ShownField>,
    /// Whether a field has a value or an error.
    pub(super) is_open: bool,
}

/// The domains, campaigns and tags of the workspace, by values and names.
pub(super) struct Menus {
    domains: Vec<(String, String)>,
    campaigns: Vec<(String, String)>,
}

impl Menus {
    /// Reads the entries. What the form has is among them.
    pub(super) async fn read(request: &PageRequest<'_>, values: &LinkValues) -> Result<Menus, PageError> {
        let Reply::Domains(domains) = request.get("/api/v1/domains", "").await? else {
            return Err(PageError::Internal);
        };
        let domains = domains.into_iter().map(|view| (view.name.clone(), view.name)).collect();
        let Reply::Campaigns(page) = request.get("/api/v1/campaigns", CAMPAIGNS).await? else {
            return Err(PageError::Internal);
        };
        let mut campaigns = vec![(String::new(), "None".to_owned())];
        let named = page.campaigns.into_iter().map(|view| view.campaign);
        campaigns.extend(named.map(|campaign| (campaign.id.to_string(), campaign.name.to_string())));
        let chosen = values.get("campaignId");
        if campaigns.iter().all(|(id, _)| id != chosen) {
            campaigns.push((chosen.to_owned(), chosen.to_owned()));
        }
        Ok(Menus { domains, campaigns })
    }
}

impl ShownSection {
    /// Returns a section of the form. `failed` is the field that a request failed for, and why.
    pub(super) fn of(
        heading: &'static str,
        fields: &'static [FormField],
        values: &LinkValues,
        menus: &Menus,
        is_new: bool,
        failed: Option<&(String, String)>,
    ) -> ShownSection {
        let is_here = |field: &&FormField| match field.when {
            FieldPresence::Always => true,
            FieldPresence::New => is_new,
            FieldPresence::Change => !is_new,
        };
        let here: Vec<&FormField> = fields.iter().filter(is_here).collect();
        let fields: Vec<_> = here.iter().map(|field| shown(field, values, menus, failed)).collect();
        let is_open =
            here.iter().any(|field| values.is_set(field)) || fields.iter().any(|field| field.error.is_some());
        ShownSection { heading, fields, is_open }
    }
}

fn shown(
    field: &FormField,
    values: &LinkValues,
    menus: &Menus,
    failed: Option<&(String, String)>,
) -> ShownField {
    let value = values.get(field.name).to_owned();
    let entries = |entries: &[(String, String)]| {
        entries.iter().map(|(value, name)| (value.clone(), name.clone())).collect()
    };
    let (input, entries): (_, Vec<(String, String)>) = match field.kind {
        InputKind::Text | InputKind::Tags => ("text", Vec::new()),
        InputKind::Password => ("password", Vec::new()),
        InputKind::Lines | InputKind::List => ("lines", Vec::new()),
        InputKind::Number => ("number", Vec::new()),
        InputKind::Time => ("datetime-local", Vec::new()),
        InputKind::Flag(_) => ("checkbox", Vec::new()),
        InputKind::Choice(all) => {
            ("select", all.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned())).collect())
        }
        InputKind::Domain => ("select", entries(&menus.domains)),
        InputKind::Campaign => ("select", entries(&menus.campaigns)),
    };
    let option =
        |(entry, name): (String, String)| ShownOption { is_chosen: entry == value, value: entry, name };
    // The API has ids of tags, and shows its place behind the name of a list.
    let name_of = |named: &str| {
        named.split(['[', '.']).next() == Some(field.name)
            || (field.name == "tags" && named.starts_with("tagIds"))
    };
    let error = failed.filter(|(named, _)| name_of(named)).map(|(_, rule)| rule.clone());
    ShownField {
        name: field.name,
        label: field.label,
        hint: field.hint,
        input,
        options: entries.into_iter().map(option).collect(),
        error,
        is_wide: matches!(field.kind, InputKind::Lines | InputKind::List | InputKind::Flag(_))
            || field.name == "url",
        value,
    }
}

/// A rule, with the menus of its conditions.
pub(super) struct ShownRule {
    /// Its number in the names of fields.
    pub(super) at: usize,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    pub(super) rule: RuleForm,
    pub(super) outcomes: Vec<ShownOption>,
    pub(super) stickies: Vec<ShownOption>,
    pub(super) conditions: Vec<ShownCondition>,
    pub(super) has_variants: bool,
    pub(super) error: Option<String>,
}

/// A condition of a rule.
pub(super) struct ShownCondition {
    pub(super) fields: Vec<ShownOption>,
    pub(super) operators: Vec<ShownOption>,
    pub(super) key: String,
    pub(super) value: String,
}

impl ShownRule {
    /// Returns the rules of a form.
    pub(super) fn all(rules: &[RuleForm], failed: Option<&(String, String)>) -> Vec<ShownRule> {
        let last = rules.len().saturating_sub(1);
        let shown = rules.iter().enumerate().map(|(at, rule)| {
            let place = format!("rules[{at}]");
            let error = failed.filter(|(field, _)| field.starts_with(&place));
            let error = error.map(|(field, rule)| match field[place.len()..].trim_start_matches('.') {
                "" => rule.clone(),
                field => format!("{field}: {rule}"),
            });
            ShownRule::of(at, at == last, rule, error)
        });
        shown.collect()
    }

    fn of(at: usize, is_last: bool, rule: &RuleForm, error: Option<String>) -> ShownRule {
        let outcome = |(outcome, value, name): (RuleOutcome, &str, &str)| ShownOption {
            value: value.to_owned(),
            name: name.to_owned(),
            is_chosen: outcome == rule.outcome,
        };
        let stickies = [
            ("visitor", "by address and browser"),
            ("cookie", "by a cookie"),
            ("click", "not at all: in turns"),
        ];
        let conditions = rule.conditions.iter().map(|condition| ShownCondition {
            fields: options(
                std::iter::once("").chain(ConditionField::all().map(ConditionField::name)),
                &condition.field,
            ),
            operators: options(Operator::all().map(Operator::name), &condition.operator),
            key: condition.key.clone(),
            value: condition.value.clone(),
        });
        ShownRule {
            at,
            is_first: at == 0,
            is_last,
            outcomes: RuleOutcome::ALL.into_iter().map(outcome).collect(),
            stickies: stickies
                .into_iter()
                .map(|(value, name)| ShownOption {
                    value: value.to_owned(),
                    name: name.to_owned(),
                    is_chosen: value == rule.sticky,
                })
                .collect(),
            conditions: conditions.collect(),
            has_variants: rule.outcome == RuleOutcome::Variants,
            error,
            rule: rule.clone(),
        }
    }
}

fn options<'a>(names: impl Iterator<Item = &'a str>, chosen: &str) -> Vec<ShownOption> {
    let option = |name: &str| ShownOption {
        value: name.to_owned(),
        name: if name.is_empty() { "(none)".to_owned() } else { name.to_owned() },
        is_chosen: name == chosen,
    };
    names.map(option).collect()
}

/// The explanation of a visit.
pub(super) struct Explained {
    pub(super) outcome: String,
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) is_counted: bool,
    pub(super) steps: Vec<(String, bool, String)>,
    pub(super) warnings: Vec<String>,
}

impl Explained {
    /// Returns what the page shows of an explanation.
    pub(super) fn of(explanation: &Explanation, warnings: Vec<String>) -> Explained {
        let step = |step: &crate::http::api::dialect::ExplainedRule| {
            (step.rule.to_string(), step.passes, step.why.clone())
        };
        Explained {
            outcome: explanation.outcome.to_owned(),
            status: explanation.status,
            location: explanation.location.clone(),
            is_counted: explanation.is_counted,
            steps: explanation.steps.iter().map(step).collect(),
            warnings,
        }
    }
}
