//! The keys of the table. A key is one byte, its [`Kind`], then numbers of fixed width in big-endian, then
//! text: keys of one kind sort by number, so a range of them is one scan.
//!
//! No other part builds or takes apart a key (`suite::layers::keys_are_built_in_the_table_only`).

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::analytics::store;
use crate::log::CLICKS_PREFIX;
use crate::model::attachment::AttachmentUse;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::key::SecretHash;
use crate::model::node::NodeNumber;
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

/// Defines [`Kind`] and [`Kind::ALL`] from one list.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $byte:expr,)*) => {
        /// The first byte of a key. Small letters and digits are records, as the log contains them. Capitals are
        /// derived by the table. Each variant's doc gives the bytes behind it, then the value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $byte,)*
        }

        impl Kind {
            /// All kinds: records in ascending order, then what is derived.
            const ALL: &[Kind] = &[$(Kind::$name),*];
        }
    };
}

kinds! {
    /// Workspace, entry id: entry of the audit list. A digit: all small letters are in use.
    Audit = b'0',
    /// API key id: name of a key that no longer exists.
    RetiredKey = b'1',
    /// Owner, use: file of a domain or workspace.
    // A digit, since every small letter is taken.
    Attachment = b'2',
    /// SHA-256 of the secret: session of the dashboard.
    Session = b'3',
    /// Scope: outcome of a request with an `Idempotency-Key`.
    Outcome = b'a',
    /// Workspace: credits left.
    Balance = b'b',
    /// Link id, node: click total. Node, number: details of clicks, in the log only.
    // The log knows this byte: it leaves totals out of its fingerprint.
    Clicks = CLICKS_PREFIX,
    /// Domain: domain.
    Domain = b'd',
    /// Share id: share.
    Share = b'e',
    /// Content id, number: chunk of a snapshot's content.
    Chunk = b'f',
    /// Content id: mark of content that no snapshot has, or none has yet.
    ContentMark = b'g',
    /// Host name: domain of this name. Unique: the log refuses the second of two concurrent creations.
    HostName = b'h',
    /// Workspace id: workspace of this id. Unique.
    WorkspaceId = b'i',
    /// Nothing: the key that signs contact links.
    ContactKey = b'j',
    /// API key id: API key.
    ApiKey = b'k',
    /// Domain, code: link.
    Link = b'l',
    /// Workspace, campaign id: campaign.
    Campaign = b'm',
    /// Workspace, name: tag of this name. Unique.
    TagName = b'n',
    /// Company id: company.
    Company = b'o',
    /// Content id, import id: import.
    Import = b'p',
    /// Batch id, node: webhook deliveries that wait over a restart.
    WaitingDeliveries = b'q',
    /// Import id: content of the import.
    ImportContent = b'r',
    /// Snapshot id: snapshot.
    Snapshot = b's',
    /// Workspace, tag id: tag.
    Tag = b't',
    /// Workspace, import id: mark of an import under way.
    Staging = b'u',
    /// Relationship number: company of this number. Unique.
    RelationshipNumber = b'v',
    /// Workspace: workspace.
    Workspace = b'w',
    /// Workspace, link id: tombstone of a deleted link.
    Tombstone = b'x',
    /// Workspace: webhook secret.
    WebhookSecret = b'y',
    /// Domain, code: alias of a link.
    Alias = b'z',
    /// Campaign id, zero byte, workspace: nothing. Finds the workspaces that have a campaign of this id.
    CampaignOwner = b'A',
    /// Workspace, hash of the destination, link id: [`index_value`].
    ByDestination = b'B',
    /// Workspace, campaign id, zero byte, link id: [`index_value`].
    ListedByCampaign = b'C',
    /// Domain: number of links on it.
    DomainLinkCount = b'D',
    /// Workspace, share id: nothing. Lists the shares of statistics of a workspace.
    ShareOfWorkspace = b'E',
    /// Workspace, link id: [`index_value`] of a link with placeholders.
    Fillable = b'F',
    /// Workspace, tag id, link id: [`index_value`].
    ListedByTag = b'G',
    /// Number: chunk of the log's history.
    History = b'H',
    /// Link id: workspace of this link or tombstone.
    LinkOwner = b'I',
    /// Workspace, link id, entry id: nothing. Lists the entries of the audit list about a link.
    AuditOfLink = b'J',
    /// Workspace: number of its campaigns. Workspace, campaign id: number of links of the campaign.
    CampaignCount = b'K',
    /// Workspace, link id: [`index_value`].
    Listed = b'L',
    /// Nothing: the position applied.
    Applied = b'M',
    /// Workspace: number of its links.
    LinkCount = b'N',
    /// Workspace, link id: [`index_value`] of a link whose destinations do not work.
    Broken = b'P',
    /// Workspace, link id: result of the last check of the link's destinations.
    // Written by the table for itself: no log has it, and a table that is rebuilt begins without it.
    Checked = b'Q',
    /// Workspace, import id, key of a counter: what the import adds to the counter when it completes.
    StagedCount = b'S',
    /// Workspace: number of its tags. Workspace, tag id: number of links with the tag.
    TagCount = b'T',
    /// Nothing: the version of the derived entries.
    IndexVersion = b'V',
    /// Workspace, snapshot id: nothing. Lists the snapshots of a workspace.
    SnapshotOfWorkspace = b'W',
}

