//! How a request becomes a command, where dialects agree: `workspaceId` in query or body, and a
//! body that is a JSON object.

use jiff::tz::TimeZone;

use super::{BadRequest, Command, RequestParts, ScopedCommand};
use crate::clock::Timestamp;
use crate::http::api::query::Query;
use crate::json::{self, Object};
use crate::model::Invalid;
use crate::model::id::ForeignId;

/// Returns a command without a body. The query may name its workspace.
pub fn read(request: &RequestParts<'_>, command: Command) -> Result<ScopedCommand, BadRequest> {
    let workspace = request.query.text("workspaceId")?.map(str::to_owned);
    Ok(ScopedCommand { workspace, command, warnings: Vec::new() })
}

/// Returns a command with a body. Body or query may name its workspace, and the body wins.
pub fn write(
    request: &RequestParts<'_>,
    body: &Object,
    command: Command,
) -> Result<ScopedCommand, BadRequest> {
    let mut scoped = read(request, command)?;
    if let Some(named) = body.text("workspaceId")?.value() {
        scoped.workspace = Some(named.to_owned());
    }
    Ok(scoped)
}

/// Parses the body, which must be a JSON object.
pub fn object(request: &RequestParts<'_>) -> Result<Object, BadRequest> {
    // The `Content-Type` is not checked: `curl -d`, as on the page of the APIs, sends that of a form.
    json::object(request.body).map_err(BadRequest::Malformed)
}

/// Reads an id that may be a vendor's. Returns `None` if it is absent or null.
pub fn foreign_id(body: &Object, name: &'static str) -> Result<Option<ForeignId>, BadRequest> {
    Ok(body.text(name)?.value().map(|id| ForeignId::parse(name, id)).transpose()?)
}

/// Returns the zone that a query names, UTC by default.
pub fn zone_in(query: &Query<'_>, name: &'static str) -> Result<TimeZone, BadRequest> {
    query.text(name)?.map_or(Ok(TimeZone::UTC), |text| zone_of(text, name))
}

/// Returns the zone of a name of the IANA database. `name` is that of the field.
pub fn zone_of(text: &str, name: &'static str) -> Result<TimeZone, BadRequest> {
    // A zone without a name stands for an unknown one.
    let found = TimeZone::get(text).ok().filter(|zone| zone.iana_name().is_some());
    let rule = "must be a name of the IANA database, such as Europe/Berlin or Asia/Kolkata";
    // A rule: the text could be parsed, and is no zone.
    found.ok_or_else(|| BadRequest::Rule(Invalid::new(name, rule)))
}

/// Returns the instant that a query names. A date is its first moment in the zone.
pub fn instant_in(
    query: &Query<'_>,
    name: &'static str,
    zone: &TimeZone,
) -> Result<Option<Timestamp>, BadRequest> {
    let Some(text) = query.text(name)? else { return Ok(None) };
    let of_date = || {
        let date: jiff::civil::Date = text.parse().ok()?;
        let start = date.to_zoned(zone.clone()).ok()?;
        Some(Timestamp::from_millis(start.timestamp().as_millisecond()))
    };
    // By its length: a time without an offset could pass as a date, and lose its hours.
    let is_date = text.len() == "2026-01-01".len();
    let time = if is_date { of_date() } else { text.parse().ok() };
    let rule = "must be a date such as 2026-11-01, or a time such as 2026-11-01T10:00:00Z";
    time.map(Some).ok_or_else(|| BadRequest::Mistyped(Invalid::new(name, rule)))
}

/// The id in the path of [`check_parse`].
#[cfg(test)]
pub(crate) const TEST_ID: &str = "000000000000000000AB";

/// Asserts what a body parses to: the command as `Debug` shows it, or the error.
#[cfg(test)]
pub(crate) fn check_parse(
    parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
    body: &str,
    want: Result<&str, BadRequest>,
) {
    let query = crate::http::api::query::Query::parse(None);
    let request = RequestParts { id: TEST_ID, query, body: body.as_bytes() };
    let got = parse(&request).map(|scoped| format!("{:?}", scoped.command));
    assert_eq!(got, want.map(str::to_owned), "{body}");
}
