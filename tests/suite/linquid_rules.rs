//! Linquid's `/api/rules`: both bodies, bad input, the order by priority, shares, rules of the native API, and two
//! clients at once.

use std::thread;

use serde_json::{Value, json};

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Answer, Client, text};
use crate::support::native::{LINKS, new_key, path_of};

const RULES: &str = "/api/rules";

/// A link of the native API, and a client in each dialect.
struct Place {
    app: TestApp,
    native: Client,
    vendor: Client,
    path: String,
    link: String,
}

/// Starts a server that knows countries, with a link that has these rules.
fn place(rules: &Value) -> Place {
    let app = TestApp::start_with(|config| {
        config.clicks.country_header = Some("CF-IPCountry".to_owned());
    });
    let mut native = app.admin();
    let made = native.create(&json!({"url": "https://e.test/own", "customSlug": "own", "rules": rules}));
    let vendor = app.visitor().with("X-API-Key", KEY);
    Place { path: path_of(&made), link: format!("link_{}", text(&made, "id")), app, native, vendor }
}

impl Place {
    /// Returns the rules as the native API shows them.
    fn native_rules(&mut self) -> Value {
        self.native.get(&self.path).expect(200, "the link")["link"]["rules"].clone()
    }

    fn list(&mut self) -> Vec<Value> {
        let answer = self.vendor.get(&format!("{RULES}?linkId={}&limit=100", self.link));
        answer.expect(200, "the list")["data"].as_array().expect("rules").clone()
    }

    /// Creates a rule of these fields, and returns it.
    fn make(&mut self, fields: &Value) -> Value {
        let body = self.body(fields);
        self.vendor.post(RULES, &body).expect(201, &body.to_string())["data"].clone()
    }

    fn body(&self, fields: &Value) -> Value {
        let mut body = json!({
            "linkId": self.link, "name": "n", "destinationUrl": "https://e.test/to",
            "conditions": [{"field": "os", "operator": "equals", "value": "iOS"}],
        });
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        body
    }

    fn put(&mut self, rule: &Value, body: &Value) -> Answer {
        let target = format!("{RULES}/{}", text(rule, "id"));
        self.vendor.send("PUT", &target, &[], Some(body.to_string().as_bytes()))
    }
}

fn refuses(answer: &Answer, message: &str, row: &str) {
    let body = answer.expect(400, row);
    let want = json!({"success": false, "error": {"code": "VALIDATION_ERROR", "message": message}});
    assert_eq!(body, want, "{row}");
}

