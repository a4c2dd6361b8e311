//! Creating one link: from a draft to a record that follows every rule.

use std::sync::Arc;

use super::loops::routes::Siblings;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::{Core, Links};
use crate::core::shared::Shared;
use crate::core::tenants::directory::{Directory, Versioned};
use crate::core::tenants::viewer::Viewer;
use crate::core::view::LinkView;
use crate::model::Invalid;
use crate::model::destination::{Destination, ExtraSchemes, MAX_BYTES};
use crate::model::domain::{Domain, DomainNumber, HostName};
use crate::model::id::Id;
use crate::model::link::{DomainChoice, Draft, Edit, Link, Options, Password, PasswordHash};
use crate::model::short_code::ShortCode;
use crate::model::tag::Tag;
use crate::model::text::trim_blank;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys;
use crate::table::record::{LinkAt, StoredOutcome};

/// Most bytes of a link in a Change beside its record: 517 for the longest key (kind, domain, and a code of 128
/// characters of 4 bytes), and less than 100 for the head of the entry and for the row in the outcome of a bulk.
const KEY_AND_OUTCOME: usize = 700;

/// A draft that passed every check before its commit.
#[derive(Clone, Debug)]
pub(in crate::core) struct Prepared {
    pub(in crate::core) domain: Versioned<Domain>,
    /// As the domain stores codes; `None` to generate one.
    pub(in crate::core) code: Option<ShortCode>,
    /// The code as it was typed, if the domain stores it in another form.
    pub(in crate::core) typed_code: Option<ShortCode>,
    /// The beginning of a generated code.
    pub(in crate::core) code_prefix: Option<Box<str>>,
    pub(in crate::core) options: Options,
}

impl Prepared {
    /// Returns the given code, or a new one.
    pub(in crate::core) fn code(&self, shared: &Shared, collided: usize) -> ShortCode {
        let domain = &self.domain.record;
        let generated = || {
            let prefix = self.code_prefix.as_deref().unwrap_or_default();
            domain.key_of(shared.codes.next_behind(prefix, collided, domain.case_sensitive))
        };
        self.code.clone().unwrap_or_else(generated)
    }

    /// Returns a generated code with its prefix as it was typed, if the domain stores it in another form.
    fn typed_prefix(&self, key: &ShortCode) -> Option<ShortCode> {
        let prefix = self.code_prefix.as_ref()?;
        // The case rule maps each character to one.
        let generated: String = key.as_str().chars().skip(prefix.chars().count()).collect();
        let typed = ShortCode::parse(&format!("{prefix}{generated}")).ok()?;
        let is_same = typed != *key && self.domain.record.key_of(typed.clone()) == *key;
        is_same.then_some(typed)
    }

    /// Returns an upper bound of the bytes that the link takes in a Change.
    pub(in crate::core) fn bytes_in_a_change(&self, context: &Context) -> usize {
        // Any short text: `KEY_AND_OUTCOME` covers every code.
        let code = self.code.clone().unwrap_or_else(|| ShortCode::from_stored("code"));
        LinkAt::encode(&self.link(context, Id::from_bits(u128::MAX), code)).len() + KEY_AND_OUTCOME
    }

    pub(in crate::core) fn link(&self, context: &Context, id: Id, code: ShortCode) -> Link {
        Link {
            id,
            workspace: context.workspace.number,
            domain: self.domain.record.number,
            typed_code: self.typed_code.clone().or_else(|| self.typed_prefix(&code)),
            code,
            aliases: Vec::new(),
            created_at: context.now,
            updated_at: context.now,
            created_by: context.key.map(|key| key.id),
            options: self.options.clone(),
        }
    }

    /// Adds a link to an effect. Requires the revision of the domain that was read, since the domain's case
    /// rule decides the key.
    pub(in crate::core) fn add(&self, effect: &mut Effect, link: &Link) {
        let domain = &self.domain;
        let key = keys::domain(domain.record.number);
        // Rows of a bulk share one precondition for their domain.
        effect.rely_on_once(key, domain.revision);
        effect.create_link(link.domain, link.code.as_str(), LinkAt::encode(link));
    }
}

