//! The clicks of this moment in the native dialect: `GET /analytics/live`.
//!
//! A client that accepts `text/event-stream` gets a stream: `minutes` with the last hour, at the beginning and with each new
//! minute, and an event without a name every second. `end` is the last one. Other clients get the minutes as JSON.

use serde::Serialize;

use super::filters::{breaks, filled};
use crate::clock::Timestamp;
use crate::http::api::dialect::{
    BadRequest, Command, Facet, LiveEvent, LiveLinks, LiveMinutes, RequestParts, ScopedCommand, only_known,
    read,
};
use crate::json::{self, AsText};

/// Parses `GET /analytics/live`.
pub(super) fn parse(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let query = &request.query;
    for name in ["linkId", "link"] {
        filled(query, name, "a link")?;
    }
    // A stream that ignores a filter looks like one that applies it.
    let filters = Facet::all().filter(|facet| *facet != Facet::Link).map(Facet::name);
    for name in filters.chain(["tagId", "campaignId", "visits"]) {
        if query.has(name) {
            return Err(breaks(
                name,
                "is no filter of live clicks: they are those of the workspace, or of one link with `linkId` or `link`",
            ));
        }
    }
    let links = match (query.text("linkId")?, query.text("link")?) {
        (None, None) => LiveLinks::All,
        (Some(id), None) => {
            let by_code = |_| BadRequest::CodeForId("/api/v1/analytics/live?link=CODE");
            LiveLinks::Link(id.parse().map_err(by_code)?)
        }
        (None, Some(name)) => LiveLinks::Named(name.into()),
        (Some(_), Some(_)) => return Err(breaks("link", "must be given without `linkId`")),
    };
    let scoped = read(request, Command::Listen(links, event))?;
    // A stream that ignores a parameter looks like one that applies it.
    only_known(query)?;
    Ok(scoped)
}

/// The last hour by minutes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MinutesJson<'a> {
    from: AsText<Timestamp>,
    clicks_per_minute: &'a [Option<u64>],
}

impl<'a> MinutesJson<'a> {
    pub(super) fn of(minutes: &'a LiveMinutes) -> MinutesJson<'a> {
        MinutesJson { from: AsText(minutes.from), clicks_per_minute: &minutes.clicks }
    }
}

#[derive(Serialize)]
struct SecondJson {
    time: AsText<Timestamp>,
    clicks: u64,
}

#[derive(Serialize)]
struct EndJson {
    reason: &'static str,
}

/// Renders an event. Returns true with the last one.
fn event(event: &LiveEvent) -> (String, bool) {
    match event {
        LiveEvent::Minutes(minutes) => (text(Some("minutes"), &MinutesJson::of(minutes)), false),
        LiveEvent::Second(time, clicks) => {
            (text(None, &SecondJson { time: AsText(*time), clicks: *clicks }), false)
        }
        LiveEvent::KeyEnded => {
            (text(Some("end"), &EndJson { reason: "the key was revoked or has expired" }), true)
        }
        LiveEvent::LinkDeleted => (text(Some("end"), &EndJson { reason: "the link was deleted" }), true),
        LiveEvent::Stopped => (text(Some("end"), &EndJson { reason: "the server stops" }), true),
    }
}

fn text(name: Option<&str>, data: &impl Serialize) -> String {
    // JSON of one line, so that it is one line of data.
    let data = String::from_utf8_lossy(&json::to_bytes(data)).into_owned();
    let name = name.map_or_else(String::new, |name| format!("event: {name}\n"));
    format!("{name}data: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    #[test]
    fn questions_and_their_errors() {
        let parsed = |query: &'static str| {
            let query = Query::parse(Some(query));
            parse(&RequestParts { id: "", query, body: &[] }).map(|scoped| (scoped.workspace, scoped.command))
        };
        let link = "0N88vwqp0EUhFT57aXBu";
        assert!(matches!(parsed("workspaceId=w"), Ok((Some(_), Command::Listen(LiveLinks::All, _)))));
        let (_, of_link) = parsed("linkId=0N88vwqp0EUhFT57aXBu").expect("a link");
        assert!(matches!(of_link, Command::Listen(LiveLinks::Link(id), _) if id.to_string() == link));
        assert!(matches!(parsed("linkId=fair"), Err(BadRequest::CodeForId(_))));
        let (_, of_code) = parsed("link=go.test/fair").expect("a name");
        assert!(matches!(of_code, Command::Listen(LiveLinks::Named(name), _) if *name == *"go.test/fair"));
        for query in [
            "linkId=",
            "link=",
            "link=a&linkId=0N88vwqp0EUhFT57aXBu",
            "tagId=x",
            "tag=a",
            "country=",
            "time=x",
        ] {
            assert!(matches!(parsed(query), Err(BadRequest::Rule(_))), "{query}");
        }
        let (_, of_workspace) = parsed("").expect("no parameters");
        assert!(matches!(of_workspace.without_stream(), Ok(Command::LiveMinutes)));
        let error = of_link.without_stream().expect_err("no minutes");
        assert!(
            matches!(error, BadRequest::Rule(rule) if rule.to_string().starts_with("linkId: needs `Accept"))
        );
    }

    #[test]
    fn events_are_lines() {
        let at = Timestamp::from_millis(0);
        let minutes = LiveMinutes { from: at, clicks: vec![None, Some(2)] };
        let rows = [
            (
                LiveEvent::Minutes(minutes),
                "event: minutes\ndata: {\"from\":\"1970-01-01T00:00:00.000Z\",\"clicksPerMinute\":[null,2]}\n\n",
                false,
            ),
            (
                LiveEvent::Second(at, 3),
                "data: {\"time\":\"1970-01-01T00:00:00.000Z\",\"clicks\":3}\n\n",
                false,
            ),
            (LiveEvent::Stopped, "event: end\ndata: {\"reason\":\"the server stops\"}\n\n", true),
            (
                LiveEvent::KeyEnded,
                "event: end\ndata: {\"reason\":\"the key was revoked or has expired\"}\n\n",
                true,
            ),
        ];
        for (given, want, ends) in rows {
            assert_eq!(event(&given), (want.to_owned(), ends));
        }
    }
}
