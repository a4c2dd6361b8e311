//! Checks whether a name leads to this server, as the authority will: each address of the name is asked on port 443,
//! and on port 80 if that fails. A name that leads elsewhere costs no order, and the reason names the remedy.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::authority_client::connect_error;
use super::challenge::{Challenges, server_name};
use super::internet::Internet;
use super::lanes::LanePermit;
use super::name::CertificateName;
use super::state::Method;
use crate::model::network::Networks;
use crate::own_address::is_own;

/// The protocol of a hello that asks for the answer to a challenge (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// The start of the path of the answer to a challenge on port 80 (RFC 8555 8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// Time for a look-up. The system's resolver may take half a minute.
const LOOKUP_WITHIN: Duration = Duration::from_secs(10);

/// Time for a connection and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Time after which a port 443 that has not answered yet is asked at once with port 80: visitors wait for names that
/// fail as well.
const BOTH_AFTER: Duration = Duration::from_secs(1);

/// Most addresses of a name that are asked. Past it: the others are not.
const ADDRESSES_MAX: usize = 8;

/// Most bytes of an answer on port 80.
const ANSWER_MAX: u64 = 16 * 1024;

/// What an address of a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reached {
    /// This server, by this method.
    Ours(Method),
    /// Another one.
    Foreign,
    /// Not reached on port 443 and 80, for these reasons.
    Unreached(&'static str, &'static str),
}

/// Returns a method that works for all addresses of a name, or why none does. `tenants` is set for a name of a tenant: the
/// networks that it may lead to besides the public internet.
pub(super) async fn check(
    name: &CertificateName,
    internet: &Internet,
    challenges: &Arc<Challenges>,
    slot: &Arc<LanePermit>,
    tenants: Option<&Networks>,
) -> Result<Method, String> {
    let addresses = addresses(name, internet, slot).await?;
    // A customer who lets a name lead into this network must not learn what is there.
    if tenants.is_some_and(|allowed| !addresses.iter().all(|address| may_ask(*address, allowed))) {
        return Err(format!("{name} does not lead here: give its A record the address of this machine"));
    }
    // Random, so that no other server can answer alike.
    let secret = || {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map(|()| bytes).map_err(|error| format!("no random bytes: {error}"))
    };
    // Both answers exist before the first question.
    let handshakes = challenges.answer_handshakes(name, &secret()?).map_err(|error| error.to_string())?;
    let text_of = |bytes: &[u8; 32]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (token, content) = (text_of(&secret()?), text_of(&secret()?));
    let _requests = challenges.answer_requests(&token, content.clone());
    let wanted = CertificateDer::from(handshakes.certificate().unwrap_or_default().to_vec());
    let question = Arc::new(Question {
        server_name: server_name(name),
        connector: connector_to(wanted, ACME_TLS),
        request: format!(
            "GET {CHALLENGE_PATH}{token} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            name.in_url()
        ),
        content,
        ports: (internet.https_port, internet.http_port),
    });
    // At once: an address that drops packets takes its whole time.
    let mut asked = JoinSet::new();
    for address in addresses {
        let question = Arc::clone(&question);
        asked.spawn(async move { (address, question.ask(address).await) });
    }
    let mut found = asked.join_all().await;
    // The reason names the first address, in the same order each time.
    found.sort_by_key(|(address, _)| *address);
    judge(name, &found)
}

/// Returns whether a name of a tenant may make this server connect to an address.
fn may_ask(address: IpAddr, allowed: &Networks) -> bool {
    // On a private network, names lead to an address of this machine that is private. Services for the machine itself
    // are on loopback.
    let address = address.to_canonical();
    allowed.allow(address) || !address.is_loopback() && is_own(address)
}

