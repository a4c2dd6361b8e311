//! The lines of the log on stderr: as text or JSON. In systemd's journal, each line begins with its priority, and has no
//! time, which the journal adds itself.

use std::fmt;
use std::io::{self, Write};

use rustix::fs::fstat;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{self, Config, LogFormat};

/// The variable in which systemd names the socket of the journal: device and inode.
const JOURNAL: &str = "JOURNAL_STREAM";

/// Writes the lines of this process to stderr from now on.
pub(super) fn start(config: &Config) {
    let mut filter = config::log_targets(&config.log_filter).expect("the configuration was checked");
    // It warns of each client that resets too many streams, so that clients could fill the log.
    if !filter.iter().any(|(target, _)| target.starts_with("h2")) {
        filter = filter.with_target("h2", LevelFilter::ERROR);
    }
    // Without colours: the lines go to journals and files.
    let lines = layer().with_writer(LogLines::default).with_ansi(false);
    let lines = match (config.log_format, is_journal()) {
        (LogFormat::Text, false) => lines.boxed(),
        (LogFormat::Text, true) => lines.event_format(Prioritized(format().without_time())).boxed(),
        // Flat: the fields of an event are members of the line, beside its time and level.
        (LogFormat::Json, false) => lines.json().flatten_event(true).boxed(),
        (LogFormat::Json, true) => lines.json().flatten_event(true).map_event_format(Prioritized).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter).init();
}

/// Returns whether stderr is systemd's journal. The variable alone proves nothing: a child whose stderr was redirected
/// inherits it.
pub(super) fn is_journal() -> bool {
    let Ok(stream) = std::env::var(JOURNAL) else { return false };
    fstat(io::stderr()).is_ok_and(|found| stream == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Begins each line with its priority, as `sd-daemon(3)` describes it.
struct Prioritized<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Before everything else of the line: the journal reads the number only there.
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// Returns the number of a level in syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Writes log lines to stderr and ignores errors: a closed stderr must not stop the server.
#[derive(Default)]
struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
