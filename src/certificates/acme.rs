//! [`Acme`]: the account at the certificate authority, and one order (RFC 8555).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::sync::Mutex;
use tokio_rustls::rustls::pki_types::Der;

use super::authority_client::{AuthorityClient, AuthorityPool};
use super::challenge::{ChallengeAnswer, Challenges};
use super::name::CertificateName;
use super::settings::Settings;
use super::state::Method;
use super::store::CertificateStore;
use super::x509::RenewalId;
use crate::clock::Timestamp;

/// How an order is polled: its checks take some 100 ms at best. Past the end, the try fails.
const POLLED: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(100)).backoff(1.5).timeout(Duration::from_mins(1));

/// The profile of addresses: no other one has them.
const SHORT_LIVED: &str = "shortlived";

/// Most characters of a sentence of the authority that are shown.
const SAID_MAX: usize = 500;

/// Why the authority did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AcmeError {
    /// A clause for people, with the remedy where one is known.
    pub(super) reason: String,
    /// How long it asked to wait.
    pub(super) wait: Option<Duration>,
    /// Whether it answered at all: only then does the try count for its limits.
    pub(super) was_answered: bool,
    /// Whether it checked the name, so that the other method may work.
    pub(super) is_of_method: bool,
}

/// The renewal that the authority proposes: a window, and when it is asked again.
pub(super) type RenewalWindow = (Timestamp, Timestamp, Duration);

/// The client of an authority.
pub(super) struct Acme {
    settings: Settings,
    pool: Arc<AuthorityPool>,
    challenges: Arc<Challenges>,
    store: CertificateStore,
    /// As `instant_acme` writes it. Locked while an account is created: orders at once share one.
    account: Mutex<Option<serde_json::Value>>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acme").field("authority", &self.settings.authority).finish_non_exhaustive()
    }
}

impl Acme {
    /// Creates a client with the account that was stored.
    pub(super) fn new(
        settings: Settings,
        pool: Arc<AuthorityPool>,
        challenges: Arc<Challenges>,
        store: CertificateStore,
        account: Option<serde_json::Value>,
    ) -> Acme {
        Acme { settings, pool, challenges, store, account: Mutex::new(account) }
    }

    /// Asks for the directory, so that the pool knows the authority's time. Without an answer, it does not.
    pub(super) async fn ask_time(&self) {
        self.pool.client().get(&self.settings.authority).await;
    }

    /// Orders a certificate. Returns the key and the chain in PEM.
    pub(super) async fn order(
        &self,
        name: &CertificateName,
        method: Method,
        replaces: Option<&RenewalId>,
    ) -> Result<String, AcmeError> {
        // One client for each order: its last status and wait are those of this order.
        let client = self.pool.client();
        match self.order_with(&client, name, method, replaces).await {
            Err(error) if is_of_account(&error) => {
                // The authority forgot or revoked the account: a new one, once.
                tracing::info!("the certificate authority does not know the account: another one is created");
                *self.account.lock().await = None;
                self.order_with(&client, name, method, replaces).await
            }
            ordered => ordered,
        }
        .map_err(|error| describe(&error, &client, &self.settings.authority, method))
    }

    async fn order_with(
        &self,
        client: &AuthorityClient,
        name: &CertificateName,
        method: Method,
        replaces: Option<&RenewalId>,
    ) -> Result<String, Error> {
        let account = self.account(client).await?;
        let profile = self.profile(name, &account)?;
        let ordered = match place(&account, name, profile.as_deref(), replaces).await {
            // Without renewal information, or replaced already: an order like any other.
            Err(error) if replaces.is_some() && !is_of_account(&error) && !is_limit(&error) => {
                place(&account, name, profile.as_deref(), None).await
            }
            ordered => ordered,
        };
        let mut order = ordered?;
        // Answered until the authority has decided.
        let answers = self.answer_challenges(&mut order, name, method).await?;
        // An order whose names were all checked before is ready at once.
        if order.state().status == OrderStatus::Pending || !answers.is_empty() {
            let ready = order.poll_ready(&POLLED).await;
            if !matches!(ready, Ok(OrderStatus::Ready)) {
                let reason = failed_challenge(&mut order).await;
                return Err(reason.map_or_else(
                    || ready.err().unwrap_or(Error::Str("the authority rejected the order")),
                    Error::Api,
                ));
            }
        }
        // Nothing is checked after this.
        drop(answers);
        finish(&mut order, name).await
    }

