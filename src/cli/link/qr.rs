//! `waypost link qr`: the QR code of a link, in the terminal or as a file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::named::{LINKS, NamedLink};
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::text;
use crate::cli::error::CommandError;
use crate::cli::output::{print_line, print_note, print_text};
use crate::cli::terminal;
use crate::private_files::open_to_user_umask;
use crate::qr::address::QrAddress;
use crate::qr::picture::{MARGIN_DEFAULT, QrFormat};
use crate::qr::symbol::{ErrorLevel, QrSymbol};

/// The options for the properties of the picture, by the names of the API.
const OPTIONS: [(&str, &str); 6] = [
    ("size", "--size"),
    ("margin", "--margin"),
    ("level", "--level"),
    ("fg", "--fg"),
    ("bg", "--bg"),
    ("logo", "--no-logo"),
];

/// The file name that is stdout.
const STDOUT: &str = "-";

/// Black on white, whatever the colors of the terminal are: two of the 240 colors that no theme changes.
const COLORS: &str = "\x1b[38;5;16;48;5;231m";

/// The colors of the terminal.
const RESET: &str = "\x1b[0m";

#[derive(Clone, Debug, Args)]
pub(super) struct QrArguments {
    #[command(flatten)]
    link: NamedLink,
    /// Write the picture to this file: SVG or PNG, by its extension. - is stdout. Default: print the code in the terminal.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format, svg or png. Default: by the extension of the file, and SVG to stdout.
    #[arg(long, value_name = "FORMAT", requires = "output")]
    format: Option<String>,
    /// The width of the picture in pixels, with the margin, 32 to 2048. Default: 512.
    #[arg(long, value_name = "PIXELS", requires = "output")]
    size: Option<u64>,
    /// The margin in modules. Scanners need 4.
    #[arg(long, value_name = "MODULES", default_value_t = u64::from(MARGIN_DEFAULT))]
    margin: u64,
    /// How much of the code may be damaged: L (7 %), M (15 %), Q (25 %) or H (30 %). Default: M, or more for free.
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// The color of the modules, such as 1a2b3c. Default: that of domain or workspace.
    #[arg(long, value_name = "COLOR", requires = "output")]
    fg: Option<String>,
    /// The color between and around the modules. Default: that of domain or workspace.
    #[arg(long, value_name = "COLOR", requires = "output")]
    bg: Option<String>,
    /// Leave out the logo of domain or workspace. A PNG has none.
    #[arg(long, requires = "output")]
    no_logo: bool,
    #[command(flatten)]
    client: ClientArguments,
}

/// Runs the command.
pub(super) fn run(arguments: &QrArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    if arguments.margin < u64::from(MARGIN_DEFAULT) {
        let margin = arguments.margin;
        print_note(&format!(
            "warning: --margin {margin}: scanners need {MARGIN_DEFAULT}, unless the page around the code has its background"
        ));
    }
    match &arguments.output {
        Some(file) => write(arguments, &client, file),
        None => print(arguments, &client),
    }
}

/// Returns the name of the format in the API.
fn format(arguments: &QrArguments, file: &Path) -> Result<String, CommandError> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let (name, wrong) = match &arguments.format {
        Some(name) => (name.as_str(), "--format: must be svg or png".to_owned()),
        None if is_stdout(file) => ("svg", String::new()),
        None => (
            extension,
            format!(
                "--output: {} must end in .svg or .png, for the format, or --format must name it",
                file.display()
            ),
        ),
    };
    if QrFormat::parse(name).is_some() { Ok(name.to_owned()) } else { Err(CommandError::Usage(wrong)) }
}

fn is_stdout(file: &Path) -> bool {
    file == Path::new(STDOUT)
}

