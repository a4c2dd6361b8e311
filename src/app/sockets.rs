//! [`Sockets`]: where the server listens. Reserved before the data folder is touched, and opened once the start has
//! succeeded.

use super::start_error::StartError;
use crate::certificates::Certificates;
use crate::config::Config;
use crate::http::conn::handover::{HandedOver, HandedSocket, HandoverError, KeptSocket};
use crate::http::conn::listener::{self, Listener, Reserved};
use crate::http::conn::server::ProxiedListener;
use crate::http::conn::tls::Tls;
use crate::settings::listen::Listen;

/// The sockets of a start.
#[derive(Debug)]
pub(super) struct Sockets {
    plain: Option<Reserved>,
    secure: Option<Reserved>,
    /// Where HTTP is served. A port 0 is the port that the system chose.
    pub(super) http: Listen,
    /// Where HTTPS is served.
    pub(super) https: Listen,
}

impl Sockets {
    /// Takes the sockets that were handed over, and binds the others that the configuration names. Fails with the first
    /// one that cannot be bound, or that was handed over and is not named.
    pub(super) fn reserve(config: &Config, mut handed: HandedOver) -> Result<Sockets, StartError> {
        let secure = config.https_listen().unwrap_or(Listen::Off);
        let named = [config.listen.clone(), secure.clone()];
        let [for_plain, for_secure] = [handed.take(&config.listen), handed.take(&secure)];
        // Before a bind: a socket that is left may have the port of a setting at another address.
        handed.finish(&named)?;
        let (plain, http) = reserve(&config.listen, for_plain)?;
        let (secure, https) = reserve(&secure, for_secure)?;
        Ok(Sockets { plain, secure, http, https })
    }

    /// Returns whether connections of one are queued already.
    pub(super) fn are_handed_over(&self) -> bool {
        [&self.plain, &self.secure].into_iter().flatten().any(Reserved::is_handed_over)
    }

    /// Begins to accept connections on all sockets. Also returns their second descriptors, for a restart.
    pub(super) fn open(
        self,
        config: &Config,
        certificates: &Certificates,
    ) -> Result<(Vec<Listener>, Vec<KeptSocket>), StartError> {
        let mut kept = Vec::new();
        let mut open = |reserved: Reserved, listen: &Listen| {
            let opened = reserved.open().and_then(|listener| {
                kept.push(listener.keep()?);
                Ok(listener)
            });
            opened.map_err(|error| StartError::Listen { listen: listen.clone(), error })
        };
        let behind_proxy = |listener: Listener, kind| {
            if config.http.proxy_protocol.contains(&kind) { listener.with_proxy_header() } else { listener }
        };
        let mut listeners = Vec::new();
        if let Some(plain) = self.plain {
            listeners.push(behind_proxy(open(plain, &self.http)?, ProxiedListener::Http));
        }
        if let Some(secure) = self.secure {
            let listener = open(secure, &self.https)?.with_tls(Tls::new(certificates.clone()));
            listeners.push(behind_proxy(listener, ProxiedListener::Https));
        }
        Ok((listeners, kept))
    }
}

/// Binds the sockets that the next program of this process listens on and this one does not. Fails as that program
/// would, while this one still serves.
pub(super) fn bind_next(kept: &[KeptSocket], settings: &[Listen]) -> Result<Vec<KeptSocket>, StartError> {
    // As `Sockets::reserve`: each socket is of one setting, and the rest is closed.
    let mut left: Vec<&KeptSocket> = kept.iter().collect();
    let mut missing = Vec::new();
    for listen in settings {
        match left.iter().position(|socket| socket.fits(listen)) {
            Some(at) => drop(left.swap_remove(at)),
            None => missing.push(listen),
        }
    }
    if let Some(socket) = left.iter().find(|socket| socket.is_of_supervisor()) {
        let (socket, settings) = (socket.address().clone(), settings.to_vec());
        return Err(HandoverError::Unmatched { socket, settings }.into());
    }
    let bind = |listen: &Listen| {
        let opened = listener::open_beside(listen, &left);
        opened.map_err(|error| StartError::Listen { listen: listen.clone(), error })
    };
    missing.into_iter().map(bind).collect()
}

fn reserve(listen: &Listen, handed: Option<HandedSocket>) -> Result<(Option<Reserved>, Listen), StartError> {
    if *listen == Listen::Off {
        return Ok((None, Listen::Off));
    }
    let failed = |error| StartError::Listen { listen: listen.clone(), error };
    let reserved = handed.map_or_else(|| Reserved::bind(listen), Reserved::from_handed).map_err(failed)?;
    let bound = reserved.listen().map_err(failed)?;
    Ok((Some(reserved), bound))
}
