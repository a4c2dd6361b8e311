//! Records of links and of deleted links.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alias::{AliasV3, AliasV5};
use super::branch::{BranchesV1, MemoV1};
use super::owner::read_first;
use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::destination::{Destination, LinkType, Utm};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::branch::Branches;
use crate::model::link::{Alias, Link, Markup, Options, PasswordHash, RedirectStatus};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

/// The versions of a link's record. Each function that reads such records matches all of them, so that a new
/// version compiles only when every function reads it.
enum LinkVersion {
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
    V7,
    V8,
    V9,
}

impl LinkVersion {
    /// Splits the version off the bytes of a record.
    fn split(bytes: &[u8]) -> Result<(LinkVersion, &[u8]), Corrupt> {
        match version(bytes)? {
            (1, rest) => Ok((LinkVersion::V1, rest)),
            (2, rest) => Ok((LinkVersion::V2, rest)),
            (3, rest) => Ok((LinkVersion::V3, rest)),
            (4, rest) => Ok((LinkVersion::V4, rest)),
            (5, rest) => Ok((LinkVersion::V5, rest)),
            (6, rest) => Ok((LinkVersion::V6, rest)),
            (7, rest) => Ok((LinkVersion::V7, rest)),
            (8, rest) => Ok((LinkVersion::V8, rest)),
            (9, rest) => Ok((LinkVersion::V9, rest)),
            (other, _) => unknown("a link", other),
        }
    }
}

/// The first fields of [`LinkV1`], which [`workspace_of_link`] reads alone.
#[derive(Serialize, Deserialize)]
struct LinkHeadV1 {
    id: u128,
    workspace: u32,
}

/// Version 1. The record's key has the domain and the code.
#[derive(Deserialize)]
struct LinkV1 {
    /// The first field: `workspace_of_link` reads a prefix of the record.
    head: LinkHeadV1,
    created_at: i64,
    updated_at: i64,
    created_by: Option<u128>,
    destination: Box<str>,
    link_type: u8,
    status: u16,
    switches: u8,
    /// `None` for a plain link: most links set no extra field, and pay one byte.
    extras: Option<Box<ExtrasV1>>,
}

#[derive(Serialize, Deserialize, Default, PartialEq)]
struct ExtrasV1 {
    title: Option<Box<str>>,
    description: Option<Box<str>>,
    image: Option<Box<str>>,
    password: Option<Box<str>>,
    valid_since: Option<i64>,
    expires_at: Option<i64>,
    max_clicks: Option<u64>,
    expired_url: Option<Box<str>>,
    // Source, medium, campaign, term, content.
    utm: [Option<Box<str>>; 5],
    meta_pixel_id: Option<Box<str>>,
    google_tag_id: Option<Box<str>>,
    webhook_urls: Vec<Box<str>>,
    tags: Vec<u128>,
    campaign: Option<Box<str>>,
    notes: Option<Box<str>>,
}

/// Version 3: more options, and the code as it was typed. A plain link takes as many bytes as in version 1. Version 5
/// has the aliases as they were typed ([`AliasV5`]).
#[derive(Serialize, Deserialize)]
struct LinkV3<A = AliasV3> {
    /// The first field: `workspace_of_link` reads a prefix of the record.
    head: LinkHeadV1,
    created_at: i64,
    updated_at: i64,
    created_by: Option<u128>,
    destination: Box<str>,
    link_type: u8,
    status: u16,
    /// More than the 8 of version 1. One byte below 251: without the newer switches.
    switches: u16,
    extras: Option<Box<ExtrasV3<A>>>,
}

#[derive(Serialize, Deserialize, Default, PartialEq)]
struct ExtrasV3<A> {
    first: ExtrasV1,
    gtm_container_id: Option<Box<str>>,
    head_tags: Option<Box<str>>,
    body_tags: Option<Box<str>>,
    typed_code: Option<Box<str>>,
    aliases: Vec<A>,
}

/// Version 6: a link that has or had rules. A link without them has an earlier version, which takes no byte for them and
/// which earlier versions of the program read.
#[derive(Serialize, Deserialize)]
struct LinkV6 {
    /// The first field: `workspace_of_link` reads a prefix of the record.
    link: LinkV3<AliasV5>,
    rules: BranchesV1,
}

