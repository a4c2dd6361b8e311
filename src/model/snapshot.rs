//! [`Snapshot`]: a frozen copy of one workspace's links. [`Share`]: the permission to import a snapshot.
//! [`Import`]: one import, from its first staged link to its end.

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::short_code::trimmed;
use crate::model::workspace::{WorkspaceNumber, check_name, check_relationship_number};
use crate::model::{Invalid, plain_text};

/// Most companies or workspaces in one share. An import compares with each. Past it: rejected.
pub(crate) const LISTED_MAX: usize = 1_000;

/// The origin of a company's snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// The company created the snapshot.
    Own,
    /// The company imported the snapshot of another company.
    Imported,
}

impl SnapshotKind {
    /// Returns the name in APIs.
    pub fn name(self) -> &'static str {
        match self {
            SnapshotKind::Own => "own",
            SnapshotKind::Imported => "imported",
        }
    }
}

/// A frozen copy of a workspace's links.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Snapshot {
    /// The id in the APIs, which may come from a vendor.
    pub id: ForeignId,
    /// The key of its content in the store. An imported snapshot has the key of its source.
    pub frozen: Id,
    /// The id of its company.
    pub company: ForeignId,
    /// The copied workspace. For an imported snapshot, the workspace with the imported links.
    pub workspace: WorkspaceNumber,
    pub name: Box<str>,
    pub kind: SnapshotKind,
    /// Number of links and of tags.
    pub links: u64,
    pub tags: u64,
    /// Whether it contains hashes of passwords.
    pub has_passwords: bool,
    /// Chunks of its content in the store.
    pub chunks: u32,
    pub created_at: Timestamp,
}

/// A snapshot that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct SnapshotDraft {
    /// A vendor's id to keep. `None` generates one.
    pub id: Option<ForeignId>,
    pub name: Box<str>,
    /// Whether the snapshot will contain hashes of passwords.
    pub with_passwords: bool,
}

impl SnapshotDraft {
    /// Fails, naming the rule, if the name breaks one.
    pub fn check(&self) -> Result<(), Invalid> {
        check_name("name", &self.name)
    }
}

/// The workspaces that may import, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareKind {
    /// Any workspace, once.
    Once,
    /// Any workspace, any number of times.
    Permanent,
    /// Companies with these relationship numbers.
    Companies(Vec<Box<str>>),
    /// These workspaces.
    Workspaces(Vec<ForeignId>),
}

