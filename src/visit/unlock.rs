//! A password that a visitor sends to a link. The steps save work: a request that cannot open the link is
//! rejected before its body is read, an attempt is counted before it is hashed, and the right password is the
//! click itself.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::attempts::Locked;
use super::home::home_of;
use super::pages::{self, PasswordPrompt, Protected};
use super::rule::Verdict;
use super::rules::judge;
use super::submission::{FormRejection, GET_AND_HEAD, Submission, not_allowed};
use super::visitor::Visitor;
use crate::cache::entry::{Action, Entry};
use crate::core::Error;
use crate::model::domain::Domain;
use crate::model::id::Id;
use crate::model::link::{PASSWORD_TEXT_MAX, Password, PasswordHash};

/// Largest form in bytes: a password in its longest spelling with every byte percent-encoded, and space for fields
/// that password managers add. Past it: 413.
pub const FORM_MAX: usize = 3 * PASSWORD_TEXT_MAX + 1024;

/// A password that a visitor sends.
#[derive(Clone, Copy)]
pub(super) struct PasswordGuess<'a> {
    /// The id of the link or share.
    pub(super) id: Id,
    /// The hash of its password.
    pub(super) hash: &'a PasswordHash,
    /// The address of the visitor.
    pub(super) address: IpAddr,
}

/// Reads a form that was not rejected. Otherwise returns the response, without a poll of `form`.
pub(super) async fn accepted<F>(
    rejection: Option<FormRejection>,
    form: F,
) -> Result<Bytes, Response<Full<Bytes>>>
where
    F: Future<Output = Result<Bytes, StatusCode>> + Send,
{
    match rejection {
        None => form.await.map_err(pages::error),
        Some(FormRejection::Foreign) => Err(pages::foreign_form()),
        Some(FormRejection::NoForm) => Err(pages::error(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    }
}

impl Visitor {
    /// Checks the password that a visitor sends to the link `entry`, and follows the link. `form` reads the
    /// body. It is polled only if the form may open the link.
    pub(super) async fn attempt<F>(
        self,
        submission: Submission,
        domain: Arc<Domain>,
        entry: Entry,
        form: F,
    ) -> Response<Full<Bytes>>
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send,
    {
        let Submission { address: link_address, facts, rejection, .. } = submission;
        let address = facts.address;
        // `submit` calls this for a link with a password only.
        let Action::Evaluate(conditional) = &entry.action else { return not_allowed(GET_AND_HEAD) };
        let Some(hash) = &conditional.link.options.password else { return not_allowed(GET_AND_HEAD) };
        // Evaluated as if the password were right: a link that would not open is not worth a hash.
        let evaluation = self.unlocked_evaluation(&entry, conditional, &facts);
        match judge(&evaluation) {
            Verdict::Destination { .. } => {}
            other => return self.render(other, &evaluation, &domain),
        }
        let form = match accepted(rejection, form).await {
            Ok(form) => form,
            Err(response) => return response,
        };
        let home = home_of(&domain, &self.links);
        let prompt = |why| pages::password(Protected::Link, why, self.links.schemes(), &home);
        let link = &conditional.link;
        let guess = PasswordGuess { id: link.id, hash, address };
        match self.guess(guess, &form, |password| self.links.is_password(link, password)).await {
            Ok(()) => {
                let hash = hash.clone();
                // The body may have taken seconds, and the link may have changed: it is loaded again.
                self.resolve_and_follow(link_address, facts, Some(hash)).await
            }
            Err(why) => prompt(why),
        }
    }

    /// Checks the password in a form by `check`, within the limits of guesses. Fails with the reason for which the page
    /// asks again.
    pub(super) async fn guess<F>(
        &self,
        PasswordGuess { id, hash, address }: PasswordGuess<'_>,
        form: &[u8],
        check: impl FnOnce(Password) -> F,
    ) -> Result<(), PasswordPrompt>
    where
        F: Future<Output = Result<bool, Error>>,
    {
        // Not counted: no link can have such a password, so nothing was guessed.
        let password = password_in(form).ok_or(PasswordPrompt::Wrong)?;
        let attempts = &self.state.attempts;
        let target = attempts.target(id, hash);
        if let Err(Locked(left)) = attempts.begin(target, address, Instant::now()) {
            // Rounded up, so that a client that waits exactly this time is not rejected again.
            return Err(PasswordPrompt::Locked { seconds: left.as_secs() + 1 });
        }
        match check(password).await {
            Ok(false) => {
                if attempts.locked(target, Instant::now()).is_some() {
                    tracing::warn!(link = %id, "guesses locked a link's password for up to an hour");
                }
                Err(PasswordPrompt::Wrong)
            }
            Ok(true) => {
                // A right password must not use up the attempts of its address.
                attempts.take_back(target, address);
                Ok(())
            }
            // The password was not checked, so the attempt is not used up.
            Err(Error::Busy) => {
                attempts.take_back(target, address);
                Err(PasswordPrompt::Busy)
            }
            // The attempt stays counted, so that a broken hash cannot flood the log.
            Err(error) => {
                tracing::warn!(%error, "a password could not be checked");
                Err(PasswordPrompt::Busy)
            }
        }
    }
}

/// Returns the password in a form. A password that no link can have is treated like a missing one.
pub(crate) fn password_in(form: &[u8]) -> Option<Password> {
    let (_, value) = url::form_urlencoded::parse(form).find(|(name, _)| name == "password")?;
    Password::parse(&value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms of this host, and forms at all.
    #[test]
    fn passwords_in_forms() {
        // One byte more than `PASSWORD_MAX`.
        let long = format!("password={}", "x".repeat(1_025));
        let rows = [
            ("password=geheim", Some("geheim")),
            ("a=b&password=a%20b+c%C3%BC", Some("a b cü")),
            ("password=", None),
            ("pass=x", None),
            ("", None),
            (&long, None),
            ("password=a&password=b", Some("a")),
            ("Password=x", None),
            ("password%00=x", None),
            ("passwor%64=x", Some("x")),
            ("password=%ff", Some("\u{fffd}")),
            ("password=a;b", Some("a;b")),
        ];
        for (form, want) in rows {
            let got = password_in(form.as_bytes());
            assert_eq!(got.as_ref().map(Password::as_bytes), want.map(str::as_bytes), "{form}");
        }
    }
}
