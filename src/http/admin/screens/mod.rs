//! The screens of the dashboard, one file for each.

pub(super) mod audit;
pub(super) mod choices;
pub(super) mod domains;
pub(super) mod elsewhere;
pub(super) mod failed;
pub(super) mod keys;
pub(super) mod labels;
pub(super) mod links;
pub(super) mod live;
pub(super) mod logos;
pub(super) mod overview;
pub(super) mod settings;
pub(super) mod shares;
pub(super) mod sign_in;
mod simple_form;
pub(super) mod snapshots;
pub(super) mod statistics;
pub(super) mod steps;
pub(super) mod transfer;
pub(super) mod workspaces;
