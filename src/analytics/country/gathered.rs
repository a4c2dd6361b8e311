//! [`GatheredRanges`]: ranges while files are read, and [`CountryTable`], what they become.

use std::net::IpAddr;

use super::code::{self, CountryCode};
use super::error::LineRule;
use super::ranges::Ranges;
use super::rows::{Overlap, RangeRows, Row};
use super::span::AddressSpan;

/// The ranges of all files of a source.
#[derive(Debug, Default)]
pub(super) struct GatheredRanges {
    v4: RangeRows<u32>,
    v6: RangeRows<u128>,
    /// Lines of all files so far. The number of a line is its place among all.
    lines: u32,
}

impl GatheredRanges {
    /// Begins the next line.
    pub(super) fn next_line(&mut self) -> Result<(), LineRule> {
        // One file of at most 512 MiB cannot reach this, and several can.
        self.lines = self.lines.checked_add(1).ok_or(LineRule::TooMany(u32::MAX as usize))?;
        Ok(())
    }

    /// Returns the number of lines of all files so far.
    pub(super) fn lines(&self) -> u32 {
        self.lines
    }

    /// Adds a range of the current line, unless its country is unknown.
    pub(super) fn add(&mut self, span: AddressSpan, country: u8) -> Result<(), LineRule> {
        let line = self.lines;
        match span {
            // Gaps between ranges have no country, so such a range needs no row.
            _ if country == 0 => Ok(()),
            AddressSpan::V4(start, end) => self.v4.push(Row { start, end, country, line }),
            AddressSpan::V6(start, end) => self.v6.push(Row { start, end, country, line }),
        }
    }

    /// Returns whether no range has a country.
    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Sorts and packs the ranges.
    pub(super) fn pack(self) -> Result<CountryTable, Overlap> {
        Ok(CountryTable { v4: self.v4.pack()?, v6: self.v6.pack()? })
    }
}

/// The countries of addresses, packed.
#[derive(Debug)]
pub(super) struct CountryTable {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl CountryTable {
    /// Returns the country of an address. An IPv6 address that stands for IPv4 is that one.
    pub(super) fn of(&self, address: IpAddr) -> Option<CountryCode> {
        code::of_number(match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        })
    }

    /// Returns the number of ranges.
    pub(super) fn ranges(&self) -> usize {
        self.v4.count() + self.v6.count()
    }

    /// Returns the bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}
