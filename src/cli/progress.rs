//! Progress bars of the long commands, on stderr. They are invisible if stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Creates a bar that counts bytes.
pub(super) fn bytes(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {bar:30} {bytes}/{total_bytes} ({eta})")
}

/// Creates a bar that counts items.
pub(super) fn count(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {bar:30} {pos}/{len} ({per_sec}, {eta})")
}

fn bar(what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates of this file are valid");
    let bar = ProgressBar::new(0).with_style(style).with_message(what);
    // By a timer: a step of a large file may take seconds, and the bar must not look dead.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Returns a callback that sets the position and the length of a bar.
pub(super) fn follow(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}
