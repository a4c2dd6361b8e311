//! The head of a request: target and Host, the forwarding proxy, the User-Agent.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Uri, Version};

use super::address::check_code;
use super::input::Input;
use crate::agents::classes::{AgentClass, ClassField};
use crate::agents::{Agent, AgentDetail, Agents, UserAgent};
use crate::http::host;
use crate::http::route::Route;
use crate::model::network::Networks;
use crate::model::short_code::{canonical, is_reserved};
use crate::visit::peer;

/// Takes the target, then a line for each `Host`. Asserts that an accepted host has its canonical spelling and needs
/// no escaping anywhere, and that the path of a link is no reserved word.
pub(super) fn request(data: &[u8]) {
    let mut input = Input(data);
    let version = if input.byte() & 1 == 0 { Version::HTTP_11 } else { Version::HTTP_10 };
    let Ok(uri) = Uri::try_from(input.line()) else { return };
    let mut headers = HeaderMap::new();
    while !input.is_empty() {
        if let Ok(value) = HeaderValue::from_bytes(input.line()) {
            headers.append(HOST, value);
        }
    }
    let found = host::of(version, &uri, &headers);
    if headers.get_all(HOST).iter().count() > 1 {
        assert!(found.is_err(), "two hosts");
    }
    if let Ok(host) = found {
        assert!(!host.is_empty() && host.len() <= 255, "{host}");
        assert!(host.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{host}");
        assert!(host.starts_with('[') || !host.contains([':', '/', '@', '?', '#', '%']), "{host}");
        assert_eq!(host::parse(&host).as_deref(), Ok(&*host));
        HeaderValue::try_from(&*host).expect("a host is a legal header value");
        if let Some(authority) = uri.authority() {
            assert_eq!(host::parse(authority.as_str()).as_deref(), Ok(&*host), "the target's own host wins");
        }
    }
    let route = Route::of(uri.path());
    let path = uri.path();
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or("");
    if route == Route::Visit {
        assert!(!is_reserved(first), "{first} is no link");
        if let Some(code) = canonical(first) {
            check_code(&code);
        }
    }
}

/// Takes an `X-Forwarded-For` per line. Asserts that only trusted proxies count, and that entries before the entry
/// of a trusted proxy have no effect.
pub(super) fn forwarded(data: &[u8]) {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    static TRUSTED: LazyLock<Networks> =
        LazyLock::new(|| Networks::parse(["10.0.0.0/8", "::1", "2001:db8::/32"]).expect("networks"));
    let (stranger, proxy) = (Ipv4Addr::new(198, 51, 100, 9), Ipv4Addr::new(10, 0, 0, 1));
    let visitor = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let mut input = Input(data);
    let mut headers = HeaderMap::new();
    while !input.is_empty() {
        if let Ok(value) = HeaderValue::from_bytes(input.line()) {
            headers.append(FORWARDED_FOR, value);
        }
    }
    assert_eq!(peer::of(stranger.into(), &headers, &TRUSTED), IpAddr::from(stranger));
    let found = peer::of(proxy.into(), &headers, &TRUSTED);
    assert_eq!(found, found.to_canonical());
    let all: Vec<&[u8]> = headers.get_all(&FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let whole = HeaderValue::from_bytes(&all.join(&b","[..])).expect("lines are joined by a comma");
    let mut joined = HeaderMap::new();
    if !all.is_empty() {
        joined.insert(FORWARDED_FOR, whole);
    }
    assert_eq!(peer::of(proxy.into(), &joined, &TRUSTED), found, "lines are one list");
    headers.append(FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
    assert_eq!(peer::of(proxy.into(), &headers, &TRUSTED), visitor);
}

/// Takes a User-Agent. Asserts that its verdict is always the same, and independent of bytes beyond the limit, and that
/// what it tells has a name.
pub(super) fn agent(data: &[u8]) {
    /// The value of `MAX_LOOKED_AT`.
    const LOOKED_AT: usize = 1024;
    static SEEN: LazyLock<Agents> = LazyLock::new(Agents::new);
    let first = Agents::of(&SEEN, Some(data));
    assert_eq!(SEEN.of(Some(data)), first, "a remembered verdict");
    assert_eq!(SEEN.of(Some(&data[..data.len().min(LOOKED_AT)])), first, "bytes beyond the limit");
    let told = SEEN.look_up(Some(data));
    assert_eq!(UserAgent::of_bits(told.bits().into(), told.hash), Some(told), "the bits of an event");
    match told.detail() {
        AgentDetail::Bot(name) => assert!(!name.is_empty(), "a bot without a name"),
        AgentDetail::Class(class) => class_of(class),
    }
    if !data.is_empty() && data.len() + "Googlebot/2.1".len() <= LOOKED_AT {
        let bot = [data, b"Googlebot/2.1"].concat();
        assert_ne!(SEEN.of(Some(&bot)), Agent::Person, "a bot, with any bytes before its name");
    }
}

/// Asserts that each field of a class is unknown or has a name, which leads back to it.
fn class_of(class: AgentClass) {
    assert_eq!(AgentClass::from_bits(class.bits()), class);
    for field in ClassField::ALL {
        let number = class.get(field);
        let name = field.name_of(number);
        assert_eq!(name.is_none(), number == 0, "{field:?} {number}");
        if let Some(name) = name {
            assert_eq!(field.number_of(&name.to_uppercase()), Some(number), "{name}");
        }
    }
}
