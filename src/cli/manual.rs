//! `waypost completions` and `waypost man`: what a shell and `man` need, generated from the arguments of the binary, so
//! that both always fit its version.

use std::io;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::error::CommandError;
use super::output::print_text;
use super::sections;

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub(super) struct ManArguments {
    /// The command to describe, such as `link create`. Default: the program.
    #[arg(value_name = "COMMAND")]
    names: Vec<String>,
}

/// Prints the completions of a shell for this command.
pub(super) fn completions(arguments: &CompletionsArguments, command: Command) {
    print_text(&script(arguments.shell, command));
}

/// Returns the completions of a shell for this command.
pub(super) fn script(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "waypost", &mut script);
    script
}

/// Returns the page of the program.
pub(super) fn whole(command: &Command) -> io::Result<Vec<u8>> {
    let mut command = command.clone();
    command.build();
    page("", &command)
}

/// Returns the pages of the program and of all its commands, with names such as `waypost-link-create`.
pub(super) fn pages(command: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.clone();
    command.build();
    let mut pages = vec![("waypost".to_owned(), page("", &command)?)];
    add_pages("", &command, &mut pages)?;
    Ok(pages)
}

fn add_pages(path: &str, command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let name = format!("{path} {}", inner.get_name()).trim().to_owned();
        pages.push((format!("waypost-{}", name.replace(' ', "-")), page(&name, inner)?));
        add_pages(&name, inner, pages)?;
    }
    Ok(())
}

/// Prints a manual page in roff. Fails if there is no such command.
pub(super) fn man(arguments: &ManArguments, mut command: Command) -> Result<(), CommandError> {
    // Gives the commands within their whole names.
    command.build();
    let mut found = &command;
    for name in &arguments.names {
        let unknown = || {
            let names: Vec<_> = found.get_subcommands().map(Command::get_name).collect();
            CommandError::Usage(format!("there is no command {name:?}; commands: {}", names.join(", ")))
        };
        found = found.find_subcommand(name).ok_or_else(unknown)?;
    }
    let whole = arguments.names.join(" ");
    let page = page(&whole, found).map_err(CommandError::from)?;
    print_text(&page);
    Ok(())
}

/// Returns the page of a command. `name` is its name without that of the program.
fn page(name: &str, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man =
        Man::new(command.clone()).source(concat!("waypost ", env!("CARGO_PKG_VERSION"))).manual("Waypost");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if command.get_after_help().is_some() {
        man.render_extra_section(&mut page)?;
    }
    page.extend(sections::of(name).into_bytes());
    Ok(page)
}
