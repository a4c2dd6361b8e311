//! Answers questions about clicks: how many there were in a span, by country, referrer, day and so on.
//!
//! 1. A [`ClickQuestion`](question::ClickQuestion) has a scope, a span, filters, and the breakdowns of its answer.
//! 2. A [`CellSource`](scan::CellSource) is all parts and the open cells. An answer is the sum of them.
//! 3. [`answer`](scan::answer) decodes only the columns that the question names, of the blocks that can have
//!    links of the scope. Numbers of a part become keys once for each part, not once for each cell.
//! 4. An [`ClickAnswer`](answer::ClickAnswer) is plain data. The rows of a breakdown and its `other` add up to its
//!    `total`.
//!
//! # Visitors
//!
//! A cell has two numbers of visitors: of the link and of the workspace. Both count the first click of a
//! visitor on a day of UTC, so they add up over cells, and over several days they are *daily visitors*: a
//! visitor of two days counts twice.
//!
//! * A question about workspaces counts visitors of the workspace. A row has those visitors whose first click
//!   of the day in the workspace belongs to the row.
//! * A question about links counts visitors of each link. For several links that is a sum: a visitor of two
//!   links counts twice. The same holds for a breakdown by link and for a question with a filter that
//!   includes links.

pub mod answer;
pub mod cache;
pub mod calendar;
mod columns;
pub mod continents;
pub mod csv;
pub mod error;
pub mod facet;
pub mod first;
mod keys;
pub mod part_sums;
pub mod question;
pub mod rows;
pub mod scan;
mod segment;
mod selection;
mod sums;
mod tables;
pub mod totals;
mod translator;

#[cfg(test)]
mod tests;
