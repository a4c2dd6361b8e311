//! The table's keys: one byte of kind, then fixed-width numbers in big-endian, then text, so that
//! ranges are scans in order. Small letters are records, as the log carries them; capitals are
//! derived by the table alone.
//!
//! | key | record | key | derived |
//! |---|---|---|---|
//! | `l` domain code | link | `L` workspace id | where the link of this id lives |
//! | `x` workspace id | tombstone | `G` workspace tag id | the same, by tag |
//! | `c` id | click total | `C` workspace campaign id | the same, by campaign |
//! | `d` domain | domain | `N` workspace | how many links it has |
//! | `h` name | domain of this name | `M` | the position applied |
//! | | | `H` number | the log's history, in chunks |
//! | `w` workspace | workspace | `F` workspace id | as `L`, of links with placeholders |
//! | `i` id | workspace of this id | `V` | which derived entries there are |
//! | `o` id | company | | |
//! | `k` id | API key | | |
//! | `t` workspace id | tag | | |
//! | `n` workspace name | tag of this name | | |
//! | `a` scope | idempotency answer | | |
//! | `j` | what contact links are signed with | | |
//! | `y` workspace | webhook secret | | |
//! | `q` id | deliveries that wait over a restart | | |
//! | `m` workspace id | campaign | | |
//! | `b` workspace | credits left | | |
//! | `s` id | snapshot | | |
//! | `f` content number | chunk of a snapshot's content | | |
//! | `g` content | content that no snapshot has | | |
//! | `e` id | share | | |
//! | `p` content id | import | | |
//! | `r` id | content of the import of this id | | |
//! | `u` workspace id | import under way: its links are hidden | | |
//!
//! `h`, `i` and `n` make names unique by being keys: of two who race, the log refuses one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::log::CLICKS_PREFIX;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

/// First bytes of record keys, in ascending order.
pub const RECORD_KINDS: &[u8] = b"abcdefghijklmnopqrstuwxy";

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

/// Key of a link's click total.
pub fn clicks(id: Id) -> Bytes {
    key(CLICKS_PREFIX, &[&id.bits().to_be_bytes()])
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

/// Key of an idempotency answer.
pub fn answer(scope: &[u8; 16]) -> Bytes {
    key(b'a', &[scope])
}

/// Key of a workspace's webhook secret.
pub fn webhook_secret(workspace: WorkspaceNumber) -> Bytes {
    key(b'y', &[&workspace.0.to_be_bytes()])
}

/// Key of some deliveries that wait over a restart.
pub fn waiting(id: Id) -> Bytes {
    key(b'q', &[&id.bits().to_be_bytes()])
}

/// Prefix of all deliveries that wait over a restart.
pub const WAITING: &[u8] = b"q";

/// Key of a snapshot.
pub fn snapshot(id: &ForeignId) -> Bytes {
    key(b's', &[id.as_str().as_bytes()])
}

/// Prefix of all snapshots.
pub const SNAPSHOTS: &[u8] = b"s";

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

/// The workspace of a key that [`link_count`] made.
pub(super) fn parse_link_count(key: &[u8]) -> Option<WorkspaceNumber> {
    let number = key.strip_prefix(b"N")?.try_into().ok()?;
    Some(WorkspaceNumber(u32::from_be_bytes(number)))
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
    fn record_kinds_are_sorted_and_apart_from_indexes() {
        assert!(RECORD_KINDS.is_sorted());
        assert!(RECORD_KINDS.iter().all(u8::is_ascii_lowercase));
    }
}
