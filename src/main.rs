//! The program. The library contains everything: see `cli::run`.

use std::process::ExitCode;

fn main() -> ExitCode {
    waypost::cli::run()
}
