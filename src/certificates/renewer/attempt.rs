//! [`Try`]: one try to get a certificate.

use std::sync::Arc;

use crate::certificates::acme::{Acme, AcmeError, RenewalWindow};
use crate::certificates::lanes::LanePermit;
use crate::certificates::name::CertificateName;
use crate::certificates::order_budget::SharedBudget;
use crate::certificates::self_check;
use crate::certificates::settings::Settings;
use crate::certificates::shared::Shared;
use crate::certificates::state::Method;
use crate::certificates::x509::RenewalId;
use crate::clock::Timestamp;
use crate::model::network::Networks;

/// How an act ended.
pub(super) enum ActOutcome {
    Issued {
        pem: String,
        method: Method,
    },
    /// The name leads elsewhere, so nothing was ordered.
    Elsewhere(String),
    Failed {
        error: AcmeError,
        method: Method,
    },
    /// The name leads here, and the budget of orders was used up during the check.
    Unbudgeted,
    Renewal(Result<Option<RenewalWindow>, AcmeError>),
    Time,
}

/// A try to get a certificate.
pub(super) struct Try {
    pub(super) name: String,
    pub(super) acme: Arc<Acme>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) replaces: Option<RenewalId>,
    pub(super) worked: Option<Method>,
    pub(super) failed: Option<Method>,
    /// Whether it orders also if the name seems to lead elsewhere.
    pub(super) goes_on: bool,
    pub(super) slot: Arc<LanePermit>,
    /// Set for a name of a tenant: the networks that it may lead to.
    pub(super) tenants: Option<Networks>,
    /// `None` for a renewal.
    pub(super) budget: Option<SharedBudget>,
    /// Returns the time by the better clock.
    pub(super) now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Try {
    /// Checks the name, and orders a certificate if it leads here.
    pub(super) async fn run(self) -> ActOutcome {
        let name = match CertificateName::parse(&self.name) {
            Ok(name) => name,
            Err(why) => return ActOutcome::Elsewhere(why),
        };
        if let Some(why) = self.settings.uncertifiable(&name) {
            return ActOutcome::Elsewhere(why);
        }
        // Also before a renewal: a domain that has moved away costs no order.
        let (internet, challenges) = (&self.settings.internet, &self.shared.challenges);
        let tenants = self.tenants.as_ref();
        let checked = self_check::check(&name, internet, challenges, &self.slot, tenants).await;
        let found = match checked {
            Ok(found) => Some(found),
            // The authority may reach what this machine does not.
            Err(_) if self.goes_on => None,
            Err(why) => return ActOutcome::Elsewhere(why),
        };
        let method = match (self.failed, found) {
            // The other one, after a failure.
            (Some(failed), _) => failed.other(),
            // The check found that only requests on port 80 lead here.
            (None, Some(Method::Http)) => Method::Http,
            (None, _) => self.worked.unwrap_or(Method::Tls),
        };
        let _turn = self.slot.turn().await;
        // After the check: names that lead elsewhere must not use up the orders of others.
        if self.budget.is_some_and(|budget| budget.lock().take((self.now)()).is_err()) {
            return ActOutcome::Unbudgeted;
        }
        match self.acme.order(&name, method, self.replaces.as_ref()).await {
            Ok(pem) => ActOutcome::Issued { pem, method },
            Err(error) => ActOutcome::Failed { error, method },
        }
    }
}