impl ShareKind {
    /// Parses the name in APIs and the list that belongs to it; the other list is ignored. `lists` are the
    /// names and contents of the two fields.
    pub fn parse(
        field: &'static str,
        name: &str,
        lists: [(&'static str, Vec<&str>); 2],
    ) -> Result<ShareKind, Invalid> {
        // The caller names the fields: each dialect spells them in its own way.
        let [(numbers_field, numbers), (workspaces_field, workspaces)] = lists;
        match name {
            "link" => Ok(ShareKind::Once),
            "permanent_link" => Ok(ShareKind::Permanent),
            "agency_link" => {
                let listed = listed(numbers_field, numbers)?;
                for number in &listed {
                    check_relationship_number(number)
                        .map_err(|invalid| Invalid { field: numbers_field, ..invalid })?;
                }
                Ok(ShareKind::Companies(listed.into_iter().map(Box::from).collect()))
            }
            "location_link" => {
                let ids = listed(workspaces_field, workspaces)?;
                let parse = |id: &str| ForeignId::parse(workspaces_field, id);
                Ok(ShareKind::Workspaces(ids.into_iter().map(parse).collect::<Result<_, _>>()?))
            }
            _ => Err(Invalid::new(field, "must be link, permanent_link, agency_link or location_link")),
        }
    }

    /// Returns the name in APIs.
    pub fn name(&self) -> &'static str {
        match self {
            ShareKind::Once => "link",
            ShareKind::Permanent => "permanent_link",
            ShareKind::Companies(_) => "agency_link",
            ShareKind::Workspaces(_) => "location_link",
        }
    }

    /// Returns whether the share permits an import into this workspace, of a company with this relationship
    /// number.
    pub fn admits(&self, relationship_number: &str, workspace: &ForeignId) -> bool {
        match self {
            // Whether a one-time share is used up is a state of the share (`Share::used_at`).
            ShareKind::Once | ShareKind::Permanent => true,
            ShareKind::Companies(numbers) => numbers.iter().any(|number| **number == *relationship_number),
            ShareKind::Workspaces(ids) => ids.contains(workspace),
        }
    }
}

/// Trims the items and removes empty ones. Fails if none is left, or more than [`LISTED_MAX`].
fn listed<'a>(field: &'static str, items: Vec<&'a str>) -> Result<Vec<&'a str>, Invalid> {
    // A list may come from a text that was split at its commas, and a comma at the end begins no item.
    let items: Vec<&str> = items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect();
    match items.len() {
        0 => Err(Invalid::new(field, "is required with this type of share")),
        1..=LISTED_MAX => Ok(items),
        _ => Err(Invalid::new(field, format!("must be at most {LISTED_MAX}"))),
    }
}

/// The permission to import a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Share {
    /// The id in the share link. A visitor who knows the id may open the page of the share.
    pub id: Id,
    /// The id of the snapshot.
    pub snapshot: ForeignId,
    /// The content of the snapshot. A freed id that is used again names another snapshot, with other content.
    pub frozen: Id,
    pub kind: ShareKind,
    /// The time when a one-time share was used.
    pub used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The treatment of a link whose short code is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Import nothing.
    #[default]
    Fail,
    /// Leave the link out.
    Skip,
    /// Give the link another code.
    Rename,
}

impl OnConflict {
    /// Parses the name in APIs.
    pub fn parse(text: &str) -> Result<OnConflict, Invalid> {
        match text {
            "fail" => Ok(OnConflict::Fail),
            "skip" => Ok(OnConflict::Skip),
            "rename" => Ok(OnConflict::Rename),
            _ => Err(Invalid::new("onConflict", "must be fail, skip or rename")),
        }
    }
}

/// The progress of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportStatus {
    /// The links are being staged, and are not visible.
    Pending,
    /// All links are visible.
    Completed,
    /// No link was imported.
    Failed(ImportFailure),
}

impl ImportStatus {
    /// Returns the name in APIs.
    pub fn name(&self) -> &'static str {
        match self {
            ImportStatus::Pending => "pending",
            ImportStatus::Completed => "completed",
            ImportStatus::Failed(_) => "failed",
        }
    }
}

/// The reason why an import failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportFailure {
    /// The server stopped during the import.
    Interrupted,
    /// Another import used the share.
    UsedUp,
    /// This short code is in use.
    CodeTaken(Box<str>),
    /// The workspace has too few credits.
    NoCredits,
    /// The snapshot was deleted during the import.
    SnapshotGone,
    /// The import breaks this rule, in a whole sentence.
    Refused(Box<str>),
    /// The store rejected the links, or other requests changed the same tags.
    Unavailable,
}

/// One import of a snapshot into a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Import {
    pub id: Id,
    /// The id of the share.
    pub share: Id,
    /// The id of the snapshot.
    pub snapshot: ForeignId,
    /// The content of the snapshot.
    pub frozen: Id,
    /// The id of its company.
    pub company: ForeignId,
    /// The workspace that gets the links.
    pub workspace: WorkspaceNumber,
    pub status: ImportStatus,
    /// The number of links in the snapshot.
    pub links: u64,
    /// The number of created links.
    pub made: u64,
    /// The number of links that were left out.
    pub skipped: u64,
    /// The number of links that got another code.
    pub renamed: u64,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// An import that is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct ImportDraft {
    /// The id of the share.
    pub share: Id,
    pub on_conflict: OnConflict,
}

