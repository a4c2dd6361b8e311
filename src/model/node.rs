//! [`NodeNumber`]: the machine of a cluster that wrote a record.

/// The number of a node. A record that only one node writes, such as its click totals, has the number in its
/// key, so that no two nodes write the same record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeNumber(pub u16);

impl NodeNumber {
    /// The number of a machine without a cluster, and of all records of versions without clusters.
    pub const ALONE: NodeNumber = NodeNumber(0);
}
