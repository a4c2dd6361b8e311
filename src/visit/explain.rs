//! `explain`: what a click on a link would do, rule by rule, and why. It evaluates the same rules as a click,
//! without counting.

use std::borrow::Cow;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::LOCATION;

use super::attempts::Locked;
pub use super::branches::{ExplainedBranch, ExplainedCondition};
pub use super::described::ExplainRequest;
use super::rule::{Evaluation, Presentation, Rule, Verdict, VisitFacts};
use super::rules::{RULES, judge};
use super::visitor::Visitor;
use super::{branches, denied, password, validity};
use crate::cache::entry::{Conditional, Guards};
use crate::clock::Timestamp;
use crate::core::deny_list::denied_rule;
use crate::core::{Context, Error};
use crate::model::domain::Domain;
use crate::model::id::Id;
use crate::model::link::{Draft, Link};

/// The result of a hypothetical click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The time of the click.
    pub at: Timestamp,
    /// The result in two words.
    pub outcome: &'static str,
    /// The status of the response.
    pub status: u16,
    /// The `Location` or, of a page, the destination.
    pub location: Option<String>,
    /// Whether the click is counted.
    pub is_counted: bool,
    /// The end of a lock for all addresses after wrong passwords, if there is one.
    pub locked_until: Option<Timestamp>,
    /// The evaluated rules in their order. The last one ended the visit.
    pub steps: Vec<ExplainedRule>,
    /// All rules of the link, in their order.
    pub branches: Vec<ExplainedBranch>,
    /// Reasons why a visitor may get another answer than the caller expects.
    pub warnings: Vec<String>,
}

/// One evaluated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedRule {
    /// The name of the option, or the place of a rule of the link.
    pub rule: Cow<'static, str>,
    /// Whether the visit passed the rule.
    pub passes: bool,
    /// The reason.
    pub why: String,
}

impl Visitor {
    /// Explains a click on a link that the caller can reach. Fails if the link does not exist for the caller.
    pub async fn explain(
        &self,
        context: &Context,
        id: Id,
        request: ExplainRequest,
    ) -> Result<Explanation, Error> {
        // Through the caller's context: the explanation contains the destination.
        let view = self.links.get(context, id).await?;
        self.explain_link(context, (view.link, &view.domain, view.clicks), &request).await
    }

    /// Explains a click on a link that does not exist yet. Fails if the link could not be created; its code may be taken.
    pub async fn explain_draft(
        &self,
        context: &Context,
        draft: Draft,
        request: ExplainRequest,
    ) -> Result<Explanation, Error> {
        let (link, domain) = self.links.unsaved(context, draft).await?;
        self.explain_link(context, (link, &domain, 0), &request).await
    }

    async fn explain_link(
        &self,
        context: &Context,
        (link, domain, clicks): (Link, &Domain, u64),
        request: &ExplainRequest,
    ) -> Result<Explanation, Error> {
        let zone = || self.links.zone_of(link.workspace);
        let now = request.at.map_or(context.now, |at| at.within(zone));
        let facts = request.facts(&self.state.agents, &self.links.site().name_of(domain));
        // A draft may have rules that a create would refuse, and a link that was imported has them.
        let lacking = self.links.lacking_sources(&link.options);
        let mut warnings: Vec<_> = lacking.iter().map(ToString::to_string).collect();
        warnings.extend(link.options.idle_rules(now).iter().map(ToString::to_string));
        if request.has_idle_class(facts.agent.kind) {
            let why = "device, os and browser have no effect: ua is that of a known bot, and bots have none";
            warnings.push(why.to_owned());
        }
        let explanation = self.explain_visit(context, (link, domain, clicks), (request, &facts, now)).await?;
        Ok(Explanation { warnings, ..explanation })
    }

    async fn explain_visit(
        &self,
        context: &Context,
        (link, domain, clicks): (Link, &Domain, u64),
        (request, facts, now): (&ExplainRequest, &VisitFacts, Timestamp),
    ) -> Result<Explanation, Error> {
        let targets = self.links.targets(&link);
        // Neither guard has an effect here: the loop check below always runs, and the rules consult the deny list.
        let conditional = Conditional::compile(link, targets, Guards::default());
        // As at a first visit: the caller has no cookie of a password.
        let is_unlocked = password::is_open(&conditional.link, &facts.cookies, now);
        let clicks = request.clicks.unwrap_or(clicks);
        let evaluation = self.evaluation_at((now, clicks), &conditional, facts, is_unlocked);
        let verdict = judge(&evaluation);
        let leads = match &verdict {
            Verdict::Destination { location, .. } => location.to_str().ok().map(str::to_owned),
            _ => None,
        };
        let loops = match self.redirects_to(&evaluation, domain) {
            // If the store cannot be read now, the explanation is that of the rules alone.
            Some(to) => self.leads_in_a_loop(to, None).await.unwrap_or(false),
            None => false,
        };
        let (steps, branches) = steps(&evaluation);
        if loops {
            return Ok(Explanation {
                at: now,
                outcome: "loop",
                status: StatusCode::LOOP_DETECTED.as_u16(),
                location: None,
                is_counted: false,
                // The present time, also with another `at`: locks are in memory and exist only now.
                locked_until: self.locked_until(&conditional.link, context.now),
                steps: looping(steps),
                branches,
                warnings: Vec::new(),
            });
        }
        if let Some(steps) = self.denied_steps(&verdict, &evaluation, domain, &steps) {
            return Ok(Explanation {
                at: now,
                outcome: "denied",
                status: StatusCode::FORBIDDEN.as_u16(),
                location: None,
                is_counted: false,
                locked_until: self.locked_until(&conditional.link, context.now),
                steps,
                branches,
                warnings: Vec::new(),
            });
        }
        let (outcome, is_counted) = (outcome(&verdict), evaluation.counts(&verdict));
        // The same function as for a click, so that status and `Location` cannot differ.
        let response = self.render(verdict, &evaluation, domain);
        // A page has no `Location`; its destination comes from the verdict.
        let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        Ok(Explanation {
            at: now,
            outcome,
            status: response.status().as_u16(),
            location: header.map(str::to_owned).or(leads),
            is_counted,
            locked_until: self.locked_until(&conditional.link, context.now),
            steps,
            branches,
            warnings: Vec::new(),
        })
    }