impl Kind {
    /// Returns the kind of a key, `None` if no kind has its first byte.
    pub fn of(key: &[u8]) -> Option<Kind> {
        BY_BYTE[usize::from(*key.first()?)]
    }

    /// Returns the kinds of records, in ascending order.
    pub fn records() -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(|kind| kind.is_record())
    }

    /// Returns whether the log contains keys of this kind.
    pub(crate) fn is_record(self) -> bool {
        self.byte().is_ascii_lowercase() || self.byte().is_ascii_digit()
    }

    /// Returns the prefix of all keys of this kind.
    pub const fn prefix(self) -> [u8; 1] {
        [self.byte()]
    }

    const fn byte(self) -> u8 {
        self as u8
    }

    /// Returns what follows the kind in a key, `None` if the key is of another kind.
    fn rest(self, key: &[u8]) -> Option<&[u8]> {
        key.strip_prefix(&self.prefix())
    }
}

/// [`Kind::of`] by the first byte. A table, since every pair of a scrub is looked up.
const BY_BYTE: [Option<Kind>; 256] = {
    let mut kinds = [None; 256];
    let mut at = 0;
    // A `while`, since constants cannot use `for`.
    while at < Kind::ALL.len() {
        kinds[Kind::ALL[at].byte() as usize] = Some(Kind::ALL[at]);
        at += 1;
    }
    kinds
};

/// The key of the position applied.
pub(super) const APPLIED: &[u8] = &Kind::Applied.prefix();

/// The key of the version of the derived entries.
pub(super) const INDEX_VERSION: &[u8] = &Kind::IndexVersion.prefix();

/// The key of the record that contact links are signed with.
pub const CONTACT_KEY: &[u8] = &Kind::ContactKey.prefix();

fn key(kind: Kind, parts: &[&[u8]]) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.put_u8(kind.byte());
    for part in parts {
        key.put_slice(part);
    }
    key.freeze()
}

/// Splits what follows the kind into a workspace and the rest.
fn split_workspace(rest: &[u8]) -> Option<(WorkspaceNumber, &[u8])> {
    let (number, rest) = rest.split_first_chunk::<4>()?;
    Some((WorkspaceNumber(u32::from_be_bytes(*number)), rest))
}

/// Parses a workspace and an id, with nothing behind them.
fn parse_workspace_and_id(rest: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    let (workspace, id) = split_workspace(rest)?;
    Some((workspace, Id::from_bits(u128::from_be_bytes(id.try_into().ok()?))))
}

/// Returns the key of a link.
pub fn link(domain: DomainNumber, code: &str) -> Bytes {
    // The domain first: its links are one range.
    key(Kind::Link, &[&domain.0.to_be_bytes(), code.as_bytes()])
}

/// Returns the prefix of the links of one domain.
pub fn links_on(domain: DomainNumber) -> Bytes {
    key(Kind::Link, &[&domain.0.to_be_bytes()])
}

/// Returns the domain and code in the key of a link.
pub fn parse_link(key: &[u8]) -> Option<(DomainNumber, &str)> {
    let (domain, code) = Kind::Link.rest(key)?.split_first_chunk::<4>()?;
    Some((DomainNumber(u32::from_be_bytes(*domain)), std::str::from_utf8(code).ok()?))
}

/// Returns the key that finds a link by its destination.
pub(super) fn by_destination(workspace: WorkspaceNumber, destination: &str, id: Id) -> Bytes {
    let hash = destination_hash(destination);
    key(Kind::ByDestination, &[&workspace.0.to_be_bytes(), &hash, &id.bits().to_be_bytes()])
}

/// Returns the prefix of the keys of [`by_destination`] for one destination.
pub(super) fn links_to(workspace: WorkspaceNumber, destination: &str) -> Bytes {
    key(Kind::ByDestination, &[&workspace.0.to_be_bytes(), &destination_hash(destination)])
}

