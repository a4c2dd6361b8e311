//! Arguments, logging, runtime, exit code. No logic: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    waypost::cli::run()
}