    /// Returns the steps of a visit that ends at the warning page. The page itself is not rendered, since that
    /// counts a refused visit.
    fn denied_steps(
        &self,
        verdict: &Verdict,
        evaluation: &Evaluation<'_>,
        domain: &Domain,
        steps: &[ExplainedRule],
    ) -> Option<Vec<ExplainedRule>> {
        let mut steps = steps.to_vec();
        match verdict {
            Verdict::Denied { .. } => {}
            Verdict::Gone => {
                let options = &evaluation.conditional.link.options;
                let to = validity::expired_url(options, domain, &self.links)?;
                let host = self.links.deny_list().host_of(to)?;
                if let Some(last) = steps.last_mut() {
                    last.why = format!("{}; expiredUrl {}", last.why, denied_rule(&host));
                }
            }
            _ => return None,
        }
        Some(steps)
    }

    /// Returns the end of the lock for all addresses, if there is one.
    fn locked_until(&self, link: &Link, now: Timestamp) -> Option<Timestamp> {
        let attempts = &self.state.attempts;
        let target = attempts.target(link.id, link.options.password.as_ref()?);
        let Locked(left) = attempts.locked(target, Instant::now())?;
        Some(now.plus_millis(i64::try_from(left.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Removes the counted wrong passwords of a link that the caller can reach, which ends its lock.
    pub async fn forget_attempts(&self, context: &Context, id: Id) -> Result<(), Error> {
        let view = self.links.get(context, id).await?;
        if let Some(hash) = &view.link.options.password {
            let attempts = &self.state.attempts;
            attempts.forget(attempts.target(id, hash));
        }
        Ok(())
    }
}

/// Returns the steps of a visit in a redirect loop: the rule that would redirect it does not.
fn looping(mut steps: Vec<ExplainedRule>) -> Vec<ExplainedRule> {
    if let Some(last) = steps.last_mut() {
        last.passes = false;
        last.why.push_str(
            "; other links of this server redirect back from there, so the visitor gets an error page",
        );
    }
    steps
}

fn outcome(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::NotFound => "not found",
        Verdict::Gone => "gone",
        Verdict::Denied { .. } => "denied",
        Verdict::Blocked => "blocked",
        Verdict::Preview => "link preview",
        Verdict::PasswordRequired => "password page",
        Verdict::ConfirmationRequired => "confirmation page",
        Verdict::Withheld => "withheld",
        Verdict::Destination { presentation: Presentation::Redirect, .. } => "redirect",
        Verdict::Destination { presentation: Presentation::Cloaked, .. } => "cloaked page",
        Verdict::Destination { presentation: Presentation::Pixels, .. } => "pixel page",
    }
}

/// Returns the steps of a visit, and all rules of its link.
fn steps(evaluation: &Evaluation<'_>) -> (Vec<ExplainedRule>, Vec<ExplainedBranch>) {
    let mut steps = Vec::new();
    // A visit that ends before the rules of the link reaches none of them.
    let mut all: Vec<_> =
        evaluation.conditional.link.options.branches().iter().map(branches::not_reached).collect();
    let has_list = evaluation.deny_list.is_in_use();
    let has_branches = !evaluation.conditional.branches.list().is_empty();
    let is_named = |rule: &&Rule| {
        (has_list || rule.name != denied::NAME) && (has_branches || rule.name != branches::NAME)
    };
    for rule in RULES.iter().filter(is_named) {
        let verdict = (rule.verdict)(evaluation);
        if rule.name == branches::NAME {
            all = branches::explained(evaluation);
            let reached = all.iter().enumerate().filter_map(|(at, branch)| Some((at, branch.holds?, branch)));
            steps.extend(reached.map(|(at, decides, branch)| ExplainedRule {
                rule: format!("{}[{at}]", rule.name).into(),
                passes: !decides || verdict.is_none(),
                why: branch.why.clone(),
            }));
            if verdict.is_some() {
                break;
            }
            continue;
        }
        // The last rule passes if it sends the visitor to the destination.
        let passes = matches!(verdict, None | Some(Verdict::Destination { .. }));
        steps.push(ExplainedRule { rule: rule.name.into(), passes, why: (rule.why)(evaluation) });
        if verdict.is_some() {
            break;
        }
    }
    (steps, all)
}
