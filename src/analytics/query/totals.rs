//! [`ClickTotals`]: the sums of cells.

/// The sums of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClickTotals {
    /// Clicks, or visits of the kind that the question is about.
    pub clicks: u64,
    /// Daily visitors.
    pub visitors: u64,
}

impl ClickTotals {
    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: ClickTotals) -> ClickTotals {
        ClickTotals { clicks: self.clicks + other.clicks, visitors: self.visitors + other.visitors }
    }

    /// Returns the difference. The other totals are a part of these.
    pub(super) fn minus(self, part: ClickTotals) -> ClickTotals {
        ClickTotals { clicks: self.clicks - part.clicks, visitors: self.visitors - part.visitors }
    }
}
