//! `waypost export --clicks`: writes the details of clicks, one line for all clicks that agree in everything that is kept
//! of a click, as JSON Lines or comma-separated values. The server may run.
//!
//! Memory is bounded: one block of cells and the texts of some, whatever the number of clicks, and the workspaces.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use clap::ValueEnum;

use super::error::CommandError;
use super::export_output::ExportOutput;
use super::output::{counted, print_note};
use super::{click_reader, log_reader, progress};
use crate::analytics::part::error::PartError;
use crate::analytics::part::header::PartLevel;
use crate::analytics::query::csv;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::question::Visits;
use crate::analytics::query::rows::{CellRow, RowSource, each_row};
use crate::analytics::store::tick_behind;
use crate::analytics::tick::{domain_of_row, parse_link_row};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::log::local::archive::Archive;
use crate::log::{LogError, Position};
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::keys::Kind;
use crate::table::record::Stored;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ClickFormat {
    /// JSON Lines.
    #[default]
    Jsonl,
    /// Comma-separated values (RFC 4180), with the names of the columns in the first line.
    Csv,
}

/// What a line has beside its facets, before and after them.
const BEFORE: [&str; 5] = ["time", "precision", "workspaceId", "linkId", "visits"];
const AFTER: [&str; 3] = ["clicks", "visitors", "workspaceVisitors"];

/// Runs the command.
pub(super) fn run(config: &Config, format: ClickFormat, output: Option<&Path>) -> Result<(), CommandError> {
    let (clicks, log) = click_reader::open(&config.data_dir, log_reader::open)?;
    let workspaces = workspaces(&log)?;
    // After the log is read: a damaged log creates no file.
    let out = ExportOutput::open(output)?;
    let mut lines = ClickLines { out, format, workspaces, line: String::new(), written: (0, 0) };
    lines.begin().map_err(|error| error.of("the details"))?;
    let mut durable = Position::START;
    if let Some(mut clicks) = clicks {
        // All of them, before the first line of one: half of a part must not be in the output.
        click_reader::check(&mut clicks);
        click_reader::warn_of_missing(&clicks);
        durable = clicks.durable();
        let bar = progress::bytes("exporting");
        progress::set_length(&bar, clicks.bytes());
        for part in clicks.parts() {
            let precision = precision(part.header().level);
            let written = each_row(RowSource::Part(&part.part), |row| lines.push(row, precision));
            written.map_err(|error| error.of(&part.name)).inspect_err(|_| bar.finish_and_clear())?;
            bar.inc(part.bytes);
        }
        bar.finish_and_clear();
    }
    let mut failed = None;
    let each = log.each_record(&mut |record| {
        // After an error of the output, the rest of the pass writes nothing.
        if failed.is_none()
            && let Some(tick) = tick_behind(&record, durable)
        {
            failed = each_row(RowSource::Tick(&tick), |row| lines.push(row, QUARTER)).err();
        }
        Ok(())
    });
    each.map_err(CommandError::from)?;
    failed.map_or(Ok(()), |error| Err(error.of("the log")))?;
    let (rows, clicks) = lines.written;
    lines.out.finish()?;
    print_note(&format!(
        "exported {} of {} at position {}",
        counted(rows, "line"),
        counted(clicks, "visit"),
        log.position()
    ));
    Ok(())
}

/// Returns the ids of all workspaces.
fn workspaces(log: &Archive) -> Result<HashMap<WorkspaceNumber, String>, CommandError> {
    let mut workspaces = HashMap::new();
    let read = log.each_record(&mut |record| {
        if Kind::of(&record.key) == Some(Kind::Workspace) {
            let workspace = Workspace::decode(&record.value).map_err(|error| {
                LogError::Damaged(format!("the record of revision {}: {error}", record.revision))
            })?;
            workspaces.insert(workspace.number, workspace.id.to_string());
        }
        Ok(())
    });
    read.map_err(CommandError::from)?;
    Ok(workspaces)
}

/// The precision of cells that have lost none.
const QUARTER: &str = "15m";

fn precision(level: PartLevel) -> &'static str {
    match level {
        PartLevel::Run | PartLevel::Day | PartLevel::Week | PartLevel::Month => QUARTER,
        PartLevel::Hours => "hour",
        PartLevel::Days => "day",
    }
}

/// Why a line was not written.
enum LineError {
    Part(PartError),
    Output(io::Error),
}