/// The type `time` without a `timezone` has that of the workspace.
#[test]
fn hours_without_a_zone_are_those_of_the_workspace() {
    let mut place = place(&json!([]));
    let workspaces = place.native.get("/api/v1/workspaces").expect(200, "the workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    place.native.patch(&workspace, &json!({"timezone": "Europe/Berlin"})).expect(200, "a zone");
    place.make(&json!({"type": "time", "conditions": {"startTime": "09:00"}}));
    let made = place.make(&json!({"type": "time", "conditions": {"endTime": "09:00", "timezone": "UTC"}}));
    let zones = |rules: &Value| [0, 1].map(|at| rules[at]["conditions"][0]["value"]["zone"].clone());
    assert_eq!(zones(&place.native_rules()), ["Europe/Berlin", "UTC"]);
    place.put(&made, &json!({"conditions": {"endTime": "09:00"}})).expect(200, "changed");
    assert_eq!(zones(&place.native_rules()), ["Europe/Berlin", "Europe/Berlin"]);
}

/// Conditions of the vendor's pages and of this server come back as they were sent.
#[test]
fn conditions_come_back_as_they_were_sent() {
    let mut place = place(&json!([]));
    let flat = [
        json!({"field": "country", "operator": "not_equals", "value": "CN"}),
        json!({"field": "country", "operator": "in", "value": ["US", "CA"]}),
        json!({"field": "country", "operator": "not_in", "value": ["CN", "RU"]}),
        json!({"field": "referrer", "operator": "contains", "value": "google"}),
        json!({"field": "referrerDomain", "operator": "equals", "value": "google.com"}),
        json!({"field": "utmCampaign", "operator": "equals", "value": "x"}),
        json!({"field": "hour", "operator": "greater_than", "value": 17}),
        json!({"field": "hour", "operator": "less_than", "value": 9}),
        json!({"field": "hour", "operator": "equals", "value": 23}),
        json!({"field": "dayOfWeek", "operator": "equals", "value": "sunday"}),
        json!({"field": "dayOfWeek", "operator": "in", "value": ["monday", "friday"]}),
        json!({"field": "browser", "operator": "in", "value": ["Chrome", "Firefox"]}),
        json!({"field": "language", "operator": "equals", "value": "de"}),
        json!({"field": "query", "key": "ref", "operator": "exists", "value": true}),
        json!({"field": "query", "key": "ref", "operator": "in", "value": ["a"]}),
        json!({"field": "path", "operator": "startsWith", "value": "a"}),
        json!({"field": "visits", "operator": "before", "value": 100}),
        json!({"field": "time", "operator": "within", "value": {"days": ["mon"], "from": "18:30", "to": "08:00", "zone": "Europe/Berlin"}}),
    ];
    for condition in flat {
        let logic = if condition["field"] == "hour" { "OR" } else { "AND" };
        let made =
            place.make(&json!({"conditions": [condition], "conditionLogic": logic, "description": "d"}));
        let row = condition.to_string();
        assert_eq!(made["conditions"], json!([condition]), "{row}");
        assert_eq!((&made["conditionLogic"], &made["description"]), (&json!(logic), &json!("d")), "{row}");
        let before = place.native_rules();
        let answer = place.put(&made, &made);
        assert_eq!(answer.expect(200, &row)["data"], made, "{row}");
        assert_eq!(place.native_rules(), before, "{row}");
        place.vendor.delete(&format!("{RULES}/{}", text(&made, "id"))).expect(200, &row);
    }
    // Other spellings of the same.
    let rows = [
        (
            json!({"field": "hour", "operator": "equals", "value": "7"}),
            json!({"field": "hour", "operator": "equals", "value": 7}),
        ),
        (
            json!({"field": "dayOfWeek", "operator": "not_in", "value": ["mon", "tuesday", "wed", "thu", "fri"]}),
            json!({"field": "dayOfWeek", "operator": "in", "value": ["saturday", "sunday"]}),
        ),
        (
            json!({"field": "country", "operator": "in", "value": "uk"}),
            json!({"field": "country", "operator": "in", "value": ["GB"]}),
        ),
        (
            json!({"field": "device", "operator": "notIn", "value": ["mobile"]}),
            json!({"field": "deviceType", "operator": "not_equals", "value": "mobile"}),
        ),
    ];
    for (sent, shown) in rows {
        let made = place.make(&json!({"conditions": [sent]}));
        assert_eq!(made["conditions"], json!([shown]), "{sent}");
        place.vendor.delete(&format!("{RULES}/{}", text(&made, "id"))).expect(200, "deleted");
    }
    // Typed ones with fewer members.
    let rows = [
        ("geo", json!({"countries": ["DE"]}), json!({"countries": ["DE"], "operator": "in"})),
        (
            "geo",
            json!({"countries": ["DE"], "operator": "not_in"}),
            json!({"countries": ["DE"], "operator": "not_in"}),
        ),
        ("device", json!({"os": ["ios"]}), json!({"os": ["ios"]})),
        ("device", json!({"devices": ["desktop"]}), json!({"devices": ["desktop"]})),
        (
            "referrer",
            json!({"referrers": ["a.test"]}),
            json!({"referrers": ["a.test"], "operator": "contains"}),
        ),
        (
            "time",
            json!({"startTime": "22:00"}),
            json!({"timezone": "UTC", "days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], "startTime": "22:00", "endTime": "24:00"}),
        ),
        ("utm", json!({"utm_term": "t"}), json!({"utm_term": "t"})),
    ];
    for (form, sent, shown) in rows {
        // Without the type as well: the members say it.
        for body in [json!({"type": form, "conditions": sent}), json!({"conditions": sent})] {
            let made = place.make(&body);
            assert_eq!((&made["type"], &made["conditions"]), (&json!(form), &shown), "{sent}");
            assert!(made.get("conditionLogic").is_none(), "{made}");
            assert_eq!(place.put(&made, &made).expect(200, "sent back")["data"], made);
            place.vendor.delete(&format!("{RULES}/{}", text(&made, "id"))).expect(200, "deleted");
        }
    }
}

#[test]
#[allow(clippy::too_many_lines)] // A table, one row for each mistake.
fn what_a_rule_cannot_say_is_refused_with_its_field() {
    let mut place = place(&json!([]));
    let one = |field: &str, operator: &str, value: Value| json!({"conditions": [{"field": field, "operator": operator, "value": value}]});
    let typed = |form: &str, conditions: Value| json!({"type": form, "conditions": conditions});
    let history = "is not available: whether a visitor came before is known only after the click; use visits for the clicks of the link";
    let rows = [
        (json!({"linkId": null}), "linkId: is required"),
        (json!({"linkId": 5}), "linkId: must be a string"),
        (
            json!({"linkId": null, "campaignId": "camp_1"}),
            "campaignId: is not available: a rule belongs to one link; create it with the `linkId` of each link of the campaign",
        ),
        (
            json!({"campaignId": "camp_1"}),
            "campaignId: is not available: a rule belongs to one link; create it with the `linkId` of each link of the campaign",
        ),
        (json!({"name": null}), "name: must be a string"),
        (json!({"name": ""}), "name: must not be empty"),
        (json!({"name": "n".repeat(201)}), "name: must be at most 200 characters"),
        (json!({"description": "d".repeat(2_001)}), "description: must be at most 2000 characters"),
        (json!({"destinationUrl": null}), "destinationUrl: must be a string"),
        (
            json!({"destinationUrl": "ftp://e.test/"}),
            "destinationUrl: must use one of these schemes: http, https",
        ),
        (
            json!({"destinationUrl": "http://go.test/own"}),
            "destinationUrl: must not lead back to this short link",
        ),
        (json!({"conditions": null}), "conditions: is required"),
        (json!({"conditions": 5}), "conditions: must be an array of conditions, or the object of a `type`"),
        (json!({"conditions": [5]}), "conditions[0]: must be an object with field, operator and value"),
        (json!({"conditions": [{"operator": "equals", "value": "x"}]}), "conditions[0].field: is required"),
        (json!({"conditions": [{"field": "os", "value": "x"}]}), "conditions[0].operator: is required"),
        (json!({"conditions": [{"field": "os", "operator": "equals"}]}), "conditions[0].value: is required"),
        (
            json!({"conditions": [{"field": "os", "operator": "equals", "value": "iOS", "negate": true}]}),
            "conditions[0].negate: is no field of a condition",
        ),
        (json!({"conditionLogic": "NOT"}), "conditionLogic: must be AND or OR"),
        (
            json!({"priority": -1}),
            "priority: must be a whole number from 0 to 1000000; a lower number is evaluated first",
        ),
        (
            json!({"priority": 1.5}),
            "priority: must be a whole number from 0 to 1000000; a lower number is evaluated first",
        ),
        (
            json!({"priority": 1_000_001}),
            "priority: must be a whole number from 0 to 1000000; a lower number is evaluated first",
        ),
        (json!({"enabled": "yes"}), "enabled: must be true or false"),
        (json!({"destinationURL": "https://e.test/"}), "destinationURL: is no field of a rule"),
        (json!({"s3cret-key": "x"}), "rule: is no field of a rule"),
        (
            json!({"deepLinkIos": "app://x"}),
            "deepLinkIos: is not available for a rule: give it the condition `os`, and the URL of the app as `destinationUrl`",
        ),
        (
            json!({"forwardUtms": true}),
            "forwardUtms: is not available for a rule: the field `forwardParameters` of the native API applies to the whole link",
        ),
        (json!({"redirectDelayMs": 500}), "redirectDelayMs: is not available: a redirect is immediate"),
        (
            one("timezone", "equals", json!("UTC")),
            "conditions[0].field: timezone is not available: use country, region or city",
        ),
        (
            one("latitude", "less_than", json!(5)),
            "conditions[0].field: latitude is not available: use country, region or city",
        ),
        (
            one("asn", "equals", json!("AS1")),
            "conditions[0].field: asn is not available: Waypost knows no networks by name; use ip with address ranges",
        ),
        (
            one("osVersion", "equals", json!("17")),
            "conditions[0].field: osVersion is not available: browsers no longer send exact versions",
        ),
        (
            one("vpn", "is_true", Value::Null),
            "conditions[0].field: vpn is not available: Waypost does not rate the traffic of visitors",
        ),
        (
            one("fraud", "is_true", Value::Null),
            "conditions[0].field: fraud is not available: Waypost does not rate the traffic of visitors",
        ),
        (
            one("bot", "is_false", Value::Null),
            "conditions[0].field: bot is not available: bots are recognized for the whole link (`blockBots` of the native API)",
        ),
        (
            one("isNewVisitor", "is_true", Value::Null),
            &format!("conditions[0].field: isNewVisitor {history}"),
        ),
        (one("isReturning", "is_true", Value::Null), &format!("conditions[0].field: isReturning {history}")),
        (
            one("os", "not_contains", json!("x")),
            "conditions[0].operator: not_contains is not available: put a rule with `contains` before this one, with another destination",
        ),
        (one("os", "greater_than", json!(5)), "conditions[0].operator: greater_than works only with hour"),
        (
            one("os", "is_true", Value::Null),
            "conditions[0].operator: is_true works only with fields that are not available",
        ),
        (
            one("os", "not_equals", json!(["iOS"])),
            "conditions[0].value: must be a string; use not_in for several values",
        ),
        (
            one("referrer", "equals", json!("a.test")),
            "conditions[0].operator: equals compares hosts: use it with referrerDomain, and contains with referrer",
        ),
        (
            one("referrerDomain", "contains", json!("a")),
            "conditions[0].operator: contains finds a part of the address: use it with referrer, and equals or in with referrerDomain",
        ),
        (
            one("country", "equals", json!("Germany")),
            "conditions[0].value: must be the two letters of ISO 3166-1, such as DE",
        ),
        (
            one("deviceType", "in", json!(["mobile", "toaster"])),
            "conditions[0].value[1]: must be one of: desktop, mobile, tablet, tv, console, headset",
        ),
        (
            one("hour", "equals", json!(24)),
            "conditions[0].value: must be an hour, a whole number from 0 to 23",
        ),
        (
            one("hour", "less_than", json!(0)),
            "conditions[0].value: can never hold: the hours of a day are 0 to 23",
        ),
        (
            one("hour", "greater_than", json!(23)),
            "conditions[0].value: can never hold: the hours of a day are 0 to 23",
        ),
        (
            one("hour", "in", json!(5)),
            "conditions[0].operator: of hour must be one of: equals, greater_than, less_than",
        ),
        (
            one("dayOfWeek", "equals", json!("someday")),
            "conditions[0].value: must be one or more of: monday, tuesday, wednesday, thursday, friday, saturday, sunday",
        ),
        (
            one("dayOfWeek", "contains", json!("monday")),
            "conditions[0].operator: of dayOfWeek must be one of: equals, not_equals, in, not_in",
        ),
        (typed("geo", json!([])), "conditions: must be an object with `type`, and an array without it"),
        (
            typed("fraud", json!({})),
            "type: must be one of: geo, device, time, referrer, utm, percentage, language",
        ),
        (typed("geo", json!({})), "conditions.countries: is required"),
        (
            typed("geo", json!({"countries": ["US"], "regions": ["NY"]})),
            "conditions.regions: is no condition of the type geo: it has countries, operator",
        ),
        (
            typed("geo", json!({"countries": ["US", "XYZ"]})),
            "conditions.countries[1]: must be the two letters of ISO 3166-1, such as DE",
        ),
        (typed("geo", json!({"countries": []})), "conditions.countries: must be 1 to 100 values"),
        (
            typed("geo", json!({"countries": ["US"], "operator": "near"})),
            "conditions.operator: must be one of: in, not_in",
        ),
        (typed("device", json!({})), "conditions: must have devices or os"),
        (typed("device", json!({"devices": ["mobile"], "os": "beos"})), "conditions.os: must be one of: "),
        (typed("utm", json!({})), "conditions: must have utm_source or another parameter"),
        (typed("utm", json!({"utm_source": ["a"]})), "conditions.utm_source: must be a string"),
        (typed("time", json!({})), "conditions: must have days, startTime or endTime"),
        (
            typed("time", json!({"days": ["someday"]})),
            "conditions.days[0]: must be one of: monday, tuesday, wednesday, thursday, friday, saturday, sunday",
        ),
        (
            typed("time", json!({"startTime": "9:00"})),
            "conditions.startTime: must be a time of day such as 18:00",
        ),
        (
            typed("time", json!({"startTime": "09:00", "timezone": "Mars"})),
            "conditions.timezone: must be a time zone of the IANA database, such as Europe/Berlin",
        ),
        (
            typed("percentage", json!({"percentage": 0})),
            "conditions.percentage: must be a whole number from 1 to 99",
        ),
        (
            typed("percentage", json!({"percentage": 100})),
            "conditions.percentage: must be a whole number from 1 to 99",
        ),
        (
            typed("percentage", json!({"percentage": "50"})),
            "conditions.percentage: must be a whole number from 1 to 99",
        ),
        (
            json!({"conditions": {"state": "new"}}),
            "conditions.state: visitor_state is not available: whether a visitor came before is known only after the click",
        ),
        (
            json!({"conditions": {"operator": "in"}}),
            "conditions: must have a member of its type, such as countries or devices",
        ),
        (
            json!({"conditions": {"devices": ["mobile"]}, "conditionLogic": "OR"}),
            "conditionLogic: must be AND with `type`: all of its conditions must hold",
        ),
        (
            json!({"conditions": [{"field": "os", "operator": "equals", "value": "iOS"}, {"field": "os", "operator": "equals", "value": "Android"}]}),
            "conditions[1]: can never hold together with conditions[0]",
        ),
    ];
    for (fields, want) in rows {
        let answer = place.vendor.post(RULES, &place.body(&fields));
        if want.ends_with(' ') {
            assert!(answer.status == 400 && answer.text().contains(want), "{fields}: {}", answer.text());
        } else {
            refuses(&answer, want, &fields.to_string());
        }
    }
    assert_eq!(place.native_rules(), json!([]), "nothing was created");
    // Changes have the same rules, and a few of their own.
    let made = place.make(&json!({"type": "device", "conditions": {"devices": ["mobile"]}}));
    let rows = [
        (
            json!({"linkId": "link_0000000000000000000A"}),
            "linkId: cannot be changed: create the rule on the other link",
        ),
        (json!({"type": "geo"}), "type: can change only together with `conditions`"),
        (
            json!({"type": "geo", "conditions": {"devices": ["mobile"]}}),
            "conditions.devices: is no condition of the type geo: it has countries, operator",
        ),
        (json!({"name": ""}), "name: must not be empty"),
        (
            json!({"destinationUrl": "x"}),
            "destinationUrl: must be an absolute URL such as https://example.com/page",
        ),
        (json!({"isp": "x"}), "isp: is no field of a rule"),
    ];
    for (body, want) in rows {
        let answer = place.put(&made, &body);
        let text = answer.text();
        assert!(answer.status == 400 && text.contains(want), "{body}: {text}");
    }
    assert_eq!(place.list(), std::slice::from_ref(&made));
    // The body of a link has no rules.
    let link = format!("/api/links/{}", place.link);
    let why = "rules: are created and changed one at a time, with `/api/rules`";
    refuses(&place.vendor.patch(&link, &json!({"rules": [made]})), why, "a change");
    let body = json!({"destinationUrl": "https://e.test/", "rules": [made]});
    refuses(&place.vendor.post("/api/links", &body), why, "a new link");
    place.vendor.patch(&link, &json!({"rules": []})).expect(200, "no rules");
    // Lists and ids.
    let rows = [
        (format!("{RULES}?linkId={}&campaignId=camp_1", place.link), 400),
        (format!("{RULES}?linkId={}&page=0", place.link), 400),
        (format!("{RULES}?linkId=link_0000000000000000000A"), 404),
        (format!("{RULES}?linkId=nothing"), 404),
        (format!("{RULES}/rule_nothing"), 404),
        (format!("{RULES}/{}_77", place.link), 404),
        (format!("{RULES}/rule_0000000000000000000A_1"), 404),
    ];
    for (target, status) in rows {
        place.vendor.get(&target).expect(status, &target);
    }
}

#[test]
fn a_lower_priority_is_first_and_the_native_order_decides() {
    let mut place = place(&json!([]));
    let os = ["Windows", "macOS", "Linux", "Android", "iOS"];
    let make = |place: &mut Place, at: usize, priority: Value| {
        let conditions = json!([{"field": "os", "operator": "equals", "value": os[at]}]);
        place.make(&json!({"name": os[at], "conditions": conditions, "priority": priority}))
    };
    let order = |place: &mut Place| -> Vec<(String, u64)> {
        let shown = place.list();
        let row =
            |rule: &Value| (text(rule, "name").to_owned(), rule["priority"].as_u64().expect("a number"));
        let rows: Vec<_> = shown.iter().map(row).collect();
        let native = place.native_rules();
        let names: Vec<_> =
            native.as_array().expect("rules").iter().map(|rule| text(rule, "name").to_owned()).collect();
        assert_eq!(rows.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
        rows
    };
    let named = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
        rows.iter().map(|(name, rank)| ((*name).to_owned(), *rank)).collect()
    };
    make(&mut place, 0, Value::Null);
    make(&mut place, 1, json!(50));
    make(&mut place, 2, json!(10));
    let third = make(&mut place, 3, json!(10));
    // Without a priority: behind all others.
    let last = make(&mut place, 4, Value::Null);
    assert_eq!(
        order(&mut place),
        named(&[("Windows", 1), ("Linux", 10), ("Android", 10), ("macOS", 50), ("iOS", 51)])
    );
    assert_eq!(place.put(&last, &json!({"priority": 0})).expect(200, "moved")["data"]["priority"], 0);
    assert_eq!(place.put(&third, &json!({"priority": 10})).expect(200, "not moved")["data"]["priority"], 10);
    assert_eq!(
        order(&mut place),
        named(&[("iOS", 0), ("Windows", 1), ("Linux", 10), ("Android", 10), ("macOS", 50)])
    );
    // The native API moves a rule. Ranks follow the order, so that a client that sorts by them is right.
    let mut rules = place.native_rules();
    rules.as_array_mut().expect("rules").rotate_right(1);
    let path = place.path.clone();
    place.native.patch(&path, &json!({"rules": rules})).expect(200, "moved");
    assert_eq!(
        order(&mut place),
        named(&[("macOS", 50), ("iOS", 50), ("Windows", 50), ("Linux", 50), ("Android", 50)])
    );
    // A rule that comes back with the rank that was shown stays where it is.
    let shown = place.list();
    for rule in &shown {
        place.put(rule, rule).expect(200, "sent back");
    }
    assert_eq!(place.list(), shown);
    // An id is never given again.
    for rule in &shown {
        place.vendor.delete(&format!("{RULES}/{}", text(rule, "id"))).expect(200, "deleted");
    }
    let made = place.make(&json!({}));
    assert_eq!(text(&made, "id"), format!("rule_{}_6", &place.link["link_".len()..]));
}

/// The share of a rule of the type `percentage`, and the destination of the link for the rest.
#[test]
fn a_percentage_is_a_split_whose_rest_follows_the_link() {
    let mut place = place(&json!([]));
    let made = place.make(&json!({"type": "percentage", "conditions": {"percentage": 30}}));
    let variants = |place: &mut Place| {
        let rules = place.native_rules();
        let list = rules[0]["variants"].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|variant| format!("{} {} {}", variant["id"], text(variant, "url"), variant["weight"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(variants(&mut place), ["1 https://e.test/to 30", "2 https://e.test/own 70"]);
    let link = format!("/api/links/{}", place.link);
    place.vendor.patch(&link, &json!({"destinationUrl": "https://e.test/new"})).expect(200, "the link");
    assert_eq!(variants(&mut place), ["1 https://e.test/to 30", "2 https://e.test/new 70"]);
    // Another share and another destination keep the variants, and so their statistics.
    let body = json!({"conditions": {"percentage": 55}, "destinationUrl": "https://e.test/other"});
    let changed = place.put(&made, &body).expect(200, "changed")["data"].clone();
    assert_eq!(
        (&changed["type"], &changed["conditions"]),
        (&json!("percentage"), &json!({"percentage": 55}))
    );
    assert_eq!(variants(&mut place), ["1 https://e.test/other 55", "2 https://e.test/new 45"]);
    // The native API ends the test. A client of the vendor sees no share any more, and loses nothing.
    let mut rules = place.native_rules();
    rules[0]["winner"] = json!(1);
    let path = place.path.clone();
    place.native.patch(&path, &json!({"rules": rules})).expect(200, "a winner");
    let before = place.native_rules();
    let shown = place.list()[0].clone();
    assert_eq!((&shown["destinationUrl"], &shown["conditions"]), (&Value::Null, &json!([])));
    assert!(shown.get("type").is_none(), "{shown}");
    place.put(&shown, &shown).expect(200, "sent back");
    assert_eq!(place.native_rules(), before);
    let refused = place.put(&shown, &json!({"destinationUrl": "https://e.test/"}));
    refuses(
        &refused,
        "destinationUrl: cannot be set: the rule has several destinations; change it with the field `rules` of the link in the native API",
        "a split",
    );
    // And back to one destination.
    rules[0]["winner"] = Value::Null;
    place.native.patch(&path, &json!({"rules": rules})).expect(200, "no winner");
    let plain =
        place.put(&made, &json!({"conditions": {"devices": ["mobile"]}})).expect(200, "a device")["data"]
            .clone();
    assert_eq!(
        (&plain["type"], &plain["destinationUrl"]),
        (&json!("device"), &json!("https://e.test/other"))
    );
    assert_eq!(place.native_rules()[0]["url"], "https://e.test/other");
    // It takes all visitors, so no rule can come behind.
    place.put(&made, &json!({"conditions": {"percentage": 5}})).expect(200, "a share again");
    let refused = place.vendor.post(RULES, &place.body(&json!({"priority": 1_000})));
    refuses(
        &refused,
        "rule: can never be reached: a rule in front of it takes every visitor for whom it holds, and so does a percentage, \
         whose rest gets the destination of the link; give this rule a lower priority than that rule",
        "behind",
    );
    place.make(&json!({"name": "before", "priority": 0}));
    let refused = place.put(&made, &json!({"priority": 0, "name": "first"}));
    assert_eq!(refused.status, 200, "the same rank is behind: {}", refused.text());
    let before = place.list()[0].clone();
    let refused = place.put(&before, &json!({"priority": 1_000}));
    refuses(
        &refused,
        "rule: can never be reached: a rule in front of it takes every visitor for whom it holds, and so does a percentage, \
         whose rest gets the destination of the link; give this rule a lower priority than that rule",
        "moved behind",
    );
    let refused = place.put(&before, &json!({"conditions": []}));
    refuses(
        &refused,
        "rule: would take every visitor of rules[1]: give this rule a later place, or conditions that leave visitors to the other",
        "it takes all",
    );
}

#[test]
fn rules_of_the_native_api_lose_nothing() {
    let rules = json!([
        {"name": "night", "enabled": false, "match": "any", "conditions": [
            {"field": "time", "operator": "within", "value": {"days": ["mon", "fri"], "from": "18:00", "to": "08:00", "zone": "Europe/Berlin"}},
            {"field": "query", "key": "ref", "operator": "exists", "value": true}],
         "url": "https://e.test/night", "from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
        {"conditions": [{"field": "path", "operator": "startsWith", "value": "old"}], "status": 404},
        {"name": "visits", "conditions": [{"field": "visits", "operator": "within", "value": {"from": 5, "to": 9}},
            {"field": "date", "operator": "before", "value": "2030-01-01"}, {"field": "ip", "operator": "in", "value": ["10.0.0.0/8"]}], "url": "https://e.test/v"},
        {"name": "test", "variants": [{"name": "a", "url": "https://e.test/a", "weight": 60}, {"url": "https://e.test/b", "weight": 30}, {"url": "https://e.test/own", "weight": 10}], "sticky": "cookie"},
    ]);
    let mut place = place(&rules);
    // What the vendor's client adds is beside the rule, and not in it.
    let without_memos = |mut rules: Value| {
        rules.as_array_mut().expect("rules").iter_mut().for_each(|rule| {
            rule.as_object_mut().expect("a rule").remove("memo");
        });
        rules
    };
    let before = place.native_rules();
    let shown = place.list();
    assert_eq!(shown.len(), 4);
    assert_eq!(shown[0]["conditions"][0]["field"], "time");
    assert_eq!(
        (&shown[1]["destinationUrl"], &shown[1]["name"], &shown[1]["createdAt"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    for rule in &shown {
        assert_eq!(place.put(rule, rule).expect(200, "sent back")["data"], *rule);
        place.put(rule, &json!({"description": "d"})).expect(200, "one field");
    }
    assert_eq!(without_memos(place.native_rules()), before);
    // One more rule in front, and one changed.
    place.make(&json!({"priority": 0}));
    place.put(&shown[3], &json!({"enabled": false})).expect(200, "off");
    let after = without_memos(place.native_rules());
    assert_eq!((&after[1], &after[2], &after[3]), (&before[0], &before[1], &before[2]));
    assert_eq!(after[4]["variants"], before[3]["variants"]);
    // A native client that knows nothing of it keeps what the vendor's client has written.
    let listed = place.list();
    let path = place.path.clone();
    place.native.patch(&path, &json!({"rules": after})).expect(200, "sent back");
    assert_eq!(place.list(), listed);
    assert!(listed[1..].iter().all(|rule| rule["description"] == "d"), "{listed:?}");
    // HighLevel has no rules, and keeps them.
    let kept = place.native_rules();
    let workspace = place.native.get(&path).expect(200, "the link")["link"]["workspaceId"].clone();
    let id = &place.link["link_".len()..];
    let target = format!("/links/{id}?locationId={}", workspace.as_str().expect("an id"));
    let body = json!({"name": "N", "redirectTo": "https://e.test/moved"}).to_string();
    place.native.send("PUT", &target, &[], Some(body.as_bytes())).expect(201, "HighLevel");
    assert_eq!(place.native_rules(), kept);
}

#[test]
fn two_clients_at_once_lose_nothing() {
    let mut place = place(&json!([]));
    let made = place.make(
        &json!({"name": "shared", "conditions": [{"field": "os", "operator": "equals", "value": "Windows"}]}),
    );
    let rule = format!("{RULES}/{}", text(&made, "id"));
    let changes = [
        json!({"description": "d"}),
        json!({"priority": 7}),
        json!({"enabled": false}),
        json!({"name": "renamed"}),
    ];
    thread::scope(|scope| {
        for (at, change) in changes.iter().enumerate() {
            let (mut client, rule, link) = (place.app.visitor().with("X-API-Key", KEY), &rule, &place.link);
            scope.spawn(move || {
                // Both a change of the one rule and a rule of its own. Only 503 may be repeated.
                let mut until_done = |method: &str, target: &str, body: &Value, status: u16| loop {
                    let answer = client.send(method, target, &[], Some(body.to_string().as_bytes()));
                    if answer.status != 503 {
                        answer.expect(status, target);
                        break;
                    }
                };
                let conditions = json!([{"field": "utmSource", "operator": "equals", "value": at.to_string()}]);
                let own = json!({"linkId": link, "name": format!("own {at}"), "destinationUrl": "https://e.test/", "conditions": conditions});
                until_done("POST", RULES, &own, 201);
                until_done("PUT", rule, change, 200);
            });
        }
    });
    let shared = place.vendor.get(&rule).expect(200, "the rule")["data"].clone();
    let want = [
        ("description", json!("d")),
        ("priority", json!(7)),
        ("enabled", json!(false)),
        ("name", json!("renamed")),
    ];
    for (name, value) in want {
        assert_eq!(shared[name], value, "{name}");
    }
    let mut names: Vec<_> = place.list().iter().map(|rule| text(rule, "name").to_owned()).collect();
    names.sort();
    assert_eq!(names, ["own 0", "own 1", "own 2", "own 3", "renamed"]);
}

#[test]
fn a_repeated_post_makes_one_rule_and_scopes_are_those_of_links() {
    let mut place = place(&json!([]));
    let mut client = place.app.visitor().with("X-API-Key", KEY).with("Idempotency-Key", "k-1");
    let body = place.body(&json!({}));
    let first = client.post(RULES, &body).expect(201, "the first")["data"].clone();
    assert_eq!(client.post(RULES, &body).expect(201, "the second")["data"], first);
    assert_eq!(place.list(), std::slice::from_ref(&first));
    refuses(
        &client.post(RULES, &place.body(&json!({"name": "m"}))),
        "Idempotency-Key: was used before with another request body",
        "another body",
    );
    let answer = place.vendor.get(&format!("{RULES}/{}", text(&first, "id")));
    assert!(answer.header("x-ratelimit-remaining").is_some(), "{answer:?}");
    let rule = format!("{RULES}/{}", text(&first, "id"));
    let reads = new_key(&mut place.native, &json!({"scopes": ["links.readonly"]}));
    let mut reader = place.app.visitor().with("X-API-Key", &reads);
    reader.get(&rule).expect(200, "it may read");
    for (method, target, body) in
        [("POST", RULES, Some(&body)), ("PUT", &rule, Some(&body)), ("DELETE", &rule, None)]
    {
        let bytes = body.map(Value::to_string);
        let answer = reader.send(method, target, &[], bytes.as_deref().map(str::as_bytes));
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].clone()),
            (403, json!("FORBIDDEN")),
            "{method}"
        );
    }
    let creates = new_key(&mut place.native, &json!({"scopes": ["links.write"], "createOnly": true}));
    let mut creator = place.app.visitor().with("X-API-Key", &creates);
    creator.post(RULES, &body).expect(403, "it may only create links");
    place.vendor.delete(&rule).expect(200, "deleted");
    client.post(RULES, &body).expect(404, "what the first request made is gone");
}

/// Brevr documents `rules: []`, which a link without rules shows.
#[test]
fn a_link_without_rules_shows_an_empty_list() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/"}));
    assert_eq!(made["rules"], json!([]));
    assert_eq!(admin.get(&path_of(&made)).expect(200, "the link")["link"]["rules"], json!([]));
    let list = admin.get(LINKS).expect(200, "the list");
    assert_eq!(list["links"][0]["rules"], json!([]), "{list}");
    let theirs = admin.get("/api/links").expect(200, "the list of the vendor");
    assert!(!theirs.to_string().contains("\"rules\""), "they have paths of their own: {theirs}");
}
