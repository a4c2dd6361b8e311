//! What a start does with a table beside a log.

use super::position::Position;

/// What a start does with a table, beside a log that is kept or was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFate {
    /// There is no table, or it is empty: it is built.
    Build,
    /// The table is at the end of the log.
    Keep,
    /// The table is this number of Changes behind, which are replayed.
    Replay(u64),
    /// The table is behind the snapshot that the log begins with: it is rebuilt from the snapshot.
    Reload,
    /// The table does not belong to this log, for this reason: it is renamed, and another one is built.
    SetAside(&'static str),
}

/// Decides what a start does with `table`: the id of its log, and the position that it has applied. The
/// log has the id `log`, begins with a snapshot of `base`, and ends at `end`.
pub fn table_fate(log: u128, base: Position, end: Position, table: Option<(u128, Position)>) -> TableFate {
    match table {
        None => TableFate::Build,
        // The id first: a position of another log means nothing in this one.
        Some((id, _)) if id != log => TableFate::SetAside("it belongs to another log"),
        Some((_, applied)) if applied > end => TableFate::SetAside("it is ahead of the log"),
        // The Changes between the table and the snapshot do not exist any more.
        Some((_, applied)) if applied < base => TableFate::Reload,
        Some((_, applied)) if applied == end => TableFate::Keep,
        Some((_, applied)) => TableFate::Replay(end.0 - applied.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fate_of_a_table() {
        let (other, ahead) = ("it belongs to another log", "it is ahead of the log");
        let rows = [
            (None, TableFate::Build),
            (Some((7, 9)), TableFate::Keep),
            (Some((7, 8)), TableFate::Replay(1)),
            // At the snapshot itself, every later Change is still there.
            (Some((7, 5)), TableFate::Replay(4)),
            (Some((7, 4)), TableFate::Reload),
            (Some((7, 10)), TableFate::SetAside(ahead)),
            (Some((8, 9)), TableFate::SetAside(other)),
            (Some((8, 10)), TableFate::SetAside(other)),
        ];
        for (table, want) in rows {
            let found = table.map(|(id, applied)| (id, Position(applied)));
            assert_eq!(table_fate(7, Position(5), Position(9), found), want, "{table:?}");
        }
    }
}