    /// Returns the account, and creates it if there is none at this authority.
    async fn account(&self, client: &AuthorityClient) -> Result<Account, Error> {
        let mut account = self.account.lock().await;
        let is_ours = |stored: &serde_json::Value| {
            stored.get("directory").and_then(serde_json::Value::as_str) == Some(&self.settings.authority)
        };
        let stored = account.as_ref().filter(|stored| is_ours(stored)).cloned();
        let builder = Account::builder_with_http(Box::new(client.clone()));
        if let Some(credentials) =
            stored.and_then(|stored| serde_json::from_value::<AccountCredentials>(stored).ok())
        {
            return builder.from_credentials(credentials).await;
        }
        // An account without an address is allowed: the authority sends no mail about renewals any more.
        let contact = format!("mailto:{}", self.settings.email);
        let contact = [contact.as_str()];
        let new = NewAccount {
            contact: if self.settings.email.is_empty() { &[] } else { &contact },
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.settings.eab_key.as_ref().and_then(|key| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(key.0.trim_end_matches('=')).ok()?;
            Some(ExternalAccountKey::new(self.settings.eab_key_id.clone(), &bytes))
        });
        let (created, credentials) =
            builder.create(&new, self.settings.authority.clone(), external.as_ref()).await?;
        let credentials = serde_json::to_value(&credentials)?;
        let (store, written) = (self.store.clone(), credentials.clone());
        let written = tokio::task::spawn_blocking(move || store.write_account(&written)).await;
        if let Ok(Err(error)) = written {
            // The next start creates another account, which harms nothing.
            tracing::warn!(%error, "the account at the certificate authority cannot be stored");
        }
        // Also if it could not be written: orders of this process share it.
        *account = Some(credentials);
        Ok(created)
    }

    /// Returns the profile of an order. Fails if the authority does not offer the configured one.
    fn profile(&self, name: &CertificateName, account: &Account) -> Result<Option<String>, Error> {
        let mut offered: Vec<&str> = account.profiles().map(|profile| profile.name).collect();
        // The authority has no order of them.
        offered.sort_unstable();
        if matches!(name, CertificateName::Address(_)) {
            // An authority without profiles may have addresses all the same.
            return Ok(offered.contains(&SHORT_LIVED).then(|| SHORT_LIVED.to_owned()));
        }
        let wanted = &self.settings.profile;
        if wanted.is_empty() || offered.contains(&wanted.as_str()) {
            return Ok(Some(wanted.clone()).filter(|wanted| !wanted.is_empty()));
        }
        let text = if offered.is_empty() {
            format!("it offers no profiles, so not {wanted} either: remove `https.profile`")
        } else {
            let offered = offered.join(", ");
            format!("it does not offer the profile {wanted} but {offered}: set `https.profile`")
        };
        Err(Error::Other(text.into()))
    }

    async fn answer_challenges(
        &self,
        order: &mut Order,
        name: &CertificateName,
        method: Method,
    ) -> Result<Vec<ChallengeAnswer>, Error> {
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // The authority remembers checks for some hours.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let kind = match method {
                Method::Tls => ChallengeType::TlsAlpn01,
                Method::Http => ChallengeType::Http01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                return Err(Error::Str("the authority does not offer this method"));
            };
            let proof = challenge.key_authorization();
            // Before the authority is asked to look: it may do so at once.
            answers.push(match method {
                Method::Tls => self
                    .challenges
                    .answer_handshakes(name, proof.digest().as_ref())
                    .map_err(|error| Error::Other(error.into()))?,
                Method::Http => self.challenges.answer_requests(&challenge.token, proof.as_str().to_owned()),
            });
            challenge.set_ready().await?;
        }
        Ok(answers)
    }

    /// Asks when a certificate should be renewed. `Ok(None)` if the authority proposes nothing.
    pub(super) async fn ask_renewal(&self, id: &RenewalId) -> Result<Option<RenewalWindow>, AcmeError> {
        let client = self.pool.client();
        let asked = async {
            let account = self.account(&client).await?;
            account.renewal_info(&identifier_of(id)).await
        };
        match asked.await {
            Ok((info, after)) => {
                let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000));
                let window = info.suggested_window;
                Ok(Some((at(window.start.unix_timestamp()), at(window.end.unix_timestamp()), after)))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(describe(&error, &client, &self.settings.authority, Method::Tls)),
        }
    }
}

