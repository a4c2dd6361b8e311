//! The table's keys: one byte of kind, then fixed-width numbers in big-endian, then text, so that
//! ranges are scans in order. Small letters are records, as the log carries them; capitals are
//! derived by the table alone.
//!
//! | key | record | key | derived |
//! |---|---|---|---|
//! | `l` domain code | link | `L` workspace id | where the link of this id lives |
//! | `x` workspace id | tombstone | `G` workspace tag id | the same, by tag |
//! | `c` id node | click total | `C` workspace campaign id | the same, by campaign |
//! | `d` domain | domain | `I` id | workspace of the link or tombstone of this id |
//! | `h` name | domain of this name | `A` campaign workspace | workspaces that have a campaign of this id |
//! | `w` workspace | workspace | `N` workspace | number of its links |
//! | `i` id | workspace of this id | `D` domain | number of links on it |
//! | `o` id | company | `T` workspace tag | number of its links; without a tag, of the workspace's tags |
//! | `k` id | API key | `K` workspace campaign | likewise of campaigns |
//! | `t` workspace id | tag | `S` workspace import counter | what the import adds to a counter when it completes |
//! | `n` workspace name | tag of this name | `F` workspace id | as `L`, of links with placeholders |
//! | | | `V` | version of what is derived |
//! | | | `H` number | the log's history, in chunks |
//! | | | `M` | the position applied |
//! | `a` scope | idempotency answer | | |
//! | `j` | what contact links are signed with | | |
//! | `y` workspace | webhook secret | | |
//! | `q` id node | deliveries that wait over a restart | | |
//! | `m` workspace id | campaign | | |
//! | `b` workspace | credits left | | |
//! | `s` id | snapshot | `W` workspace id | its snapshots |
//! | `f` content number | chunk of a snapshot's content | | |
//! | `g` content | content that no snapshot has | | |
//! | `e` id | share | | |
//! | `p` content id | import | | |
//! | `r` id | content of the import of this id | | |
//! | `u` workspace id | import under way: its links are hidden | | |
//! | `v` relationship number | company of this number | | |
//!
//! `h`, `i`, `n` and `v` make names unique by being keys: of two who race, the log refuses one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::log::CLICKS_PREFIX;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::node::NodeNumber;
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

/// First bytes of record keys, in ascending order.
pub const RECORD_KINDS: &[u8] = b"abcdefghijklmnopqrstuvwxy";

/// Key of the key that contact links are signed with.
pub const CONTACT_KEY: &[u8] = b"j";

/// Key of the position applied. Neither record nor index.
pub const APPLIED: &[u8] = b"M";

/// Key of the version of the derived entries. Neither record nor index.
pub const INDEX_VERSION: &[u8] = b"V";

/// First byte of the chunks of the log's history.
pub const HISTORY: u8 = b'H';

/// Key of a chunk of the log's history.
pub fn history(number: u64) -> Bytes {
    key(HISTORY, &[&number.to_be_bytes()])
}
fn key(kind: u8, parts: &[&[u8]]) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.put_u8(kind);
    for part in parts {
        key.put_slice(part);
    }
    key.freeze()
}

/// Key of a link.
pub fn link(domain: DomainNumber, code: &str) -> Bytes {
    key(b'l', &[&domain.0.to_be_bytes(), code.as_bytes()])
}

/// Prefix of all links.
pub const LINKS: &[u8] = b"l";

/// Prefix of the links of one domain.
pub fn links_on(domain: DomainNumber) -> Bytes {
    key(b'l', &[&domain.0.to_be_bytes()])
}

/// The domain and code in the key of a link.
pub fn parse_link(key: &[u8]) -> Option<(DomainNumber, &str)> {
    let (domain, code) = key.strip_prefix(b"l")?.split_first_chunk::<4>()?;
    Some((DomainNumber(u32::from_be_bytes(*domain)), std::str::from_utf8(code).ok()?))
}

