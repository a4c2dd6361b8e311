//! Details of clicks: ticks and blocks from a damaged disk, and files of countries.

use std::net::IpAddr;
use std::sync::Arc;

use crate::analytics::block::{CellBlock, CellFields};
use crate::analytics::cell::TimeSlot;
use crate::analytics::country::Countries;
use crate::analytics::open::OpenCells;
use crate::analytics::part::mem::Mem;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::tick::Tick;

/// Asserts the properties of one kind of input, which the first byte chooses.
pub(super) fn details(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind & 3 {
        0 => tick(rest),
        1 => block(rest),
        2 => part(rest),
        _ => countries(rest),
    }
}

/// Asserts that the cells of a tick are those that were added, also after another encoding.
fn tick(bytes: &[u8]) {
    let Ok(tick) = Tick::decode(bytes) else { return };
    let mut open = OpenCells::default();
    open.add(&tick);
    let sorted = open.sorted();
    assert_eq!(Tick::decode(&sorted.encode()), Ok(sorted));
}

/// Asserts that a block has as many numbers in each column as it has cells, or is rejected.
fn block(bytes: &[u8]) {
    let mut block = CellBlock::default();
    if block.decode(bytes, CellFields::ALL, TimeSlot(100)).is_ok() {
        // Each reads all columns.
        let cells: Vec<_> = (0..block.len()).map(|at| block.cell(at)).collect();
        assert!(cells.is_sorted_by_key(|cell| cell.link), "differences are not negative");
    }
}

/// Asserts that a damaged part is rejected without a panic.
fn part(bytes: &[u8]) {
    let file = Arc::new(Mem(bytes.to_vec().into()));
    if let Ok(part) = ClickPart::open(file) {
        // Either result is right: a checksum may cover what makes no sense.
        let _ = part.check();
    }
}

/// Asserts that a file of countries is rejected, or has a country or none for each address.
fn countries(bytes: &[u8]) {
    let Ok(countries) = Countries::parse(bytes) else { return };
    for address in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "2001:db8::1", "::ffff:1.2.3.4"] {
        let address: IpAddr = address.parse().expect("an address");
        if let Some(country) = countries.of(address) {
            assert!(country.iter().all(u8::is_ascii_uppercase), "{country:?}");
        }
    }
}
