//! Whether the names with HTTPS lead to this server: each of their addresses is connected to, on the ports that visitors
//! and authorities use.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::finding::{Case, Finding};
use super::folder::Lock;
use super::network::{DOMAINS_MAX, is_here, look_up};
use crate::certificates::reach::{self, AddressReport, PortAnswer, ReachQuestion};
use crate::cli::output::counted;
use crate::settings::listen::Listen;

const REACH: &str = "reached from outside";

/// Time for all names: each address takes some seconds at most, and all are asked at once.
const ALL_WITHIN: Duration = Duration::from_secs(20);

/// Connects to each address of each name. `served` has the names with their certificates.
pub(super) fn reach(case: &Case, lock: &Lock, served: &BTreeMap<String, Option<Vec<u8>>>) -> Vec<Finding> {
    if served.is_empty() {
        return Vec::new();
    }
    if !matches!(lock, Lock::Theirs) {
        let text = "no server runs here, so nothing answers at the addresses of its names. Start it, and run this again";
        return vec![Finding::skipped(REACH, text)];
    }
    if !case.config.http.proxy_protocol.is_empty() {
        let text = "connections begin with the PROXY protocol, which only a balancer sends";
        return vec![Finding::skipped(REACH, text)];
    }
    let named: Vec<_> = served
        .iter()
        .take(DOMAINS_MAX)
        .filter_map(|(name, der)| with_addresses(name, der.as_ref()))
        .collect();
    let mut found: Vec<Finding> =
        ask(case, &named).iter().map(|(name, reports)| finding(name, reports)).collect();
    if served.len() > DOMAINS_MAX {
        let more = counted((served.len() - DOMAINS_MAX) as u64, "more name");
        found.push(Finding::skipped(REACH, format!("{more} were not checked")));
    }
    found
}

/// A name, its addresses, and its certificate.
type NamedAddresses<'a> = (&'a str, Vec<IpAddr>, Option<&'a Vec<u8>>);

/// Looks a name up. Returns `None` for one without addresses, which another check reports.
fn with_addresses<'a>(name: &'a str, der: Option<&'a Vec<u8>>) -> Option<NamedAddresses<'a>> {
    if let Ok(address) = name.parse() {
        return Some((name, vec![address], der));
    }
    let addresses = look_up(name).ok().filter(|addresses| !addresses.is_empty())?;
    Some((name, addresses, der))
}

/// Asks all addresses of all names at once. A name without an answer in time is left out.
fn ask(case: &Case, named: &[NamedAddresses<'_>]) -> Vec<(String, Vec<AddressReport>)> {
    let internet = &case.config.https.internet;
    let is_on_http = matches!(case.config.listen, Listen::Tcp(_));
    // One thread is enough: it waits most of the time.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let mut asked = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (name, addresses, der) in named {
            let question = ReachQuestion {
                name: (*name).to_owned(),
                certificate: der.cloned(),
                https_port: internet.https_port,
                http_port: is_on_http.then_some(internet.http_port),
            };
            let (name, addresses) = ((*name).to_owned(), addresses.clone());
            tasks.spawn(async move { (name, reach::ask(question, &addresses).await) });
        }
        tokio::time::timeout(ALL_WITHIN, tasks.join_all()).await.unwrap_or_default()
    });
    // They end in any order.
    asked.sort_by(|one, other| one.0.cmp(&other.0));
    asked
}

/// Reports a name. The first address that fails decides: each has its own remedy.
fn finding(name: &str, reports: &[AddressReport]) -> Finding {
    // Before the first certificate, port 80 tells this server from another one.
    let works = |report: &&AddressReport| match report.https {
        PortAnswer::This => true,
        PortAnswer::Something => report.http != Some(PortAnswer::Other),
        PortAnswer::Other | PortAnswer::Nothing(_) => false,
    };
    let working: Vec<_> = reports.iter().filter(works).map(|report| report.address.to_string()).collect();
    if let Some(failing) = reports.iter().find(|report| !works(report)) {
        return unreached(name, failing, &working);
    }
    let shown = working.join(" and ");
    let wrong_http = reports.iter().find(|report| {
        matches!(report.http, Some(PortAnswer::Nothing(_) | PortAnswer::Other | PortAnswer::Something))
    });
    match wrong_http {
        Some(AddressReport { address, http: Some(PortAnswer::Nothing(why)), .. }) => Finding::warning(
            REACH,
            format!(
                "{name} answers on port 443 of {shown}, and not on port 80 of {address} ({why}): links that begin with \
                 http:// do not open. Open port 80 in the firewall of the provider, or set `listen` to \"none\""
            ),
        ),
        Some(AddressReport { address, .. }) => Finding::warning(
            REACH,
            format!(
                "{name} answers on port 443 of {shown}, and another program on port 80 of {address}: links that begin \
                 with http:// do not open. Stop it, or let it lead to HTTPS"
            ),
        ),
        None => Finding::ok(REACH, format!("{name} leads here by {shown}")),
    }
}