impl LinkV6 {
    /// Encodes a link with its rules.
    fn from_model(link: &Link, rules: &Branches) -> LinkV6 {
        LinkV6 { link: LinkV3::from_model(link), rules: rules.into() }
    }

    fn into_model(self, domain: DomainNumber, code: ShortCode) -> Result<Link, Corrupt> {
        let mut link = self.link.into_model(domain, code)?;
        link.options.rules = Some(Arc::new(self.rules.try_into()?));
        Ok(link)
    }
}

/// Version 8: a link with a rule that has a memo. A link without one has an earlier version.
#[derive(Serialize, Deserialize)]
struct LinkV8 {
    /// The first field, as in [`LinkV6`].
    first: LinkV6,
    /// Of each rule, in their order.
    memos: Vec<Option<MemoV1>>,
}

impl LinkV8 {
    /// Encodes a link with its rules. Returns `None` if none of them has a memo.
    fn from_model(link: &Link, rules: &Branches) -> Option<LinkV8> {
        let memos: Vec<_> = rules.list.iter().map(|rule| rule.memo.as_deref().map(MemoV1::from)).collect();
        let has_any = memos.iter().any(Option::is_some);
        has_any.then(|| LinkV8 { first: LinkV6::from_model(link, rules), memos })
    }

    fn into_model(self, domain: DomainNumber, code: ShortCode) -> Result<Link, Corrupt> {
        let mut link = self.first.into_model(domain, code)?;
        if let Some(rules) = &mut link.options.rules {
            let rules = &mut Arc::make_mut(rules).list;
            if rules.len() != self.memos.len() {
                return Err(Corrupt("another number of memos than of rules".to_owned()));
            }
            for (rule, memo) in rules.iter_mut().zip(self.memos) {
                rule.memo = memo.map(|memo| Box::new(memo.into()));
            }
        }
        Ok(link)
    }
}

impl From<LinkV1> for LinkV3 {
    fn from(old: LinkV1) -> LinkV3 {
        let LinkV1 {
            head,
            created_at,
            updated_at,
            created_by,
            destination,
            link_type,
            status,
            switches,
            extras,
        } = old;
        let extras = extras.map(|first| Box::new(ExtrasV3 { first: *first, ..ExtrasV3::default() }));
        let switches = u16::from(switches);
        LinkV3 { head, created_at, updated_at, created_by, destination, link_type, status, switches, extras }
    }
}

fn text(destination: Option<&Destination>) -> Option<Box<str>> {
    destination.map(|d| d.as_str().into())
}

/// Returns the stored number of a type. The numbers are written out, so that the order of the model's variants
/// does not matter.
fn type_number(link_type: LinkType) -> u8 {
    match link_type {
        LinkType::Url => 0,
        LinkType::Mailto => 1,
        LinkType::Tel => 2,
        LinkType::Sms => 3,
    }
}

fn type_of_number(number: u8) -> Result<LinkType, Corrupt> {
    Ok(match number {
        0 => LinkType::Url,
        1 => LinkType::Mailto,
        2 => LinkType::Tel,
        3 => LinkType::Sms,
        other => return Err(Corrupt(format!("link type {other}"))),
    })
}