async fn addresses(
    name: &CertificateName,
    internet: &Internet,
    slot: &Arc<LanePermit>,
) -> Result<Vec<IpAddr>, String> {
    let host = match name {
        CertificateName::Address(address) => return Ok(vec![*address]),
        CertificateName::Host(host) => host.to_string(),
    };
    let (lookup, slot) = (Arc::clone(&internet.lookup), Arc::clone(slot));
    let looked_up = tokio::task::spawn_blocking(move || {
        // Until the end of the look-up, long after its time is over: threads that hang are as many as slots.
        let _slot = slot;
        lookup(&host)
    });
    match timeout(LOOKUP_WITHIN, looked_up).await {
        Ok(Ok(Ok(mut addresses))) if !addresses.is_empty() => {
            addresses.truncate(ADDRESSES_MAX);
            Ok(addresses)
        }
        Ok(Ok(Ok(_))) => {
            Err(format!("{name} has no address: create an A record with the address of this machine"))
        }
        Ok(Ok(Err(error))) => Err(format!(
            "{name} does not resolve ({error}): create an A record with the address of this machine"
        )),
        Ok(Err(_)) | Err(_) => {
            Err(format!("{name} was not resolved in time: check the name servers of this machine"))
        }
    }
}

/// Decides over all addresses of a name. An authority may ask each of them.
fn judge(name: &CertificateName, found: &[(IpAddr, Reached)]) -> Result<Method, String> {
    let is_ours = |found: &Reached| matches!(found, Reached::Ours(_));
    let Some((address, wrong)) = found.iter().find(|(_, found)| !is_ours(found)) else {
        let by_handshake = found.iter().all(|(_, found)| *found == Reached::Ours(Method::Tls));
        return Ok(if by_handshake { Method::Tls } else { Method::Http });
    };
    let record = if address.is_ipv6() { "AAAA" } else { "A" };
    let is_partly_ours = found.iter().any(|(_, found)| is_ours(found));
    Err(match wrong {
        _ if address.is_ipv6() && is_partly_ours => {
            format!("its AAAA record {address} does not lead here: authorities ask IPv6 first; remove it")
        }
        Reached::Foreign | Reached::Ours(_) => {
            format!("{name} is {address}, which is not this machine: change its {record} record")
        }
        Reached::Unreached(https, http) => format!(
            "{name} is {address}, which cannot be reached on port 443 ({https}) or 80 ({http}): open port 443 in the \
             firewall of the provider, or change its {record} record"
        ),
    })
}

/// What each address is asked.
struct Question {
    server_name: String,
    connector: TlsConnector,
    request: String,
    content: String,
    ports: (u16, u16),
}

impl Question {
    async fn ask(&self, address: IpAddr) -> Reached {
        let (https, http) = self.ports;
        let by_handshake = self.ask_by_handshake(SocketAddr::new(address, https));
        let mut by_handshake = std::pin::pin!(by_handshake);
        // Most servers end here: port 80 is asked only where port 443 fails.
        let first = timeout(BOTH_AFTER, &mut by_handshake).await.ok();
        if first == Some(Ok(true)) {
            return Reached::Ours(Method::Tls);
        }
        let by_handshake = async {
            match first {
                Some(answer) => answer,
                None => by_handshake.await,
            }
        };
        let by_request = self.ask_by_request(SocketAddr::new(address, http));
        let (by_handshake, by_request) = tokio::join!(by_handshake, by_request);
        // An address that accepts connections and answers otherwise is another server, not a closed port.
        match (by_handshake, by_request) {
            (Ok(true), _) => Reached::Ours(Method::Tls),
            (_, Ok(true)) => Reached::Ours(Method::Http),
            (Err(https), Err(http)) => Reached::Unreached(https, http),
            _ => Reached::Foreign,
        }
    }

