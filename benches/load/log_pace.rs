//! What the disk and the log alone do, beside which durable creates over HTTP are measured:
//!
//! `log_pace FOLDER SECONDS WRITERS` prints how many records of 200 bytes a second so many writers
//! make durable in Waypost's log, without HTTP and without a table; with no writers, how many
//! times a second one thread appends 200 bytes to a file and calls `fdatasync`.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waypost::log::Log;

#[path = "../support/bare_log.rs"]
mod bare_log;

use self::bare_log::{RECORD_BYTES, open, proposal};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "log_pace FOLDER SECONDS WRITERS";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds, writers] = arguments.as_slice() else { return Err(usage.into()) };
    let (folder, lasting) = (Path::new(folder), Duration::from_secs_f64(seconds.parse()?));
    let done = match writers.parse()? {
        0 => appends(folder, lasting)?,
        writers => tokio::runtime::Runtime::new()?.block_on(commits(folder, lasting, writers))?,
    };
    // What is done while the last ones wait counts little against seconds of thousands.
    writeln!(std::io::stdout(), "{}", u128::from(done) * 1_000 / lasting.as_millis().max(1))?;
    Ok(())
}

fn appends(folder: &Path, lasting: Duration) -> Result<u64, Box<dyn Error>> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(folder.join("appended"))?;
    let end = Instant::now() + lasting;
    let mut done = 0;
    while Instant::now() < end {
        file.write_all(&[7; RECORD_BYTES])?;
        file.sync_data()?;
        done += 1;
    }
    Ok(done)
}

async fn commits(folder: &Path, lasting: Duration, writers: usize) -> Result<u64, Box<dyn Error>> {
    let log = Arc::new(open(folder)?);
    let next = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + lasting;
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (log, next) = (Arc::clone(&log), Arc::clone(&next));
            tokio::spawn(async move {
                let mut done = 0;
                while Instant::now() < end {
                    log.commit(proposal(next.fetch_add(1, Ordering::Relaxed))).await?;
                    done += 1;
                }
                Ok::<u64, waypost::log::CommitError>(done)
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    log.close();
    Ok(done)
}
