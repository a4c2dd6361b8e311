//! Domains of the acting workspace, including the shared default domain.

use std::sync::Arc;

use super::caps::Creating;
use super::directory::Versioned;
use super::weights;
use crate::core::commit::{ATTEMPTS, Committed, Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::fields;
use crate::core::history::notes::AuditNote;
use crate::core::view::DomainView;
use crate::log::Put;
use crate::model::Invalid;
use crate::model::attachment::AttachmentUse;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::domain::{Domain, DomainDraft, DomainEdit, DomainNumber, HostName};
use crate::model::id::Id;
use crate::model::key::Reach;
use crate::model::qr_style::QrStyle;
use crate::model::tenant::Tenant;
use crate::table::keys::{self, AttachmentOwner};
use crate::table::record::{Number, Stored, StoredOutcome};

/// Most domains of one workspace: a list returns all of them with their numbers of links, and all domains are
/// in memory. Past it, creations are forbidden until domains are deleted.
const DOMAINS_MAX: usize = 1_000;

impl Tenants {
    /// Returns the domains that the acting workspace may use, the oldest first.
    pub async fn domains(&self, context: &Context) -> Result<Vec<DomainView>, Error> {
        // Copied, so that no guard of the directory is held during the wait.
        let mut seen: Vec<Arc<Domain>> = {
            let directory = self.directory();
            let own = directory.domains_of(Some(context.workspace.number));
            directory.domains_of(None).chain(own).cloned().collect()
        };
        // Each of the two lists is in order, but not both together.
        seen.sort_by_key(|domain| domain.id);
        let workspace = context.workspace.number;
        self.scanning(&context.tenant, move |shared, cancel| {
            let seen = seen.into_iter().take_while(|_| !cancel.is_set());
            seen.map(|domain| shared.domain_view(workspace, domain)).collect()
        })
        .await
    }

    /// Adds a domain to the acting workspace. It counts as verified, since a key vouches for it. Fails with
    /// [`Error::Taken`] if the name is in use.
    pub async fn create_domain(&self, context: &Context, draft: DomainDraft) -> Result<DomainView, Error> {
        // These reach the default domain without a record, so the log would not reject them.
        if self.shared.site.is_named(draft.name.as_str()) || draft.name.as_str() == "localhost" {
            return Err(Error::Taken { field: "domain" });
        }
        // Exclusive, since roots of other domains may already lead to this name.
        let made = self
            .shared
            .exclusive
            .hold_exclusive(&context.tenant, self.create_domain_alone(context, draft))
            .await?;
        self.domain_view(context, made).await
    }

    /// Adds the names that are no domain yet to the first workspace, with the defaults of a domain. For names of the
    /// configuration, after [`Core::bootstrap`](crate::core::Core::bootstrap).
    pub async fn add_missing_domains(&self, names: &[HostName]) -> Result<(), Error> {
        for name in names {
            let is_known = self.shared.site.is_named(name.as_str())
                || self.directory().domain_named(name.as_str()).is_some();
            // The oldest workspace, which the first start has created. Its owner may be that of the whole server.
            let workspace =
                self.directory().workspaces(&Reach::Instance).next().map(|first| Arc::clone(&first.record));
            let Some(workspace) = workspace.filter(|_| !is_known) else { continue };
            let context = Context::of_program(workspace, self.shared.clock.now());
            // As the API creates a domain for which nothing else is given.
            let draft = DomainDraft { name: name.clone(), edits: Vec::new() };
            self.create_domain(&context, draft).await?;
        }
        Ok(())
    }

    async fn create_domain_alone(&self, context: &Context, draft: DomainDraft) -> Result<Arc<Domain>, Error> {
        let owner = Some(context.workspace.number);
        if self.directory().domains_of(owner).count() >= DOMAINS_MAX {
            return Err(Error::Forbidden(format!("a workspace has at most {DOMAINS_MAX} domains")));
        }
        for _ in 0..ATTEMPTS {
            // Random instead of the next number. Stored outcomes and tombstones refer to a domain by its
            // number after it is deleted, so a number must never be used twice.
            let number =
                // Never 0, the number of the default domain.
                chance().to_le_bytes()[0..4].iter().fold(0, |n, byte| n << 8 | u32::from(*byte)).max(1);
            let mut domain = Domain {
                number: DomainNumber(number),
                id: Id::from_bits(0),
                name: Some(draft.name.clone()),
                workspace: Some(context.workspace.number),
                base_url: None,
                case_sensitive: true,
                show_destination: false,
                public_qr: false,
                qr: QrStyle::default(),
                apple_apps: false,
                android_apps: false,
                not_found_url: None,
                expired_url: None,
                root_url: None,
                verified_at: Some(context.now),
                created_at: context.now,
            };
            for edit in draft.edits.clone() {
                // A new domain has no links, so every edit is allowed.
                domain.apply(edit, false)?;
            }
            domain.qr.check()?;
            self.check_elsewhere(&domain)?;
            self.shared.check_denied_domain(&domain, None)?;
            self.shared.check_root(&domain)?;
            // Kept until the Change is applied, so that the bound holds for concurrent requests.
            let _growth = self.announce_domain(context, None, &domain)?;
            let name_key = keys::host_name(draft.name.as_str());
            let committed = self
                .commit_new(context, |next_id| {
                    domain.id = next_id();
                    let mut effect = Effect::default();
                    effect.create(name_key.clone(), Number(u64::from(number)).encode());
                    effect.create(keys::domain(domain.number), domain.encode());
                    note(&mut effect, &domain, AuditAct::Create);
                    effect.store_outcome(context.claim, context.now, || StoredOutcome::Domain(domain.number));
                    effect
                })
                .await?;
            match committed {
                Committed::Done => return Ok(Arc::new(domain)),
                Committed::Conflict(key) if key == name_key => return Err(Error::Taken { field: "domain" }),
                // Another record, such as that of the random number: try again.
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// Returns a domain that the acting workspace may use.
    pub async fn domain(&self, context: &Context, id: Id) -> Result<DomainView, Error> {
        let versioned = self.find_domain(context, id)?;
        context.object.read(versioned.revision)?;
        self.domain_view(context, versioned.record).await
    }

    /// Changes a domain: all edits or none. The default domain is shared, so only an instance key may change
    /// it.
    pub async fn update_domain(
        &self,
        context: &Context,
        id: Id,
        edits: Vec<DomainEdit>,
    ) -> Result<DomainView, Error> {
        // Read before the lock, so that the reads under the lock find the records in memory.
        let number = self.find_domain(context, id)?.record.number;
        self.blocking(move |shared| Ok(shared.table.links_on(number, 1)?)).await?;
        let made = self
            .shared
            .exclusive
            .hold_exclusive(&context.tenant, self.update_domain_alone(context, id, edits))
            .await?;
        self.domain_view(context, made).await
    }

    async fn update_domain_alone(
        &self,
        context: &Context,
        id: Id,
        edits: Vec<DomainEdit>,
    ) -> Result<Arc<Domain>, Error> {
        for _ in 0..ATTEMPTS {
            let versioned = self.find_domain(context, id)?;
            context.object.check(versioned.revision)?;
            context.may_change(&versioned.record)?;
            let mut domain = (*versioned.record).clone();
            let number = domain.number;
            // The case rule cannot change once the domain has links (docs/decisions.md A14).
            let used =
                self.shared.table.links_on(number, 1)? > 0 || self.shared.table.has_aliases_on(number)?;
            for edit in edits.clone() {
                domain.apply(edit, used)?;
            }
            domain.qr.check()?;
            self.check_elsewhere(&domain)?;
            self.shared.check_denied_domain(&domain, Some(&versioned.record))?;
            self.shared.check_root(&domain)?;
            // Kept until the Change is applied, as in a creation.
            let _growth = self.announce_domain(context, Some(&versioned.record), &domain)?;
            let mut effect = Effect::default();
            effect.replace(keys::domain(number), versioned.revision, domain.encode());
            let fields = fields::of_domain(&versioned.record, &domain);
            note_change(&mut effect, &domain, &fields);
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(Arc::new(domain));
            }
        }
        Err(Error::Busy)
    }

    /// Deletes a domain. Fails if it still has links.
    pub async fn delete_domain(&self, context: &Context, id: Id) -> Result<(), Error> {
        let number = self.find_domain(context, id)?.record.number;
        // Read before the lock, for the reason given in `update_domain`.
        self.blocking(move |shared| Ok(shared.table.links_on(number, 1)?)).await?;
        self.shared.exclusive.hold_exclusive(&context.tenant, self.delete_domain_alone(context, id)).await
    }

    async fn delete_domain_alone(&self, context: &Context, id: Id) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let versioned = self.find_domain(context, id)?;
            context.object.check(versioned.revision)?;
            let number = versioned.record.number;
            // Only the default domain has no stored name.
            let Some(name) = versioned.record.name.clone() else {
                return Err(Error::Forbidden("the default domain cannot be deleted".to_owned()));
            };
            let name_key = keys::host_name(name.as_str());
            let revision =
                self.shared.table.get::<Number>(&name_key)?.ok_or(Error::NotFound("domain"))?.revision;
            // No link can be created under the lock, so the number is still 0 at the commit.
            if self.shared.table.links_on(number, 1)? > 0 {
                return Err(Invalid::new("domain", "still has links; delete them first").into());
            }
            if self.shared.table.has_aliases_on(number)? {
                let why = "still has aliases of links on other domains; remove them first";
                return Err(Invalid::new("domain", why).into());
            }
            let mut effect = Effect::default();
            effect.remove(keys::domain(number), versioned.revision);
            note(&mut effect, &versioned.record, AuditAct::Delete);
            effect.remove(name_key, revision);
            remove_files(&mut effect, &versioned.record);
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    /// Announces the memory that a domain will need beside what it has: see [`super::growth`].
    fn announce_domain(
        &self,
        context: &Context,
        before: Option<&Domain>,
        after: &Domain,
    ) -> Result<Vec<Creating>, Error> {
        let tenant = match after.workspace {
            Some(number) => self.shared.tenant_of_workspace(number),
            None => Tenant::Operator,
        };
        let before = before.map_or(0, weights::of_domain);
        self.shared.announce_growth(&context.reach, &tenant, before, weights::of_domain(after))
    }

    /// Fails if `notFoundUrl` or `expiredUrl` leads to this server, where a visitor could end at a fallback
    /// again.
    fn check_elsewhere(&self, domain: &Domain) -> Result<(), Invalid> {
        let directory = self.directory();
        let routes = self.shared.routes(&directory).with_domain(domain);
        let urls = [("notFoundUrl", &domain.not_found_url), ("expiredUrl", &domain.expired_url)];
        for (field, url) in urls {
            if url.as_ref().is_some_and(|url| routes.is_here(url)) {
                return Err(Invalid::new(field, "must not lead to a domain of this server"));
            }
        }
        Ok(())
    }

    /// Returns the id of the domain with this name or id, if the acting workspace may use it.
    pub fn domain_of_name_or_id(&self, context: &Context, text: &str) -> Option<Id> {
        let (workspace, directory) = (context.workspace.number, self.directory());
        let named = self.shared.domain_by_name(&directory, text);
        let named = named.and_then(|number| directory.domain(number)).map(|domain| domain.id);
        let id = named.or_else(|| text.parse().ok())?;
        directory.domain_seen(workspace, id).map(|versioned| versioned.record.id)
    }

    pub(super) fn find_domain(&self, context: &Context, id: Id) -> Result<Versioned<Domain>, Error> {
        let versioned = self.directory().domain_seen(context.workspace.number, id).cloned();
        versioned.ok_or(Error::NotFound("domain"))
    }
}

/// Adds an entry about a domain to the audit list of its workspace.
fn note(effect: &mut Effect, domain: &Domain, act: AuditAct) {
    note_with(effect, domain, act, &[]);
}

/// Adds an entry about changed fields of a domain.
pub(super) fn note_change(effect: &mut Effect, domain: &Domain, fields: &[&str]) {
    note_with(effect, domain, AuditAct::Edit, fields);
}

fn note_with(effect: &mut Effect, domain: &Domain, act: AuditAct, fields: &[&str]) {
    let name = domain.name.as_ref().map(HostName::as_str);
    match domain.workspace {
        Some(owner) => {
            let note = AuditNote::of(owner, act, SubjectKind::Domain, domain.id, name);
            effect.note(note.changing(fields));
        }
        // All workspaces have the default domain, and only the operator changes it.
        None => effect.unlisted(),
    }
}

const USES: [AttachmentUse; 3] = [AttachmentUse::Logo, AttachmentUse::AppleApps, AttachmentUse::AndroidApps];

/// Removes all files of a domain whose record the effect removes.
fn remove_files(effect: &mut Effect, domain: &Domain) {
    for used in USES.into_iter().filter(|used| has_file(domain, *used)) {
        let key = keys::attachment(AttachmentOwner::Domain(domain.number), used);
        effect.puts.push(Put { key, value: None });
    }
}

/// Returns whether a domain has a file.
pub(super) fn has_file(domain: &Domain, used: AttachmentUse) -> bool {
    match used {
        AttachmentUse::Logo => domain.qr.logo.is_some(),
        AttachmentUse::AppleApps => domain.apple_apps,
        AttachmentUse::AndroidApps => domain.android_apps,
    }
}
