//! Whether visitors are served once the service runs: the first certificate of each name in `domain`, and what answers
//! at the port of HTTPS.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::certificates::reach::{self, PortAnswer, ReachQuestion};
use crate::certificates::report::{self, FirstOutcome};
use crate::certificates::{CertificateName, FileError};
use crate::cli::authority;
use crate::cli::output::print_line;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::conn::server::ProxiedListener;

/// Longest wait for the first certificates. One takes a second; a try whose look-up fails takes ten.
const WITHIN: Duration = Duration::from_secs(20);

/// The interval at which the data folder is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Waits for the first certificates of a new service. Returns the lines that report them, and the terms that were agreed
/// to. Empty for a server without `domain`.
pub(super) fn report(config: &Config, clock: &Clock) -> String {
    let names = config.domain.all();
    if names.is_empty() || config.https_listen().is_none() {
        return String::new();
    }
    let outcomes = outcomes(config, clock, WITHIN);
    // Nothing is requested for names with a certificate of the owner.
    let is_own =
        |outcome: &Result<Option<FirstOutcome>, _>| matches!(outcome, Ok(Some(outcome)) if outcome.is_own);
    let has_authority = !outcomes.iter().all(is_own);
    let lines = names.iter().zip(outcomes).map(|(name, outcome)| of_name(config, name, outcome));
    let mut lines: Vec<_> = lines.collect();
    if has_authority {
        lines.push(terms(config, clock));
    }
    lines.iter().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// Returns the outcome for each name, once all of them are there or the time is over.
fn outcomes(
    config: &Config,
    clock: &Clock,
    within: Duration,
) -> Vec<Result<Option<FirstOutcome>, FileError>> {
    let end = Instant::now() + within;
    let look = |name: &CertificateName| {
        report::first_outcome(&name.to_string(), &config.https, &config.data_dir, clock.now())
    };
    let mut is_announced = false;
    loop {
        let found: Vec<_> = config.domain.all().iter().map(look).collect();
        // A failure ends the wait as well: the next try may be minutes away.
        let is_over = !found.iter().any(|outcome| matches!(outcome, Ok(None)));
        if is_over || Instant::now() >= end {
            return found;
        }
        // Not before the first look: a second run finds all of them.
        if !is_announced {
            print_line(&format!("waiting for the first certificate, {} s at most", within.as_secs()));
            is_announced = true;
        }
        std::thread::sleep(POLL);
    }
}

/// Returns the line about a name.
fn of_name(
    config: &Config,
    name: &CertificateName,
    outcome: Result<Option<FirstOutcome>, FileError>,
) -> String {
    match outcome {
        Err(error) => format!("HTTPS       {error}"),
        Ok(None) => format!(
            "HTTPS       no certificate for {name} yet: the first try has not ended. The log and `waypost doctor` name its \
             outcome"
        ),
        Ok(Some(FirstOutcome { report, certificate: None, .. })) => {
            format!(
                "HTTPS       {}. It is repeated by itself, and `waypost doctor` checks it at once",
                report.text
            )
        }
        Ok(Some(FirstOutcome { report, certificate: Some(der), .. })) => {
            let verb = if answers(config, name, der) { "answers" } else { "does not answer on this machine" };
            format!("HTTPS       https://{} {verb}: {}", in_url(config, name), report.text)
        }
    }
}

/// Returns the name as it is in a URL, with the port if it is another than that of HTTPS.
fn in_url(config: &Config, name: &CertificateName) -> String {
    let port = config.https_listen().and_then(|listen| listen.tcp()).map_or(443, |address| address.port());
    if port == 443 { name.in_url() } else { format!("{}:{port}", name.in_url()) }
}

/// Returns whether the listener of HTTPS shows this certificate for a name.
fn answers(config: &Config, name: &CertificateName, der: Vec<u8>) -> bool {
    let address = config.https_listen().and_then(|listen| listen.tcp());
    let Some(address) = address.filter(|_| !config.http.proxy_protocol.contains(&ProxiedListener::Https))
    else {
        // A program in front of a Unix socket, or a balancer, speaks with visitors.
        return true;
    };
    let ip = match (address.ip(), name) {
        // The server finds a name without a host by the address of the connection.
        (ip, CertificateName::Address(own)) if ip.is_unspecified() => *own,
        // A socket of all addresses accepts IPv4 as well, and a machine may have no IPv6.
        (ip, _) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        (ip, _) => ip,
    };
    let question = ReachQuestion {
        name: name.to_string(),
        certificate: Some(der),
        https_port: address.port(),
        http_port: None,
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return false;
    };
    let reports = runtime.block_on(reach::ask(question, &[ip]));
    reports.iter().any(|report| report.https == PortAnswer::This)
}

/// Returns the line about the terms of the authority.
fn terms(config: &Config, clock: &Clock) -> String {
    let authority = &config.https.authority;
    // Without an answer the authority itself is named: the agreement is the same.
    let named = authority::ask(&config.https, clock).ok().and_then(|answer| answer.terms);
    let url = named.map_or_else(String::new, |url| format!(": {url}"));
    format!("terms       by running setup you agreed to those of {authority}{url}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;
    use crate::certificates::report::NameReport;

    #[test]
    fn each_outcome_names_what_is_next() {
        // A port on which nothing listens.
        let unused = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let text = format!("domain = \"go.test\"\nhttps.listen = \"{unused}\"");
        let config = Config::parse(Some((Path::new("waypost.toml"), &text)), []).expect("valid");
        let outcome = |text: &str, certificate: Option<Vec<u8>>| {
            let report = NameReport { text: text.to_owned(), is_problem: false, is_warning: false };
            Ok(Some(FirstOutcome { report, certificate, is_own: false }))
        };
        let failed = "no certificate for go.test yet: go.test has no address";
        let rows = [
            (Ok(None), "no certificate for go.test yet: the first try has not ended. The log and".to_owned()),
            (outcome(failed, None), format!("{failed}. It is repeated by itself, and `waypost doctor`")),
            (
                outcome("it ends", Some(vec![0])),
                format!("https://go.test:{} does not answer on this machine: it ends", unused.port()),
            ),
        ];
        for (outcome, want) in rows {
            let line = of_name(&config, &config.domain.all()[0], outcome);
            assert!(line.starts_with(&format!("HTTPS       {want}")), "{line}");
        }
        // The data folder is empty, so the time passes.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config { data_dir: folder.path().to_owned(), ..config };
        let waited = outcomes(&config, &Clock::system(), Duration::ZERO);
        assert!(matches!(waited[..], [Ok(None)]), "{waited:?}");
    }
}
