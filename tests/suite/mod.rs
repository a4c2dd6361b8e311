//! One module per part of Waypost.

/// The native API: keys and tenants, fields, refusals, lists.
mod admin;
/// Backups.
mod backups;
/// What people see, in Chromium.
mod browser;
/// Campaigns.
mod campaigns;
/// The catalogue of hostile cases, and what proves each.
mod cases;
/// The example of a configuration.
mod config_example;
/// Merge fields and contact links.
mod contacts;
/// Kills at random moments.
mod crash;
/// Credits.
mod credits;
/// Damaged files.
mod damage;
/// Open files do not grow with the data.
mod descriptors;
/// What the vendors document, request by request.
mod dialects;
/// Companies, workspaces and keys as they grow.
mod directory;
/// A full disk.
mod disk_full;
/// `waypost doctor`.
mod doctor;
/// Framing that servers read differently, targets that name nothing, clients that drip.
mod framing;
/// Data folders of earlier versions.
mod golden;
/// What hashing passwords costs.
mod hashing;
/// HighLevel's links: each operation with each failure, one core, lists of any length.
mod highlevel;
/// Logs and tables that were put back from copies.
mod histories;
/// Clients that hold on to what they get.
mod holding;
/// Hostile words in links, requests and keys.
mod hostile;
/// The server over raw sockets: framing, deadlines, caps, drain.
mod http_raw;
/// A POST repeated.
mod idempotency;
/// Commands that were interrupted, folders that were moved.
mod interrupted;
/// What may use what.
mod layers;
/// The binary: starts, refusals, signals, ends.
mod lifecycle;
/// Links with a limit.
mod limits;
/// Linquid's dialect from outside.
mod linquid;
/// One process per data folder, and files that are no files.
mod locks;
/// The log: its contract, power cuts, damage, failing disks.
mod log;
/// The contract of a log, for any engine.
mod log_contract;
/// Redirect loops: rejected when written, ended when visited.
mod loops;
/// The API against a map.
mod model;
/// The native dialect from outside.
mod native;
/// Webhooks in a network with a metadata service.
mod netns;
/// What nodes of one cluster write for themselves.
mod nodes;
/// What the description of the APIs promises.
mod openapi;
/// What operators see.
mod ops;
/// Each option of a link at click time.
mod options;
/// Links with a password.
mod password;
/// Who reads what the program writes.
mod permissions;
/// Every pool has shares for each tenant.
mod pools;
/// What is kept of visitors, and whom they meet.
mod privacy;
/// Many at once.
mod race;
/// The README.
mod readme;
/// What a visitor gets.
mod redirect;
/// Faults that were found once.
mod regression;
/// Keys that are revoked or expire while their requests wait.
mod rights;
/// What searches, filters and sorts may cost.
mod scans;
/// Secrets are heard nowhere.
mod secrets;
/// Snapshots, shares, imports.
mod snapshots;
/// What the program is built from.
mod supply;
/// The table follows the log through reopening, wiping and damage.
mod table;
/// Companies and workspaces do not see each other.
mod tenants;
/// A system that refuses threads.
mod threads;
/// A clock that jumps.
mod time;
/// Server trouble, in every dialect.
mod trouble;
/// What receivers cannot do.
mod webhook_limits;
/// Where webhooks may go.
mod webhook_urls;
/// What receivers are told of clicks.
mod webhooks;