impl<A> LinkV3<A>
where
    A: Default + PartialEq + for<'a> From<&'a Alias> + Into<Alias>,
{
    /// Encodes a link. Every option is named, so that a new one does not compile until it is written here.
    fn from_model(link: &Link) -> LinkV3<A> {
        let Options {
            destination,
            link_type,
            status,
            title,
            description,
            image,
            is_active,
            cloaked,
            password,
            valid_since,
            expires_at,
            max_clicks,
            expired_url,
            forward_parameters,
            forward_path,
            block_bots,
            count_bots,
            skip_social_crawler_tracking,
            confirm,
            hide_referrer,
            count_pixel,
            statistics,
            utm,
            meta_pixel_id,
            google_tag_id,
            gtm_container_id,
            head_tags,
            body_tags,
            webhook_urls,
            tags,
            campaign,
            notes,
            // In version 6, around this one.
            rules: _,
        } = &link.options;
        // The lowest bit first.
        let switches = [
            is_active,
            cloaked,
            forward_parameters,
            forward_path,
            block_bots,
            count_bots,
            skip_social_crawler_tracking,
            confirm,
            hide_referrer,
            count_pixel,
            // The opposite: old records have no bit here, and their links have statistics.
            &!statistics,
        ];
        let utm = utm.clone();
        let first = ExtrasV1 {
            title: title.clone(),
            description: description.clone(),
            image: text(image.as_ref()),
            password: password.as_ref().map(|hash| hash.as_str().into()),
            valid_since: valid_since.map(Timestamp::as_millis),
            expires_at: expires_at.map(Timestamp::as_millis),
            max_clicks: *max_clicks,
            expired_url: text(expired_url.as_ref()),
            utm: [utm.source, utm.medium, utm.campaign, utm.term, utm.content],
            meta_pixel_id: meta_pixel_id.clone(),
            google_tag_id: google_tag_id.clone(),
            webhook_urls: webhook_urls.iter().map(|url| url.as_str().into()).collect(),
            tags: tags.iter().map(|tag| tag.bits()).collect(),
            campaign: campaign.as_ref().map(|id| id.as_str().into()),
            notes: notes.clone(),
        };
        let extras = ExtrasV3 {
            first,
            gtm_container_id: gtm_container_id.clone(),
            head_tags: head_tags.as_ref().map(|tags| tags.as_str().into()),
            body_tags: body_tags.as_ref().map(|tags| tags.as_str().into()),
            typed_code: link.typed_code.as_ref().map(|code| code.as_str().into()),
            aliases: link.aliases.iter().map(A::from).collect(),
        };
        LinkV3 {
            head: LinkHeadV1 { id: link.id.bits(), workspace: link.workspace.0 },
            created_at: link.created_at.as_millis(),
            updated_at: link.updated_at.as_millis(),
            created_by: link.created_by.map(Id::bits),
            destination: destination.as_str().into(),
            link_type: type_number(*link_type),
            status: status.code(),
            switches: switches.into_iter().rev().fold(0, |bits, on| bits << 1 | u16::from(*on)),
            // Most links have none: they are stored without any extra field.
            extras: (extras != ExtrasV3::default()).then(|| Box::new(extras)),
        }
    }

    fn into_model(self, domain: DomainNumber, code: ShortCode) -> Result<Link, Corrupt> {
        let link_type = type_of_number(self.link_type)?;
        let status = RedirectStatus::from_code(self.status)
            .ok_or_else(|| Corrupt(format!("redirect status {}", self.status)))?;
        let on = |bit: u16| self.switches & (1 << bit) != 0;
        let ExtrasV3 { first: extras, gtm_container_id, head_tags, body_tags, typed_code, aliases } =
            self.extras.map_or_else(ExtrasV3::default, |extras| *extras);
        let [source, medium, campaign, term, content] = extras.utm;
        let campaign_id = extras.campaign.map(|id| ForeignId::parse("campaign", &id)).transpose();
        let options = Options {
            // Not parsed again, like all URLs here: rules may be stricter now, and stored links keep working.
            destination: Destination::from_stored(self.destination),
            link_type,
            status,
            title: extras.title,
            description: extras.description,
            image: extras.image.map(Destination::from_stored),
            is_active: on(0),
            cloaked: on(1),
            password: extras.password.map(PasswordHash::from_stored),
            valid_since: extras.valid_since.map(Timestamp::from_millis),
            expires_at: extras.expires_at.map(Timestamp::from_millis),
            max_clicks: extras.max_clicks,
            expired_url: extras.expired_url.map(Destination::from_stored),
            forward_parameters: on(2),
            forward_path: on(3),
            block_bots: on(4),
            count_bots: on(5),
            skip_social_crawler_tracking: on(6),
            confirm: on(7),
            hide_referrer: on(8),
            count_pixel: on(9),
            statistics: !on(10),
            utm: Utm { source, medium, campaign, term, content },
            meta_pixel_id: extras.meta_pixel_id,
            google_tag_id: extras.google_tag_id,
            gtm_container_id,
            head_tags: head_tags.map(Markup::from_stored),
            body_tags: body_tags.map(Markup::from_stored),
            webhook_urls: extras.webhook_urls.into_iter().map(Destination::from_stored).collect(),
            tags: extras.tags.into_iter().map(Id::from_bits).collect(),
            campaign: campaign_id.map_err(|error| Corrupt(error.to_string()))?,
            notes: extras.notes,
            rules: None,
        };
        Ok(Link {
            id: Id::from_bits(self.head.id),
            workspace: WorkspaceNumber(self.head.workspace),
            domain,
            code,
            typed_code: typed_code.map(|code| ShortCode::from_stored(&code)),
            aliases: aliases.into_iter().map(Into::into).collect(),
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            created_by: self.created_by.map(Id::from_bits),
            options,
        })
    }
}