/// Key of what is left of a deleted link.
pub fn tombstone(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(b'x', &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Key of the clicks of a link that one node counted.
pub fn clicks(id: Id, node: NodeNumber) -> Bytes {
    key(CLICKS_PREFIX, &[&id.bits().to_be_bytes(), number_of(node, &node.0.to_be_bytes())])
}

/// Prefix of the click totals of a link, one for each node that counted some.
pub fn clicks_of(id: Id) -> Bytes {
    clicks(id, NodeNumber::ALONE)
}

/// The link and the node in the key of a click total.
pub fn parse_clicks(key: &[u8]) -> Option<(Id, NodeNumber)> {
    of_node(key.strip_prefix(&[CLICKS_PREFIX])?)
}

/// What a key has of its node: nothing for [`NodeNumber::ALONE`], so that keys are as they were before there
/// were nodes.
fn number_of(node: NodeNumber, bytes: &[u8]) -> &[u8] {
    if node == NodeNumber::ALONE { &[] } else { bytes }
}

/// An id, and the node behind it.
fn of_node(key: &[u8]) -> Option<(Id, NodeNumber)> {
    let (id, node) = key.split_first_chunk::<16>()?;
    let node = match node {
        [] => NodeNumber::ALONE,
        // The number 0 is never written: it would be a second key of one record.
        node => NodeNumber(u16::from_be_bytes(node.try_into().ok().filter(|number| *number != [0, 0])?)),
    };
    Some((Id::from_bits(u128::from_be_bytes(*id)), node))
}

/// Key of a domain.
pub fn domain(number: DomainNumber) -> Bytes {
    key(b'd', &[&number.0.to_be_bytes()])
}

/// The domain in the key of one.
pub fn parse_domain(key: &[u8]) -> Option<DomainNumber> {
    let number = key.strip_prefix(b"d")?.try_into().ok()?;
    Some(DomainNumber(u32::from_be_bytes(number)))
}

/// Key of a workspace.
pub fn workspace(number: WorkspaceNumber) -> Bytes {
    key(b'w', &[&number.0.to_be_bytes()])
}

/// Key of a workspace's credits.
pub fn balance(workspace: WorkspaceNumber) -> Bytes {
    key(b'b', &[&workspace.0.to_be_bytes()])
}

/// Key of a domain's name.
pub fn host_name(name: &str) -> Bytes {
    key(b'h', &[name.as_bytes()])
}

/// Key of a workspace's id.
pub fn workspace_id(id: &ForeignId) -> Bytes {
    key(b'i', &[id.as_str().as_bytes()])
}

/// Key of a company.
pub fn company(id: &ForeignId) -> Bytes {
    key(b'o', &[id.as_str().as_bytes()])
}

/// Prefix of all companies.
pub const COMPANIES: &[u8] = b"o";

/// Key of a company's relationship number.
pub fn relationship_number(number: &str) -> Bytes {
    key(b'v', &[number.as_bytes()])
}

/// Key of an API key.
pub fn api_key(id: Id) -> Bytes {
    key(b'k', &[&id.bits().to_be_bytes()])
}

/// Key of a tag.
pub fn tag(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(b't', &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Prefix of the tags of one workspace.
pub fn tags_of(workspace: WorkspaceNumber) -> Bytes {
    key(b't', &[&workspace.0.to_be_bytes()])
}

/// Key of a tag's name.
pub fn tag_name(workspace: WorkspaceNumber, name: &str) -> Bytes {
    key(b'n', &[&workspace.0.to_be_bytes(), name.as_bytes()])
}

/// Key of a campaign. Unlike other ids, a vendor's may have any length, and ends the key.
pub fn campaign(workspace: WorkspaceNumber, id: &ForeignId) -> Bytes {
    key(b'm', &[&workspace.0.to_be_bytes(), id.as_str().as_bytes()])
}

/// Prefix of the campaigns of one workspace.
pub fn campaigns_of(workspace: WorkspaceNumber) -> Bytes {
    key(b'm', &[&workspace.0.to_be_bytes()])
}

/// The key of a record that is held in memory whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryKey {
    /// Of a domain.
    Domain(DomainNumber),
    /// Of a workspace.
    Workspace(WorkspaceNumber),
    /// Of a company.
    Company(ForeignId),
    /// Of an API key.
    Key(Id),
    /// Of a workspace's webhook secret.
    WebhookSecret(WorkspaceNumber),
    /// Of what signs contact links.
    ContactKey,
}

impl DirectoryKey {
    /// First bytes of these keys, in the order in which records may rely on each other.
    pub const KINDS: &[u8] = b"dwokyj";

    /// Returns `None` for the keys of all other records.
    pub fn parse(key: &[u8]) -> Option<DirectoryKey> {
        let (kind, rest) = key.split_first()?;
        let number = || rest.try_into().ok().map(u32::from_be_bytes);
        match kind {
            b'd' => number().map(|number| DirectoryKey::Domain(DomainNumber(number))),
            b'w' => number().map(|number| DirectoryKey::Workspace(WorkspaceNumber(number))),
            b'o' => {
                let id = std::str::from_utf8(rest).ok()?;
                ForeignId::parse("id", id).ok().map(DirectoryKey::Company)
            }
            b'k' => {
                let id = u128::from_be_bytes(rest.try_into().ok()?);
                Some(DirectoryKey::Key(Id::from_bits(id)))
            }
            b'y' => number().map(|number| DirectoryKey::WebhookSecret(WorkspaceNumber(number))),
            b'j' => Some(DirectoryKey::ContactKey),
            _ => None,
        }
    }
}

/// Key of an idempotency answer.
pub fn answer(scope: &[u8; 16]) -> Bytes {
    key(b'a', &[scope])
}

/// Key of a workspace's webhook secret.
pub fn webhook_secret(workspace: WorkspaceNumber) -> Bytes {
    key(b'y', &[&workspace.0.to_be_bytes()])
}

/// Key of some deliveries that wait over a restart.
pub fn waiting(id: Id, node: NodeNumber) -> Bytes {
    key(b'q', &[&id.bits().to_be_bytes(), number_of(node, &node.0.to_be_bytes())])
}

/// The batch and the node in the key of deliveries that wait.
pub fn parse_waiting(key: &[u8]) -> Option<(Id, NodeNumber)> {
    of_node(key.strip_prefix(WAITING)?)
}

/// Prefix of all deliveries that wait over a restart.
pub const WAITING: &[u8] = b"q";

/// Key of a snapshot.
pub fn snapshot(id: &ForeignId) -> Bytes {
    key(b's', &[id.as_str().as_bytes()])
}

/// Prefix of all snapshots.
pub const SNAPSHOTS: &[u8] = b"s";

/// Key that says that a workspace has a snapshot.
pub(super) fn snapshot_of(workspace: WorkspaceNumber, id: &ForeignId) -> Bytes {
    key(b'W', &[&workspace.0.to_be_bytes(), id.as_str().as_bytes()])
}

/// Prefix of the snapshots of a workspace.
pub(super) fn snapshots_of(workspace: WorkspaceNumber) -> Bytes {
    key(b'W', &[&workspace.0.to_be_bytes()])
}

/// The key of the snapshot of a key that [`snapshot_of`] made.
pub(super) fn of_snapshot_of(index: &[u8]) -> Option<Bytes> {
    Some(key(b's', &[index.get(1 + 4..)?]))
}

/// Key of a chunk of a snapshot's content.
pub fn chunk(frozen: Id, number: u32) -> Bytes {
    key(b'f', &[&frozen.bits().to_be_bytes(), &number.to_be_bytes()])
}

/// Prefix of the chunks of a snapshot's content.
pub fn chunks_of(frozen: Id) -> Bytes {
    key(b'f', &[&frozen.bits().to_be_bytes()])
}

/// Key of the mark of content that no snapshot has, or none has yet.
pub fn loose(frozen: Id) -> Bytes {
    key(b'g', &[&frozen.bits().to_be_bytes()])
}

/// Prefix of all such marks.
pub const LOOSE: &[u8] = b"g";

/// Key of a share.
pub fn share(id: Id) -> Bytes {
    key(b'e', &[&id.bits().to_be_bytes()])
}

/// Key of an import.
pub fn import(frozen: Id, id: Id) -> Bytes {
    key(b'p', &[&frozen.bits().to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Prefix of the imports of a snapshot's content.
pub fn imports_of(frozen: Id) -> Bytes {
    key(b'p', &[&frozen.bits().to_be_bytes()])
}

/// Key of the content of an import.
pub fn imported(id: Id) -> Bytes {
    key(b'r', &[&id.bits().to_be_bytes()])
}

/// Key of the mark of an import under way. While it is there, links that the import staged are
/// hidden; removing it shows all of them.
pub fn staging(workspace: WorkspaceNumber, import: Id) -> Bytes {
    key(b'u', &[&workspace.0.to_be_bytes(), &import.bits().to_be_bytes()])
}

/// Prefix of the marks of imports under way in a workspace.
pub fn stagings_in(workspace: WorkspaceNumber) -> Bytes {
    key(b'u', &[&workspace.0.to_be_bytes()])
}

/// Prefix of the marks of all imports under way.
pub const STAGINGS: &[u8] = b"u";

/// The workspace and import in the key of such a mark.
pub fn parse_staging(key: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    let (workspace, id) = key.strip_prefix(b"u")?.split_first_chunk::<4>()?;
    let id = u128::from_be_bytes(id.try_into().ok()?);
    Some((WorkspaceNumber(u32::from_be_bytes(*workspace)), Id::from_bits(id)))
}

/// Whether a key is an import's.
pub fn is_import(key: &[u8]) -> bool {
    key.first() == Some(&b'p')
}

/// Key of a link's place in its workspace's list.
pub fn listed(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(b'L', &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Key of a link with placeholders by workspace and id.
pub fn fillable(workspace: WorkspaceNumber, id: Id) -> Bytes {
    key(b'F', &[&workspace.0.to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Prefix of a workspace's links with placeholders.
pub fn fillable_of(workspace: WorkspaceNumber) -> Bytes {
    key(b'F', &[&workspace.0.to_be_bytes()])
}

/// Prefix of a workspace's list.
pub fn list_of(workspace: WorkspaceNumber) -> Bytes {
    key(b'L', &[&workspace.0.to_be_bytes()])
}

/// Key of the number of links of a workspace.
pub fn link_count(workspace: WorkspaceNumber) -> Bytes {
    key(b'N', &[&workspace.0.to_be_bytes()])
}

/// Key of the number of links on a domain.
pub fn domain_link_count(domain: DomainNumber) -> Bytes {
    key(b'D', &[&domain.0.to_be_bytes()])
}

/// Key of the number of tags of a workspace.
pub fn tag_count(workspace: WorkspaceNumber) -> Bytes {
    key(b'T', &[&workspace.0.to_be_bytes()])
}

/// Key of the number of links that have a tag.
pub fn tag_link_count(workspace: WorkspaceNumber, tag: Id) -> Bytes {
    key(b'T', &[&workspace.0.to_be_bytes(), &tag.bits().to_be_bytes()])
}

/// Key of the number of campaigns of a workspace.
pub fn campaign_count(workspace: WorkspaceNumber) -> Bytes {
    key(b'K', &[&workspace.0.to_be_bytes()])
}

/// Key of the number of links of a campaign.
pub fn campaign_link_count(workspace: WorkspaceNumber, campaign: &ForeignId) -> Bytes {
    key(b'K', &[&workspace.0.to_be_bytes(), campaign.as_str().as_bytes()])
}

/// Key of what an import under way will add to a counter when it completes.
pub(super) fn staged_count(workspace: WorkspaceNumber, import: Id, counter: &[u8]) -> Bytes {
    key(b'S', &[&workspace.0.to_be_bytes(), &import.bits().to_be_bytes(), counter])
}

/// The counter of a key that [`staged_count`] made.
pub(super) fn parse_staged_count(key: &[u8]) -> Option<&[u8]> {
    key.get(1 + 4 + 16..).filter(|_| key.first() == Some(&b'S'))
}

/// Key of the workspace of a link or tombstone.
pub fn owner_of(id: Id) -> Bytes {
    key(b'I', &[&id.bits().to_be_bytes()])
}

/// Key that says that a workspace has a campaign of this id. The zero byte ends the campaign's id, which
/// cannot hold one.
pub fn campaign_owner(campaign: &ForeignId, workspace: WorkspaceNumber) -> Bytes {
    key(b'A', &[campaign.as_str().as_bytes(), &[0], &workspace.0.to_be_bytes()])
}

/// Prefix of the workspaces that have a campaign of this id.
pub fn owners_of_campaign(campaign: &ForeignId) -> Bytes {
    key(b'A', &[campaign.as_str().as_bytes(), &[0]])
}

/// The workspace at the end of a key that [`campaign_owner`] made.
pub(super) fn trailing_workspace(key: &[u8]) -> Option<WorkspaceNumber> {
    let (_, number) = key.split_last_chunk::<4>()?;
    Some(WorkspaceNumber(u32::from_be_bytes(*number)))
}

/// The workspace and id in the key of a tombstone.
pub(super) fn parse_tombstone(key: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    let (workspace, id) = key.strip_prefix(b"x")?.split_first_chunk::<4>()?;
    let id = u128::from_be_bytes(id.try_into().ok()?);
    Some((WorkspaceNumber(u32::from_be_bytes(*workspace)), Id::from_bits(id)))
}

/// The workspace in the key of a tag.
pub(super) fn parse_tag(key: &[u8]) -> Option<WorkspaceNumber> {
    let number = key.strip_prefix(b"t")?.first_chunk::<4>()?;
    Some(WorkspaceNumber(u32::from_be_bytes(*number)))
}

/// The workspace and id in the key of a campaign.
pub(super) fn parse_campaign(key: &[u8]) -> Option<(WorkspaceNumber, ForeignId)> {
    let (workspace, id) = key.strip_prefix(b"m")?.split_first_chunk::<4>()?;
    let id = ForeignId::parse("id", std::str::from_utf8(id).ok()?).ok()?;
    Some((WorkspaceNumber(u32::from_be_bytes(*workspace)), id))
}

/// Key of a link under one of its tags.
pub fn tagged(workspace: WorkspaceNumber, tag: Id, id: Id) -> Bytes {
    key(b'G', &[&workspace.0.to_be_bytes(), &tag.bits().to_be_bytes(), &id.bits().to_be_bytes()])
}

/// Prefix of the links of a tag.
pub fn list_of_tag(workspace: WorkspaceNumber, tag: Id) -> Bytes {
    key(b'G', &[&workspace.0.to_be_bytes(), &tag.bits().to_be_bytes()])
}

/// Key of a link under its campaign. The zero byte ends the campaign's id, which cannot hold one.
pub fn campaigned(workspace: WorkspaceNumber, campaign: &ForeignId, id: Id) -> Bytes {
    key(b'C', &[&workspace.0.to_be_bytes(), campaign.as_str().as_bytes(), &[0], &id.bits().to_be_bytes()])
}

/// Prefix of the links of a campaign.
pub fn list_of_campaign(workspace: WorkspaceNumber, campaign: &ForeignId) -> Bytes {
    key(b'C', &[&workspace.0.to_be_bytes(), campaign.as_str().as_bytes(), &[0]])
}

/// The id that ends the key of an index entry.
pub fn trailing_id(key: &[u8]) -> Option<Id> {
    let (_, id) = key.split_last_chunk::<16>()?;
    Some(Id::from_bits(u128::from_be_bytes(*id)))
}

/// The value of an index entry: where the link lives.
pub fn place(domain: DomainNumber, code: &ShortCode) -> Vec<u8> {
    [&domain.0.to_be_bytes()[..], code.as_str().as_bytes()].concat()
}

/// The key of the link that an index entry's value points to.
pub fn of_place(value: &[u8]) -> Bytes {
    key(b'l', &[value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let code = ShortCode::parse("Sale-é").expect("a valid code");
        let link_key = link(DomainNumber(7), code.as_str());
        assert_eq!(parse_link(&link_key), Some((DomainNumber(7), "Sale-é")));
        assert_eq!(of_place(&place(DomainNumber(7), &code)), link_key);
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
        assert_eq!(parse_staging(b"u\0\0\0\0x"), None);
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
            (api_key(Id::from_bits(9)), Some(DirectoryKey::Key(Id::from_bits(9)))),
            (webhook_secret(WorkspaceNumber(3)), Some(DirectoryKey::WebhookSecret(WorkspaceNumber(3)))),
            (Bytes::from_static(CONTACT_KEY), Some(DirectoryKey::ContactKey)),
            (workspace_id(&id), None),
            (Bytes::from_static(b"d\0"), None),
        ];
        for (key, want) in rows {
            assert_eq!(DirectoryKey::parse(&key), want, "{key:?}");
        }
    }

    #[test]
    fn record_kinds_are_sorted_and_apart_from_indexes() {
        assert!(RECORD_KINDS.is_sorted());
        assert!(RECORD_KINDS.iter().all(u8::is_ascii_lowercase));
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
        for wrong in [bytes(b'c', &[0]), bytes(b'c', &[0, 0]), bytes(b'c', &[0, 3, 0]), bytes(b'q', &[])] {
            assert_eq!(parse_clicks(&wrong), None, "{wrong:?}");
        }
    }
}