    /// Returns whether this server answers, or why the address cannot be reached.
    async fn ask_by_handshake(&self, address: SocketAddr) -> Result<bool, &'static str> {
        let stream = connect(address).await?;
        let Ok(name) = ServerName::try_from(self.server_name.clone()) else { return Ok(false) };
        let shaken = timeout(ANSWER_WITHIN, self.connector.connect(name, stream)).await;
        // The verifier accepts one certificate only.
        Ok(matches!(shaken, Ok(Ok(_))))
    }

    async fn ask_by_request(&self, address: SocketAddr) -> Result<bool, &'static str> {
        let mut stream = connect(address).await?;
        let exchange = async {
            stream.write_all(self.request.as_bytes()).await?;
            let mut answer = Vec::new();
            // Another server may answer without end.
            (&mut stream).take(ANSWER_MAX).read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer = timeout(ANSWER_WITHIN, exchange).await;
        Ok(answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.ends_with(self.content.as_bytes()))))
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, &'static str> {
    match timeout(ANSWER_WITHIN, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(connect_error(error.kind())),
        Err(_) => Err(connect_error(io::ErrorKind::TimedOut)),
    }
}

/// Creates a connector that accepts one certificate only.
pub(super) fn connector_to(wanted: CertificateDer<'static>, protocol: &[u8]) -> TlsConnector {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(OnlyThis { wanted, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring supports both versions");
    let mut config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Accepts one certificate of this server.
#[derive(Debug)]
struct OnlyThis {
    wanted: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThis {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.wanted {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("another server".to_owned()))
    }

    // The certificate alone is the proof, and nothing is sent that a server with a copy of it could abuse. The verifier of
    // signatures refuses that of a challenge, since it does not know the critical extension of RFC 8737.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tenants_lead_to_the_internet_or_to_this_machine() {
        let allowed = Networks::parse(["10.1.0.0/16"]).expect("a network");
        let rows = [
            ("8.8.8.8", true),
            ("2001:4860:4860::8888", true),
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("::", false),
        ];
        for (address, want) in rows {
            assert_eq!(may_ask(address.parse().expect("an address"), &allowed), want, "{address}");
        }
    }

    #[test]
    fn the_reason_names_the_record_and_the_remedy() {
        let ours = Reached::Ours(Method::Tls);
        let by_file = Reached::Ours(Method::Http);
        let closed = Reached::Unreached("connection refused", "timed out");
        let elsewhere = "go.example.com is 198.51.100.9, which is not this machine: change its A record";
        let stale = "its AAAA record 2001:db8::1 does not lead here: authorities ask IPv6 first; remove it";
        let rows: [(&[(&str, &Reached)], Result<Method, &str>); 8] = [
            (&[("198.51.100.9", &ours)], Ok(Method::Tls)),
            (&[("198.51.100.9", &by_file)], Ok(Method::Http)),
            // One method for all addresses: the authority chooses one of them.
            (&[("198.51.100.9", &ours), ("2001:db8::1", &by_file)], Ok(Method::Http)),
            (&[("198.51.100.9", &Reached::Foreign)], Err(elsewhere)),
            (&[("198.51.100.9", &ours), ("2001:db8::1", &Reached::Foreign)], Err(stale)),
            (&[("198.51.100.9", &ours), ("2001:db8::1", &closed)], Err(stale)),
            (
                &[("2001:db8::1", &Reached::Foreign)],
                Err("go.example.com is 2001:db8::1, which is not this machine: change its AAAA record"),
            ),
            (
                &[("198.51.100.9", &closed)],
                Err(
                    "go.example.com is 198.51.100.9, which cannot be reached on port 443 (connection refused) or 80 \
                     (timed out): open port 443 in the firewall of the provider, or change its A record",
                ),
            ),
        ];
        let name = CertificateName::parse("go.example.com").expect("a name");
        for (found, want) in rows {
            let found: Vec<_> = found
                .iter()
                .map(|(address, found)| (address.parse().expect("an address"), (*found).clone()))
                .collect();
            assert_eq!(judge(&name, &found), want.map_err(str::to_owned), "{found:?}");
        }
    }
}