/// The record of a link. Its key has the domain and the code, so that decoding needs both.
pub struct LinkAt;

impl LinkAt {
    /// Returns the record of a link.
    pub fn encode(link: &Link) -> Vec<u8> {
        // A link of an import as well: once it is written again, it is a link like others. Versions 5, 6 and 8 only if
        // needed, so that an earlier version of the program reads all other links.
        if let Some(rules) = &link.options.rules {
            if let Some(record) = LinkV8::from_model(link, rules) {
                return write(8, &record);
            }
            return write(6, &LinkV6::from_model(link, rules));
        }
        if link.aliases.iter().any(|alias| alias.typed_code.is_some()) {
            return write(5, &LinkV3::<AliasV5>::from_model(link));
        }
        write(3, &LinkV3::<AliasV3>::from_model(link))
    }

    /// Reads the link of a key.
    pub fn decode(domain: DomainNumber, code: &str, bytes: &[u8]) -> Result<Link, Corrupt> {
        let code = ShortCode::from_stored(code);
        match LinkVersion::split(bytes)? {
            (LinkVersion::V1, rest) => LinkV3::from(read::<LinkV1>(rest)?).into_model(domain, code),
            (LinkVersion::V2, rest) => {
                LinkV3::from(read::<StagedV2<LinkV1>>(rest)?.link).into_model(domain, code)
            }
            (LinkVersion::V3, rest) => read::<LinkV3>(rest)?.into_model(domain, code),
            (LinkVersion::V4, rest) => read::<StagedV2<LinkV3>>(rest)?.link.into_model(domain, code),
            (LinkVersion::V5, rest) => read::<LinkV3<AliasV5>>(rest)?.into_model(domain, code),
            (LinkVersion::V6, rest) => read::<LinkV6>(rest)?.into_model(domain, code),
            (LinkVersion::V7, rest) => read::<StagedV2<LinkV6>>(rest)?.link.into_model(domain, code),
            (LinkVersion::V8, rest) => read::<LinkV8>(rest)?.into_model(domain, code),
            (LinkVersion::V9, rest) => read::<StagedV2<LinkV8>>(rest)?.link.into_model(domain, code),
        }
    }
}

/// A link in the record of something else, with its address and in any version of its own record. So a later version
/// of the record of a link needs none of these records.
#[derive(Serialize, Deserialize)]
pub(super) struct LinkCopy {
    domain: u32,
    code: Box<str>,
    record: Vec<u8>,
}

impl LinkCopy {
    pub(super) fn of(link: &Link) -> LinkCopy {
        LinkCopy { domain: link.domain.0, code: link.code.as_str().into(), record: LinkAt::encode(link) }
    }

    pub(super) fn into_model(self) -> Result<Link, Corrupt> {
        LinkAt::decode(DomainNumber(self.domain), &self.code, &self.record)
    }
}

/// Version 2, version 4 of [`LinkV3`], version 7 of [`LinkV6`], and version 9 of [`LinkV8`]: a link of an import, until
/// the link is written again. The link is hidden while that import is under way.
#[derive(Serialize, Deserialize)]
struct StagedV2<Link> {
    import: u128,
    /// [`LinkV1`], [`LinkV3`], [`LinkV6`], [`LinkV8`], or [`LinkHeadV1`] of a reader that stops there. The last field, for that reader.
    link: Link,
}

/// A link with the import that staged it, if one did.
pub struct Staged {
    /// The link.
    pub link: Link,
    /// The import.
    pub import: Option<Id>,
}

impl Staged {
    /// Returns the record of a link of an import.
    pub fn encode(link: &Link, import: Id) -> Vec<u8> {
        if let Some(rules) = &link.options.rules {
            if let Some(record) = LinkV8::from_model(link, rules) {
                return write(9, &StagedV2 { import: import.bits(), link: record });
            }
            return write(7, &StagedV2 { import: import.bits(), link: LinkV6::from_model(link, rules) });
        }
        // A snapshot has no aliases.
        write(4, &StagedV2 { import: import.bits(), link: LinkV3::<AliasV3>::from_model(link) })
    }

