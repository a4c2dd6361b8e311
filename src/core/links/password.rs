//! Checks a password that a visitor sends.

use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::hash_memory::TooLarge;
use crate::model::click_share::ClickShare;
use crate::model::id::Id;
use crate::model::link::{Link, Password, PasswordHash};
use crate::model::workspace::WorkspaceNumber;

impl Links {
    /// Returns whether a password is the link's. The link's workspace is charged with the work. Fails with
    /// [`Error::Busy`] if too many callers wait, and with [`Error::NotReady`] if the hash needs more memory
    /// than this machine allows for one. A hash beyond the model's bounds is never computed, and no password
    /// matches it.
    pub async fn is_password(&self, link: &Link, password: Password) -> Result<bool, Error> {
        let Some(hash) = &link.options.password else { return Ok(false) };
        self.is_right(link.workspace, link.id, hash, password).await
    }

    /// Returns the same for a share of statistics.
    pub async fn is_share_password(&self, share: &ClickShare, password: Password) -> Result<bool, Error> {
        let Some(hash) = &share.password else { return Ok(false) };
        self.is_right(share.workspace, share.id, hash, password).await
    }

    /// Returns whether a password has the hash of a link or share.
    async fn is_right(
        &self,
        workspace: WorkspaceNumber,
        link: Id,
        hash: &PasswordHash,
        password: Password,
    ) -> Result<bool, Error> {
        let (hashing, tenant) = (&self.shared.hashing, self.shared.tenant_of_workspace(workspace));
        let parts = match hash.parts() {
            Ok(parts) => parts,
            // A record of an older version may have such a hash (docs/decisions.md 13).
            Err(rule) => {
                // At most once a minute: otherwise the guesses of a stranger fill the log.
                if hashing.may_warn(self.shared.clock.now().as_millis()) {
                    tracing::warn!(%link, %rule, "no password opens this link: set its password again");
                }
                return Ok(false);
            }
        };
        let checked = hashing.is_password(&tenant, password, parts).await?;
        checked.map_err(|TooLarge { wanted, allowed }| {
            Error::NotReady(format!(
                "the password hash of link {link} takes {wanted} KiB to check, and the memory allowed here \
                 spares {allowed} KiB for it"
            ))
        })
    }
}