async fn place(
    account: &Account,
    name: &CertificateName,
    profile: Option<&str>,
    replaces: Option<&RenewalId>,
) -> Result<Order, Error> {
    let identifiers = [identifier(name)];
    let mut order = NewOrder::new(&identifiers);
    if let Some(profile) = profile {
        order = order.profile(profile);
    }
    if let Some(id) = replaces {
        order = order.replaces(identifier_of(id));
    }
    account.new_order(&order).await
}

/// Requests the certificate of an order whose checks have succeeded.
async fn finish(order: &mut Order, name: &CertificateName) -> Result<String, Error> {
    let failed = |error: rcgen::Error| Error::Other(error.into());
    let mut params = CertificateParams::new([name.to_string()]).map_err(failed)?;
    // Authorities take the names from the extension, and some refuse a subject.
    params.distinguished_name = DistinguishedName::new();
    // A new key for each certificate: one that was copied is of no use after the next renewal.
    let key = KeyPair::generate().map_err(failed)?;
    let request = params.serialize_request(&key).map_err(failed)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLLED).await?;
    Ok(key.serialize_pem() + &chain)
}

/// Returns what the authority said of the check that failed.
async fn failed_challenge(order: &mut Order) -> Option<Problem> {
    let mut authorizations = order.authorizations();
    // The order itself says only that it is invalid. The reason is in the challenge.
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Some(problem);
        }
    }
    None
}

/// Returns the last part of the type of a problem, such as `rateLimited`.
fn kind(error: &Error) -> &str {
    match error {
        Error::Api(problem) => {
            problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default()
        }
        _ => "",
    }
}

fn is_of_account(error: &Error) -> bool {
    kind(error) == "accountDoesNotExist"
}

fn is_limit(error: &Error) -> bool {
    kind(error) == "rateLimited"
}

/// Describes an error with its remedy. The sentences of the authority are shown as they are.
fn describe(error: &Error, client: &AuthorityClient, authority: &str, method: Method) -> AcmeError {
    let noted = client.noted();
    // What no answer was received to may have arrived, but no limit of an authority counts what it did not answer.
    let was_answered = noted.unanswered.is_none();
    let of_checks = ["connection", "dns", "incorrectResponse", "tls", "unauthorized"];
    let is_of_method = was_answered && of_checks.contains(&kind(error));
    let reason = match error {
        _ if noted.unanswered.is_some() => {
            let why = noted.unanswered.map(|why| why.to_string()).unwrap_or_default();
            format!("the authority does not answer ({why})")
        }
        Error::Api(problem) => {
            let said = problem.detail.clone().unwrap_or_else(|| kind(error).to_owned());
            let details = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
            let said = std::iter::once(said.as_str()).chain(details).collect::<Vec<_>>().join(", ");
            // It goes into log lines and onto terminals.
            let said: String = said.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
            match kind(error) {
                // Some authorities give the failed connection of a handshake another type.
                found if found == "connection" || is_of_method && said.contains("connect") => {
                    let port = if method == Method::Tls { 443 } else { 80 };
                    format!("{said}: open port {port} in the firewall of the provider")
                }
                "externalAccountRequired" => format!(
                    "{said}: set `https.eab_key_id`, and its key in the variable WAYPOST_HTTPS__EAB_KEY"
                ),
                _ => said,
            }
        }
        // An answer without JSON is usually that of another program at the URL.
        Error::Json(_) => match noted.status {
            Some((status, url)) if url == authority => {
                format!("{url} answers {} and is no ACME directory: check `https.authority`", status.as_u16())
            }
            Some((status, url)) => format!("the authority answers {} to {url}", status.as_u16()),
            None => error.to_string(),
        },
        Error::Timeout(_) => "the authority did not complete the order within a minute".to_owned(),
        error => error.to_string(),
    };
    AcmeError { reason, wait: noted.wait, was_answered, is_of_method }
}

fn identifier(name: &CertificateName) -> Identifier {
    match name {
        CertificateName::Host(name) => Identifier::Dns(name.to_string()),
        CertificateName::Address(address) => Identifier::Ip(*address),
    }
}

fn identifier_of(id: &RenewalId) -> CertificateIdentifier<'static> {
    CertificateIdentifier::new(Der::from_slice(&id.key), Der::from_slice(&id.serial)).into_owned()
}