    /// Reads the link of a key, with its import.
    pub fn decode(domain: DomainNumber, code: &str, bytes: &[u8]) -> Result<Staged, Corrupt> {
        let code = ShortCode::from_stored(code);
        match LinkVersion::split(bytes)? {
            (LinkVersion::V1, rest) => {
                let link = LinkV3::from(read::<LinkV1>(rest)?);
                Ok(Staged { link: link.into_model(domain, code)?, import: None })
            }
            (LinkVersion::V2, rest) => {
                let StagedV2 { import, link } = read::<StagedV2<LinkV1>>(rest)?;
                let link = LinkV3::from(link);
                Ok(Staged { link: link.into_model(domain, code)?, import: Some(Id::from_bits(import)) })
            }
            (LinkVersion::V3, rest) => {
                Ok(Staged { link: read::<LinkV3>(rest)?.into_model(domain, code)?, import: None })
            }
            (LinkVersion::V4, rest) => {
                let StagedV2 { import, link } = read::<StagedV2<LinkV3>>(rest)?;
                Ok(Staged { link: link.into_model(domain, code)?, import: Some(Id::from_bits(import)) })
            }
            (LinkVersion::V5, rest) => {
                Ok(Staged { link: read::<LinkV3<AliasV5>>(rest)?.into_model(domain, code)?, import: None })
            }
            (LinkVersion::V6, rest) => {
                Ok(Staged { link: read::<LinkV6>(rest)?.into_model(domain, code)?, import: None })
            }
            (LinkVersion::V7, rest) => {
                let StagedV2 { import, link } = read::<StagedV2<LinkV6>>(rest)?;
                Ok(Staged { link: link.into_model(domain, code)?, import: Some(Id::from_bits(import)) })
            }
            (LinkVersion::V8, rest) => {
                Ok(Staged { link: read::<LinkV8>(rest)?.into_model(domain, code)?, import: None })
            }
            (LinkVersion::V9, rest) => {
                let StagedV2 { import, link } = read::<StagedV2<LinkV8>>(rest)?;
                Ok(Staged { link: link.into_model(domain, code)?, import: Some(Id::from_bits(import)) })
            }
        }
    }
}

/// Returns the workspace of a link from the first fields of its record, `None` if they are damaged or of an
/// unknown version. The cost does not depend on the rest of the record.
pub(crate) fn workspace_of_link(bytes: &[u8]) -> Option<WorkspaceNumber> {
    let head: LinkHeadV1 = match LinkVersion::split(bytes).ok()? {
        (LinkVersion::V1 | LinkVersion::V3 | LinkVersion::V5 | LinkVersion::V6 | LinkVersion::V8, rest) => {
            read_first(rest)?
        }
        (LinkVersion::V2 | LinkVersion::V4 | LinkVersion::V7 | LinkVersion::V9, rest) => {
            read_first::<StagedV2<_>>(rest)?.link
        }
    };
    Some(WorkspaceNumber(head.workspace))
}

/// A deleted link, kept with its clicks for the statistics.
#[derive(Clone, Debug)]
pub struct Tombstone {
    /// The link before its deletion.
    pub link: Link,
    /// Its click total.
    pub clicks: u64,
    /// The time of the deletion.
    pub deleted_at: Timestamp,
}

/// Version 1 with [`LinkV1`], version 2 with [`LinkV3`], version 3 with [`LinkV6`].
#[derive(Serialize, Deserialize)]
struct TombstoneV1<Link> {
    link: Link,
    // The key of a tombstone has neither domain nor code.
    domain: u32,
    code: Box<str>,
    clicks: u64,
    deleted_at: i64,
}

/// Version 4: the link keeps everything of its record, and has aliases as they were typed.
#[derive(Serialize, Deserialize)]
struct TombstoneV4 {
    link: LinkCopy,
    clicks: u64,
    deleted_at: i64,
}

impl Stored for Tombstone {
    fn encode(&self) -> Vec<u8> {
        let Tombstone { link, clicks, deleted_at } = self;
        let record =
            TombstoneV4 { link: LinkCopy::of(link), clicks: *clicks, deleted_at: deleted_at.as_millis() };
        write(4, &record)
    }

