//! Progress bars of the long commands, on stderr. They are invisible if stderr is no terminal, and while the work is
//! small: a bar that flickers past shows nothing.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bytes from which a bar is shown: they take about a second.
const BYTES_SHOWN: u64 = 32 * 1024 * 1024;

/// Items from which a bar is shown.
const ITEMS_SHOWN: u64 = 100_000;

/// Creates a bar that counts bytes.
pub(super) fn bytes(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {bar:30} {bytes}/{total_bytes} ({eta})")
}

/// Creates a bar that counts items.
pub(super) fn count(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {bar:30} {pos}/{len} ({per_sec}, {eta})")
}

/// Sets the number of bytes of the work. Shows the bar if the work is long, or if its length is unknown (0).
pub(super) fn set_length(bar: &ProgressBar, bytes: u64) {
    set(bar, bytes, BYTES_SHOWN);
}

/// Sets the number of items of the work. Shows the bar if they are many.
pub(super) fn set_items(bar: &ProgressBar, items: u64) {
    set(bar, items, ITEMS_SHOWN);
}

fn set(bar: &ProgressBar, length: u64, shown_from: u64) {
    if bar.length() != Some(length) || length == 0 {
        bar.set_length(length);
        if length == 0 || length >= shown_from {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

fn bar(what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates of this file are valid");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    let bar = bar.with_style(style).with_message(what);
    // By a timer: a step of a large file may take seconds, and the bar must not look dead.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Returns a callback that sets the position and the length of a bar.
pub(super) fn follow(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, total| {
        set_length(bar, total);
        bar.set_position(done);
    }
}
