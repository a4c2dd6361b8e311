//! What stops an installation on this machine, with the remedy of each.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::machine::Machine;
use crate::app::data_folder::quoted;
use crate::http::conn::listener;
use crate::settings::listen::Listen;

/// Time for a connection on this machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Returns a sentence for each obstacle, the most important first. `listens` has the addresses of the settings.
pub(super) fn find(machine: &Machine, listens: &[Listen]) -> Vec<String> {
    let mut found = Vec::new();
    if !machine.has_systemd {
        found.push(
            "this machine does not run systemd: start `waypost --config FILE` by its own supervisor, or run it in a \
             container (`waypost print compose`); `waypost setup --root FOLDER` writes the files of a package"
                .to_owned(),
        );
    }
    // After the check for systemd: root does not help without it.
    if !machine.is_root {
        let words: Vec<_> = std::env::args_os().map(|word| quoted(&word.to_string_lossy())).collect();
        found.push(format!("setup changes this machine and needs root: sudo {}", words.join(" ")));
    }
    // A service that runs has the ports itself.
    if machine.active.is_empty() {
        found.extend(listens.iter().filter_map(|listen| busy(listen, machine.is_root)));
    }
    found
}

/// Returns why the service cannot listen on an address.
fn busy(listen: &Listen, is_root: bool) -> Option<String> {
    let error = listener::check(listen).err()?;
    let error = match error.kind() {
        // The service has the right that this user lacks. A connection shows whether the port is free.
        ErrorKind::PermissionDenied if !is_root => {
            if !accepts(listen) {
                return None;
            }
            io::Error::from(ErrorKind::AddrInUse)
        }
        _ => error,
    };
    Some(format!("cannot listen on {listen}: {error}. {}", listener::remedy(listen, &error)))
}

/// Returns whether a program of this machine accepts connections on a port.
fn accepts(listen: &Listen) -> bool {
    let Some(address) = listen.tcp() else { return false };
    let ips: Vec<IpAddr> = match address.ip() {
        ip if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        ip => vec![ip],
    };
    ips.into_iter()
        .any(|ip| TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), ANSWER_WITHIN).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;
    use crate::cli::setup::machine::SERVICE;

    #[test]
    fn each_obstacle_has_its_remedy() {
        let ready = Machine::empty(Path::new("/"));
        let kept = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = Listen::from(kept.local_addr().expect("bound"));
        let machine = |change: fn(&mut Machine)| {
            let mut machine = ready.clone();
            change(&mut machine);
            machine
        };
        let both = |machine: &mut Machine| (machine.is_root, machine.has_systemd) = (false, false);
        let rows: [(Machine, &[&str]); 5] = [
            (ready.clone(), &["cannot listen on 127.0.0.1:"]),
            (machine(|machine| machine.has_systemd = false), &["does not run systemd", "cannot listen on"]),
            (machine(|machine| machine.is_root = false), &["needs root: sudo ", "cannot listen on"]),
            (machine(both), &["does not run systemd", "needs root", "Another program listens there"]),
            // Its own service has the port.
            (machine(|machine| machine.active = vec![SERVICE]), &[]),
        ];
        for (machine, wanted) in rows {
            let found = find(&machine, std::slice::from_ref(&taken));
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            for (text, want) in found.iter().zip(wanted) {
                assert!(text.contains(want), "{want}: {text}");
            }
        }
        drop(kept);
    }
}