    fn decode(bytes: &[u8]) -> Result<Tombstone, Corrupt> {
        match version(bytes)? {
            (1, rest) => read::<TombstoneV1<LinkV1>>(rest)?
                .into_model(|link, domain, code| LinkV3::from(link).into_model(domain, code)),
            (2, rest) => read::<TombstoneV1<LinkV3>>(rest)?.into_model(LinkV3::into_model),
            (3, rest) => read::<TombstoneV1<LinkV6>>(rest)?.into_model(LinkV6::into_model),
            (4, rest) => {
                let TombstoneV4 { link, clicks, deleted_at } = read(rest)?;
                let deleted_at = Timestamp::from_millis(deleted_at);
                Ok(Tombstone { link: link.into_model()?, clicks, deleted_at })
            }
            (other, _) => unknown("a tombstone", other),
        }
    }
}

impl<L> TombstoneV1<L> {
    fn into_model(
        self,
        link: impl FnOnce(L, DomainNumber, ShortCode) -> Result<Link, Corrupt>,
    ) -> Result<Tombstone, Corrupt> {
        Ok(Tombstone {
            link: link(self.link, DomainNumber(self.domain), ShortCode::from_stored(&self.code))?,
            clicks: self.clicks,
            deleted_at: Timestamp::from_millis(self.deleted_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> Link {
        let url = |text: &str| Destination::parse_web("url", text).expect("a valid URL");
        let mut options = Options::new(url("https://e.test/a?b=c"), LinkType::Url);
        options.status = RedirectStatus::PermanentRedirect;
        options.title = Some("title".into());
        options.image = Some(url("https://e.test/i.png"));
        // One switch off that is on by default, and one on: bits in the wrong order are noticed.
        options.is_active = false;
        options.forward_path = true;
        options.confirm = true;
        options.count_pixel = true;
        options.password = Some(PasswordHash::from_stored("$argon2id$x".into()));
        options.expires_at = Some(Timestamp::from_millis(1_700_000_000_000));
        options.max_clicks = Some(100);
        options.utm.medium = Some("cpc".into());
        options.webhook_urls = vec![url("https://hook.test/")];
        options.tags = vec![Id::from_bits(9), Id::from_bits(3)];
        options.campaign = ForeignId::parse("id", "camp_1").ok();
        options.gtm_container_id = Some("GTM-ABC1234".into());
        options.head_tags = Some(Markup::from_stored("<meta name=\"a\" content=\"b\">".into()));
        options.body_tags = Some(Markup::from_stored("<p>c</p>".into()));
        Link {
            id: Id::from_bits(77),
            workspace: WorkspaceNumber(2),
            domain: DomainNumber(3),
            code: ShortCode::parse("sale").expect("a valid code"),
            typed_code: Some(ShortCode::from_stored("Sale")),
            aliases: vec![
                Alias { domain: DomainNumber(0), code: ShortCode::from_stored("old"), typed_code: None },
                Alias { domain: DomainNumber(3), code: ShortCode::from_stored("older"), typed_code: None },
            ],
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(2),
            created_by: Some(Id::from_bits(5)),
            options,
        }
    }

    #[test]
    fn every_field_survives() {
        let link = full();
        let again =
            LinkAt::decode(link.domain, link.code.as_str(), &LinkAt::encode(&link)).expect("just encoded");
        // `Link` has no `==`, because of the password hash. Its `Debug` text has all fields.
        assert_eq!(format!("{link:?}"), format!("{again:?}"));
        assert_eq!(again.options.password.as_ref().map(PasswordHash::as_str), Some("$argon2id$x"));
        // Version 5, only for an alias that was typed in another form.
        assert_eq!(LinkAt::encode(&link)[0], 3);
        let mut typed = full();
        typed.aliases[1].typed_code = Some(ShortCode::from_stored("OLDER"));
        let record = LinkAt::encode(&typed);
        assert_eq!((record[0], workspace_of_link(&record)), (5, Some(typed.workspace)));
        let again = LinkAt::decode(typed.domain, typed.code.as_str(), &record).expect("just encoded");
        assert_eq!(format!("{typed:?}"), format!("{again:?}"));
        let again = Staged::decode(typed.domain, typed.code.as_str(), &record).expect("just encoded");
        assert_eq!((format!("{typed:?}"), None), (format!("{:?}", again.link), again.import));
        for link in [link, typed] {
            let tombstone = Tombstone { link, clicks: 12, deleted_at: Timestamp::from_millis(3) };
            let again = Tombstone::decode(&tombstone.encode()).expect("just encoded");
            assert_eq!(format!("{tombstone:?}"), format!("{again:?}"));
        }
    }

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn version_1_is_read_for_ever() {
        let plain = [
            1, 77, 2, 2, 4, 0, 15, b'h', b't', b't', b'p', b's', b':', b'/', b'/', b'e', b'.', b't', b'e',
            b's', b't', b'/', 0, 251, 46, 1, 1, 0,
        ];
        let link = LinkAt::decode(DomainNumber(0), "a", &plain).expect("the golden bytes");
        assert_eq!(link.id, Id::from_bits(77));
        assert_eq!(link.options.destination.as_str(), "https://e.test/");
        assert_eq!(link.options.status, RedirectStatus::Found);
        assert!(link.options.is_active && !link.options.cloaked);
        // Version 3 has the same bytes for a plain link.
        let now = [&[3], &plain[1..]].concat();
        assert_eq!(LinkAt::encode(&link), now);
        // The version byte and the import's id, before the unchanged fields of version 1.
        let staged = [&[2, 9], &plain[1..]].concat();
        let read = Staged::decode(DomainNumber(0), "a", &staged).expect("the golden bytes");
        assert_eq!((read.link.id, read.import), (link.id, Some(Id::from_bits(9))));
        assert_eq!(Staged::encode(&read.link, Id::from_bits(9)), [&[4], &staged[1..]].concat());
        assert_eq!(LinkAt::encode(&LinkAt::decode(DomainNumber(0), "a", &staged).expect("a link")), now);
        // A tombstone: the link without the version of its record, address, clicks and time. In version 4 the link has
        // its address in front, and keeps its version.
        let address = [0, 1, b'a'];
        let old = [&[1], &plain[1..], &address, &[12, 6]].concat();
        let left = Tombstone::decode(&old).expect("the golden bytes");
        assert_eq!((left.link.id, left.clicks, left.deleted_at), (link.id, 12, Timestamp::from_millis(3)));
        assert_eq!(
            Tombstone::decode(&[&[2], &old[1..]].concat()).expect("a tombstone").encode(),
            left.encode()
        );
        let length = u8::try_from(now.len()).expect("a short record");
        assert_eq!(left.encode(), [&[4], &address[..], &[length], &now, &[12, 6]].concat());
        // The password `p`, with all other options at their defaults.
        let locked = [&plain[..plain.len() - 1], &[1, 0, 0, 0, 1, 1, b'p'], &[0; 15]].concat();
        let link = LinkAt::decode(DomainNumber(0), "a", &locked).expect("the golden bytes");
        assert_eq!(link.options.password.as_ref().map(PasswordHash::as_str), Some("p"));
    }

    /// As above. The rules are behind the fields of version 5, which has the same bytes as version 3 without an alias.
    #[test]
    fn version_6_is_read_for_ever() {
        use crate::model::link::branch::{Branch, BranchMemo, BranchOutcome, Split, Sticky, Variant};
        let plain = [
            77, 2, 2, 4, 0, 15, b'h', b't', b't', b'p', b's', b':', b'/', b'/', b'e', b'.', b't', b'e', b's',
            b't', b'/', 0, 251, 46, 1, 1, 0,
        ];
        let conditions = [
            &[6][..],
            // `os in a, b`; `query k exists`; `date before` 1 ms after 1970; `visits`: 2 to 3.
            &[6, 0, 0, 0, 2, 1, b'a', 1, b'b'],
            &[9, 1, 1, b'k', 5, 1, 1],
            &[18, 0, 7, 2, 0, 1, 2],
            &[20, 0, 6, 4, 1, 2, 1, 3],
            // Monday and Tuesday from 01:00 to 02:00 in `Z`; `country notIn C`.
            &[19, 0, 6, 3, 3, 60, 120, 1, b'Z'],
            &[0, 0, 1, 0, 1, 1, b'C'],
        ]
        .concat();
        let url = [&[15][..], &plain[6..21]].concat();
        let rules = [
            &[3][..],
            // Number 5, without a name, enabled, all conditions; its destination; no time.
            &[5, 0, 1, 0],
            &conditions,
            &[0],
            &url,
            &[0, 0],
            // Number 6, `n`, off, any; a split by a cookie, whose variant 9 wins; from and until.
            &[6, 1, 1, b'n', 0, 1, 0, 1, 2, 8, 0],
            &url,
            &[60, 9, 1, 1, b'v'],
            &url,
            &[40, 1, 1, 9, 1, 2, 1, 4],
            // Number 7: 404.
            &[7, 0, 1, 0, 0, 2, 0, 0],
            // The last numbers.
            &[12, 13],
        ]
        .concat();
        let bytes = [&[6], &plain[..], &rules].concat();
        let link = LinkAt::decode(DomainNumber(0), "a", &bytes).expect("the golden bytes");
        assert_eq!(LinkAt::encode(&link), bytes);
        let branches = link.options.rules.as_ref().expect("rules");
        assert_eq!((branches.list.len(), branches.last_branch, branches.last_variant), (3, 12, 13));
        assert_eq!(branches.list[0].conditions.len(), 6);
        let to = || Destination::from_stored("https://e.test/".into());
        let variants = vec![
            Variant { number: 8, name: None, url: to(), weight: 60 },
            Variant { number: 9, name: Some("v".into()), url: to(), weight: 40 },
        ];
        let split = Branch {
            number: 6,
            name: Some("n".into()),
            enabled: false,
            matches_any: true,
            conditions: Vec::new(),
            outcome: BranchOutcome::Split(Split { variants, sticky: Sticky::Cookie, winner: Some(9) }),
            from: Some(Timestamp::from_millis(1)),
            until: Some(Timestamp::from_millis(2)),
            memo: None,
        };
        assert_eq!(branches.list[1], split);
        assert_eq!(branches.list[2].outcome, BranchOutcome::NotFound);
        // Version 8: a memo of each rule, or none.
        let memos = [&[3, 0, 1][..], &[1, 1, b'd', 1, 50, 1, 1, b'f', 1, 1, 6], &[0]].concat();
        let noted = [&[8], &bytes[1..], &memos].concat();
        let read = LinkAt::decode(DomainNumber(0), "a", &noted).expect("the golden bytes");
        assert_eq!(LinkAt::encode(&read), noted);
        assert_eq!(workspace_of_link(&noted), Some(link.workspace));
        let rules = &read.options.rules.as_ref().expect("rules").list;
        let memo = BranchMemo {
            description: Some("d".into()),
            priority: Some(50),
            form: Some("f".into()),
            rest_follows: true,
            created_at: Some(Timestamp::from_millis(3)),
        };
        assert_eq!((&rules[0].memo, rules[1].memo.as_deref(), &rules[2].memo), (&None, Some(&memo), &None));
        let imported = [&[9, 9], &noted[1..]].concat();
        let staged = Staged::decode(DomainNumber(0), "a", &imported).expect("the golden bytes");
        assert_eq!(Staged::encode(&staged.link, Id::from_bits(9)), imported);
        assert_eq!(workspace_of_link(&imported), Some(link.workspace));
        assert!(LinkAt::decode(DomainNumber(0), "a", &[&noted[..noted.len() - 15], &[0]].concat()).is_err());
        // Version 7, with the id of an import, and version 3 of a tombstone.
        let staged = [&[7, 9], &bytes[1..]].concat();
        let read = Staged::decode(DomainNumber(0), "a", &staged).expect("the golden bytes");
        assert_eq!((format!("{:?}", read.link), read.import), (format!("{link:?}"), Some(Id::from_bits(9))));
        assert_eq!(Staged::encode(&read.link, Id::from_bits(9)), staged);
        assert_eq!(workspace_of_link(&staged), Some(link.workspace));
        let tombstone = [&[3], &bytes[1..], &[0, 1, b'a', 12, 6]].concat();
        let read = Tombstone::decode(&tombstone).expect("the golden bytes");
        assert_eq!((format!("{:?}", read.link), read.clicks), (format!("{link:?}"), 12));
        let again = Tombstone::decode(&read.encode()).expect("just encoded");
        assert_eq!((read.encode()[0], format!("{:?}", again.link)), (4, format!("{link:?}")));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            for version in 1..=9 {
                // With an unknown version, no byte behind it would be read.
                bytes[0] = version;
                let _ = LinkAt::decode(DomainNumber(0), "a", &bytes);
                let _ = Tombstone::decode(&bytes);
            }
        }
    }
}
