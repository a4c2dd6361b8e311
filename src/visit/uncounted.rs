//! `maxClicks` and visits that are not counted: on a link with a limit, such a visit does not get the
//! destination. Otherwise the limit could be bypassed. HEAD gets 200, a bot 403, and a prefetch 503, so that
//! the browser requests the link again when its user clicks.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};

use super::intent::Intent;
use super::pages;
use super::rule::{Evaluation, Rule, Verdict};

pub(super) const UNCOUNTED: Rule = Rule {
    name: "maxClicks, not counted",
    verdict: |evaluation| (is_limited(evaluation) && !evaluation.is_click()).then_some(Verdict::Withheld),
    why: |evaluation| {
        let text = match (is_limited(evaluation), evaluation.is_click()) {
            (true, false) => {
                "the link has a limit, and visits that are not counted do not get its destination"
            }
            (true, true) => "the link has a limit, and this visit uses one of its clicks",
            (false, _) => "the link has no limit",
        };
        text.to_owned()
    },
};

fn is_limited(evaluation: &Evaluation<'_>) -> bool {
    evaluation.conditional.link.options.max_clicks.is_some()
}

/// Returns the response to a visit that must not get the destination.
pub(super) fn withheld(intent: Intent) -> Response<Full<Bytes>> {
    match intent {
        // 200: the link exists, which is all that HEAD asks for.
        Intent::Probe => {
            let mut response = Response::new(Full::default());
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            response
        }
        Intent::Prefetch => pages::unavailable(),
        // Only bots get here: such a visit of a person is a click.
        Intent::Follow | Intent::Unlock | Intent::Submit => pages::error(StatusCode::FORBIDDEN),
    }
}
