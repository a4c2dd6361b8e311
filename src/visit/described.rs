//! [`ExplainRequest`]: the visitor of an explanation, described by texts.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use hyper::header::{ACCEPT_LANGUAGE, COOKIE, HeaderName, HeaderValue, REFERER, USER_AGENT};
use hyper::{HeaderMap, Method};

use super::intent::{Intent, is_of_qr_code};
use super::peer::TrustedProxies;
use super::request::Visit;
use super::visit_facts::VisitFacts;
use crate::agents::classes::{AgentClass, ClassField};
use crate::agents::{Agent, Agents, UserAgent};
use crate::analytics::country::{self, CountryCode, Place, ProxyCountry};
use crate::clock::GivenTime;
use crate::model::Invalid;
use crate::model::link::CLICKS_MAX;

/// Longest text of a described visitor, in bytes: that of a long query.
const TEXT_MAX: usize = 8 * 1024;

/// A hypothetical click.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainRequest {
    /// The `User-Agent`.
    pub user_agent: Option<Box<str>>,
    /// The visitor's query.
    pub query: Option<Box<str>>,
    /// Whether the visit is by the QR code of the link, whatever the query has.
    pub is_of_qr_code: Option<bool>,
    /// The time of the click; the default is now. A date alone is the beginning of a day of the link's workspace.
    pub at: Option<GivenTime>,
    /// Device, system and browser in place of those of the `User-Agent`, in the order of [`ClassField::ALL`].
    pub classes: [Option<u16>; 3],
    /// The country.
    pub country: Option<CountryCode>,
    /// The region.
    pub region: Option<Box<str>>,
    /// The city.
    pub city: Option<Box<str>>,
    /// The `Accept-Language`.
    pub language: Option<Box<str>>,
    /// The `Referer`.
    pub referrer: Option<Box<str>>,
    /// The `Cookie`.
    pub cookie: Option<Box<str>>,
    /// The address.
    pub address: Option<IpAddr>,
    /// The host of the short URL.
    pub host: Option<Box<str>>,
    /// The path behind the code.
    pub path: Option<Box<str>>,
    /// The clicks of the link so far; the default is the present number.
    pub clicks: Option<u64>,
}

impl ExplainRequest {
    /// The names of all properties of a visitor.
    pub const NAMES: [&str; 17] = [
        "ua", "query", "trigger", "at", "device", "os", "browser", "country", "region", "city", "language",
        "referrer", "cookie", "address", "host", "path", "clicks",
    ];

    /// Sets the property of a name in [`ExplainRequest::NAMES`]. Fails if the text is no value of it.
    pub fn set(&mut self, name: &'static str, text: &str) -> Result<(), Invalid> {
        let reject = |why: String| Invalid::new(name, why);
        if text.len() > TEXT_MAX {
            return Err(reject(format!("must be at most {TEXT_MAX} bytes")));
        }
        let given = || Some(Box::from(text));
        // A header with other bytes could not arrive.
        let header = || match HeaderValue::from_str(text) {
            Ok(_) => Ok(given()),
            Err(_) => Err(reject("must not contain control characters".to_owned())),
        };
        match name {
            "ua" => self.user_agent = header()?,
            // Browsers show the query with a question mark, and people copy it from there.
            "query" => self.query = Some(text.strip_prefix('?').unwrap_or(text).into()),
            "trigger" => {
                let is_of_qr_code = match text {
                    "link" => false,
                    "qr" => true,
                    _ => return Err(reject("must be link or qr".to_owned())),
                };
                self.is_of_qr_code = Some(is_of_qr_code);
            }
            "at" => {
                self.at = Some(GivenTime::parse_start(text).map_err(|error| reject(error.to_string()))?);
            }
            "device" => self.classes[0] = Some(class(ClassField::Device, text).map_err(reject)?),
            "os" => self.classes[1] = Some(class(ClassField::Os, text).map_err(reject)?),
            "browser" => self.classes[2] = Some(class(ClassField::Browser, text).map_err(reject)?),
            "country" => {
                let rule = || reject("must be the two letters of ISO 3166-1, such as DE".to_owned());
                self.country = Some(country::header(text.as_bytes()).ok_or_else(rule)?);
            }
            "region" => self.region = given(),
            "city" => self.city = given(),
            "language" => self.language = header()?,
            "referrer" => self.referrer = header()?,
            "cookie" => self.cookie = header()?,
            "address" => {
                let address = text.parse().map_err(|_| reject("must be an IP address".to_owned()))?;
                self.address = Some(address);
            }
            "host" => self.host = Some(text.to_lowercase().into()),
            "path" => self.path = Some(text.strip_prefix('/').unwrap_or(text).into()),
            "clicks" => {
                let rule = || reject(format!("must be a whole number from 0 to {CLICKS_MAX}"));
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                let clicks = text.parse().ok().filter(|clicks| is_number && *clicks <= CLICKS_MAX);
                self.clicks = Some(clicks.ok_or_else(rule)?);
            }
            other => return Err(reject(format!("{other} is no property of a visitor"))),
        }
        Ok(())
    }