impl Links {
    /// Creates a link. Fails with [`Error::CodeTaken`] if the given code is in use, and with
    /// [`Error::NoCredits`] if the workspace has no credit left.
    pub async fn create(&self, context: &Context, mut draft: Draft) -> Result<LinkView, Error> {
        let names = std::mem::take(&mut draft.names);
        let workspace = context.workspace.number;
        draft.edits.extend(self.named_campaign(workspace, &names).await?);
        // Hashed once, before the attempts: a hash takes some 20 ms of a core.
        let hash = self.hash(context, draft.password.clone()).await?;
        let mut collided = 0;
        for _ in 0..ATTEMPTS {
            // Read before the checks, so that every exclusive write that they may have missed is noticed.
            let checked_at = self.shared.exclusive.generation();
            // Prepared at every attempt, since the domain may have changed: `add` relies on its revision.
            let prepared = self.shared.prepare(context, draft.clone(), hash.clone())?;
            self.shared.check_sources(&prepared.options, None)?;
            let prepared = self.check(context, prepared, &Arc::default()).await?;
            let tags = self.named_tags(workspace, &names).await?;
            // After the checks, which may wait long, and before the exclusive lock: see `Shared::credit_locks`.
            let credit_guard = self.credit_guard(workspace).await?;
            if credit_guard.affords(1) == 0 {
                return Err(Error::NoCredits);
            }
            let code = prepared.code(&self.shared, collided);
            // Set by `build`, which can only return the effect.
            let mut made = None;
            let commit = async {
                self.shared.check_again(checked_at, workspace, &prepared)?;
                let build = |next_id: &mut dyn FnMut() -> Id| {
                    let mut link = prepared.link(context, next_id(), code.clone());
                    let mut effect = Effect::default();
                    if let Some(tags) = &tags {
                        link.options.tags = tags.make(&mut effect, context, workspace, next_id);
                    }
                    prepared.add(&mut effect, &link);
                    credit_guard.pay(&mut effect, 1);
                    let outcome = || StoredOutcome::Link { workspace: link.workspace, id: link.id };
                    effect.store_outcome(context.claim, context.now, outcome);
                    made = Some(link);
                    effect
                };
                self.commit_new(context, build).await
            };
            let committed = self
                .shared
                .exclusive
                .hold_if(&context.tenant, || self.shared.leads_here(workspace, &prepared.options), commit)
                .await?;
            match (committed, made) {
                (Committed::Done, Some(link)) => return self.view_new(link).await,
                (Committed::Conflict(key), _)
                    if keys::parse_address(&key) == Some((prepared.domain.record.number, code.as_str())) =>
                {
                    // Only a generated code can be replaced by another one.
                    if prepared.code.is_some() {
                        return Err(Error::CodeTaken { code: code.as_str().into() });
                    }
                    collided += 1;
                }
                // Another record has changed: the next attempt reads it again.
                _ => {}
            }
        }
        Err(Error::Busy)
    }

    /// Returns the link that a draft would create, with the id 0, and its domain. Fails if it breaks a rule. A draft
    /// without a code has the code `draft`.
    pub async fn unsaved(&self, context: &Context, draft: Draft) -> Result<(Link, Arc<Domain>), Error> {
        let hash = self.hash(context, draft.password.clone()).await?;
        let prepared = self.shared.prepare(context, draft, hash)?;
        let prepared = self.check(context, prepared, &Arc::default()).await?;
        let code = prepared.code.clone().unwrap_or_else(|| ShortCode::from_stored("draft"));
        let link = prepared.link(context, Id::from_bits(0), code);
        Ok((link, prepared.domain.record))
    }

    pub(in crate::core) async fn hash(
        &self,
        context: &Context,
        password: Option<Password>,
    ) -> Result<Option<PasswordHash>, Error> {
        match password {
            Some(password) => self.shared.hashing.hash(&context.tenant, password).await.map(Some),
            None => Ok(None),
        }
    }

