//! The sections of the manual pages that clap does not know: examples, files, environment, exit status.

/// Commands with examples: what an example does, and its command line.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("Start a server with its data in ./data:", "waypost"),
            ("Start it with a configuration file:", "waypost serve --config /etc/waypost/waypost.toml"),
            (
                "Install it as a service, with a certificate for its name:",
                "waypost setup --domain go.example.com",
            ),
            ("Create a link on the running server:", "waypost link create https://example.com/"),
            ("Check everything that it depends on:", "waypost doctor --config /etc/waypost/waypost.toml"),
        ],
    ),
    (
        "serve",
        &[
            ("Listen on another port:", "waypost serve --listen 127.0.0.1:9000"),
            ("Check the configuration alone:", "waypost serve --config /etc/waypost/waypost.toml --check"),
        ],
    ),
    (
        "demo",
        &[
            ("Look at a month of a shop's links:", "waypost demo"),
            ("Choose the port and the number of visits:", "waypost demo --port 9000 --visits 50000"),
        ],
    ),
    (
        "link create",
        &[
            (
                "Create a link with a generated code, and print its short URL alone:",
                "waypost link create https://example.com/ --short",
            ),
            ("Choose the code:", "waypost link create https://example.com/spring spring --title Spring"),
            (
                "End the link after a week, or after 100 clicks:",
                "waypost link create https://example.com/ --expires 1w --max-clicks 100",
            ),
            (
                "Set a field without an option:",
                "waypost link create https://example.com/ --set utmSource=mail",
            ),
        ],
    ),
    (
        "link list",
        &[
            ("Find links:", "waypost link list --search spring"),
            ("Show the second page, most clicks first:", "waypost link list --sort clicks --page 2"),
        ],
    ),
    (
        "link show",
        &[
            ("Show a link by its code:", "waypost link show spring"),
            ("Show a link by its short URL:", "waypost link show https://go.example.com/spring"),
        ],
    ),
    (
        "link edit",
        &[
            ("Change the destination:", "waypost link edit spring --url https://example.com/summer"),
            (
                "Rename a link, and keep its old code:",
                "waypost link edit spring --code summer --keep-old-code",
            ),
            ("Switch a link off:", "waypost link edit spring --set isActive=false"),
            ("Replace its rules:", "waypost link edit spring --set rules=@rules.json"),
        ],
    ),
    (
        "link explain",
        &[
            ("Show what a bot would get:", "waypost link explain spring --ua Googlebot/2.1"),
            ("Explain the URL of a QR code:", "waypost link explain 'go.example.com/spring?qr=1'"),
        ],
    ),
    ("link history", &[("Show who changed a link:", "waypost link history spring")]),
    (
        "link undo",
        &[
            ("Undo the last change:", "waypost link undo spring"),
            ("Go back to a revision:", "waypost link undo spring --to 0N88vwqp0EUhFT57aXBu"),
        ],
    ),
    (
        "link qr",
        &[
            ("Show the QR code of a link:", "waypost link qr spring"),
            ("Write it as a picture:", "waypost link qr spring --output spring.svg"),
        ],
    ),
    ("link deleted", &[("List what can be restored:", "waypost link deleted")]),
    ("link restore", &[("Restore a link with its clicks:", "waypost link restore spring")]),
    ("link delete", &[("Delete a link without a question:", "waypost link delete spring --yes")]),
    ("link open", &[("Open a link in the browser:", "waypost link open spring")]),
    (
        "key create",
        &[
            ("Create a key for a colleague:", "waypost key create Ann --scope links.write --expires 90d"),
            (
                "Create a key for Prometheus:",
                "waypost key create prometheus --scope metrics.readonly --instance",
            ),
        ],
    ),
    (
        "stats",
        &[
            ("Show where the clicks of a link came from:", "waypost stats spring"),
            (
                "Show the clicks of all links by day:",
                "waypost stats --by time --interval 90d --timezone Europe/Berlin",
            ),
        ],
    ),
    (
        "share create",
        &[
            ("Share the clicks of a link for 30 days:", "waypost share create spring"),
            ("Share those of a tag for a year:", "waypost share create --tag news --expires 365d"),
        ],
    ),
    ("share list", &[("List all shares:", "waypost share list")]),
    ("share edit", &[("End a share in a week:", "waypost share edit 0N88vwqp0EUhFT57aXBu --expires 1w")]),
    ("share revoke", &[("Revoke a share:", "waypost share revoke 0N88vwqp0EUhFT57aXBu")]),
    ("key list", &[("List all keys:", "waypost key list")]),
    ("key revoke", &[("Revoke a key by its name:", "waypost key revoke Ann")]),
    ("domain add", &[("Add a domain:", "waypost domain add go.example.com")]),
    ("domain list", &[("List all domains:", "waypost domain list")]),
    (
        "export",
        &[
            ("Write all links to a file:", "waypost export --with-password-hashes --output links.jsonl"),
            (
                "Write the details of clicks for a spreadsheet:",
                "waypost export --clicks --format csv --output clicks.csv",
            ),
        ],
    ),
    (
        "import",
        &[
            ("Check every line, and write nothing:", "waypost import --dry-run links.jsonl"),
            ("Leave out links whose codes are taken:", "waypost import --on-conflict skip links.jsonl"),
        ],
    ),
    ("verify", &[("Verify a backup:", "waypost verify /var/backups/waypost/2026-11-28")]),
    (
        "backup",
        &[(
            "Copy the log beside a running server:",
            "waypost backup --config /etc/waypost/waypost.toml /var/backups/waypost/2026-11-28",
        )],
    ),
    (
        "restore",
        &[
            (
                "Rehearse a restore in another data folder:",
                "waypost restore --data-dir /tmp/rehearsal /var/backups/waypost/2026-11-28",
            ),
            (
                "Replace the data of a stopped server:",
                "waypost restore --config /etc/waypost/waypost.toml --replace /var/backups/waypost/2026-11-28",
            ),
        ],
    ),
    ("doctor", &[("Check a service:", "waypost doctor --config /etc/waypost/waypost.toml")]),
    (
        "setup",
        &[
            ("Install the service:", "waypost setup --domain go.example.com"),
            ("Show what would be done:", "waypost setup --domain go.example.com --dry-run"),
        ],
    ),
    (
        "print",
        &[(
            "Print the site of nginx for this server:",
            "waypost print nginx --public-url https://go.example.com",
        )],
    ),
    ("completions", &[("Print the completions of bash:", "waypost completions bash")]),
    ("man", &[("Print this kind of page for another command:", "waypost man link create")]),
];

