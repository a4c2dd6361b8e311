//! The bytes of the table: keys, cells, and records of every kind.

use super::input::Input;
use crate::log::Position;
use crate::model::attachment::Attachment;
use crate::model::audit::AuditEntry;
use crate::model::campaign::Campaign;
use crate::model::contact::ContactKey;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::key::ApiKey;
use crate::model::session::Session;
use crate::model::snapshot::{Import, Snapshot};
use crate::model::tag::Tag;
use crate::model::webhook::WebhookSecret;
use crate::model::workspace::{Company, Workspace};
use crate::table::keys;
use crate::table::record::{
    AliasRecord, Applied, Cell, Chunk, FrozenId, LinkAt, Number, OutcomeRecord, RetiredKey, ShareRecord,
    Staged, Stored, TagName, Tombstone, WaitingDeliveries, WorkMark, decode_clicks, encode_clicks,
};

/// All kinds of records and keys.
static KINDS: &[fn(&[u8])] = &[
    link,
    clicks,
    key,
    cell,
    stored::<Domain>,
    stored::<Workspace>,
    stored::<Company>,
    stored::<ApiKey>,
    stored::<Tag>,
    stored::<TagName>,
    stored::<Number>,
    stored::<Applied>,
    stored::<Campaign>,
    stored::<Snapshot>,
    stored::<Chunk>,
    stored::<ShareRecord>,
    stored::<Import>,
    stored::<FrozenId>,
    stored::<WorkMark>,
    stored::<ContactKey>,
    stored::<OutcomeRecord>,
    stored::<WebhookSecret>,
    stored::<WaitingDeliveries>,
    stored::<Tombstone>,
    stored::<AliasRecord>,
    stored::<AuditEntry>,
    stored::<RetiredKey>,
    stored::<Attachment>,
    stored::<Session>,
];

/// Takes a kind and its bytes. Asserts that a record that decodes is encoded to one that decodes to the same.
pub(super) fn record(data: &[u8]) {
    let mut input = Input(data);
    let kind = KINDS[usize::from(input.byte()) % KINDS.len()];
    kind(input.0);
}

fn stored<T: Stored>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes) else { return };
    let written = value.encode();
    let again = T::decode(&written).expect("what was written reads back");
    assert_eq!(again.encode(), written);
}

fn link(bytes: &[u8]) {
    let domain = DomainNumber(7);
    let Ok(Staged { link, import }) = Staged::decode(domain, "a", bytes) else {
        assert!(LinkAt::decode(domain, "a", bytes).is_err(), "both readers agree");
        return;
    };
    let written = match import {
        Some(import) => Staged::encode(&link, import),
        None => LinkAt::encode(&link),
    };
    let again = Staged::decode(domain, "a", &written).expect("what was written reads back");
    assert_eq!(again.import, import);
    let plain = LinkAt::decode(domain, "a", &written).expect("and by the other reader");
    assert_eq!(LinkAt::encode(&plain), LinkAt::encode(&link));
}

fn clicks(bytes: &[u8]) {
    if let Ok(total) = decode_clicks(bytes) {
        assert_eq!(decode_clicks(&encode_clicks(total)).ok(), Some(total));
    }
}

/// Asserts that the parts of a key form the same key.
fn key(bytes: &[u8]) {
    if let Some((domain, code)) = keys::parse_link(bytes) {
        assert_eq!(keys::link(domain, code), bytes);
    }
    if let Some((workspace, import)) = keys::parse_staging(bytes) {
        assert_eq!(keys::staging(workspace, import), bytes);
    }
    if let Some(id) = keys::trailing_id(bytes) {
        assert!(bytes.ends_with(&id.bits().to_be_bytes()));
    }
}

/// Asserts that a cell decodes only under its own key.
fn cell(bytes: &[u8]) {
    let mut input = Input(bytes);
    let key = input.line();
    if let Ok(cell) = Cell::decode(key, input.0) {
        assert_eq!(cell.encode(key), input.0);
    }
    let (revision, replaces) = (Position(u64::from(input.byte())), Position(u64::from(input.byte())));
    let cell = Cell { revision, replaces, value: input.0 };
    let written = cell.encode(key);
    assert_eq!(Cell::decode(key, &written).ok(), Some(cell));
    let other = [key, b"x"].concat();
    assert!(Cell::decode(&other, &written).is_err(), "under another key");
}
