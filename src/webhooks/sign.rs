//! Signatures by Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64, one for each valid
//! secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::model::webhook::{Secret, WebhookSecret};

/// Returns the values of `webhook-timestamp` and `webhook-signature` for an attempt at `now`.
pub(super) fn sign(secret: &WebhookSecret, id: &str, now: Timestamp, body: &[u8]) -> (String, String) {
    // Whole seconds, rounded down, as the specification requires.
    let timestamp = now.as_millis().div_euclid(1_000).to_string();
    // A rotation must not break receivers: each accepts the signature of the secret that it has.
    let each: Vec<String> =
        secret.signing(now).map(|secret| signature(secret, id, &timestamp, body)).collect();
    (timestamp, each.join(" "))
}

fn signature(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of any length");
    // In parts, so that the body is not copied.
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        hmac.update(part);
    }
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::webhook::SECRET_BYTES;
    use crate::model::workspace::WorkspaceNumber;

    /// The expected value is computed by another implementation: `printf %s "$id.$seconds.$body" | openssl dgst -sha256
    /// -mac HMAC -macopt hexkey:0707..07 -binary | base64`.
    #[test]
    fn signatures_equal_those_of_openssl() {
        let mut secret = WebhookSecret {
            workspace: WorkspaceNumber(0),
            secret: Secret([7; SECRET_BYTES]),
            created_at: Timestamp::from_millis(0),
            previous: None,
        };
        let at = Timestamp::from_millis(1_614_265_330_999);
        let id = "evt_p5jXN8AQM9LWM0D4loKWxJek";
        let (timestamp, one) = sign(&secret, id, at, br#"{"test": 2432232314}"#);
        assert_eq!(
            (timestamp.as_str(), one.as_str()),
            ("1614265330", "v1,16rk6cKD3ULBvmU5RGXVd8NeiGyZbhDmBBTmfjEq8VM=")
        );
        // Still valid for one millisecond.
        secret.previous = Some((Secret([8; SECRET_BYTES]), at.plus_millis(1)));
        let (_, two) = sign(&secret, id, at, br#"{"test": 2432232314}"#);
        let (first, second) = two.split_once(' ').expect("two signatures");
        assert!(first == one && second != one && second.starts_with("v1,"), "{two}");
        assert_ne!(sign(&secret, id, at, b"{}").1, two);
    }
}