/// Reports an address that does not lead here. `working` has those that do.
fn unreached(name: &str, report: &AddressReport, working: &[String]) -> Finding {
    let AddressReport { address, https, http } = *report;
    let record = if address.is_ipv6() { "AAAA" } else { "A" };
    if address.is_ipv6() && !working.is_empty() {
        let why = match https {
            PortAnswer::Nothing(why) => why,
            _ => "another server answers",
        };
        // Browsers try it first and wait, and authorities give up.
        return Finding::problem(
            REACH,
            format!(
                "{name} leads here by {}, and its AAAA record {address} does not ({why}): authorities ask IPv6 first. \
                 Remove it, or give it the IPv6 address of this machine",
                working.join(" and ")
            ),
        );
    }
    match (https, http) {
        (PortAnswer::Nothing(why), http) => {
            let http = match http {
                Some(PortAnswer::Nothing(why)) => format!(", and on port 80 neither ({why})"),
                _ => String::new(),
            };
            let text = format!(
                "{name} is {address}, which cannot be reached on port 443 ({why}){http}. Open port 443 in the firewall \
                 of the provider, or change its {record} record"
            );
            // Certain: no router is between this machine and its own address.
            if is_here(address) {
                return Finding::problem(REACH, text);
            }
            let text = format!("{text}. Behind some routers, a machine cannot reach its own public address");
            Finding::warning(REACH, text)
        }
        _ => Finding::problem(
            REACH,
            format!(
                "{name} is {address}, where another server answers: change its {record} record, or, if a proxy \
                 terminates TLS there, leave `domain` unset"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn each_failure_names_the_address_and_the_remedy() {
        use PortAnswer::{Nothing, Other, Something, This};
        let report = |address: &str, https, http| AddressReport {
            address: address.parse().expect("an address"),
            https,
            http: Some(http),
        };
        let refused = Nothing("connection refused");
        let v4 = |https, http| report("198.51.100.9", https, http);
        let v6 = |https, http| report("2001:db8::1", https, http);
        let rows: [(&[AddressReport], Level, &str); 10] = [
            (&[v4(This, This)], Level::Ok, "leads here by 198.51.100.9"),
            (&[v4(This, This), v6(Something, This)], Level::Ok, "by 198.51.100.9 and 2001:db8::1"),
            (&[v4(This, refused)], Level::Warning, "not on port 80 of 198.51.100.9 (connection refused)"),
            (&[v4(This, Other)], Level::Warning, "another program on port 80 of 198.51.100.9"),
            (
                &[v4(This, This), v6(Nothing("no route"), refused)],
                Level::Problem,
                "leads here by 198.51.100.9, and its AAAA record 2001:db8::1 does not (no route): authorities ask IPv6 \
                 first. Remove it",
            ),
            (&[v4(This, This), v6(Other, Other)], Level::Problem, "does not (another server answers)"),
            (
                &[v4(Other, Other)],
                Level::Problem,
                "198.51.100.9, where another server answers: change its A record",
            ),
            (
                &[v4(Nothing("timed out"), refused)],
                Level::Warning,
                "cannot be reached on port 443 (timed out), and on port 80 neither (connection refused). Open port 443",
            ),
            (&[v6(Other, Other)], Level::Problem, "change its AAAA record"),
            (&[v4(Something, Other)], Level::Problem, "where another server answers"),
        ];
        for (reports, level, part) in rows {
            let found = finding("go.test", reports);
            assert!(found.level == level && found.text.contains(part), "{reports:?}: {found:?}");
        }
    }
}
