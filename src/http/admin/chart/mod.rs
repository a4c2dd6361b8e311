//! The charts of the dashboard, drawn as SVG by the server: bars over time, ranked bars, sparklines, and the hours of
//! a week. Data in, markup out; a chart reads no store and no clock.
//!
//! 1. Each chart works without JavaScript and in a text browser: it has its numbers in words and as a table.
//! 2. No markup has a `style` attribute, an id or a colour. `assets/chart.css` has the colours, from the tokens of the
//!    page. So one page can show any number of charts under a strict content security policy.
//!    Text keeps its size on each width, since only the inner drawing stretches. The soft bar of a ranked row has too
//!    little contrast with the page; the shadow below it is a line that has enough.
//! 3. Every text is escaped by its template.
//! 4. The script adds what needs one: `svg[data-chart]` has one point for each number of the table of its figure, in
//!    the same order.

mod heat;
mod numbers;
mod ranked;
mod scale;
mod sparkline;
mod time;

pub use self::heat::HeatMap;
pub use self::numbers::{counted, grouped, percent, short};
pub use self::ranked::{RankedChart, RankedRow};
pub use self::sparkline::sparkline;
pub use self::time::{ChartSlot, TimeChart};
