//! [`Company`] (an "agency") owns [`Workspace`]s (a HighLevel "location"); a workspace owns links.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::{Invalid, plain_text};

/// Longest name of a company, workspace or key, in characters.
pub const NAME_MAX: usize = 200;

/// Most custom values of one workspace, and longest value in characters: they are resolved into
/// every destination that names them, so both are bounded.
pub const CUSTOM_VALUES_MAX: usize = 1_000;
const CUSTOM_VALUE_MAX: usize = 2_048;

/// A workspace's number inside the store: short in keys, never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceNumber(pub u32);

/// Owner of workspaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// What the APIs call it by; may be a vendor's.
    pub id: ForeignId,
    /// Display name.
    pub name: Box<str>,
    /// `0-128-926`: what restricted snapshot shares name companies by.
    pub relationship_number: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Owner of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Key of its links in the store.
    pub number: WorkspaceNumber,
    /// What the APIs call it by; may be a vendor's.
    pub id: ForeignId,
    /// Its owner.
    pub company: ForeignId,
    /// Display name.
    pub name: Box<str>,
    /// What its balance of links to create was last set to; `None` is unlimited. What is left of it
    /// is kept apart, since it changes with every link.
    pub credits: Option<u64>,
    /// Domain of links whose draft names none; the default domain when unset.
    pub default_domain: Option<Id>,
    /// What `{{custom_values.NAME}}` in destinations stands for.
    pub custom_values: BTreeMap<Box<str>, Box<str>>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One change of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkspaceEdit {
    /// Renames it.
    Name(Box<str>),
    /// Sets the balance; `None` is unlimited.
    Credits(Option<u64>),
    /// Sets the default domain; `None` is the instance's.
    DefaultDomain(Option<Id>),
    /// Replaces all custom values.
    CustomValues(BTreeMap<Box<str>, Box<str>>),
}

impl Workspace {
    /// Applies one change.
    pub fn apply(&mut self, edit: WorkspaceEdit) -> Result<(), Invalid> {
        match edit {
            WorkspaceEdit::Name(name) => {
                check_name("name", &name)?;
                self.name = name;
            }
            WorkspaceEdit::Credits(credits) => self.credits = credits,
            WorkspaceEdit::DefaultDomain(domain) => self.default_domain = domain,
            WorkspaceEdit::CustomValues(values) => {
                check_custom_values(&values)?;
                self.custom_values = values;
            }
        }
        Ok(())
    }
}

/// A company to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyDraft {
    /// A vendor's id to keep; drawn when `None`.
    pub id: Option<ForeignId>,
    /// Display name.
    pub name: Box<str>,
    /// Drawn when `None`.
    pub relationship_number: Option<Box<str>>,
}

impl CompanyDraft {
    /// Names and numbers within their bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        check_name("name", &self.name)?;
        self.relationship_number.as_deref().map_or(Ok(()), check_relationship_number)
    }
}

/// A workspace to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceDraft {
    /// A vendor's id to keep; drawn when `None`.
    pub id: Option<ForeignId>,
    /// Its owner; the caller's company when `None`.
    pub company: Option<ForeignId>,
    /// Display name.
    pub name: Box<str>,
    /// What else is set from the start.
    pub edits: Vec<WorkspaceEdit>,
}

/// 1 to [`NAME_MAX`] characters, not only white space.
pub fn check_name(field: &'static str, name: &str) -> Result<(), Invalid> {
    if name.trim().is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    plain_text(field, name, NAME_MAX)
}

/// Three groups of digits, as HighLevel writes them: `0-128-926`.
pub fn check_relationship_number(text: &str) -> Result<(), Invalid> {
    let fits = text.split('-').count() == 3
        && text
            .split('-')
            .all(|group| (1..=6).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit()));
    if fits {
        return Ok(());
    }
    Err(Invalid::new("relationshipNumber", "must be three groups of digits such as 0-128-926"))
}

fn check_custom_values(values: &BTreeMap<Box<str>, Box<str>>) -> Result<(), Invalid> {
    let refuse = |why: String| Err(Invalid::new("customValues", why));
    if values.len() > CUSTOM_VALUES_MAX {
        return refuse(format!("must be at most {CUSTOM_VALUES_MAX} values"));
    }
    for (name, value) in values {
        let fits =
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !fits {
            return refuse("names must be 1 to 64 characters of A-Z, a-z, 0-9 and _".to_owned());
        }
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
    }
}