/// Returns a hash in place of the text, which may have 8 KiB. Readers compare the texts of the few links with one
/// hash, so that 8 bytes suffice.
fn destination_hash(destination: &str) -> [u8; 8] {
    let digest = Sha256::digest(destination.as_bytes());
    let mut hash = [0; 8];
    hash.copy_from_slice(&digest[..8]);
    hash
}

/// Returns the key of an alias.
pub fn alias(domain: DomainNumber, code: &str) -> Bytes {
    key(Kind::Alias, &[&domain.0.to_be_bytes(), code.as_bytes()])
}

/// Returns the prefix of the aliases on one domain.
pub fn aliases_on(domain: DomainNumber) -> Bytes {
    key(Kind::Alias, &[&domain.0.to_be_bytes()])
}

/// Returns the domain and code in the key of a link or of an alias.
pub fn parse_address(key: &[u8]) -> Option<(DomainNumber, &str)> {
    let rest = Kind::Link.rest(key).or_else(|| Kind::Alias.rest(key))?;
    let (domain, code) = rest.split_first_chunk::<4>()?;
    Some((DomainNumber(u32::from_be_bytes(*domain)), std::str::from_utf8(code).ok()?))
}

/// Returns the key of a deleted link's tombstone.
pub fn tombstone(workspace: WorkspaceNumber, id: Id) -> Bytes {
    // By id: the code of a deleted link may belong to another link by now.
    key(Kind::Tombstone, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of the tombstones of a workspace.
pub(crate) fn tombstones_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Tombstone, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the clicks of a link that one node counted.
pub fn clicks(id: Id, node: NodeNumber) -> Bytes {
    // The link first: its totals on all nodes are one range.
    key(Kind::Clicks, &[&id.bits().to_be_bytes(), node_suffix(node, &node.0.to_be_bytes())])
}

/// Returns the prefix of the click totals of a link, one for each node that counted some.
pub fn clicks_of(id: Id) -> Bytes {
    // The key without a node is the prefix of the others.
    clicks(id, NodeNumber::ALONE)
}

/// Returns the link and the node in the key of a click total.
pub fn parse_clicks(key: &[u8]) -> Option<(Id, NodeNumber)> {
    parse_id_and_node(Kind::Clicks.rest(key)?)
}

/// Returns the key of a tick, by the node that counted its clicks and a number that is reused. It begins like the key of a
/// total, so that the log treats both alike, and is shorter. The table does not contain it.
pub fn tick(node: NodeNumber, number: u8) -> Bytes {
    Bytes::copy_from_slice(&store::key(node.0, number))
}

/// Returns whether the record of a key is in the log only.
pub(crate) fn is_of_log_only(key: &[u8]) -> bool {
    store::is_tick(key)
}

/// Returns the bytes of a node at the end of a key: none for [`NodeNumber::ALONE`], whose keys are those
/// of versions that knew no nodes.
fn node_suffix(node: NodeNumber, bytes: &[u8]) -> &[u8] {
    if node == NodeNumber::ALONE { &[] } else { bytes }
}

fn parse_id_and_node(rest: &[u8]) -> Option<(Id, NodeNumber)> {
    let (id, node) = rest.split_first_chunk::<16>()?;
    let node = match node {
        [] => NodeNumber::ALONE,
        // The number 0 is never written: it would be a second key of one record.
        node => NodeNumber(u16::from_be_bytes(node.try_into().ok().filter(|number| *number != [0, 0])?)),
    };
    Some((Id::from_bits(u128::from_be_bytes(*id)), node))
}

/// Returns the key of a domain.
pub fn domain(number: DomainNumber) -> Bytes {
    key(Kind::Domain, &[&number.0.to_be_bytes()])
}

/// Returns the number in the key of a domain.
pub fn parse_domain(key: &[u8]) -> Option<DomainNumber> {
    let number = Kind::Domain.rest(key)?.try_into().ok()?;
    Some(DomainNumber(u32::from_be_bytes(number)))
}

/// Returns the key of a workspace.
pub fn workspace(number: WorkspaceNumber) -> Bytes {
    key(Kind::Workspace, &[&number.0.to_be_bytes()])
}

/// Returns the key of a workspace's credits.
pub fn balance(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Balance, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of a domain's name.
pub fn host_name(name: &str) -> Bytes {
    key(Kind::HostName, &[name.as_bytes()])
}

/// Returns the key of a workspace's id.
pub fn workspace_id(id: &ForeignId) -> Bytes {
    key(Kind::WorkspaceId, &[id.as_str().as_bytes()])
}

/// Returns the key of a company.
pub fn company(id: &ForeignId) -> Bytes {
    key(Kind::Company, &[id.as_str().as_bytes()])
}

/// Returns the key of a company's relationship number.
pub fn relationship_number(number: &str) -> Bytes {
    key(Kind::RelationshipNumber, &[number.as_bytes()])
}

/// Returns the key of an API key.
pub fn api_key(id: Id) -> Bytes {
    key(Kind::ApiKey, &[&id.bits().to_be_bytes()])
}

/// Returns the key of a session of the dashboard.
pub fn session(hash: &SecretHash) -> Bytes {
    // The hash and not the id: a request has the secret alone, and two sessions can never have one hash.
    key(Kind::Session, &[&hash.0])
}

/// Returns the key of a tag.
pub fn tag(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(Kind::Tag, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of the tags of one workspace.
pub fn tags_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Tag, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of a tag's name.
pub fn tag_name(workspace: WorkspaceNumber, name: &str) -> Bytes {
    key(Kind::TagName, &[&workspace.0.to_be_bytes(), name.as_bytes()])
}

/// Returns the key of a campaign. The id ends the key, since ids of vendors have any length.
pub fn campaign(workspace: WorkspaceNumber, id: &ForeignId) -> Bytes {
    key(Kind::Campaign, &[&workspace.0.to_be_bytes(), id.as_str().as_bytes()])
}

/// Returns the prefix of the campaigns of one workspace.
pub fn campaigns_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Campaign, &[&workspace.0.to_be_bytes()])
}

/// The key of a record that the core keeps in memory, all of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is the kind of the same name.
pub enum DirectoryKey {
    Domain(DomainNumber),
    Workspace(WorkspaceNumber),
    Company(ForeignId),
    ApiKey(Id),
    /// The SHA-256 of the secret.
    Session([u8; 32]),
    WebhookSecret(WorkspaceNumber),
    ContactKey,
}

impl DirectoryKey {
    /// Kinds of these keys, in the order in which records may refer to each other.
    pub const KINDS: [Kind; 7] = [
        Kind::Workspace,
        Kind::Domain,
        Kind::Company,
        Kind::ApiKey,
        Kind::Session,
        Kind::WebhookSecret,
        Kind::ContactKey,
    ];

    /// Returns `None` for the keys of all other records.
    pub fn parse(key: &[u8]) -> Option<DirectoryKey> {
        let (_, rest) = key.split_first()?;
        let number = || rest.try_into().ok().map(u32::from_be_bytes);
        match Kind::of(key)? {
            Kind::Domain => number().map(|number| DirectoryKey::Domain(DomainNumber(number))),
            Kind::Workspace => number().map(|number| DirectoryKey::Workspace(WorkspaceNumber(number))),
            Kind::Company => {
                let id = std::str::from_utf8(rest).ok()?;
                ForeignId::parse("id", id).ok().map(DirectoryKey::Company)
            }
            Kind::ApiKey => {
                let id = u128::from_be_bytes(rest.try_into().ok()?);
                Some(DirectoryKey::ApiKey(Id::from_bits(id)))
            }
            Kind::Session => rest.try_into().ok().map(DirectoryKey::Session),
            Kind::WebhookSecret => {
                number().map(|number| DirectoryKey::WebhookSecret(WorkspaceNumber(number)))
            }
            Kind::ContactKey => Some(DirectoryKey::ContactKey),
            // Read from the table on demand.
            _ => None,
        }
    }
}

/// Returns the key of the outcome of a request with an `Idempotency-Key`.
pub fn outcome(scope: &[u8; 16]) -> Bytes {
    // A hash of fixed size, since the keys of clients have any length.
    key(Kind::Outcome, &[scope])
}

/// The owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The types have the docs.
pub enum AttachmentOwner {
    Domain(DomainNumber),
    Workspace(WorkspaceNumber),
}

/// Returns the key of a file.
pub fn attachment(owner: AttachmentOwner, used: AttachmentUse) -> Bytes {
    let (kind, number) = match owner {
        AttachmentOwner::Domain(number) => (b'd', number.0),
        AttachmentOwner::Workspace(number) => (b'w', number.0),
    };
    let used = match used {
        AttachmentUse::Logo => b'l',
        AttachmentUse::AppleApps => b'a',
        AttachmentUse::AndroidApps => b'g',
    };
    key(Kind::Attachment, &[&[kind], &number.to_be_bytes(), &[used]])
}

/// Returns the key of a workspace's webhook secret.
pub fn webhook_secret(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::WebhookSecret, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of a batch of deliveries that wait over a restart.
pub fn waiting(id: Id, node: NodeNumber) -> Bytes {
    key(Kind::WaitingDeliveries, &[&id.bits().to_be_bytes(), node_suffix(node, &node.0.to_be_bytes())])
}

/// Returns the batch and the node in the key of waiting deliveries.
pub fn parse_waiting(key: &[u8]) -> Option<(Id, NodeNumber)> {
    parse_id_and_node(Kind::WaitingDeliveries.rest(key)?)
}

/// Returns the key of a snapshot.
pub fn snapshot(id: &ForeignId) -> Bytes {
    key(Kind::Snapshot, &[id.as_str().as_bytes()])
}

/// Returns the key that lists a snapshot in its workspace.
pub(super) fn snapshot_of_workspace(workspace: WorkspaceNumber, id: &ForeignId) -> Bytes {
    key(Kind::SnapshotOfWorkspace, &[&workspace.0.to_be_bytes(), id.as_str().as_bytes()])
}

/// Returns the prefix of the keys of [`snapshot_of_workspace`] for one workspace.
pub(super) fn snapshots_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::SnapshotOfWorkspace, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the snapshot that a key of [`snapshot_of_workspace`] lists.
pub(super) fn listed_snapshot(index: &[u8]) -> Option<Bytes> {
    let (_, id) = split_workspace(index.get(1..)?)?;
    Some(key(Kind::Snapshot, &[id]))
}

/// Returns the key of a chunk of a snapshot's content.
pub fn chunk(frozen: Id, number: u32) -> Bytes {
    key(Kind::Chunk, &[&frozen.bits().to_be_bytes(), &number.to_be_bytes()])
}

/// Returns the prefix of the chunks of a snapshot's content.
pub fn chunks_of(frozen: Id) -> Bytes {
    key(Kind::Chunk, &[&frozen.bits().to_be_bytes()])
}

/// Returns the key of the mark of content that no snapshot has, or none has yet.
pub fn content_mark(frozen: Id) -> Bytes {
    key(Kind::ContentMark, &[&frozen.bits().to_be_bytes()])
}

/// Returns the key of a share.
pub fn share(id: Id) -> Bytes {
    key(Kind::Share, &[&id.bits().to_be_bytes()])
}

/// Returns the key that lists a share of statistics in its workspace.
pub(super) fn share_of_workspace(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(Kind::ShareOfWorkspace, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of the keys of [`share_of_workspace`] for one workspace.
pub(super) fn shares_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::ShareOfWorkspace, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the share that a key of [`share_of_workspace`] lists.
pub(super) fn listed_share(index: &[u8]) -> Option<Bytes> {
    Some(share(parse_workspace_and_id(Kind::ShareOfWorkspace.rest(index)?)?.1))
}

/// Returns the key of an import.
pub fn import(frozen: Id, id: Id) -> Bytes {
    // The content first: its imports are one range.
    key(Kind::Import, &[&frozen.bits().to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of the imports of a snapshot's content.
pub fn imports_of(frozen: Id) -> Bytes {
    key(Kind::Import, &[&frozen.bits().to_be_bytes()])
}

/// Returns the key of the content of an import.
pub fn import_content(id: Id) -> Bytes {
    key(Kind::ImportContent, &[&id.bits().to_be_bytes()])
}

/// Returns the key of the mark of an import under way. While the mark exists, links that the import staged
/// are hidden. Its removal shows all of them at once.
pub fn staging(workspace: WorkspaceNumber, import: Id) -> Bytes {
    key(Kind::Staging, &[&workspace.0.to_be_bytes(), &import.bits().to_be_bytes()])
}

/// Returns the prefix of the marks of imports under way in a workspace.
pub(crate) fn stagings_in(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Staging, &[&workspace.0.to_be_bytes()])
}

/// Returns the workspace and import in the key of a [`staging`] mark.
pub fn parse_staging(key: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    parse_workspace_and_id(Kind::Staging.rest(key)?)
}

/// Returns the key that lists a link in its workspace.
pub fn listed(workspace: WorkspaceNumber, id: Id) -> Bytes {
    // Ids sort by time, so a list is in the order of creation.
    key(Kind::Listed, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of a workspace's list.
pub(crate) fn list_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Listed, &[&workspace.0.to_be_bytes()])
}

/// Returns the key that lists a link whose destinations do not work.
pub(super) fn broken(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(Kind::Broken, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of a workspace's links whose destinations do not work.
pub(crate) fn broken_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Broken, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the result of the checks of a link.
pub(super) fn checked(workspace: WorkspaceNumber, id: Id) -> Bytes {
    // As of [`listed`], so that both ranges are in the same order.
    key(Kind::Checked, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of the results of a workspace.
pub(super) fn checked_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Checked, &[&workspace.0.to_be_bytes()])
}

/// Returns the key that lists a link with placeholders.
pub fn fillable(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(Kind::Fillable, &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Returns the prefix of a workspace's links with placeholders.
pub(crate) fn fillable_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Fillable, &[&workspace.0.to_be_bytes()])
}

/// Returns the key that lists a link under one of its tags.
pub fn tagged(workspace: WorkspaceNumber, tag: Id, id: Id) -> Bytes {
    let parts = [&workspace.0.to_be_bytes()[..], &tag.bits().to_be_bytes(), &id.bits().to_be_bytes()];
    key(Kind::ListedByTag, &parts)
}

/// Returns the prefix of the links of a tag.
pub(crate) fn list_of_tag(workspace: WorkspaceNumber, tag: Id) -> Bytes {
    key(Kind::ListedByTag, &[&workspace.0.to_be_bytes(), &tag.bits().to_be_bytes()])
}

/// Returns the key that lists a link under its campaign. The zero byte ends the campaign's id, which
/// cannot contain one.
pub(crate) fn campaigned(workspace: WorkspaceNumber, campaign: &ForeignId, id: Id) -> Bytes {
    let (workspace, id) = (workspace.0.to_be_bytes(), id.bits().to_be_bytes());
    key(Kind::ListedByCampaign, &[&workspace, campaign.as_str().as_bytes(), &[0], &id])
}

/// Returns the prefix of the links of a campaign.
pub(crate) fn list_of_campaign(workspace: WorkspaceNumber, campaign: &ForeignId) -> Bytes {
    // With the zero byte, `sale` does not list the links of `sale2`.
    key(Kind::ListedByCampaign, &[&workspace.0.to_be_bytes(), campaign.as_str().as_bytes(), &[0]])
}

/// Returns the link id that ends the key of a list's entry.
pub fn trailing_id(key: &[u8]) -> Option<Id> {
    // From the end: lists differ in what precedes the id.
    let (_, id) = key.split_last_chunk::<16>()?;
    Some(Id::from_bits(u128::from_be_bytes(*id)))
}

/// Returns the value of a list's entry: the domain and code of the link.
pub(crate) fn index_value(domain: DomainNumber, code: &ShortCode) -> Vec<u8> {
    // The link's key without its kind.
    [&domain.0.to_be_bytes()[..], code.as_str().as_bytes()].concat()
}

/// Returns the key of the link that an [`index_value`] refers to.
pub(crate) fn link_of_index(value: &[u8]) -> Bytes {
    key(Kind::Link, &[value])
}

/// Returns the key of the number of links of a workspace.
pub fn link_count(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::LinkCount, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the number of links on a domain.
pub(crate) fn domain_link_count(domain: DomainNumber) -> Bytes {
    key(Kind::DomainLinkCount, &[&domain.0.to_be_bytes()])
}

/// Returns the key of the number of tags of a workspace.
pub(crate) fn tag_count(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::TagCount, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the number of links with a tag.
pub(crate) fn tag_link_count(workspace: WorkspaceNumber, tag: Id) -> Bytes {
    // Longer than the key of the workspace's counter, so the two kinds of counters share a byte.
    key(Kind::TagCount, &[&workspace.0.to_be_bytes(), &tag.bits().to_be_bytes()])
}

/// Returns the key of the number of campaigns of a workspace.
pub(crate) fn campaign_count(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::CampaignCount, &[&workspace.0.to_be_bytes()])
}

/// Returns the key of the number of links of a campaign.
pub(crate) fn campaign_link_count(workspace: WorkspaceNumber, campaign: &ForeignId) -> Bytes {
    // As for tags: an id has at least one character.
    key(Kind::CampaignCount, &[&workspace.0.to_be_bytes(), campaign.as_str().as_bytes()])
}

/// Returns the key of what an import under way adds to a counter when it completes.
pub(super) fn staged_count(workspace: WorkspaceNumber, import: Id, counter: &[u8]) -> Bytes {
    // An empty `counter` makes the prefix of all counters of the import.
    key(Kind::StagedCount, &[&workspace.0.to_be_bytes(), &import.bits().to_be_bytes(), counter])
}

/// Returns the key of the counter in a key of [`staged_count`].
pub(super) fn parse_staged_count(key: &[u8]) -> Option<&[u8]> {
    Kind::StagedCount.rest(key)?.get(4 + 16..)
}

/// Returns the key of the workspace of a link or tombstone.
pub fn owner_of(id: Id) -> Bytes {
    key(Kind::LinkOwner, &[&id.bits().to_be_bytes()])
}

/// Returns the key of the entry that a workspace has a campaign of this id. The zero byte ends the
/// campaign's id, which cannot contain one.
pub(crate) fn campaign_owner(campaign: &ForeignId, workspace: WorkspaceNumber) -> Bytes {
    // The campaign first: its id is looked up without a workspace.
    key(Kind::CampaignOwner, &[campaign.as_str().as_bytes(), &[0], &workspace.0.to_be_bytes()])
}

/// Returns the prefix of the entries of the workspaces that have a campaign of this id.
pub fn owners_of_campaign(campaign: &ForeignId) -> Bytes {
    key(Kind::CampaignOwner, &[campaign.as_str().as_bytes(), &[0]])
}

/// Returns the workspace that ends a key of [`campaign_owner`] or the value of [`owner_of`].
pub(super) fn trailing_workspace(key: &[u8]) -> Option<WorkspaceNumber> {
    let (_, number) = key.split_last_chunk::<4>()?;
    Some(WorkspaceNumber(u32::from_be_bytes(*number)))
}

/// Returns the workspace and link id in the key of a tombstone.
pub(super) fn parse_tombstone(key: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    parse_workspace_and_id(Kind::Tombstone.rest(key)?)
}

/// Returns the workspace in the key of a tag.
pub(super) fn parse_tag(key: &[u8]) -> Option<WorkspaceNumber> {
    Some(split_workspace(Kind::Tag.rest(key)?)?.0)
}

/// Returns the workspace and id in the key of a campaign.
pub(super) fn parse_campaign(key: &[u8]) -> Option<(WorkspaceNumber, ForeignId)> {
    let (workspace, id) = split_workspace(Kind::Campaign.rest(key)?)?;
    let id = ForeignId::parse("id", std::str::from_utf8(id).ok()?).ok()?;
    Some((workspace, id))
}

/// Returns the key of an entry of a workspace's audit list.
pub fn audit(workspace: WorkspaceNumber, entry: Id) -> Bytes {
    // Ids sort by time, so the list is in the order of the entries.
    key(Kind::Audit, &[&workspace.0.to_be_bytes(), &entry.bits().to_be_bytes()])
}

/// Returns the prefix of a workspace's audit list.
pub(crate) fn audit_of(workspace: WorkspaceNumber) -> Bytes {
    key(Kind::Audit, &[&workspace.0.to_be_bytes()])
}

/// Returns the workspace and the id in the key of an entry of an audit list.
pub fn parse_audit(key: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    parse_workspace_and_id(Kind::Audit.rest(key)?)
}

/// Returns the key that lists an entry of an audit list for its link.
pub(super) fn audit_of_link(workspace: WorkspaceNumber, link: Id, entry: Id) -> Bytes {
    let parts = [&workspace.0.to_be_bytes()[..], &link.bits().to_be_bytes(), &entry.bits().to_be_bytes()];
    key(Kind::AuditOfLink, &parts)
}

/// Returns the workspace, the link and the id in the key of [`audit_of_link`].
pub(super) fn parse_audit_of_link(key: &[u8]) -> Option<(WorkspaceNumber, Id, Id)> {
    let (workspace, ids) = split_workspace(Kind::AuditOfLink.rest(key)?)?;
    let (link, entry) = ids.split_first_chunk::<16>()?;
    let id = |bits: [u8; 16]| Id::from_bits(u128::from_be_bytes(bits));
    Some((workspace, id(*link), id(entry.try_into().ok()?)))
}

/// Returns the prefix of the entries about a link.
pub(super) fn audits_of_link(workspace: WorkspaceNumber, link: Id) -> Bytes {
    key(Kind::AuditOfLink, &[&workspace.0.to_be_bytes(), &link.bits().to_be_bytes()])
}

/// Returns the key of the name of an API key that no longer exists.
pub fn retired_key(id: Id) -> Bytes {
    key(Kind::RetiredKey, &[&id.bits().to_be_bytes()])
}

/// Returns the key of a chunk of the log's history.
pub(super) fn history(number: u64) -> Bytes {
    key(Kind::History, &[&number.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let code = ShortCode::parse("Sale-é").expect("a valid code");
        let link_key = link(DomainNumber(7), code.as_str());
        assert_eq!(parse_link(&link_key), Some((DomainNumber(7), "Sale-é")));
        assert_eq!(link_of_index(&index_value(DomainNumber(7), &code)), link_key);
        let campaign = ForeignId::parse("id", "camp_1").expect("a valid id");
        let id = Id::from_bits(42);
        for key in [
            listed(WorkspaceNumber(1), id),
            tagged(WorkspaceNumber(1), Id::from_bits(9), id),
            campaigned(WorkspaceNumber(1), &campaign, id),
        ] {
            assert_eq!(trailing_id(&key), Some(id));
        }
        assert_eq!(parse_staging(&staging(WorkspaceNumber(3), id)), Some((WorkspaceNumber(3), id)));
        assert_eq!(parse_audit(&audit(WorkspaceNumber(3), id)), Some((WorkspaceNumber(3), id)));
        let of_link = audit_of_link(WorkspaceNumber(1), Id::from_bits(9), id);
        assert_eq!(parse_audit_of_link(&of_link), Some((WorkspaceNumber(1), Id::from_bits(9), id)));
        // A part of an id is missing.
        assert_eq!(parse_staging(b"u\0\0\0\0x"), None);
        // A part of the domain is missing. Then the kind is another.
        assert_eq!(parse_link(b"l\0\0"), None);
        assert_eq!(parse_link(b"x\0\0\0\0a"), None);
    }

    #[test]
    fn keys_of_the_directory_read_back() {
        let id = ForeignId::parse("id", "company-1").expect("a valid id");
        let rows = [
            (domain(DomainNumber(7)), Some(DirectoryKey::Domain(DomainNumber(7)))),
            (workspace(WorkspaceNumber(8)), Some(DirectoryKey::Workspace(WorkspaceNumber(8)))),
            (company(&id), Some(DirectoryKey::Company(id.clone()))),
            (api_key(Id::from_bits(9)), Some(DirectoryKey::ApiKey(Id::from_bits(9)))),
            (session(&SecretHash([7; 32])), Some(DirectoryKey::Session([7; 32]))),
            (webhook_secret(WorkspaceNumber(3)), Some(DirectoryKey::WebhookSecret(WorkspaceNumber(3)))),
            (Bytes::from_static(CONTACT_KEY), Some(DirectoryKey::ContactKey)),
            // Not in memory, and a number and a hash that are too short.
            (workspace_id(&id), None),
            (Bytes::from_static(b"d\0"), None),
            (Bytes::from_static(b"3\0"), None),
        ];
        for (key, want) in rows {
            assert_eq!(DirectoryKey::parse(&key), want, "{key:?}");
        }
    }

    /// The bytes are on disks: a kind that loses its byte makes every table and log unreadable.
    #[test]
    fn kinds_have_their_bytes() {
        let bytes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.byte()).collect();
        assert_eq!(bytes, b"0123abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNPQSTVW");
        let records: Vec<Kind> = Kind::records().collect();
        assert_eq!((records.len(), records.is_sorted()), (30, true));
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&kind.prefix()), Some(*kind));
        }
        assert_eq!((Kind::of(b""), Kind::of(b"4"), Kind::of(b"R")), (None, None, None));
    }

    /// The keys are on disks.
    #[test]
    fn files_have_their_keys() {
        let (domain, workspace) =
            (AttachmentOwner::Domain(DomainNumber(7)), AttachmentOwner::Workspace(WorkspaceNumber(7)));
        let rows = [
            (domain, AttachmentUse::Logo, b"2d\0\0\0\x07l"),
            (domain, AttachmentUse::AppleApps, b"2d\0\0\0\x07a"),
            (domain, AttachmentUse::AndroidApps, b"2d\0\0\0\x07g"),
            (workspace, AttachmentUse::Logo, b"2w\0\0\0\x07l"),
        ];
        for (owner, used, want) in rows {
            assert_eq!(attachment(owner, used), &want[..], "{owner:?} {used:?}");
        }
    }

    /// The keys of a machine without a cluster are those of the first version.
    #[test]
    fn keys_that_belong_to_a_node() {
        let (id, third) = (Id::from_bits(7), NodeNumber(3));
        let bytes = |kind: u8, node: &[u8]| [&[kind][..], &7_u128.to_be_bytes(), node].concat();
        let rows = [
            (
                clicks(id, NodeNumber::ALONE),
                bytes(b'c', &[]),
                parse_clicks as fn(&[u8]) -> _,
                NodeNumber::ALONE,
            ),
            (clicks(id, third), bytes(b'c', &[0, 3]), parse_clicks, third),
            (waiting(id, NodeNumber::ALONE), bytes(b'q', &[]), parse_waiting, NodeNumber::ALONE),
            (waiting(id, third), bytes(b'q', &[0, 3]), parse_waiting, third),
        ];
        for (key, want, parse, node) in rows {
            assert_eq!(key, want, "{node:?}");
            assert_eq!(parse(&key), Some((id, node)), "{node:?}");
        }
        assert!(clicks(id, third).starts_with(&clicks_of(id)));
        // Half a number, the number that is never written, bytes too many, and another kind.
        for wrong in [bytes(b'c', &[0]), bytes(b'c', &[0, 0]), bytes(b'c', &[0, 3, 0]), bytes(b'q', &[])] {
            assert_eq!(parse_clicks(&wrong), None, "{wrong:?}");
        }
    }
}
