//! A [`Company`] owns [`Workspace`]s, and a workspace owns links.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::qr_style::{QrEdit, QrStyle};
use crate::model::{Invalid, plain_text};

/// Longest name of a company, workspace or key, in characters.
pub const NAME_MAX: usize = 200;

/// Most custom values of one workspace. Each is resolved into every destination that names it.
pub(crate) const CUSTOM_VALUES_MAX: usize = 1_000;
/// Longest custom value in characters.
const CUSTOM_VALUE_MAX: usize = 2_048;

/// The number of a workspace in the store: short in keys, and never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceNumber(pub u32);

/// An owner of workspaces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Company {
    /// The id in the APIs, which may come from a vendor.
    pub id: ForeignId,
    pub name: Box<str>,
    /// The name of the company in restricted shares of snapshots, such as `0-128-926`.
    pub relationship_number: Box<str>,
    pub created_at: Timestamp,
}

/// An owner of links.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Workspace {
    /// The key of its links in the store.
    pub number: WorkspaceNumber,
    /// The id in the APIs, which may come from a vendor.
    pub id: ForeignId,
    /// The id of its company.
    pub company: ForeignId,
    pub name: Box<str>,
    /// The last setting of the balance of links to create; `None` is unlimited. The rest of the balance is a
    /// record of its own, since it changes with every link.
    pub credits: Option<u64>,
    /// The domain of links whose draft names none. `None` is the default domain of the instance.
    pub default_domain: Option<Id>,
    /// The values of `{{custom_values.NAME}}` in destinations.
    pub custom_values: BTreeMap<Box<str>, Box<str>>,
    /// If `false`, clicks of its links are counted and their details are not captured.
    pub statistics: bool,
    /// The name of the zone of dates without a time. `None`: UTC.
    pub timezone: Option<Box<str>>,
    /// How the QR codes of its links look.
    pub qr: QrStyle,
    /// Whether the destinations of its links are checked.
    pub check_links: bool,
    pub created_at: Timestamp,
}

/// One change of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each sets the field of `Workspace` of its name.
pub enum WorkspaceEdit {
    Name(Box<str>),
    Credits(Option<u64>),
    DefaultDomain(Option<Id>),
    CustomValues(BTreeMap<Box<str>, Box<str>>),
    Statistics(bool),
    /// The name of a zone that exists.
    Timezone(Option<Box<str>>),
    Qr(QrEdit),
    CheckLinks(bool),
}

impl Workspace {
    /// Applies one change. Fails if a value breaks a rule.
    pub fn apply(&mut self, edit: WorkspaceEdit) -> Result<(), Invalid> {
        match edit {
            WorkspaceEdit::Name(name) => {
                check_name("name", &name)?;
                self.name = name;
            }
            WorkspaceEdit::Credits(credits) => self.credits = credits,
            WorkspaceEdit::DefaultDomain(domain) => self.default_domain = domain,
            WorkspaceEdit::Statistics(on) => self.statistics = on,
            WorkspaceEdit::Timezone(name) => self.timezone = name,
            WorkspaceEdit::Qr(edit) => self.qr.apply(&edit),
            WorkspaceEdit::CheckLinks(on) => self.check_links = on,
            WorkspaceEdit::CustomValues(values) => {
                check_custom_values(&values)?;
                self.custom_values = values;
            }
        }
        Ok(())
    }

    /// Returns the zone of dates without a time.
    pub fn zone(&self) -> TimeZone {
        // A name that a later database has dropped is UTC, and no reason to refuse a link.
        self.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
    }
}

/// A company that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct CompanyDraft {
    /// A vendor's id to keep. `None` generates one.
    pub id: Option<ForeignId>,
    pub name: Box<str>,
    /// `None` generates one.
    pub relationship_number: Option<Box<str>>,
}

impl CompanyDraft {
    /// Fails, naming the rule, if the name or the number breaks one.
    pub fn check(&self) -> Result<(), Invalid> {
        check_name("name", &self.name)?;
        self.relationship_number.as_deref().map_or(Ok(()), check_relationship_number)
    }
}

/// A workspace that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct WorkspaceDraft {
    /// A vendor's id to keep. `None` generates one.
    pub id: Option<ForeignId>,
    /// `None` is the caller's company.
    pub company: Option<ForeignId>,
    pub name: Box<str>,
    pub edits: Vec<WorkspaceEdit>,
}

/// Rejects a name of more than [`NAME_MAX`] characters, and one of white space only.
pub fn check_name(field: &'static str, name: &str) -> Result<(), Invalid> {
    // A name of spaces would be invisible in every list.
    if name.trim().is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    plain_text(field, name, NAME_MAX)
}

/// Rejects anything but three groups of digits, such as `0-128-926`.
pub(crate) fn check_relationship_number(text: &str) -> Result<(), Invalid> {
    let fits = text.split('-').count() == 3
        && text
            .split('-')
            // Up to six digits; the groups of `0-128-926` have up to three.
            .all(|group| (1..=6).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit()));
    if fits {
        return Ok(());
    }
    Err(Invalid::new("relationshipNumber", "must be three groups of digits such as 0-128-926"))
}

fn check_custom_values(values: &BTreeMap<Box<str>, Box<str>>) -> Result<(), Invalid> {
    let reject = |why: String| Err(Invalid::new("customValues", why));
    if values.len() > CUSTOM_VALUES_MAX {
        return reject(format!("must be at most {CUSTOM_VALUES_MAX} values"));
    }
    for (name, value) in values {
        let fits =
            // The same characters as in a placeholder: another name could never be used.
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !fits {
            return reject("names must be 1 to 64 characters of A-Z, a-z, 0-9 and _".to_owned());
        }
        // Values are filled in once, and visitors would get the braces.
        if value.contains("{{") {
            return reject(format!(
                "{name} must not contain {{{{: values are filled into destinations, not into values"
            ));
        }
        // Not as a URL: a value may be any part of one, and each destination is checked with its values.
        plain_text("customValues", value, CUSTOM_VALUE_MAX)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relationship_numbers() {
        let rows = [
            ("0-128-926", true),
            ("2-008-926", true),
            ("0-128", false),
            // An empty group.
            ("0--926", false),
            ("a-b-c", false),
            ("0-128-9-1", false),
        ];
        for (text, fits) in rows {
            assert_eq!(check_relationship_number(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn custom_value_names_are_plain() {
        for (name, fits) in [("offer_url", true), ("", false), ("a b", false), ("a}}", false)] {
            let values = BTreeMap::from([(name.into(), "x".into())]);
            assert_eq!(check_custom_values(&values).is_ok(), fits, "{name}");
        }
        let values = BTreeMap::from([("a".into(), "x/{{custom_values.b}}".into())]);
        assert!(
            check_custom_values(&values).is_err_and(|error| error.why.starts_with("a must not contain {{"))
        );
    }
}
