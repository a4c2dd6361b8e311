//! One module per part of Waypost.

/// Short URLs that change.
mod addresses;
/// Click analytics through the API.
mod analytics;
/// Who may ask about clicks, and which clicks have no details.
mod analytics_access;
/// Filters of questions about clicks, and rows by what links have.
mod analytics_filters;
/// Backups.
mod backups;
/// Bounds on what tenants keep.
mod bounds;
/// Pages as people see them, in Chromium.
mod browser;
/// Campaigns.
mod campaigns;
/// The catalogue of hostile cases, and a check that each has a test.
mod cases;
/// Certificates of an authority.
mod certificate_faults;
mod certificate_files;
mod certificate_time;
mod certificates;
/// Checks of the destinations of links.
mod checks;
/// The commands that are clients of a server.
mod click_backups;
mod click_exports;
/// Shares of statistics.
mod click_shares;
mod click_store;
mod client;
/// Commands on files and data folders.
mod commands;
/// The example configuration.
mod config_example;
/// Merge fields and contact links.
mod contacts;
/// Kills at random moments.
mod crash;
/// Credits.
mod credits;
/// Damaged files.
mod damage;
/// The dashboard over HTTP.
mod dashboard;
/// The dashboard in a browser.
mod dashboard_browser;
/// The screens of the dashboard for tags, domains, keys, workspaces and settings.
mod dashboard_organize;
/// The statistics of the dashboard.
mod dashboard_statistics;
/// Changes of many links, files, imports, snapshots and shares in the dashboard.
mod dashboard_transfer;
/// The demo.
mod demo;
/// The deny list of destination hosts.
mod denied;
/// Open files do not grow with the data.
mod descriptors;
/// The examples of the vendors' documentation, request by request.
mod dialects;
/// Companies, workspaces, domains and tags.
mod directory;
/// A full disk.
mod disk_full;
/// `waypost doctor`.
mod doctor;
mod doctor_https;
/// The fields of a link.
mod fields;
/// Framing that servers read differently, malformed targets, slow clients.
mod framing;
/// Data folders of earlier versions.
mod golden;
/// The costs of hashing passwords.
mod hashing;
/// HighLevel's dialect from outside.
mod highlevel;
/// Logs and tables that were restored by hand.
mod histories;
mod history;
/// Clients that occupy responses and requests without finishing them.
mod holding;
/// Hostile values in links, requests and keys.
mod hostile;
/// HTTP/2: its requests, its limits, and attacks on it.
mod http2;
mod http2_clients;
/// The server over raw sockets: framing, deadlines, limits, drain.
mod http_raw;
/// HTTPS: handshakes, certificates of the owner, and the redirect from HTTP.
mod https;
/// curl, OpenSSL and Python as clients of HTTPS.
mod https_clients;
/// Repeated POSTs.
mod idempotency;
/// Files of an installation, and configuration of other programs.
mod installing;
/// Commands that were interrupted, and folders that were moved.
mod interrupted;
/// API keys: credentials, scopes, expiry.
mod keys;
/// The order of the parts.
mod layers;
/// The binary: starts, refusals, signals, ends.
mod lifecycle;
/// Links with a limit.
mod limits;
/// Linquid's dialect from outside.
mod linquid;
/// Linquid's rules from outside.
mod linquid_rules;
/// Lists of links, and creation in bulk.
mod list_index;
mod lists;
/// Clicks of this moment as server-sent events.
mod live;
/// One process per data folder, and special files.
mod locks;
/// The contract of a log, for any engine.
mod log_contract;
/// The log in files: power cuts, damage, failing disks.
mod log_local;
/// Redirect loops: rejected when written, ended when visited.
mod loops;
/// Manners of the APIs: newlines, paths by code, unknown fields.
mod manners;
/// The API, compared with a map.
mod model;
/// The native dialect from outside.
mod native;
/// Webhooks in a network with a metadata service.
mod netns;
/// Records that each node of a cluster writes for itself.
mod nodes;
/// The OpenAPI description is true.
mod openapi;
/// What an operator meets at the edges: lost outputs, other users, imports.
mod operators;
/// Health, readiness and metrics.
mod ops;
/// Each option of a link at click time.
mod options;
/// Links with a password.
mod password;
/// The permissions of files that the program writes.
mod permissions;
/// Every pool has shares for each tenant.
mod pools;
/// Data about visitors, and third parties.
mod privacy;
/// The words of the documents.
mod prose;
/// QR codes.
mod qr;
/// Parallel requests.
mod race;
/// Rate limits of the APIs.
mod rate_limits;
/// The README and the documents.
mod readme;
mod recent_clicks;
/// Redirects.
mod redirect;
/// Errors of the native API.
mod refusals;
/// Errors of earlier versions.
mod regression;
/// Restarts without a failed visit.
mod restarts;
/// Revisions of objects: `ETag` and what relies on it.
mod revisions;
/// Keys that are revoked or expire while their requests wait.
mod rights;
mod rules;
/// The costs of searches, filters and sorts.
mod scans;
/// Secrets occur in no log, error or metric.
mod secrets;
/// Sessions of the dashboard, and their ends.
mod sessions;
/// Snapshots, shares, imports.
mod snapshots;
/// Starting and operating the server.
mod starting;
/// Dependencies and the build.
mod supply;
/// The table follows the log through reopening, wiping and damage.
mod table;
/// Companies and workspaces do not see each other.
mod tenants;
/// Spellings of texts and URLs.
mod texts;
/// A system that refuses threads.
mod threads;
/// A clock that jumps.
mod time;
/// Errors of the server, in every dialect.
mod trouble;
/// The words of the comments.
mod voice;
/// Limits of webhook receivers.
mod webhook_limits;
/// Which webhook URLs are allowed.
mod webhook_urls;
/// Webhook requests.
mod webhooks;
