//! The screens of the dashboard, one file for each.

pub(super) mod choices;
pub(super) mod elsewhere;
pub(super) mod failed;
pub(super) mod links;
pub(super) mod live;
pub(super) mod overview;
pub(super) mod shares;
pub(super) mod sign_in;
pub(super) mod snapshots;
pub(super) mod statistics;
pub(super) mod steps;
pub(super) mod transfer;