/// Returns the id of a share from its link, or from the id alone.
pub fn share_id(field: &'static str, text: &str) -> Result<Id, Invalid> {
    let reject = || Invalid::new(field, "is not a share of this server");
    // Longer than any share link.
    plain_text(field, text, 2_048)?;
    let id = match text.split_once('?') {
        Some((_, query)) => {
            // A pasted link may have a fragment.
            let query = query.split('#').next().unwrap_or(query);
            query.split('&').find_map(|pair| pair.strip_prefix("share=")).ok_or_else(reject)?
        }
        None => text,
    };
    id.trim().parse().map_err(|_| reject())
}

/// A share that an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedShare {
    /// By its id.
    Id(Id),
    /// By a text that was likely part of an id, and that no share can have.
    Broken,
}

/// Returns the share that the query of an address names, whose pairs are decoded. The first id counts. Without an id,
/// letters and digits are a broken one, and all else is no share: other sites append `share=facebook` to addresses.
pub fn share_in<N: AsRef<str>, V: AsRef<str>>(pairs: impl Iterator<Item = (N, V)>) -> Option<NamedShare> {
    let mut named = None;
    for (_, value) in pairs.filter(|(name, _)| name.as_ref() == "share") {
        let value = value.as_ref();
        // The sentence around an address may have ended.
        let value = trimmed(value, true).unwrap_or(value);
        if let Ok(id) = value.parse() {
            return Some(NamedShare::Id(id));
        }
        let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
        if has_digit && value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            named = Some(NamedShare::Broken);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_uses_its_own_list() {
        let none = Vec::new;
        // Spaces around an item, as people write lists.
        let numbers = || " 0-128-926,1-208-926 ".split(',').collect::<Vec<_>>();
        let ids = || "a1, b2,,".split(',').collect::<Vec<_>>();
        let parse = |name: &str, numbers: Vec<&str>, ids: Vec<&str>| {
            ShareKind::parse("t", name, [("n", numbers), ("w", ids)]).map_err(|e| e.to_string())
        };
        assert_eq!(parse("link", numbers(), ids()), Ok(ShareKind::Once));
        assert_eq!(parse("permanent_link", none(), none()), Ok(ShareKind::Permanent));
        let companies = parse("agency_link", numbers(), none()).expect("listed");
        let id = |text: &str| ForeignId::parse("id", text).expect("valid");
        assert!(companies.admits("1-208-926", &id("x")) && !companies.admits("1-208-927", &id("x")));
        let workspaces = parse("location_link", none(), ids()).expect("listed");
        assert!(workspaces.admits("", &id("b2")) && !workspaces.admits("", &id("b")));
        let required = |field: &str| Err(format!("{field}: is required with this type of share"));
        assert_eq!(parse("agency_link", none(), ids()), required("n"));
        assert_eq!(parse("location_link", numbers(), vec![" "]), required("w"));
        // Valid numbers, so that only their count is wrong.
        let many = vec!["0-1-2"; LISTED_MAX + 1];
        assert_eq!(parse("agency_link", many, none()), Err("n: must be at most 1000".to_owned()));
        let error = parse("agency_link", vec!["x"], none()).expect_err("no number");
        assert_eq!(error, "n: must be three groups of digits such as 0-128-926");
        let error = parse("Link", none(), none()).expect_err("no kind");
        assert_eq!(error, "t: must be link, permanent_link, agency_link or location_link");
    }

    #[test]
    fn the_id_is_found_in_a_share_link() {
        // Any id: the text alone is parsed, and no share is looked up.
        let id = "000000000000000000AB";
        for text in [id.to_owned(), format!("https://go.test/?share={id}"), format!("x?a=b&share={id}#c")] {
            assert_eq!(share_id("s", &text).map(|id| id.to_string()).as_deref(), Ok(id), "{text}");
        }
        for text in ["", "https://go.test/?a=b", "https://go.test/?share=", "https://go.test/?xshare=1"] {
            let error = share_id("s", text).map_err(|e| e.to_string());
            assert_eq!(error, Err("s: is not a share of this server".to_owned()), "{text}");
        }
    }
}
