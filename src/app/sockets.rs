//! [`Sockets`]: where the server listens. Reserved before the data folder is touched, and opened once the start has
//! succeeded.

use super::StartError;
use crate::certificates::Certificates;
use crate::config::Config;
use crate::http::conn::listener::{Listener, Reserved};
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
    /// Binds all sockets that the configuration names. Fails with the first one that cannot be bound.
    pub(super) fn reserve(config: &Config) -> Result<Sockets, StartError> {
        let (plain, http) = reserve(&config.listen)?;
        let (secure, https) = reserve(&config.https_listen().unwrap_or(Listen::Off))?;
        Ok(Sockets { plain, secure, http, https })
    }

    /// Begins to accept connections on all sockets.
    pub(super) fn open(
        self,
        config: &Config,
        certificates: &Certificates,
    ) -> Result<Vec<Listener>, StartError> {
        let open = |reserved: Reserved, listen: &Listen| {
            reserved.open().map_err(|error| StartError::Listen { listen: listen.clone(), error })
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
        Ok(listeners)
    }
}

fn reserve(listen: &Listen) -> Result<(Option<Reserved>, Listen), StartError> {
    if *listen == Listen::Off {
        return Ok((None, Listen::Off));
    }
    let failed = |error| StartError::Listen { listen: listen.clone(), error };
    let reserved = Reserved::bind(listen).map_err(failed)?;
    let bound = reserved.listen().map_err(failed)?;
    Ok((Some(reserved), bound))
}