impl From<PartError> for LineError {
    fn from(error: PartError) -> LineError {
        LineError::Part(error)
    }
}

impl LineError {
    /// Returns the error of what has this name.
    fn of(self, name: &str) -> CommandError {
        CommandError::Failed(match self {
            LineError::Part(error) => format!("cannot read {name}: {error}"),
            LineError::Output(error) => format!("cannot write: {error}"),
        })
    }
}

/// Writes cells as lines.
struct ClickLines<'a> {
    out: ExportOutput<'a>,
    format: ClickFormat,
    workspaces: HashMap<WorkspaceNumber, String>,
    /// The line that is being built.
    line: String,
    /// Lines, and the visits in them.
    written: (u64, u64),
}

/// Returns what lines have beside time, link and numbers: all that a question can group by and that is not derived.
fn facets() -> impl Iterator<Item = Facet> {
    let is_derived = |facet: &Facet| {
        facet.is_of_link() || matches!(facet, Facet::Time | Facet::HourOfWeek | Facet::Continent)
    };
    Facet::all().filter(move |facet| !is_derived(facet))
}

impl ClickLines<'_> {
    /// Writes the names of the columns.
    fn begin(&mut self) -> Result<(), LineError> {
        if self.format == ClickFormat::Jsonl {
            return Ok(());
        }
        let names: Vec<_> = BEFORE.into_iter().chain(facets().map(Facet::name)).chain(AFTER).collect();
        self.out.write_all(format!("{}\r\n", names.join(",")).as_bytes()).map_err(LineError::Output)
    }

    fn push(&mut self, row: &mut CellRow<'_, '_>, precision: &str) -> Result<(), LineError> {
        self.line.clear();
        let (workspace, link) = parse_link_row(row.link()).unzip();
        let id = workspace.and_then(|number| self.workspaces.get(&number)).map(String::as_str);
        let time = Timestamp::from_millis(row.slot().start_millis()).to_string();
        // A miss belongs to a domain, whose number is no id.
        let link = link.filter(|_| domain_of_row(row.link()).is_none()).map(|id| id.to_string());
        let texts = [Some(&*time), Some(precision), id, link.as_deref(), Some(visits(row.visits()))];
        let mut line = ClickLine { format: self.format, text: &mut self.line };
        BEFORE.into_iter().zip(texts).for_each(|(name, text)| line.text(name, text));
        for facet in facets() {
            match row.key(facet)? {
                None | Some(FacetKey::None) => line.text(facet.name(), None),
                Some(FacetKey::Number(number)) => line.number(facet.name(), number.into()),
                Some(key) => line.text(facet.name(), Some(&key.to_string())),
            }
        }
        let counts = row.counts();
        let numbers = [counts.clicks, counts.visitors, counts.workspace_visitors].map(u64::from);
        AFTER.into_iter().zip(numbers).for_each(|(name, number)| line.number(name, number));
        line.end();
        self.written = (self.written.0 + 1, self.written.1 + numbers[0]);
        self.out.write_all(self.line.as_bytes()).map_err(LineError::Output)
    }
}

fn visits(visits: Visits) -> &'static str {
    match visits {
        Visits::Counted => "clicks",
        Visits::Bots => "bots",
        Visits::Prefetches => "prefetches",
        Visits::Misses => "misses",
    }
}

/// A line that is being built.
struct ClickLine<'a> {
    format: ClickFormat,
    text: &'a mut String,
}

impl ClickLine<'_> {
    fn name(&mut self, name: &str) {
        let is_first = self.text.is_empty();
        match self.format {
            ClickFormat::Csv if is_first => {}
            ClickFormat::Csv => self.text.push(','),
            ClickFormat::Jsonl => {
                self.text.push(if is_first { '{' } else { ',' });
                // Names are letters only.
                let _ = write!(self.text, "\"{name}\":");
            }
        }
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.name(name);
        match (self.format, text) {
            (ClickFormat::Csv, text) => csv::push_field(self.text, text.unwrap_or_default()),
            (ClickFormat::Jsonl, None) => self.text.push_str("null"),
            (ClickFormat::Jsonl, Some(text)) => {
                self.text.push_str(&serde_json::Value::from(text).to_string());
            }
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        let _ = write!(self.text, "{number}");
    }

    fn end(&mut self) {
        self.text.push_str(match self.format {
            ClickFormat::Csv => "\r\n",
            ClickFormat::Jsonl => "}\n",
        });
    }
}
