//! HighLevel's APIs.

mod snapshots;

pub(super) use self::snapshots::HighLevelSnapshots;