    /// Checks the rules that need the table: tags and campaign exist, and the destination does not lead back
    /// to the link.
    pub(in crate::core) async fn check(
        &self,
        context: &Context,
        prepared: Prepared,
        siblings: &Arc<Siblings>,
    ) -> Result<Prepared, Error> {
        let (workspace, siblings) = (context.workspace.number, Arc::clone(siblings));
        // Most links need no record of the table, and so no thread.
        let earlier = prepared.code.as_ref().and_then(ShortCode::with_emoji_style);
        if earlier.is_none() && !self.shared.needs_table(workspace, &prepared.options) {
            return Ok(prepared);
        }
        self.blocking(move |shared| {
            // An earlier version stored the code of another link with selectors. Visits of both would be one.
            if let Some(code) = earlier
                && shared.table.link(prepared.domain.record.number, code.as_str())?.is_some()
            {
                return Err(Error::CodeTaken { code: code.as_str().into() });
            }
            shared.check_tags(workspace, &prepared.options.tags)?;
            shared.check_campaign(workspace, prepared.options.campaign.as_ref())?;
            let domain = prepared.domain.record.number;
            shared.check_loop(domain, prepared.code.as_ref(), (workspace, &prepared.options), &siblings)?;
            Ok(prepared)
        })
        .await
    }
}

impl Core {
    /// Returns whether the instance has a domain of this name.
    pub(crate) fn has_domain(&self, name: &str) -> bool {
        self.shared.domain_by_name(&self.directory(), name).is_some()
    }

    /// Returns the schemes that the configuration adds for destinations.
    pub(crate) fn schemes(&self) -> &ExtraSchemes {
        &self.shared.schemes
    }
}

impl Shared {
    /// Checks the rules that need only the directory.
    pub(in crate::core) fn prepare(
        &self,
        context: &Context,
        draft: Draft,
        hash: Option<PasswordHash>,
    ) -> Result<Prepared, Error> {
        let domain = self.choose_domain(context, &draft.domain)?;
        let destination = self.destination(&draft.destination, draft.link_type)?;
        let mut options = Options::new(destination, draft.link_type);
        for edit in draft.edits {
            options.apply_with(edit.within(|| context.workspace.zone()), &self.schemes)?;
        }
        options.apply(Edit::Password(hash))?;
        Shared::check_options(&options)?;
        self.check_webhooks(&options)?;
        self.check_denied(context.workspace.number, &options, None)?;
        // Whether the domain ignores case decides how the code is stored.
        let (code, typed_code) = domain.record.key_and_typed(draft.code);
        Ok(Prepared { domain, code, typed_code, code_prefix: draft.code_prefix, options })
    }

    pub(in crate::core) fn destination(
        &self,
        text: &str,
        kind: crate::model::destination::LinkType,
    ) -> Result<Destination, Invalid> {
        Destination::parse_fillable("url", text, kind, &self.schemes)
    }

    /// Checks the destinations of options that come back, except those that `before` has: `links.extra_schemes` may have
    /// lost a scheme since they were written.
    pub(in crate::core) fn check_schemes(
        &self,
        options: &Options,
        before: Option<&Options>,
    ) -> Result<(), Invalid> {
        let is_known =
            |to: &Destination| before.is_some_and(|before| before.destinations().any(|known| known == to));
        for (at, to) in options.destinations().enumerate().filter(|(_, to)| !is_known(to)) {
            let parsed = self.destination(to.as_str(), options.link_type);
            parsed.map_err(|invalid| options.invalid_target(at, invalid.why))?;
        }
        Ok(())
    }

    pub(in crate::core) fn check_options(options: &Options) -> Result<(), Invalid> {
        options.check()?;
        // The bounds of the single fields allow a longer address in all.
        let is_too_long = |to: &Destination| to.with_utm(&options.utm).as_str().len() > MAX_BYTES;
        let too_long = options.destinations().position(is_too_long);
        let why = "must be at most 8192 bytes with its UTM parameters";
        too_long.map_or(Ok(()), |at| Err(options.invalid_target(at, why)))
    }

