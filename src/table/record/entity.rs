//! Records of domains, workspaces, companies, API keys and tags, and of the table's own position.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attachment::QrStyleV1;
use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::log::{Fingerprint, Position};
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber, HostName};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{ApiKey, Reach, Scopes, SecretHash};
use crate::model::qr_style::QrStyle;
use crate::model::tag::Tag;
use crate::model::workspace::{Company, Workspace, WorkspaceNumber};

/// Reads an id of a vendor.
pub(super) fn foreign(id: &str) -> Result<ForeignId, Corrupt> {
    // Parsed again: a wrong id must not become a key.
    ForeignId::parse("id", id).map_err(|error| Corrupt(error.to_string()))
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Implements [`Stored`] for a type of which one version exists.
macro_rules! stored {
    ($model:ty, $v1:ty, $name:literal) => {
        impl Stored for $model {
            fn encode(&self) -> Vec<u8> {
                // bincode has no versions: this byte decides how the rest is read.
                write(1, &<$v1>::from_model(self))
            }

            fn decode(bytes: &[u8]) -> Result<$model, Corrupt> {
                match version(bytes)? {
                    (1, rest) => read::<$v1>(rest)?.into_model(),
                    (other, _) => unknown($name, other),
                }
            }
        }
    };
}

stored!(Company, CompanyV1, "a company");
stored!(ApiKey, ApiKeyV1, "an API key");
stored!(Tag, TagV1, "a tag");
stored!(TagName, TagNameV1, "a tag's name");
stored!(CompanyId, CompanyIdV1, "a company's id");
stored!(Number, NumberV1, "a number");
stored!(Applied, AppliedV1, "the applied position");

impl Stored for Workspace {
    fn encode(&self) -> Vec<u8> {
        // The first version that fits, so that an earlier version of the program reads all other workspaces.
        let first = WorkspaceV1::from_model(self);
        let (statistics, timezone) = (self.statistics, self.timezone.clone());
        if self.check_links {
            let qr = QrStyleV1::from_model(&self.qr);
            let fourth = WorkspaceV4 { first, statistics, timezone, qr };
            return write(5, &WorkspaceV5 { fourth, check_links: true });
        }
        if self.qr != QrStyle::default() {
            let qr = QrStyleV1::from_model(&self.qr);
            return write(4, &WorkspaceV4 { first, statistics, timezone, qr });
        }
        match timezone {
            None if statistics => write(1, &first),
            None => write(2, &WorkspaceV2 { first, statistics }),
            Some(timezone) => write(3, &WorkspaceV3 { first, statistics, timezone }),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Workspace, Corrupt> {
        match version(bytes)? {
            (1, rest) => read::<WorkspaceV1>(rest)?.into_model(true, None, QrStyle::default()),
            (2, rest) => {
                let WorkspaceV2 { first, statistics } = read(rest)?;
                first.into_model(statistics, None, QrStyle::default())
            }
            (3, rest) => {
                let WorkspaceV3 { first, statistics, timezone } = read(rest)?;
                first.into_model(statistics, Some(timezone), QrStyle::default())
            }
            (4, rest) => read::<WorkspaceV4>(rest)?.into_model(),
            (5, rest) => {
                let WorkspaceV5 { fourth, check_links } = read(rest)?;
                Ok(Workspace { check_links, ..fourth.into_model()? })
            }
            (other, _) => unknown("a workspace", other),
        }
    }
}

impl Stored for Domain {
    fn encode(&self) -> Vec<u8> {
        let Domain { show_destination, public_qr, ref qr, apple_apps, android_apps, .. } = *self;
        let second = DomainV2 { first: DomainV1::from_model(self), show_destination };
        // Version 3 only if needed, so that an earlier version of the program reads all other domains.
        if !public_qr && !apple_apps && !android_apps && *qr == QrStyle::default() {
            return write(2, &second);
        }
        write(3, &DomainV3 { second, public_qr, qr: QrStyleV1::from_model(qr), apple_apps, android_apps })
    }

    fn decode(bytes: &[u8]) -> Result<Domain, Corrupt> {
        match version(bytes)? {
            (1, rest) => read::<DomainV1>(rest)?.into_model(false),
            (2, rest) => {
                let DomainV2 { first, show_destination } = read(rest)?;
                first.into_model(show_destination)
            }
            (3, rest) => {
                let DomainV3 { second, public_qr, qr, apple_apps, android_apps } = read(rest)?;
                let domain = second.first.into_model(second.show_destination)?;
                Ok(Domain { public_qr, qr: qr.into_model(), apple_apps, android_apps, ..domain })
            }
            (other, _) => unknown("a domain", other),
        }
    }
}

/// Version 3: version 2, the pictures of QR codes, and the files of app links.
#[derive(Serialize, Deserialize)]
struct DomainV3 {
    second: DomainV2,
    public_qr: bool,
    qr: QrStyleV1,
    apple_apps: bool,
    android_apps: bool,
}

/// Version 2: version 1, and whether `/CODE+` shows where a link leads.
#[derive(Serialize, Deserialize)]
struct DomainV2 {
    first: DomainV1,
    show_destination: bool,
}

#[derive(Serialize, Deserialize)]
struct DomainV1 {
    number: u32,
    id: u128,
    // `None` for the default domain, whose name is in the configuration.
    name: Option<Box<str>>,
    // `None` for the default domain, which all workspaces use.
    workspace: Option<u32>,
    base_url: Option<Box<str>>,
    case_sensitive: bool,
    not_found_url: Option<Box<str>>,
    expired_url: Option<Box<str>>,
    root_url: Option<Box<str>>,
    verified_at: Option<i64>,
    created_at: i64,
}

impl DomainV1 {
    fn from_model(domain: &Domain) -> DomainV1 {
        let text = |url: &Option<Destination>| url.as_ref().map(|url| url.as_str().into());
        DomainV1 {
            number: domain.number.0,
            id: domain.id.bits(),
            name: domain.name.as_ref().map(|name| name.as_str().into()),
            workspace: domain.workspace.map(|workspace| workspace.0),
            base_url: text(&domain.base_url),
            case_sensitive: domain.case_sensitive,
            not_found_url: text(&domain.not_found_url),
            expired_url: text(&domain.expired_url),
            root_url: text(&domain.root_url),
            verified_at: domain.verified_at.map(Timestamp::as_millis),
            created_at: domain.created_at.as_millis(),
        }
    }

    fn into_model(self, show_destination: bool) -> Result<Domain, Corrupt> {
        let name = self.name.map(|name| HostName::parse("name", &name)).transpose();
        Ok(Domain {
            number: DomainNumber(self.number),
            id: Id::from_bits(self.id),
            name: name.map_err(|error| Corrupt(error.to_string()))?,
            workspace: self.workspace.map(WorkspaceNumber),
            // Not parsed again: rules may have become stricter, and stored domains keep working.
            base_url: self.base_url.map(Destination::from_stored),
            case_sensitive: self.case_sensitive,
            not_found_url: self.not_found_url.map(Destination::from_stored),
            expired_url: self.expired_url.map(Destination::from_stored),
            root_url: self.root_url.map(Destination::from_stored),
            show_destination,
            public_qr: false,
            qr: QrStyle::default(),
            apple_apps: false,
            android_apps: false,
            verified_at: self.verified_at.map(time),
            created_at: time(self.created_at),
        })
    }
}

/// Version 5: version 4, and whether destinations are checked.
#[derive(Serialize, Deserialize)]
struct WorkspaceV5 {
    fourth: WorkspaceV4,
    check_links: bool,
}

/// Version 4: version 3, whose time zone may be missing, and how QR codes look.
#[derive(Serialize, Deserialize)]
struct WorkspaceV4 {
    first: WorkspaceV1,
    statistics: bool,
    timezone: Option<Box<str>>,
    qr: QrStyleV1,
}

impl WorkspaceV4 {
    fn into_model(self) -> Result<Workspace, Corrupt> {
        let WorkspaceV4 { first, statistics, timezone, qr } = self;
        first.into_model(statistics, timezone, qr.into_model())
    }
}

/// Version 3: version 2, and the name of a time zone.
#[derive(Serialize, Deserialize)]
struct WorkspaceV3 {
    first: WorkspaceV1,
    statistics: bool,
    timezone: Box<str>,
}

/// Version 2: version 1, and whether details of clicks are captured.
#[derive(Serialize, Deserialize)]
struct WorkspaceV2 {
    first: WorkspaceV1,
    statistics: bool,
}

#[derive(Serialize, Deserialize)]
struct WorkspaceV1 {
    number: u32,
    id: Box<str>,
    company: Box<str>,
    name: Box<str>,
    // As last set. What is left is a record of its own, which changes with each link.
    credits: Option<u64>,
    default_domain: Option<u128>,
    // Sorted, so that equal values have equal bytes.
    custom_values: BTreeMap<Box<str>, Box<str>>,
    created_at: i64,
}

impl WorkspaceV1 {
    fn from_model(workspace: &Workspace) -> WorkspaceV1 {
        WorkspaceV1 {
            number: workspace.number.0,
            id: workspace.id.as_str().into(),
            company: workspace.company.as_str().into(),
            name: workspace.name.clone(),
            credits: workspace.credits,
            default_domain: workspace.default_domain.map(Id::bits),
            custom_values: workspace.custom_values.clone(),
            created_at: workspace.created_at.as_millis(),
        }
    }

    fn into_model(
        self,
        statistics: bool,
        timezone: Option<Box<str>>,
        qr: QrStyle,
    ) -> Result<Workspace, Corrupt> {
        Ok(Workspace {
            number: WorkspaceNumber(self.number),
            id: foreign(&self.id)?,
            company: foreign(&self.company)?,
            name: self.name,
            credits: self.credits,
            default_domain: self.default_domain.map(Id::from_bits),
            custom_values: self.custom_values,
            statistics,
            timezone,
            qr,
            check_links: false,
            created_at: time(self.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct CompanyV1 {
    id: Box<str>,
    name: Box<str>,
    relationship_number: Box<str>,
    created_at: i64,
}

impl CompanyV1 {
    fn from_model(company: &Company) -> CompanyV1 {
        CompanyV1 {
            id: company.id.as_str().into(),
            name: company.name.clone(),
            relationship_number: company.relationship_number.clone(),
            created_at: company.created_at.as_millis(),
        }
    }

    fn into_model(self) -> Result<Company, Corrupt> {
        Ok(Company {
            id: foreign(&self.id)?,
            name: self.name,
            relationship_number: self.relationship_number,
            created_at: time(self.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum ReachV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Instance,
    Company(Box<str>),
    Workspace(u32),
}

#[derive(Serialize, Deserialize)]
struct ApiKeyV1 {
    id: u128,
    name: Box<str>,
    reach: ReachV1,
    // One bit for each scope. A scope that is added later is off in older keys.
    scopes: u8,
    create_only: bool,
    expires_at: Option<i64>,
    // The secret itself is stored nowhere.
    hash: [u8; 32],
    hint: Box<str>,
    created_at: i64,
}

impl ApiKeyV1 {
    fn from_model(key: &ApiKey) -> ApiKeyV1 {
        ApiKeyV1 {
            id: key.id.bits(),
            name: key.name.clone(),
            reach: match &key.reach {
                Reach::Instance => ReachV1::Instance,
                Reach::Company(id) => ReachV1::Company(id.as_str().into()),
                Reach::Workspace(number) => ReachV1::Workspace(number.0),
            },
            scopes: key.scopes.bits(),
            create_only: key.create_only,
            expires_at: key.expires_at.map(Timestamp::as_millis),
            hash: key.hash.0,
            hint: key.hint.clone(),
            created_at: key.created_at.as_millis(),
        }
    }

    fn into_model(self) -> Result<ApiKey, Corrupt> {
        Ok(ApiKey {
            id: Id::from_bits(self.id),
            name: self.name,
            reach: match self.reach {
                ReachV1::Instance => Reach::Instance,
                ReachV1::Company(id) => Reach::Company(foreign(&id)?),
                ReachV1::Workspace(number) => Reach::Workspace(WorkspaceNumber(number)),
            },
            scopes: Scopes::from_bits(self.scopes),
            create_only: self.create_only,
            expires_at: self.expires_at.map(time),
            hash: SecretHash(self.hash),
            hint: self.hint,
            created_at: time(self.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct TagV1 {
    id: u128,
    workspace: u32,
    name: Box<str>,
    color: Box<str>,
    created_at: i64,
}

impl TagV1 {
    fn from_model(tag: &Tag) -> TagV1 {
        TagV1 {
            id: tag.id.bits(),
            workspace: tag.workspace.0,
            name: tag.name.clone(),
            color: tag.color.clone(),
            created_at: tag.created_at.as_millis(),
        }
    }

    #[allow(clippy::unnecessary_wraps)] // The macro needs this signature: other types can fail.
    fn into_model(self) -> Result<Tag, Corrupt> {
        Ok(Tag {
            id: Id::from_bits(self.id),
            workspace: WorkspaceNumber(self.workspace),
            name: self.name,
            color: self.color,
            created_at: time(self.created_at),
        })
    }
}

/// The tag whose name is the record's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagName(pub Id);

#[derive(Serialize, Deserialize)]
struct TagNameV1(u128);

impl TagNameV1 {
    fn from_model(name: &TagName) -> TagNameV1 {
        TagNameV1(name.0.bits())
    }

    #[allow(clippy::unnecessary_wraps)] // The macro needs this signature: other types can fail.
    fn into_model(self) -> Result<TagName, Corrupt> {
        Ok(TagName(Id::from_bits(self.0)))
    }
}

/// The company whose relationship number is the record's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyId(pub ForeignId);

#[derive(Serialize, Deserialize)]
struct CompanyIdV1(Box<str>);

impl CompanyIdV1 {
    fn from_model(id: &CompanyId) -> CompanyIdV1 {
        CompanyIdV1(id.0.as_str().into())
    }

    fn into_model(self) -> Result<CompanyId, Corrupt> {
        foreign(&self.0).map(CompanyId)
    }
}

/// A number: of the domain whose name, or of the workspace whose id, is the record's key. Also a counter, or
/// the credits of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub u64);

#[derive(Serialize, Deserialize)]
struct NumberV1(u64);

impl NumberV1 {
    #[allow(clippy::trivially_copy_pass_by_ref)] // The macro needs this signature.
    fn from_model(number: &Number) -> NumberV1 {
        NumberV1(number.0)
    }

    #[allow(clippy::unnecessary_wraps)] // The macro needs this signature: other types can fail.
    fn into_model(self) -> Result<Number, Corrupt> {
        Ok(Number(self.0))
    }
}

/// The position of the table. Written last, after all records of the Change at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The id of the log.
    pub log: u128,
    /// The last applied position.
    pub position: Position,
    /// The log's fingerprint at this position.
    pub fingerprint: Fingerprint,
}

#[derive(Serialize, Deserialize)]
struct AppliedV1 {
    // A table beside another log is not used.
    log: u128,
    position: u64,
    count: u64,
    sum: u128,
}

impl AppliedV1 {
    fn from_model(applied: &Applied) -> AppliedV1 {
        let Applied { log, position, fingerprint } = *applied;
        AppliedV1 { log, position: position.0, count: fingerprint.count, sum: fingerprint.sum }
    }

    #[allow(clippy::unnecessary_wraps)] // The macro needs this signature: other types can fail.
    fn into_model(self) -> Result<Applied, Corrupt> {
        let fingerprint = Fingerprint { count: self.count, sum: self.sum };
        Ok(Applied { log: self.log, position: Position(self.position), fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::attachment::AttachmentFormat;
    use crate::model::color::Rgb;
    use crate::table::record::{OutcomeRecord, StoredBulk, StoredOutcome};

    #[test]
    fn every_entity_survives() {
        let at = time(1_700_000_000_000);
        let id = |text: &str| ForeignId::parse("id", text).expect("a valid id");
        let domain = Domain {
            number: DomainNumber(4),
            id: Id::from_bits(8),
            name: HostName::parse("name", "go.example.com").ok(),
            workspace: Some(WorkspaceNumber(2)),
            base_url: None,
            case_sensitive: true,
            not_found_url: Destination::parse_web("url", "https://e.test/404").ok(),
            expired_url: None,
            root_url: Destination::parse_web("url", "https://e.test/").ok(),
            show_destination: true,
            public_qr: false,
            qr: QrStyle::default(),
            apple_apps: false,
            android_apps: false,
            verified_at: Some(at),
            created_at: at,
        };
        assert_eq!(Domain::decode(&domain.encode()).ok(), Some(domain.clone()));
        // Versions are written as late as possible, and each is read.
        assert_eq!(domain.encode()[0], 2);
        let style =
            QrStyle { foreground: Some(Rgb([1, 2, 3])), background: None, logo: Some(AttachmentFormat::Svg) };
        let with_files = Domain {
            public_qr: true,
            qr: style.clone(),
            apple_apps: true,
            android_apps: false,
            ..domain.clone()
        };
        let bytes = with_files.encode();
        // The bytes are on disks: the style and the flags are last.
        assert_eq!((bytes[0], &bytes[bytes.len() - 10..]), (3, &[1, 1, 1, 2, 3, 0, 1, 1, 1, 0][..]));
        assert_eq!(Domain::decode(&bytes).ok(), Some(with_files));
        // As a version before the newest one wrote it.
        let old = write(1, &DomainV1::from_model(&domain));
        let read = Domain { show_destination: false, ..domain };
        assert_eq!(Domain::decode(&old).ok(), Some(read));
        let workspace = Workspace {
            number: WorkspaceNumber(2),
            id: id("ve9EPM428h8vShlRW1KT"),
            company: id("co_1"),
            name: "Main".into(),
            // No credits left, which is not the same as `None`, without a limit.
            credits: Some(0),
            default_domain: Some(Id::from_bits(8)),
            custom_values: BTreeMap::from([("offer".into(), "https://e.test/".into())]),
            statistics: true,
            timezone: None,
            qr: QrStyle::default(),
            check_links: false,
            created_at: at,
        };
        // As an earlier version wrote it, and reads it.
        assert_eq!(workspace.encode(), write(1, &WorkspaceV1::from_model(&workspace)));
        let quiet = Workspace { statistics: false, ..workspace.clone() };
        let zoned = Workspace { timezone: Some("Europe/Berlin".into()), ..workspace.clone() };
        let both = Workspace { statistics: false, ..zoned.clone() };
        let styled = Workspace { qr: style, ..quiet.clone() };
        let all = Workspace { qr: styled.qr.clone(), ..both.clone() };
        let checked = Workspace { check_links: true, ..workspace.clone() };
        let bytes = checked.encode();
        // The bytes are on disks: statistics, no time zone, no style, and the new flag are last.
        assert_eq!((bytes[0], &bytes[bytes.len() - 6..]), (5, &[1, 0, 0, 0, 0, 1][..]));
        let all_checked = Workspace { check_links: true, ..all.clone() };
        assert_eq!([&quiet, &both, &styled].map(|workspace| workspace.encode()[0]), [2, 3, 4]);
        for workspace in [workspace, quiet, zoned, both, styled, all, checked, all_checked] {
            assert_eq!(Workspace::decode(&workspace.encode()).ok(), Some(workspace));
        }
        let company = Company {
            id: id("co_1"),
            name: "Agency".into(),
            relationship_number: "0-128-926".into(),
            created_at: at,
        };
        assert_eq!(Company::decode(&company.encode()).ok(), Some(company));
        let tag = Tag {
            id: Id::from_bits(3),
            workspace: WorkspaceNumber(2),
            name: "promo".into(),
            color: "#6b7280".into(),
            created_at: at,
        };
        assert_eq!(Tag::decode(&tag.encode()).ok(), Some(tag));
        let applied =
            // The longest number.
            Applied { log: 9, position: Position(5), fingerprint: Fingerprint { count: 2, sum: u128::MAX } };
        assert_eq!(Applied::decode(&applied.encode()).ok(), Some(applied));
        let outcome = StoredOutcome::Bulk(StoredBulk {
            workspace: WorkspaceNumber(2),
            links: vec![Id::from_bits(1)],
            failed: vec![(3, Some("x".into()), "taken".into())],
            done: 4,
            of: 9,
        });
        let record = OutcomeRecord { body: [7; 16], at, outcome };
        assert_eq!(OutcomeRecord::decode(&record.encode()).ok(), Some(record));
    }

    #[test]
    fn a_key_survives_with_its_hash() {
        for reach in [Reach::Instance, Reach::Workspace(WorkspaceNumber(1))] {
            let key = ApiKey {
                id: Id::from_bits(1),
                name: "ci".into(),
                reach: reach.clone(),
                scopes: Scopes::all(),
                create_only: true,
                expires_at: None,
                hash: SecretHash([9; 32]),
                hint: "wp_abc".into(),
                created_at: time(1),
            };
            // `ApiKey` has no `==`, because of its hash.
            let again = ApiKey::decode(&key.encode()).expect("just encoded");
            assert_eq!((again.hash.0, again.reach, again.scopes), ([9; 32], reach, Scopes::all()));
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        // A version that no program has written yet.
        let error = Tag::decode(&[200, 1, 2]).map_err(|error| error.to_string());
        let want = "not a record: a tag of version 200, written by a newer Waypost";
        assert_eq!(error.err().as_deref(), Some(want));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            // With an unknown version, no byte behind it would be read.
            bytes[0] = 1;
            let _ = Domain::decode(&bytes);
            let _ = Workspace::decode(&bytes);
            let _ = Company::decode(&bytes);
            let _ = ApiKey::decode(&bytes);
            let _ = Tag::decode(&bytes);
            let _ = OutcomeRecord::decode(&bytes);
            let _ = Applied::decode(&bytes);
        }
    }
}
