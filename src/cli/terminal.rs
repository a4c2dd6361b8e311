//! The terminal: its width, questions to its user, and passwords that it does not show.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};

use super::error::CommandError;

/// The width of a terminal that has none, such as a serial line.
const WIDTH_DEFAULT: usize = 80;

/// The variable with the number of columns, which `watch` and shells set.
const WIDTH_VARIABLE: &str = "COLUMNS";

/// Returns the number of columns of the terminal on which stdout is read. Behind a pipe it is that of the variable
/// `COLUMNS` or else of the terminal of stderr, since `less` and `head` print there. Without any terminal there is no
/// limit.
pub(super) fn width() -> usize {
    let of = |size: u16| if size > 0 { usize::from(size) } else { WIDTH_DEFAULT };
    if let Ok(size) = tcgetwinsize(io::stdout()) {
        return of(size.ws_col);
    }
    // In front of the terminal's own width, which is that of the whole screen within `watch`.
    let named = std::env::var(WIDTH_VARIABLE).ok().and_then(|text| text.parse().ok());
    named
        .filter(|columns| *columns > 0)
        .or_else(|| tcgetwinsize(io::stderr()).ok().map(|size| of(size.ws_col)))
        .unwrap_or(usize::MAX)
}

/// Fails unless the user confirms, or has confirmed with `--yes`. Without a terminal nobody can answer, so `--yes` is
/// required there.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CommandError::Usage(format!("{question} Without a terminal, give --yes")));
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(CommandError::from)?;
    if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(CommandError::Failed("nothing was changed".to_owned()))
}

/// Reads a password: twice from the terminal, without showing it, or else the first line of stdin. Never an argument: all
/// users of a machine see those.
pub(super) fn read_password() -> Result<String, CommandError> {
    let password = read_hidden("Password of the link: ")?;
    if password.is_empty() {
        return Err(CommandError::Usage("the password is empty: type it, or write it to stdin".to_owned()));
    }
    // Nobody sees what was typed.
    if io::stdin().is_terminal() && read_hidden("The same password again: ")? != password {
        return Err(CommandError::Usage("the two passwords differ; nothing was changed".to_owned()));
    }
    Ok(password)
}

/// Reads a line. A terminal shows the question, and not what is typed.
fn read_hidden(question: &str) -> Result<String, CommandError> {
    let stdin = io::stdin();
    let shown = if stdin.is_terminal() {
        let _ = write!(io::stderr(), "{question}");
        tcgetattr(&stdin).ok()
    } else {
        None
    };
    if let Some(modes) = &shown {
        let mut hidden = modes.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        let _ = tcsetattr(&stdin, OptionalActions::Drain, &hidden);
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    // Before any error is returned: the shell needs its echo.
    if let Some(modes) = &shown {
        let _ = tcsetattr(&stdin, OptionalActions::Drain, modes);
    }
    read.map_err(CommandError::from)?;
    // Programs that write UTF-8 for Windows begin it with a byte order mark.
    Ok(line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']).to_owned())
}