const FILES: &[(&str, &str)] = &[
    (
        "waypost.toml",
        "The configuration, if it is in the working folder and neither --config nor WAYPOST_CONFIG names another.",
    ),
    (
        "/etc/waypost/waypost.toml",
        "The configuration of the service that setup installs. The service names it; other commands read it with --config or WAYPOST_CONFIG.",
    ),
    ("/var/lib/waypost/", "The data folder of this service."),
    ("data/", "The data folder, unless data_dir names another. It contains log, table and admin.key."),
    ("data/admin.key", "The key of the instance, which the first start writes."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("WAYPOST_CONFIG", "The configuration file, if --config names none."),
    ("WAYPOST_DOMAIN", "The names that are reached over HTTPS, with commas between them."),
    (
        "WAYPOST_LISTEN, WAYPOST_DATA_DIR, WAYPOST_PUBLIC_URL, ...",
        "Each setting of the configuration has a variable, which overrides the file.",
    ),
    ("WAYPOST_ADMIN_KEY", "A key with all rights that is valid while the server runs with it."),
    ("WAYPOST_SERVER", "The server of link, key and domain, if --server names none."),
    ("WAYPOST_KEY", "The key of link, key and domain, if --key-file names none."),
    ("WAYPOST_KEY_FILE", "A file with that key."),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "The command succeeded."),
    ("1", "The command failed, or the server refused the request."),
    ("2", "Wrong usage or configuration, or no key. Nothing was changed."),
    ("3", "No server of Waypost answered."),
];

/// Returns the sections of a command, whose name is without that of the program, in roff.
pub(super) fn of(name: &str) -> String {
    let mut text = String::new();
    if let Some((_, examples)) = EXAMPLES.iter().find(|(of, _)| *of == name) {
        text.push_str(".SH EXAMPLES\n");
        for (what, line) in *examples {
            text.push_str(
                &[".PP\n", &escaped(what), "\n.RS 4\n.nf\n", &escaped(line), "\n.fi\n.RE\n"].concat(),
            );
        }
    }
    for (heading, pairs) in [("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT_STATUS)] {
        text.push_str(&[".SH \"", heading, "\"\n"].concat());
        for (term, meaning) in pairs {
            text.push_str(&[".TP\n\\fB", &escaped(term), "\\fR\n", &escaped(meaning), "\n"].concat());
        }
    }
    text
}

/// Escapes a line of roff.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins with these is a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    /// Adds the names of all commands that have no further ones.
    fn names(command: &Command, path: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let whole = format!("{path} {}", inner.get_name()).trim().to_owned();
            if inner.has_subcommands() {
                names(inner, &whole, found);
            } else {
                found.push(whole);
            }
        }
    }

    #[test]
    fn every_command_has_examples_that_it_accepts() {
        let mut all = Vec::new();
        names(&Cli::command(), "", &mut all);
        for name in all.iter().filter(|name| *name != "version") {
            assert!(EXAMPLES.iter().any(|(of, _)| of == name), "{name} has no example");
        }
        for (name, examples) in EXAMPLES {
            for (_, line) in *examples {
                assert!(line.starts_with("waypost") && line.contains(name), "{line}");
                assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn roff_is_escaped() {
        assert_eq!(escaped(".a\\b-c"), "\\&.a\\eb\\-c");
    }
}
