//! The question to the certificate authority, for commands without a runtime of their own.

use std::time::Duration;

use crate::certificates::Settings;
use crate::certificates::report::{self, AuthorityReport};
use crate::clock::Clock;

/// Time for the authority to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Asks the authority for its directory and its time. Fails with a clause that has the reason. Blocks.
pub(super) fn ask(settings: &Settings, clock: &Clock) -> Result<AuthorityReport, String> {
    // One thread is enough for one request.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let asked = report::ask_authority(settings, clock.clone());
        let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, asked).await });
        // A look-up that hangs must not keep the command from ending.
        runtime.shutdown_background();
        answer.unwrap_or_else(|_| Err("timed out".to_owned()))
    })
}
