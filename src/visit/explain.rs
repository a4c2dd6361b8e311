//! `explain`: what a click on a link would do, rule by rule, and why. It evaluates the same rules as a click,
//! without counting.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use hyper::header::{HeaderMap, LOCATION};
use hyper::{Method, StatusCode};

use super::attempts::Locked;
use super::intent::Intent;
use super::peer::TrustedProxies;
use super::request::Visit;
use super::rule::{Evaluation, Presentation, Verdict, VisitFacts};
use super::rules::{RULES, judge};
use super::visitor::Visitor;
use super::{denied, validity};
use crate::cache::entry::Conditional;
use crate::clock::Timestamp;
use crate::core::deny_list::denied_rule;
use crate::core::{Context, Error};
use crate::model::domain::Domain;
use crate::model::id::Id;
use crate::model::link::Link;

/// A hypothetical click.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainRequest {
    /// The `User-Agent`.
    pub user_agent: Option<Box<str>>,
    /// The visitor's query.
    pub query: Option<Box<str>>,
    /// The time of the click; the default is now. The number of clicks is always the present one.
    pub at: Option<Timestamp>,
}

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
}

/// One evaluated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedRule {
    /// The name of the option.
    pub rule: &'static str,
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
        let targets = self.links.targets(&view.link);
        // Neither flag has an effect here: the loop check below always runs, and the rules consult the deny list.
        let conditional = Conditional { link: view.link, targets, leads_here: false, is_denied: false };
        let agent = self.state.agents.look_up(request.user_agent.as_deref().map(str::as_bytes));
        let query = request.query.as_deref();
        // Browsers show the query with a question mark, and people copy it from there.
        let query = query.map(|query| query.strip_prefix('?').unwrap_or(query));
        let headers = HeaderMap::new();
        // A request names no address.
        let peer = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let (method, proxies) = (&Method::GET, &TrustedProxies::default());
        let visit = Visit { method, host: "", path: "", query, headers: &headers, peer, proxies };
        let facts = VisitFacts::new(Intent::Follow, agent, "", &visit);
        let now = request.at.unwrap_or(context.now);
        let evaluation = Evaluation {
            conditional: &conditional,
            facts: &facts,
            now,
            clicks: view.clicks,
            // As at a first visit: the caller has no cookie.
            is_unlocked: false,
            deny_list: self.links.deny_list(),
        };
        let verdict = judge(&evaluation);
        let leads = match &verdict {
            Verdict::Destination { location, .. } => location.to_str().ok().map(str::to_owned),
            _ => None,
        };
        let loops = match self.redirects_to(&evaluation, &view.domain) {
            // If the store cannot be read now, the explanation is that of the rules alone.
            Some(to) => self.leads_in_a_loop(to, None).await.unwrap_or(false),
            None => false,
        };
        if loops {
            return Ok(Explanation {
                at: now,
                outcome: "loop",
                status: StatusCode::LOOP_DETECTED.as_u16(),
                location: None,
                is_counted: false,
                // The present time, also with another `at`: locks are in memory and exist only now.
                locked_until: self.locked_until(&conditional.link, context.now),
                steps: looping(steps(&evaluation)),
            });
        }
        if let Some(denied) = self.denied_explanation(&verdict, &evaluation, &view.domain) {
            return Ok(Explanation {
                locked_until: self.locked_until(&conditional.link, context.now),
                ..denied
            });
        }
        let (outcome, is_counted) = (outcome(&verdict), evaluation.counts(&verdict));
        // The same function as for a click, so that status and `Location` cannot differ.
        let response = self.render(verdict, &evaluation, &view.domain);
        // A page has no `Location`; its destination comes from the verdict.
        let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        Ok(Explanation {
            at: now,
            outcome,
            status: response.status().as_u16(),
            location: header.map(str::to_owned).or(leads),
            is_counted,
            locked_until: self.locked_until(&conditional.link, context.now),
            steps: steps(&evaluation),
        })
    }

    /// Returns the explanation of a visit that ends at the warning page. The page itself is not rendered, since that
    /// counts a refused visit.
    fn denied_explanation(
        &self,
        verdict: &Verdict,
        evaluation: &Evaluation<'_>,
        domain: &Domain,
    ) -> Option<Explanation> {
        let mut steps = steps(evaluation);
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
        Some(Explanation {
            at: evaluation.now,
            outcome: "denied",
            status: StatusCode::FORBIDDEN.as_u16(),
            location: None,
            is_counted: false,
            locked_until: None,
            steps,
        })
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

fn steps(evaluation: &Evaluation<'_>) -> Vec<ExplainedRule> {
    let mut steps = Vec::new();
    let has_list = evaluation.deny_list.is_in_use();
    for rule in RULES.iter().filter(|rule| has_list || rule.name != denied::NAME) {
        let verdict = (rule.verdict)(evaluation);
        // The last rule passes if it sends the visitor to the destination.
        let passes = matches!(verdict, None | Some(Verdict::Destination { .. }));
        steps.push(ExplainedRule { rule: rule.name, passes, why: (rule.why)(evaluation) });
        if verdict.is_some() {
            break;
        }
    }
    steps
}