fn write(arguments: &QrArguments, client: &ApiClient, file: &Path) -> Result<(), CommandError> {
    let format = format(arguments, file)?;
    let found = arguments.link.find(client)?;
    let link = &found.value["link"];
    let mut query = Serializer::new(String::new());
    query.append_pair("format", &format).append_pair("margin", &arguments.margin.to_string());
    if let Some(size) = arguments.size {
        query.append_pair("size", &size.to_string());
    }
    for (name, value) in [("level", &arguments.level), ("fg", &arguments.fg), ("bg", &arguments.bg)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if arguments.no_logo {
        query.append_pair("logo", "false");
    }
    let path = format!("{LINKS}/{}/qr?{}", text(&link["id"]), query.finish());
    let picture = client.download(&path).map_err(|error| error.with_options(&[&OPTIONS]))?;
    if arguments.margin < u64::from(MARGIN_DEFAULT) {
        print_note("note: the margin is less than 4 modules: scanners miss such a code on a busy background");
    }
    if QrFormat::parse(&format) == Some(QrFormat::Png) && !arguments.no_logo && has_logo(client, link) {
        print_note(
            "note: a PNG has no logo: an SVG has the one of the domain or the workspace, and can be converted",
        );
    }
    if is_stdout(file) {
        print_text(&picture);
        return Ok(());
    }
    save(file, &picture)
        .map_err(|error| CommandError::Failed(format!("cannot write {}: {error}", file.display())))?;
    let (bytes, short_url) = (picture.len(), text(&link["shortUrl"]));
    if client.shows_json {
        print_line(
            &json!({"file": file.display().to_string(), "bytes": bytes, "shortUrl": short_url}).to_string(),
        );
    } else {
        print_line(&format!("wrote the code of {short_url} to {} ({bytes} bytes)", file.display()));
    }
    Ok(())
}

/// Returns whether an SVG of the code has a logo.
fn has_logo(client: &ApiClient, link: &Value) -> bool {
    // The server refuses a logo that neither the domain nor the workspace has.
    client.download(&format!("{LINKS}/{}/qr?logo=true", text(&link["id"]))).is_ok()
}

/// Writes a picture, which others may read as the umask allows: a web server, or a program that prints it.
fn save(file: &Path, picture: &[u8]) -> io::Result<()> {
    let mut out = match File::create_new(file) {
        Ok(new) => {
            open_to_user_umask(&new)?;
            new
        }
        // It keeps its mode.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::create(file)?,
        Err(error) => return Err(error),
    };
    out.write_all(picture)
}

fn print(arguments: &QrArguments, client: &ApiClient) -> Result<(), CommandError> {
    let wrong = |option: &str, rule: &str| CommandError::Usage(format!("{option}: {rule}"));
    let level = match arguments.level.as_deref() {
        None | Some("auto") => None,
        Some(text) => {
            Some(ErrorLevel::parse(text).ok_or_else(|| wrong("--level", "must be auto, L, M, Q or H"))?)
        }
    };
    let margin = u32::try_from(arguments.margin).ok().filter(|margin| *margin <= 40);
    let margin = margin.ok_or_else(|| wrong("--margin", "must be from 0 to 40"))?;
    let found = arguments.link.find(client)?;
    let short_url = text(&found.value["link"]["shortUrl"]);
    let address = QrAddress::new(&short_url, false);
    let symbol = QrSymbol::new(&address, level.unwrap_or(ErrorLevel::M), level.is_some());
    let symbol = symbol.map_err(|error| wrong("--level", &error.why))?;
    let rows = rows(&symbol, margin);
    if arguments.client.json {
        print_line(&json!({"shortUrl": short_url, "text": address.text(), "rows": rows}).to_string());
        return Ok(());
    }
    let is_terminal = io::stdout().is_terminal();
    let columns = (symbol.side() + 2 * margin) as usize;
    if is_terminal && columns > terminal::width() {
        return Err(CommandError::Failed(format!(
            "the code needs {columns} columns, and the terminal has {}: make it wider, or write a file with \
             --output code.svg",
            terminal::width()
        )));
    }
    if !is_terminal {
        print_note(
            "note: the code is printed as characters: --output FILE.svg or FILE.png writes a picture, and --output - \
             prints one",
        );
    }
    for row in rows {
        // A file has no colors of its own, and is shown dark on light.
        print_line(&if is_terminal { format!("{COLORS}{row}{RESET}") } else { row });
    }
    print_line(&address.text());
    Ok(())
}

/// Returns the lines of a code. A character has two modules, one above the other: dark where it is filled.
fn rows(symbol: &QrSymbol, margin: u32) -> Vec<String> {
    let side = symbol.side() + 2 * margin;
    let is_dark = |x: u32, y: u32| match (x.checked_sub(margin), y.checked_sub(margin)) {
        (Some(x), Some(y)) => symbol.is_dark(x, y),
        _ => false,
    };
    let cell = |x, y| match (is_dark(x, y), is_dark(x, y + 1)) {
        (true, true) => '\u{2588}',
        (true, false) => '\u{2580}',
        (false, true) => '\u{2584}',
        (false, false) => ' ',
    };
    (0..side).step_by(2).map(|y| (0..side).map(|x| cell(x, y)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_modules_of_the_code() {
        let address = QrAddress::new("https://e.test/a", false);
        let symbol = QrSymbol::new(&address, ErrorLevel::M, true).expect("short enough");
        let lines = rows(&symbol, 3);
        let side = symbol.side() + 6;
        // An odd number of rows: the last line has one more row of margin.
        assert_eq!(lines.len(), side.div_ceil(2) as usize);
        for (y, line) in (0..).step_by(2).zip(&lines) {
            let cells: Vec<char> = line.chars().collect();
            assert_eq!(cells.len(), side as usize);
            for (x, cell) in (0..).zip(cells) {
                let is_dark = |y: u32| x >= 3 && y >= 3 && symbol.is_dark(x - 3, y - 3);
                let shown =
                    (matches!(cell, '\u{2588}' | '\u{2580}'), matches!(cell, '\u{2588}' | '\u{2584}'));
                assert_eq!(shown, (is_dark(y), is_dark(y + 1)), "{x} {y}");
            }
        }
    }
}
