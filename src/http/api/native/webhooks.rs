//! Webhooks in the native dialect: the secret that signs events, and the latest attempts to deliver them.

use serde::Serialize;

use crate::http::api::dialect::{Attempt, WebhookSecretView};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretJson {
    /// In each response, unlike the secret of an API key: receivers need it, and it gives no access.
    secret: String,
    created_at: String,
    previous_expires_at: Option<String>,
}

impl SecretJson {
    pub(super) fn of(view: &WebhookSecretView) -> SecretJson {
        SecretJson {
            secret: view.secret.text(),
            created_at: view.created_at.to_string(),
            previous_expires_at: view.previous_expires_at.map(|until| until.to_string()),
        }
    }
}

/// An attempt to deliver an event. Contains nothing of the receiver's response but its status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryJson<'a> {
    id: &'a str,
    url: &'a str,
    attempt: u8,
    at: String,
    status: Option<u16>,
    error: Option<&'a str>,
    duration_ms: u64,
    delivered: bool,
    next_attempt_at: Option<String>,
}

impl<'a> DeliveryJson<'a> {
    pub(super) fn of(attempt: &'a Attempt) -> DeliveryJson<'a> {
        DeliveryJson {
            id: &attempt.event,
            url: &attempt.url,
            attempt: attempt.attempt,
            at: attempt.at.to_string(),
            status: attempt.status,
            error: attempt.error.as_deref(),
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            delivered: attempt.delivered,
            next_attempt_at: attempt.next_attempt_at.map(|at| at.to_string()),
        }
    }
}
