//! Waypost: a link redirector in one binary.
//!
//! # Invariants
//!
//! Each invariant names the test that checks it. `tests/suite/layers.rs` checks that these tests exist.
//!
//! 1. Every stored short code, domain and destination is valid (`model`: the tests of each type).
//! 2. The log is the source of all data. The table and the cache may be deleted at any moment, and only time is
//!    lost (`suite::table::t107_the_table_is_the_log`).
//! 3. A counter is dropped only after it is drained and the table has its total
//!    (`cache::tests::a_counter_outlives_its_entry_until_it_is_drained`).
//! 4. Every write reaches the log first, then the table, then the cache (`suite::redirect`: an edit, then a
//!    click).
//! 5. A redirect from the cache does no I/O, holds no lock across an await, boxes nothing and logs nothing.
//! 6. The words of a vendor occur only in its dialect and its file format. The bytes on disk are known only in
//!    `log/frame.rs`, `table/record` and `analytics` (`suite::layers`).
//! 7. A clean stop loses no click. A crash loses the clicks of one flush interval at most (`suite::crash`). A
//!    Change that is applied twice has the effect of one (`suite::table`).
//! 8. A panic ends one request, with 500 (`http::service`).
//! 9. Expiry is decided when a link is read, from `now`
//!    (`model::link::tests::status_depends_on_now_and_clicks`).
//! 10. Requests for unknown codes take bounded memory: no metric label, no log line above debug, a bounded
//!     cache of absent codes (`cache::tests::absence_is_remembered_until_the_link_is_made_and_bounded`).
//! 11. No request that a tenant causes reaches a private network, for any answer of the name server
//!     (`suite::webhook_limits::t84_private_receivers_are_not_connected_to`,
//!     `suite::checks::private_networks_get_no_request`,
//!     `suite::certificate_faults::names_of_tenants_do_not_tell_what_is_in_this_network`). No redirect waits for such a
//!     request (`suite::webhook_limits::t88_a_full_queue_drops_and_counts_and_no_redirect_waits`).
//! 12. A workspace creates exactly as many links as it has credits, under concurrency
//!     (`suite::credits::parallel_requests_create_exactly_as_many_links_as_there_are_credits`) and across
//!     crashes (`suite::credits::a_kill_neither_loses_nor_adds_a_credit`).
//! 13. `maxClicks` is never exceeded, under concurrency
//!     (`suite::limits::many_at_once_get_exactly_the_limit`) and across crashes
//!     (`suite::limits::a_kill_wastes_a_reservation_and_never_exceeds_the_limit`).
//! 14. `explain` describes what a click does (`suite::options::each_option_does_what_explain_says`,
//!     `suite::rules::an_explanation_is_what_the_click_does`).
//! 15. No route of an API reveals one company to another
//!     (`suite::tenants::no_route_reveals_another_company`).
//! 16. The details of each click are found once: after merges, a compaction of the log, and a power cut at any sync
//!     (`suite::click_store::a_power_cut_at_any_sync_loses_and_doubles_nothing`).
//!
// The map and the walks have one source, so that this page and the document cannot differ.
#![doc = include_str!("../docs/architecture.md")]

pub mod agents;
pub mod analytics;
pub mod app;
pub(crate) mod authorities;
pub mod cache;
pub mod certificates;
pub mod checks;
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
pub(crate) mod outbound;
pub(crate) mod own_address;
pub mod private_files;
pub mod qr;
pub mod readiness;
pub mod settings;
pub mod table;
pub(crate) mod users;
pub mod visit;
pub mod webhooks;
