//! Waypost: a link redirector in one binary.
//!
//! # The map
//!
//! Each part uses only what stands before it (`tests/suite/layers.rs` keeps it so):
//!
//! | part | owns | knows nothing of |
//! |---|---|---|
//! | [`settings`], [`clock`], [`readiness`], [`descriptors`], [`private_files`] | how settings are spelt, the time, what is waited for, shares of open files, modes and locks of files | anything else |
//! | [`model`] | the words as types: short codes, destinations, links, keys | I/O, serde, async, the clock |
//! | [`json`] | JSON that is read strictly and written | what the members mean |
//! | [`fair`] | shares of the resources that tenants hold together | what the resources are |
//! | [`log`] | the truth: Changes, in order, durable | what its bytes mean |
//! | [`clicks`] | live counters of links, and reservations of limited ones | the log, beside its positions |
//! | [`table`] | the log's state in sled: look-ups, lists, records' bytes | requests |
//! | [`cache`] | compiled links in memory | the disk |
//! | [`core`] | every command and every look-up; the way log, table, cache | HTTP, vendors |
//! | [`formats`] | files of links that are exported and imported, one file per program | HTTP |
//! | [`webhooks`] | what receivers are told of clicks: queue, signatures, private networks | who clicks, and how |
//! | [`visit`] | what a click does, rule by rule | the APIs |
//! | [`http`] | the accept loop, the APIs, one folder per vendor | sled, the log's files |
//! | [`config`], [`app`], [`cli`] | settings nested; start and stop; the command line | |
//! | `fuzz` | what must hold for any bytes; compiled for tests and fuzzers only | |
//!
//! # A redirect
//!
//! [`http::conn::server`] reads the head, [`http::service`] checks Host and target and sees that the path
//! is no API's; [`visit::Visitor`] finds the domain and the code's canonical spelling, remembers who
//! asks by the User-Agent, and asks the [`cache`]. A hit on a plain link is answered inside that
//! look-up: one hash, one probe, one relaxed add, a head with a ready `Location`. A miss has one
//! of a few threads kept for it read the [`table`], once for however many wait ([`core::Links::load`]),
//! compile the link and keep it. A link that is not plain is decided by the rules in [`visit`], in their order;
//! one with a limit takes a click that the log already holds ([`clicks::reservations`]).
//!
//! # A create
//!
//! [`http::api`] knows the caller and has a dialect turn bytes into a command; [`core`] checks the
//! draft against the model's rules, draws an id, and hands the [`log`] a proposal: what it relies
//! on, what it writes. The log's one writer decides it, appends it with whatever else waits, and
//! syncs once. The table's one thread applies it and tells the cache to forget; then the caller
//! hears 201.
//!
//! # What always holds, and the test that keeps it
//!
//! 1. A short code, domain or destination that exists is valid (`model`: properties of each).
//! 2. The log is the truth; the table may be deleted and the cache dropped at any moment, and only
//!    time is lost (`suite::table::t107_the_table_is_the_log`).
//! 3. A counter is forgotten only after it is drained and the table has its total
//!    (`cache::tests::a_counter_outlives_its_entry_until_it_is_drained`).
//! 4. Every write goes log, table, cache, in that order (`suite::redirect`: edit, then click).
//! 5. The hit path does no I/O, takes no lock across an await, boxes nothing, logs nothing.
//! 6. Vendor words only in that vendor's dialect and formats; disk bytes only in `log/frame.rs` and
//!    `table/record` (`suite::layers`).
//! 7. Clean stop: no click lost; crash: one flush interval at most (`suite::crash`). Applying a
//!    Change twice is harmless (`suite::table`).
//! 8. One request's panic ends one request with 500 (`http::service`).
//! 9. Expiry is decided on read, from `now` (`model::link::tests::status_depends_on_now_and_clicks`).
//! 10. Unknown codes cost bounded memory: no metric label, no log line above debug, a bounded
//!     negative cache (`cache::tests::absence_is_remembered_until_the_link_is_made_and_bounded`).
//! 11. No request that others order reaches a private network, whatever its name resolves to
//!     (`suite::webhook_limits::t84_private_receivers_are_not_connected_to`), and no redirect waits for one
//!     (`suite::webhook_limits::t88_a_full_queue_drops_and_counts_and_no_redirect_waits`).
//! 12. A workspace with credits makes exactly as many links as it has, whoever races
//!     (`suite::credits::parallel_requests_create_exactly_as_many_links_as_there_are_credits`) and whatever crashes
//!     (`suite::credits::a_kill_neither_loses_nor_adds_a_credit`).
//!
//! 13. `maxClicks` is never exceeded, whoever races and whatever crashes
//!     (`suite::limits::many_at_once_get_exactly_the_limit`,
//!     `suite::limits::a_kill_wastes_a_reservation_and_never_exceeds_the_limit`).
//! 14. What a click does is what `explain` says (`suite::options::each_option_does_what_explain_says`).
//! 15. No route of any API tells one company of another
//!     (`suite::tenants::no_route_reveals_another_company`).
//!
//! # Where things go
//!
//! A vendor's API: a folder in `http/api`, one line in `DIALECTS`, its description in
//! `http/api/openapi`, its transcripts in `tests/suite/dialects`. A file format of links: a file in
//! `formats`, one line in `FORMATS`. A log engine: a file in `log`. A
//! field of a link: `model/link.rs`, a new version in `table/record/link.rs`, the dialects that speak
//! it. A rule at click time: a file in `visit`, one line in `visit/rules.rs`. A setting: the module's
//! `Settings`, and `config.example.toml`.
//!
//! # Departures
//!
//! The layout is the one the founders drew, with these differences: `cli` stands right of `app`,
//! which it starts; `log` is split by concept, since one file of it would be too long to read;
//! the cache drops entries on edits of domains and workspaces instead of comparing generations,
//! so that the hit path pays nothing for a rare event.

pub mod app;
pub mod cache;
pub mod cli;
pub mod clicks;
pub mod clock;
pub mod config;
pub mod core;
pub mod descriptors;
pub mod fair;
pub mod formats;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod json;
pub mod log;
pub mod model;
pub mod private_files;
pub mod readiness;
pub mod settings;
pub mod table;
pub mod visit;
pub mod webhooks;
