//! [`Snapshot`]: a frozen copy of one workspace's links. [`Share`]: what lets it be imported, and by
//! whom. [`Import`]: one import, from its first staged link to its end.

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::{WorkspaceNumber, check_name, check_relationship_number};
use crate::model::{Invalid, plain_text};

/// Most companies or workspaces that one share names. Each is compared at every import; more is
/// refused.
pub const LISTED_MAX: usize = 1_000;

/// How a company came by a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// It froze it.
    Own,
    /// It imported it from another company.
    Imported,
}

impl SnapshotKind {
    /// Its name in APIs.
    pub fn name(self) -> &'static str {
        match self {
            SnapshotKind::Own => "own",
            SnapshotKind::Imported => "imported",
        }
    }
}

/// A frozen copy of a workspace's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the APIs call it by; may be a vendor's.
    pub id: ForeignId,
    /// Key of its content in the store. An imported one has its source's.
    pub frozen: Id,
    /// Its owner.
    pub company: ForeignId,
    /// What it is a copy of; for an imported one, where it went.
    pub workspace: WorkspaceNumber,
    /// Display name.
    pub name: Box<str>,
    /// How its owner came by it.
    pub kind: SnapshotKind,
    /// Links in it.
    pub links: u64,
    /// Tags in it.
    pub tags: u64,
    /// Whether it holds the hashes of passwords.
    pub has_passwords: bool,
    /// Chunks of content.
    pub chunks: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A snapshot to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDraft {
    /// A vendor's id to keep; drawn when `None`.
    pub id: Option<ForeignId>,
    /// Display name.
    pub name: Box<str>,
    /// Whether hashes of passwords go into it.
    pub with_passwords: bool,
}

impl SnapshotDraft {
    /// The name within its bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        check_name("name", &self.name)
    }
}

/// Who may import, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareKind {
    /// Anybody, once.
    Once,
    /// Anybody.
    Permanent,
    /// Companies of these relationship numbers.
    Companies(Vec<Box<str>>),
    /// These workspaces.
    Workspaces(Vec<ForeignId>),
}

impl ShareKind {
    /// From the name in APIs and the two lists, of which only the matching one counts. `lists` are
    /// the names of the two fields, for refusals.
    pub fn parse(
        field: &'static str,
        name: &str,
        lists: [(&'static str, Vec<&str>); 2],
    ) -> Result<ShareKind, Invalid> {
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

    /// Its name in APIs.
    pub fn name(&self) -> &'static str {
        match self {
            ShareKind::Once => "link",
            ShareKind::Permanent => "permanent_link",
            ShareKind::Companies(_) => "agency_link",
            ShareKind::Workspaces(_) => "location_link",
        }
    }

    /// Whether an import into this workspace of a company with this relationship number is allowed.
    pub fn admits(&self, relationship_number: &str, workspace: &ForeignId) -> bool {
        match self {
            ShareKind::Once | ShareKind::Permanent => true,
            ShareKind::Companies(numbers) => numbers.iter().any(|number| **number == *relationship_number),
            ShareKind::Workspaces(ids) => ids.contains(workspace),
        }
    }
}

/// Trimmed, without empty ones; at least one.
fn listed<'a>(field: &'static str, items: Vec<&'a str>) -> Result<Vec<&'a str>, Invalid> {
    let items: Vec<&str> = items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect();
    match items.len() {
        0 => Err(Invalid::new(field, "is required with this type of share")),
        1..=LISTED_MAX => Ok(items),
        _ => Err(Invalid::new(field, format!("must be at most {LISTED_MAX}"))),
    }
}

/// What lets a snapshot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What its link names it by. Whoever knows it may open its page.
    pub id: Id,
    /// Of which snapshot.
    pub snapshot: ForeignId,
    /// That snapshot's content: an id that was freed and given again is another snapshot.
    pub frozen: Id,
    /// Who may import, and how often.
    pub kind: ShareKind,
    /// When a one-time share was used up.
    pub used_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What becomes of a link whose short code is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing is imported.
    #[default]
    Fail,
    /// The link is left out.
    Skip,
    /// The link gets another code.
    Rename,
}

impl OnConflict {
    /// Parses its name.
    pub fn parse(text: &str) -> Result<OnConflict, Invalid> {
        match text {
            "fail" => Ok(OnConflict::Fail),
            "skip" => Ok(OnConflict::Skip),
            "rename" => Ok(OnConflict::Rename),
            _ => Err(Invalid::new("onConflict", "must be fail, skip or rename")),
        }
    }
}

/// How far an import has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportStatus {
    /// Its links are being staged; nobody sees them.
    Pending,
    /// All is there.
    Completed,
    /// Nothing is there.
    Failed(ImportFailure),
}

impl ImportStatus {
    /// Its name in APIs.
    pub fn name(&self) -> &'static str {
        match self {
            ImportStatus::Pending => "pending",
            ImportStatus::Completed => "completed",
            ImportStatus::Failed(_) => "failed",
        }
    }
}

/// Why an import failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportFailure {
    /// The server stopped meanwhile.
    Interrupted,
    /// Another import used the share up.
    UsedUp,
    /// A short code is in use.
    CodeTaken(Box<str>),
    /// The workspace has too few credits.
    NoCredits,
    /// The snapshot was deleted meanwhile.
    SnapshotGone,
    /// A rule is in the way: a whole sentence.
    Refused(Box<str>),
    /// The store did not take it, or others changed the same tags.
    Unavailable,
}

/// One import of a snapshot into a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What the APIs call it by.
    pub id: Id,
    /// By which share.
    pub share: Id,
    /// Of which snapshot.
    pub snapshot: ForeignId,
    /// That snapshot's content.
    pub frozen: Id,
    /// The company that imports.
    pub company: ForeignId,
    /// Where the links go.
    pub workspace: WorkspaceNumber,
    /// How far it is.
    pub status: ImportStatus,
    /// Links of the snapshot.
    pub links: u64,
    /// Links made.
    pub made: u64,
    /// Links left out.
    pub skipped: u64,
    /// Links made under another code.
    pub renamed: u64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// An import to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportDraft {
    /// By which share.
    pub share: Id,
    /// What to do about codes that are taken.
    pub on_conflict: OnConflict,
}

/// The id in a share link, or the share's id as it is.
pub fn share_id(field: &'static str, text: &str) -> Result<Id, Invalid> {
    let refuse = || Invalid::new(field, "is not a share of this server");
    plain_text(field, text, 2_048)?;
    let id = match text.split_once('?') {
        Some((_, query)) => {
            let query = query.split('#').next().unwrap_or(query);
            query.split('&').find_map(|pair| pair.strip_prefix("share=")).ok_or_else(refuse)?
        }
        None => text,
    };
    id.trim().parse().map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_take_the_list_that_matches() {
        let none = Vec::new;
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
        let many = vec!["0-1-2"; LISTED_MAX + 1];
        assert_eq!(parse("agency_link", many, none()), Err("n: must be at most 1000".to_owned()));
        let error = parse("agency_link", vec!["x"], none()).expect_err("no number");
        assert_eq!(error, "n: must be three groups of digits such as 0-128-926");
        let error = parse("Link", none(), none()).expect_err("no kind");
        assert_eq!(error, "t: must be link, permanent_link, agency_link or location_link");
    }

    #[test]
    fn share_links_name_their_share() {
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
