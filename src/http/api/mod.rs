//! x
pub mod dialect;
mod json;
mod native;
mod query;
