//! Progress bars of the long commands, on stderr, and only where a person watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes. Invisible when stderr is no terminal.
pub(super) fn bytes(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {bar:30} {bytes}/{total_bytes} ({eta})")
}

/// A bar over things.
pub(super) fn count(what: &'static str) -> ProgressBar {
    bar(what, "{msg} {bar:30} {pos}/{len} ({per_sec}, {eta})")
}

fn bar(what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates of this file are valid");
    let bar = ProgressBar::new(0).with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A callback that moves a bar to "so much of so much".
pub(super) fn follow(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    }
}