    /// Returns the facts of a visit by this visitor to a link on the domain `host`.
    pub(super) fn facts(&self, agents: &Agents, host: &str) -> VisitFacts {
        let mut headers = HeaderMap::new();
        let mut insert = |name: HeaderName, text: &Option<Box<str>>| {
            if let Some(value) = text.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        };
        insert(USER_AGENT, &self.user_agent);
        insert(ACCEPT_LANGUAGE, &self.language);
        insert(REFERER, &self.referrer);
        insert(COOKIE, &self.cookie);
        let rest = self.path.as_deref().unwrap_or_default();
        // Without an address, nothing is known of the visitor's place.
        let peer = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let query = self.visited_query();
        let visit = Visit {
            method: &Method::GET,
            host: self.host.as_deref().unwrap_or(host),
            path: rest,
            query: query.as_deref(),
            headers: &headers,
            peer,
            proxies: &TrustedProxies::default(),
        };
        let mut facts = VisitFacts::new(Intent::Follow, self.agent(agents), rest, &visit);
        if let Some(country) = self.country {
            facts.country = ProxyCountry::Known(country);
        }
        if self.region.is_some() || self.city.is_some() {
            let text = |place: &Option<Box<str>>| place.as_deref().unwrap_or_default().to_owned();
            facts.place = Some(Box::new(Place { region: text(&self.region), city: text(&self.city) }));
        }
        facts
    }

    /// Returns the query of the visit, with or without the mark of a QR code as the trigger says.
    fn visited_query(&self) -> Option<Cow<'_, str>> {
        let query = self.query.as_deref();
        let is_marked = is_of_qr_code(query.unwrap_or_default());
        match self.is_of_qr_code {
            // Behind the others, where a code has its mark.
            Some(true) if !is_marked => {
                let pairs = query.into_iter().filter(|query| !query.is_empty()).chain(["qr=1"]);
                Some(pairs.collect::<Vec<_>>().join("&").into())
            }
            Some(false) if is_marked => {
                let others = query.unwrap_or_default().split('&').filter(|pair| !is_of_qr_code(pair));
                Some(others.collect::<Vec<_>>().join("&").into())
            }
            _ => query.map(Cow::Borrowed),
        }
    }

    /// Returns whether the described device, system or browser has no effect on a visit by this agent: bots have none.
    pub(super) fn has_idle_class(&self, agent: Agent) -> bool {
        agent != Agent::Person && self.classes.iter().any(Option::is_some)
    }

    /// Returns what the `User-Agent` tells, with the described classes in place of those of a person.
    fn agent(&self, agents: &Agents) -> UserAgent {
        let sent = agents.look_up(self.user_agent.as_deref().map(str::as_bytes));
        // A property must not make a person of a bot: whether a visit counts would be that of another visitor.
        if sent.kind != Agent::Person || self.classes.iter().all(Option::is_none) {
            return sent;
        }
        let own = AgentClass::of(self.user_agent.as_deref().unwrap_or_default().as_bytes());
        let fields = ClassField::ALL.into_iter().zip(self.classes);
        let class = fields.fold(AgentClass::default(), |class, (field, described)| {
            class.with(field, described.unwrap_or(own.get(field)))
        });
        UserAgent::of_class(class, sent.hash)
    }
}

/// Returns the number of a name of a class. The error is a rule.
fn class(field: ClassField, text: &str) -> Result<u16, String> {
    field.number_of(text).ok_or_else(|| format!("must be one of: {}", field.names().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_the_mark_in_the_query() {
        let rows = [
            (None, None, None),
            (Some("a=1"), None, Some("a=1")),
            (None, Some("qr"), Some("qr=1")),
            (Some("?"), Some("qr"), Some("qr=1")),
            (Some("?a=1"), Some("qr"), Some("a=1&qr=1")),
            (Some("qr&a=1"), Some("qr"), Some("qr&a=1")),
            (Some("qr=0&a=1"), Some("qr"), Some("qr=0&a=1&qr=1")),
            (Some("qr=1&a=1&qr=true"), Some("link"), Some("a=1")),
            (Some("a=1&qr=0"), Some("link"), Some("a=1&qr=0")),
            (None, Some("link"), None),
        ];
        for (query, trigger, want) in rows {
            let mut request = ExplainRequest::default();
            for (name, text) in [("query", query), ("trigger", trigger)] {
                text.map_or(Ok(()), |text| request.set(name, text)).expect("a value");
            }
            assert_eq!(request.visited_query().as_deref(), want, "{query:?} {trigger:?}");
        }
        let error = ExplainRequest::default().set("trigger", "nfc").expect_err("no trigger");
        assert_eq!(error.to_string(), "trigger: must be link or qr");
    }
}
