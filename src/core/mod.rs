//! Links and what they belong to. Every write passes through this part, in the order log, table, cache. Every
//! lookup of a redirect starts here.
//!
//! [`Core`] and its handles [`Links`], [`Tenants`], [`Snapshots`] and [`ClickLog`] are cheap to clone. Their
//! commands take a [`Context`]: on whose behalf, in which workspace, under which idempotency claim. They know
//! no HTTP and no vendor.
//!
//! Files of this part import from the file that defines a name, never from this one.

mod analytics;
mod choices;
mod click_shares;
pub mod clicks;
mod commit;
mod context;
pub mod deny_list;
mod error;
mod exclusive;
mod follow;
mod handle;
pub mod history;
mod idempotency;
mod link_facets;
mod link_index;
pub mod links;
mod live;
mod period;
mod pools;
mod revision;
mod settings;
mod shared;
mod site;
mod snapshots;
mod start;
mod sweep;
pub mod tenants;
mod view;

pub use self::analytics::{
    About, AnalyticsQuery, AnalyticsView, ROWS_MAX as ANALYTICS_ROWS_MAX, link_of as link_of_row,
};
pub use self::choices::{VariantShare, VariantShares};
pub use self::click_shares::{CLICK_SHARES_MAX, ClickShareView, SharedStatistics, SharedTitle};
pub use self::context::{Claim, Client, Context};
pub use self::error::{BuildError, Error};
pub use self::handle::{ClickLog, Core, Links, Parts, Snapshots, Tenants};
pub use self::history::deleted::{DeletedLink, DeletedPage, DeletedQuery};
pub use self::history::list::{AuditPage, AuditQuery, AuditView, KeyFilter};
pub use self::history::revisions::{
    Author, HISTORY_BYTES_MAX, HistoryPage, HistoryRange, LinkState, RevisionView,
};
pub use self::history::settings::Settings as HistorySettings;
pub use self::idempotency::{Created, Previous};
pub use self::link_facets::{FacetNames, NamedFilter};
pub use self::links::bulk::{Bulk, ROWS_MAX};
pub use self::links::health::LinkToCheck;
pub use self::links::import::{Import, Imported, ImportedNotes, OnConflict};
pub use self::links::list::LINK_BYTES_MAX;
pub use self::links::query::{Cursor, LIMIT_DEFAULT, LIMIT_MAX, LinkQuery, Page, RankedPlace, Sort};
pub use self::links::rule_edits::{RulePage, RuleView};
pub use self::links::state_filter::StateFilter;
pub use self::links::stream::{LinkStream, ListRange, STREAM_BYTES_MAX};
pub use self::live::{LiveEvent, LiveLinks, LiveStream};
pub use self::period::Period;
pub use self::pools::cpu_pool::heavy_threads;
pub use self::pools::loader::Resolved;
pub use self::revision::{ObjectRevision, Revisions};
pub use self::settings::Settings;
pub use self::site::Site;
pub use self::snapshots::import::ImportFilter;
pub use self::snapshots::share::SharePage;
pub use self::snapshots::view::{ImportView, ShareView, SnapshotView};
pub use self::start::{Bootstrap, BootstrapError, KEY_FILE, KeyFile};
pub use self::tenants::caller::{Caller, Credential};
pub use self::tenants::campaigns::{CAMPAIGNS_MAX, Paging};
pub use self::tenants::contacts::{CONTACT_PATH, Rendered};
pub use self::tenants::sessions::{SESSIONS_MAX, SignedIn};
pub use self::tenants::tags::TAGS_MAX;
pub use self::view::{
    AliasView, BulkView, CampaignPage, CampaignView, DomainView, FailedRow, HealthView, KeyView, LinkView,
    RecentView, WebhookSecretView, WorkspaceView,
};
