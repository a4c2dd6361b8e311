//! [`NodeNumber`]: which machine of a cluster wrote a record.

/// The number of a node. What a node writes for itself alone, such as its click totals, has the number in
/// its key, so that no two nodes write the same record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeNumber(pub u16);

impl NodeNumber {
    /// A machine without a cluster, and everything that was written before there was one.
    pub const ALONE: NodeNumber = NodeNumber(0);
}