    pub(in crate::core) fn choose_domain(
        &self,
        context: &Context,
        choice: &DomainChoice,
    ) -> Result<Versioned<Domain>, Error> {
        // Another workspace's domain gives the same error as an unknown one.
        self.domain_where(context, choice, |_, owner| owner == context.workspace.number)
    }

    /// Returns a domain that the acting workspace or another one within reach may use.
    pub(in crate::core) fn domain_within_reach(
        &self,
        context: &Context,
        choice: &DomainChoice,
        viewer: &Viewer,
    ) -> Result<Versioned<Domain>, Error> {
        self.domain_where(context, choice, |directory, owner| viewer.reaches(directory, owner))
    }

    /// Returns the chosen domain. Fails if it belongs to a workspace that `may_use` refuses.
    fn domain_where(
        &self,
        context: &Context,
        choice: &DomainChoice,
        may_use: impl Fn(&Directory, WorkspaceNumber) -> bool,
    ) -> Result<Versioned<Domain>, Error> {
        let directory = self.directory.load();
        let number = match choice {
            DomainChoice::Default => {
                let chosen = context.workspace.default_domain;
                // A default that the workspace no longer sees gives way to the instance's default domain.
                let chosen = chosen.and_then(|id| directory.domain_seen(context.workspace.number, id));
                chosen.map_or(Some(DomainNumber::DEFAULT), |versioned| Some(versioned.record.number))
            }
            DomainChoice::Name(name) => self.domain_by_name(&directory, name),
            DomainChoice::Id(id) => {
                directory.domain_seen(context.workspace.number, *id).map(|versioned| versioned.record.number)
            }
        };
        let versioned = number.and_then(|number| directory.versioned_domain(number));
        let usable = versioned
            .filter(|versioned| versioned.record.workspace.is_none_or(|owner| may_use(&directory, owner)));
        usable.cloned().ok_or_else(|| Invalid::new("domain", "is not a domain of this workspace").into())
    }

    /// Returns the domain of a name in any spelling that [`HostName::parse`] takes: `bücher.example`, `GO.test.`.
    pub(in crate::core) fn domain_by_name(&self, directory: &Directory, name: &str) -> Option<DomainNumber> {
        // The default domain has no stored name: `public_url` has it, with a port or an address in place of a name.
        if self.site.is_named(name) {
            return Some(DomainNumber::DEFAULT);
        }
        let name = HostName::parse("domain", trim_blank(name)).ok()?;
        if self.site.is_named(name.as_str()) {
            return Some(DomainNumber::DEFAULT);
        }
        directory.domain_named(name.as_str()).map(|domain| domain.number)
    }

    pub(in crate::core) fn needs_table(&self, workspace: WorkspaceNumber, options: &Options) -> bool {
        !options.tags.is_empty() || options.campaign.is_some() || self.leads_here(workspace, options)
    }

    /// Repeats the check for loops under the lock if exclusive writes have ended since `checked_at`. Reads a
    /// few records that the check before the lock has just read, and so finds them in memory.
    fn check_again(
        &self,
        checked_at: u64,
        workspace: WorkspaceNumber,
        prepared: &Prepared,
    ) -> Result<(), Error> {
        if checked_at == self.exclusive.generation() {
            return Ok(());
        }
        let domain = prepared.domain.record.number;
        let own = (workspace, &prepared.options);
        self.check_loop(domain, prepared.code.as_ref(), own, &Siblings::default())
    }

    pub(in crate::core) fn check_tags(&self, workspace: WorkspaceNumber, tags: &[Id]) -> Result<(), Error> {
        for tag in tags {
            if self.table.get::<Tag>(&keys::tag(workspace, *tag))?.is_none() {
                return Err(Invalid::new("tagIds", format!("{tag} is not a tag of this workspace")).into());
            }
        }
        Ok(())
    }
}
