//! The rules of a link as JSON. Create, change, bulk and import use the same reader, and dialects that have rules turn
//! theirs into this form. [`rule_json`](super::rule_json) shows them.
//!
//! A mistake is never ignored, unlike an unknown field of a link: a condition that is left out would send visitors to the
//! wrong destination without a word.

use super::rule_values::{Misplaced, below, broken, given, mistyped, object, value};
use super::spelling::likely;
use crate::json::{Field, FieldError, Json, Object, whole};
use crate::model::link::branch::{
    BranchDraft, BranchMemo, Condition, ConditionDraft, ConditionField, ConditionValue, Operator,
    OutcomeDraft, PRIORITY_MAX, SplitDraft, Sticky, VariantDraft, WinnerRef,
};
use crate::model::text::trim_invisible;

/// The fields of a rule.
const RULE: &[&str] = &[
    "id",
    "name",
    "enabled",
    "match",
    "conditions",
    "url",
    "variants",
    "status",
    "sticky",
    "winner",
    "from",
    "until",
    "memo",
];
/// The fields of a memo.
const MEMO: &[&str] = &["description", "priority", "form", "restFollows", "createdAt"];
/// The fields of a condition.
const CONDITION: &[&str] = &["field", "key", "operator", "value"];
/// The fields of a variant.
const VARIANT: &[&str] = &["id", "name", "url", "weight"];

/// Reads a list of rules.
pub fn read(items: &[Json]) -> Result<Vec<BranchDraft>, FieldError> {
    let rule = |(at, item): (usize, &Json)| {
        rule(item).map_err(|error| below(error, &format!("[{at}]"))).map_err(|error| error.0)
    };
    items.iter().enumerate().map(rule).collect()
}

fn rule(item: &Json) -> Result<BranchDraft, Misplaced> {
    let rule = object(item, RULE, "a rule")?;
    let items = rule.list("conditions")?.value().unwrap_or_default();
    Ok(BranchDraft {
        number: number(rule)?,
        name: rule.text("name")?.value().map(trim_invisible).map(Box::from),
        enabled: rule.flag("enabled")?.value().unwrap_or(true),
        matches_any: match rule.text("match")?.value().map(trim_invisible) {
            None | Some("all") => false,
            Some("any") => true,
            Some(_) => return Err(broken(".match", "must be all or any")),
        },
        conditions: conditions(items)?,
        outcome: outcome(rule)?,
        from: rule.start("from")?.value(),
        until: rule.end("until")?.value(),
        memo: match rule.get("memo") {
            Field::Value(item) => Some(Box::new(memo(item).map_err(|error| below(error, ".memo"))?)),
            Field::Absent | Field::Null => None,
        },
    })
}

/// Reads the conditions of one rule. The place of an error begins with `.conditions`.
pub fn read_conditions(items: &[Json]) -> Result<Vec<ConditionDraft>, FieldError> {
    conditions(items).map_err(|error| error.0)
}

fn conditions(items: &[Json]) -> Result<Vec<ConditionDraft>, Misplaced> {
    let items = items.iter().enumerate();
    items
        .map(|(at, item)| condition(item).map_err(|error| below(error, &format!(".conditions[{at}]"))))
        .collect()
}

fn memo(item: &Json) -> Result<BranchMemo, Misplaced> {
    const PRIORITY: &str = "must be a whole number from 0 to 1000000";
    let memo = object(item, MEMO, "a memo")?;
    let priority = memo.count("priority", PRIORITY)?.value();
    Ok(BranchMemo {
        description: memo.text("description")?.value().map(Box::from),
        priority: match priority {
            Some(rank) => {
                let rank = u32::try_from(rank).ok().filter(|rank| *rank <= PRIORITY_MAX);
                Some(rank.ok_or_else(|| broken(".priority", PRIORITY))?)
            }
            None => None,
        },
        form: memo.text("form")?.value().map(Box::from),
        rest_follows: memo.flag("restFollows")?.value().unwrap_or(false),
        created_at: memo.instant("createdAt")?.value(),
    })
}

/// Reads the id of a rule or a variant.
fn number(object: &Object) -> Result<Option<u16>, Misplaced> {
    const RULE: &str =
        "must be a whole number from 1 to 65535, which the server gives; leave it out for a new one";
    let Some(id) = object.count("id", RULE)?.value() else { return Ok(None) };
    u16::try_from(id).ok().filter(|id| *id > 0).map(Some).ok_or_else(|| broken(".id", RULE))
}

fn outcome(rule: &Object) -> Result<OutcomeDraft, Misplaced> {
    let (url, variants, status) = (
        rule.text("url")?.value(),
        rule.list("variants")?.value(),
        rule.count("status", "must be 404")?.value(),
    );
    let outcome = match (url, variants, status) {
        (Some(url), None, None) => OutcomeDraft::Url(url.into()),
        (None, Some(variants), None) => return split(rule, variants).map(OutcomeDraft::Split),
        (None, None, Some(404)) => OutcomeDraft::NotFound,
        (None, None, Some(_)) => return Err(broken(".status", "must be 404")),
        (None, None, None) => return Err(broken("", "must have one of url, variants and status")),
        _ => return Err(broken("", "must have only one of url, variants and status")),
    };
    for name in ["sticky", "winner"] {
        if given(rule, name).is_some() {
            return Err(broken(&format!(".{name}"), "works only with variants"));
        }
    }
    Ok(outcome)
}

fn split(rule: &Object, variants: &[Json]) -> Result<SplitDraft, Misplaced> {
    check_weights(variants)?;
    let variants = variants.iter().enumerate();
    let variants =
        variants.map(|(at, item)| variant(item).map_err(|error| below(error, &format!(".variants[{at}]"))));
    let sticky = match rule.text("sticky")?.value().map(trim_invisible) {
        None => Sticky::default(),
        Some(name) => {
            Sticky::of_name(name).ok_or_else(|| broken(".sticky", "must be visitor, cookie or click"))?
        }
    };
    let winner = match given(rule, "winner") {
        None => None,
        Some(Json::Text(name)) => Some(WinnerRef::Name(trim_invisible(name).into())),
        Some(Json::Number(id)) => {
            let id = whole(id).and_then(|id| u16::try_from(id).ok());
            Some(WinnerRef::Number(id.unwrap_or(0)))
        }
        Some(_) => {
            return Err(mistyped(".winner", "must be the name or the id of a variant, or null"));
        }
    };
    Ok(SplitDraft { variants: variants.collect::<Result<_, _>>()?, sticky, winner })
}

/// Fails if only some variants have a weight: beside 70, the default of 1 would be nearly nobody.
fn check_weights(variants: &[Json]) -> Result<(), Misplaced> {
    let has_weight = |item: &Json| matches!(item, Json::Object(item) if item.get("weight").value().is_some());
    let lacking = variants.iter().position(|item| !has_weight(item));
    match lacking.filter(|_| variants.iter().any(has_weight)) {
        Some(at) => {
            let why = "is missing, and other variants have one: give all variants a weight, or none";
            Err(broken(&format!(".variants[{at}].weight"), why))
        }
        None => Ok(()),
    }
}

fn variant(item: &Json) -> Result<VariantDraft, Misplaced> {
    const WEIGHT: &str = "must be a whole number from 1 to 1000000";
    let variant = object(item, VARIANT, "a variant")?;
    let weight = variant.count("weight", WEIGHT)?.value().unwrap_or(1);
    Ok(VariantDraft {
        number: number(variant)?,
        name: variant.text("name")?.value().map(trim_invisible).map(Box::from),
        url: variant.text("url")?.value().ok_or_else(|| mistyped(".url", "is required"))?.into(),
        weight: u32::try_from(weight).map_err(|_| broken(".weight", WEIGHT))?,
    })
}

fn condition(item: &Json) -> Result<ConditionDraft, Misplaced> {
    let condition = object(item, CONDITION, "a condition")?;
    let name = trim_invisible(condition.required("field")?);
    let field = ConditionField::of_name(name).ok_or_else(|| {
        let names: Vec<_> = ConditionField::all().map(ConditionField::name).collect();
        let meant = likely(
            name,
            &[&names],
            &[("ipaddress", &["ip"]), ("platform", &["os"]), ("locale", &["language"])],
        );
        let hint = meant.map(|field| format!("; did you mean {field}?")).unwrap_or_default();
        broken(".field", format!("must be one of: {}{hint}", names.join(", ")))
    })?;
    let operator = match condition.text("operator")?.value().map(trim_invisible) {
        Some(name) => Operator::of_name(name).ok_or_else(|| {
            let names: Vec<_> = field.operators().iter().map(|operator| operator.name()).collect();
            broken(".operator", format!("of {} must be one of: {}", field.name(), names.join(", ")))
        })?,
        None => return Err(mistyped(".operator", "is required")),
    };
    let key = condition.text("key")?.value().map(trim_invisible).map(Box::from);
    // The operator first: its error explains more than that of a value which it cannot have.
    // Any value: only field, operator and key are checked here.
    let empty = ConditionValue::Exists(true);
    let named = Condition { field, key, operator, value: empty };
    named.check().map_err(|invalid| Misplaced(FieldError::Rule(invalid)))?;
    let given = match condition.get("value") {
        Field::Value(value) => value,
        Field::Absent | Field::Null if operator == Operator::Exists => &Json::Bool(true),
        Field::Absent | Field::Null => return Err(broken(".value", "is required")),
    };
    let (value, local) = value(field, operator, given).map_err(|error| below(error, ".value"))?;
    Ok(ConditionDraft::new(Condition { value, ..named }, local))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::waypost::rule_json::RuleJson;
    use crate::json;
    use crate::model::destination::{Destination, ExtraSchemes, LinkType};
    use crate::model::link::branch::{Branch, BranchOutcome, Branches};

    fn drafts(text: &str) -> Result<Vec<BranchDraft>, String> {
        let Ok(Json::List(items)) = json::parse(text.as_bytes()) else { panic!("no list: {text}") };
        read(&items).map_err(|error| error.to_string())
    }

    fn renewed(before: Option<&Branches>, text: &str) -> Result<Branches, String> {
        let schemes = ExtraSchemes::new(vec!["app".to_owned()]).expect("a scheme");
        let parse = |text: &str| Destination::parse_fillable("rules", text, LinkType::Url, &schemes);
        Branches::renewed(before, drafts(text)?, parse).map_err(|error| error.to_string())
    }

    fn shown(branches: &Branches) -> String {
        let rules: Vec<_> = branches.list.iter().map(RuleJson::of).collect();
        String::from_utf8(json::to_bytes(&rules)).expect("JSON is UTF-8")
    }

    /// Returns the numbers of the rules, each with those of its variants.
    fn numbers(branches: &Branches) -> Vec<(u16, Vec<u16>)> {
        let of = |branch: &Branch| match &branch.outcome {
            BranchOutcome::Split(split) => split.variants.iter().map(|variant| variant.number).collect(),
            BranchOutcome::Url(_) | BranchOutcome::NotFound => Vec::new(),
        };
        branches.list.iter().map(|branch| (branch.number, of(branch))).collect()
    }

    const ALL: &str = r#"[
        {"name":"iOS in German","conditions":[{"field":"os","operator":"in","value":["ios"]},
            {"field":"language","operator":"in","value":["DE","pt-BR"]}],"url":"https://apps.test/de"},
        {"match":"any","conditions":[
            {"field":"time","operator":"within","value":{"days":["mon","fri"],"from":"18:00","to":"08:00","zone":"europe/berlin"}},
            {"field":"country","operator":"notIn","value":["uk"]},
            {"field":"query","key":"ref","operator":"startsWith","value":"a"},
            {"field":"query","key":"ref","operator":"exists"},
            {"field":"visits","operator":"before","value":100},
            {"field":"visits","operator":"within","value":{"from":5}},
            {"field":"date","operator":"within","value":{"from":"2026-12-01","to":"2026-12-24"}},
            {"field":"referrer","operator":"contains","value":["Shop.test/A","b"]},
            {"field":"ip","operator":"in","value":["10.0.0.0/8","2001:db8::1"]},
            {"field":"visits","operator":"equals","value":7}],
         "url":"app://night","enabled":false},
        {"name":"test","variants":[{"name":"a","url":"https://e.test/a","weight":60},{"url":"https://e.test/b","weight":1}],
         "sticky":"cookie","from":"2026-12-01","until":"2027-01-01","winner":"a"},
        {"conditions":[{"field":"path","operator":"equals","value":"/x"}],"status":404,
         "memo":{"description":"d","priority":9,"form":"f","restFollows":true,"createdAt":"2026-01-01"}}]"#;

    #[test]
    fn rules_are_read_and_shown_and_read_again() {
        let first = renewed(None, ALL).expect("valid rules");
        assert_eq!(numbers(&first), [(1, vec![]), (2, vec![]), (3, vec![1, 2]), (4, vec![])]);
        let text = shown(&first);
        for part in [
            r#""value":["iOS"]"#,
            r#""value":["de","pt-br"]"#,
            r#"{"days":["mon","fri"],"from":"18:00","to":"08:00","zone":"Europe/Berlin"}"#,
            r#""operator":"notIn","value":["GB"]"#,
            r#""key":"ref","operator":"startsWith","value":"a""#,
            r#""operator":"exists","value":true"#,
            r#""operator":"before","value":100"#,
            r#""operator":"within","value":{"from":5,"to":null}"#,
            r#"{"from":"2026-12-01T00:00:00.000Z","to":"2026-12-24T23:59:59.999Z"}"#,
            r#""value":["shop.test/a","b"]"#,
            r#""operator":"equals","value":7"#,
            r#""winner":"a","from":"2026-12-01T00:00:00.000Z","until":"2027-01-01T23:59:59.999Z""#,
            r#""url":null,"variants":null,"status":404,"sticky":null,"winner":null"#,
            r#""memo":{"description":"d","priority":9,"form":"f","restFollows":true,"createdAt":"2026-01-01T00:00:00.000Z"}"#,
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(text.len() <= first.shown_bytes(), "{} of {}", text.len(), first.shown_bytes());
        // A client that sends back what it was shown changes nothing, and so does an import into another store.
        assert_eq!(renewed(Some(&first), &text), Ok(first.clone()));
        assert_eq!(renewed(None, &text), Ok(first.clone()));
        // A rule keeps its memo if a client leaves it out, and loses it if a client sends an empty one.
        let rule = |memo: &str| format!(r#"[{{"id":4,"status":404{memo}}}]"#);
        let memo = |text: &str| renewed(Some(&first), text).expect("valid").list[0].memo.clone();
        assert_eq!(memo(&rule("")), first.list[3].memo);
        assert_eq!(memo(&rule(r#","memo":null"#)), first.list[3].memo);
        assert_eq!(memo(&rule(r#","memo":{}"#)), None);
    }

    #[test]
    fn numbers_survive_changes_and_are_never_used_twice() {
        let rule = |name: &str, url: &str| {
            format!(
                r#"{{"name":{name},"conditions":[{{"field":"os","operator":"equals","value":"{url}"}}],"url":"https://e.test/{url}"}}"#
            )
        };
        let (a, b, unnamed) = (rule(r#""a""#, "iOS"), rule(r#""b""#, "Android"), rule("null", "Windows"));
        let first = renewed(None, &format!("[{a},{b},{unnamed}]")).expect("valid");
        // Another order.
        let moved = renewed(Some(&first), &format!("[{unnamed},{b},{a}]")).expect("valid");
        assert_eq!(numbers(&moved).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 2, 1]);
        // Another destination under the same name, and another name under the same id.
        let text = format!(r#"[{},{{"id":2,"name":"c","status":404}}]"#, rule(r#""a""#, "macOS"));
        let edited = renewed(Some(&moved), &text).expect("valid");
        assert_eq!(numbers(&edited).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        // 3 is gone, and the next rule does not get it.
        assert_eq!(numbers(&renewed(Some(&edited), &format!("[{unnamed}]")).expect("valid")), [(4, vec![])]);
        let none = renewed(Some(&edited), "[]").expect("valid");
        assert_eq!((none.list.len(), none.last_branch), (0, 3));
        let error = renewed(Some(&none), r#"[{"id":3,"status":404}]"#);
        assert_eq!(
            error,
            Err("rules[0].id: is not the id of a rule of this link: leave it out for a new one".into())
        );
        let twice = r#"[{"id":7,"conditions":[{"field":"os","operator":"equals","value":"iOS"}],"status":404},{"id":7,"status":404}]"#;
        assert_eq!(renewed(None, twice), Err("rules[1].id: is the id of two rules".into()));
        // Variants by id, name and URL; a new one gets a new number, also in another rule.
        let split = r#"[{"name":"t","variants":[{"name":"a","url":"https://e.test/a"},{"url":"https://e.test/b"},{"url":"https://e.test/c"}]}]"#;
        let first = renewed(None, split).expect("valid");
        let text = r#"[{"name":"t","conditions":[{"field":"os","operator":"equals","value":"iOS"}],
            "variants":[{"url":"https://e.test/b"},{"name":"a","url":"https://e.test/new"},{"id":3,"url":"https://e.test/d"},{"url":"https://e.test/e"}],"winner":2},
            {"variants":[{"url":"https://e.test/b"},{"url":"https://e.test/f"}]}]"#;
        let second = renewed(Some(&first), text).expect("valid");
        assert_eq!(numbers(&second), [(1, vec![2, 1, 3, 4]), (2, vec![5, 6])]);
    }

    /// An id is a number of 16 bits. One that a client has chosen, or a program that replaces unnamed rules for years, must not
    /// leave a link without ids.
    #[test]
    fn numbers_begin_again_behind_the_highest_one() {
        let os = |more: &str, value: &str| {
            format!(
                r#"{{{more}"conditions":[{{"field":"os","operator":"equals","value":"{value}"}}],"status":404}}"#
            )
        };
        let (ios, android, windows) = (os("", "iOS"), os("", "Android"), os("", "Windows"));
        let only =
            |branches: &Branches| numbers(branches).iter().map(|(number, _)| *number).collect::<Vec<_>>();
        // The ids of the drafts are given to no other rule, also in front of them.
        let first = renewed(
            None,
            &format!("[{ios},{},{}]", os(r#""id":65535,"#, "Android"), os(r#""id":1,"#, "Windows")),
        );
        let first = first.expect("valid");
        assert_eq!((only(&first), first.last_branch), (vec![2, 65_535, 1], 2));
        // A rule that goes in this change is as recent as those that stay.
        let macos = os("", "macOS");
        let second = renewed(Some(&first), &format!("[{macos},{android}]")).expect("valid");
        assert_eq!((only(&second), second.last_branch), (vec![3, 65_535], 3));
        // The highest one stays, and the numbers go on behind the last one that was given.
        let third = renewed(Some(&second), &format!("[{android},{windows}]")).expect("valid");
        assert_eq!((only(&third), third.last_branch), (vec![65_535, 4], 4));
        let none = renewed(Some(&third), "[]").expect("valid");
        assert_eq!(only(&renewed(Some(&none), &format!("[{ios}]")).expect("valid")), [5]);
        let last = Branches { last_branch: u16::MAX, ..none };
        assert_eq!(only(&renewed(Some(&last), &format!("[{ios},{windows}]")).expect("valid")), [1, 2]);
        let split = r#"[{"name":"t","variants":[{"id":65535,"url":"https://e.test/a"},{"url":"https://e.test/b"},{"id":2,"url":"https://e.test/c"}]}]"#;
        let split = renewed(None, split).expect("valid");
        assert_eq!(numbers(&split), [(1, vec![65_535, 1, 2])]);
        let more = r#"[{"name":"t","variants":[{"url":"https://e.test/a"},{"url":"https://e.test/d"}]}]"#;
        let more = renewed(Some(&split), more).expect("valid");
        assert_eq!((numbers(&more), more.last_variant), (vec![(1, vec![65_535, 3])], 3));
    }

    /// What a person pastes has ends that nobody sees, and `""` is null.
    #[test]
    fn a2_a5_empty_texts_are_null_and_invisible_ends_are_left_out() {
        let plain = renewed(None, ALL).expect("valid rules");
        let mut pasted = ALL.to_owned();
        for text in [
            "iOS in German",
            "os",
            "in",
            "ios",
            "language",
            "DE",
            "pt-BR",
            "any",
            "time",
            "within",
            "mon",
            "18:00",
            "europe/berlin",
            "notIn",
            "uk",
            "query",
            "ref",
            "a",
            "before",
            "2026-12-01",
            "2026-12-24",
            "Shop.test/A",
            "10.0.0.0/8",
            "2001:db8::1",
            "cookie",
            "/x",
            "https://e.test/b",
        ] {
            pasted = pasted.replace(&format!("\"{text}\""), &format!("\"\u{200b}{text}\u{feff}\""));
        }
        assert!(pasted.matches('\u{feff}').count() > 30);
        assert_eq!(renewed(None, &pasted), Ok(plain));
        let time = r#"[{"conditions":[{"field":"time","operator":"within","value":{"from":"08:00","to":"","zone":""}}],
            "variants":[{"url":"https://e.test/a"},{"url":"https://e.test/b"}],"winner":"","sticky":""},
            {"url":"https://e.test/","winner":"","sticky":""}]"#;
        let read = shown(&renewed(None, time).expect("valid rules"));
        assert!(read.contains(r#""from":"08:00","to":"24:00","zone":"UTC""#), "{read}");
        assert!(read.contains(r#""sticky":"visitor","winner":null"#), "{read}");
        let error = renewed(
            None,
            &with("{\"field\":\"query\",\"key\":\"a\",\"operator\":\"equals\",\"value\":\"\u{200b}\"}"),
        );
        assert_eq!(error, Err("rules[0].conditions[0].value: must not be empty".into()));
    }

    /// Only what is certain is refused: a visitor may send a parameter twice, and case counts in a path.
    #[test]
    fn conditions_that_can_hold_together_pass() {
        let condition = |field: &str, operator: &str, value: &str| {
            format!(r#"{{"field":"{field}","operator":"{operator}","value":{value}}}"#)
        };
        let rows = [
            (condition("utmSource", "equals", "\"a\""), condition("utmSource", "equals", "\"b\""), true),
            (condition("utmTerm", "in", "[\"a\"]"), condition("utmTerm", "in", "[\"b\"]"), true),
            (condition("path", "in", "[\"A\"]"), condition("path", "notIn", "[\"a\"]"), true),
            (condition("path", "in", "[\"A\"]"), condition("path", "notIn", "[\"A\"]"), false),
            (condition("path", "in", "[\"A\"]"), condition("path", "in", "[\"a\"]"), false),
            (condition("city", "in", "[\"Ulm\"]"), condition("city", "notIn", "[\"ULM\"]"), false),
        ];
        for (one, other, want) in rows {
            let both = with(&format!("{one},{other}"));
            assert_eq!(renewed(None, &both).is_ok(), want, "{both}");
        }
    }

    /// Returns a rule with these conditions.
    fn with(conditions: &str) -> String {
        format!(r#"[{{"conditions":[{conditions}],"url":"https://e.test/"}}]"#)
    }

    #[test]
    #[allow(clippy::too_many_lines)] // A table, and what it needs.
    fn mistakes_are_named_with_their_place() {
        let condition = |field: &str, operator: &str, value: &str| {
            format!(r#"{{"field":"{field}","operator":"{operator}","value":{value}}}"#)
        };
        let one = |field: &str, operator: &str, value: &str| with(&condition(field, operator, value));
        let two = |one: String, other: String| with(&format!("{one},{other}"));
        let value = "rules[0].conditions[0].value";
        let rows = [
            ("[5]".to_owned(), "rules[0]: must be a rule, an object"),
            ("[{}]".to_owned(), "rules[0]: must have one of url, variants and status"),
            (r#"[{"url":"https://e.test/","status":404}]"#.to_owned(), "rules[0]: must have only one of"),
            (r#"[{"status":403}]"#.to_owned(), "rules[0].status: must be 404"),
            (r#"[{"url":"ftp://e.test/"}]"#.to_owned(), "rules[0].url: must use one of these schemes: http, https, app"),
            (r#"[{"url":"e.test"}]"#.to_owned(), "rules[0].url: must be an absolute URL"),
            (r#"[{"url":"https://e.test/","name":5}]"#.to_owned(), "rules[0].name: must be a string"),
            (
                r#"[{"url":"https://e.test/","conditon":[]}]"#.to_owned(),
                "rules[0].conditon: is no field of a rule; did you mean conditions?",
            ),
            (r#"[{"url":"https://e.test/","match":"some"}]"#.to_owned(), "rules[0].match: must be all or any"),
            (r#"[{"url":"https://e.test/","sticky":"cookie"}]"#.to_owned(), "rules[0].sticky: works only with variants"),
            (r#"[{"url":"https://e.test/","from":"2027-01-02","until":"2027-01-01"}]"#.to_owned(), "rules[0].from: must be before until"),
            (r#"[{"url":"https://e.test/","from":"soon"}]"#.to_owned(), "rules[0].from: must be a date such as"),
            (r#"[{"id":0,"status":404}]"#.to_owned(), "rules[0].id: must be a whole number from 1 to 65535"),
            (r#"[{"variants":[{"url":"https://e.test/"}]}]"#.to_owned(), "rules[0].variants: must be 2 to 10 variants"),
            (
                r#"[{"variants":[{"url":"https://e.test/","weight":0},{"url":"https://e.test/","weight":1}]}]"#.to_owned(),
                "rules[0].variants[0].weight: must be a whole number from 1",
            ),
            (
                r#"[{"variants":[{"name":"a","url":"https://e.test/"},{"name":"a","url":"https://e.test/"}]}]"#.to_owned(),
                "rules[0].variants[1].name: is the name of two variants",
            ),
            (
                r#"[{"variants":[{"name":"a","url":"https://e.test/"},{"url":"x"}]}]"#.to_owned(),
                "rules[0].variants[1].url: must be an absolute URL",
            ),
            (
                r#"[{"variants":[{"url":"https://e.test/"},{"url":"https://e.test/"}],"winner":"c"}]"#.to_owned(),
                "rules[0].winner: must be the name or the id of a variant",
            ),
            (r#"[{"status":404,"memo":5}]"#.to_owned(), "rules[0].memo: must be a memo, an object"),
            (r#"[{"status":404,"memo":{"rank":1}}]"#.to_owned(), "rules[0].memo.rank: is no field of a memo"),
            (r#"[{"status":404,"memo":{"priority":-1}}]"#.to_owned(), "rules[0].memo.priority: must be a whole number from 0 to 1000000"),
            (r#"[{"status":404,"memo":{"priority":1000001}}]"#.to_owned(), "rules[0].memo.priority: must be a whole number from 0 to 1000000"),
            (r#"[{"status":404,"memo":{"restFollows":1}}]"#.to_owned(), "rules[0].memo.restFollows: must be true or false"),
            (with(r#"{"field":"os"}"#), "rules[0].conditions[0].operator: is required"),
            (with(r#"{"field":"os","operator":"in"}"#), "rules[0].conditions[0].value: is required"),
            (one("platfrom", "in", "[]"), "rules[0].conditions[0].field: must be one of: country"),
            (one("os", "within", "[]"), "rules[0].conditions[0].operator: of os must be one of: in, notIn, equals, exists"),
            (one("os", "is", "[]"), "rules[0].conditions[0].operator: of os must be one of: in"),
            (one("visitor", "equals", "\"new\""), "rules[0].conditions[0].field: visitor is not available"),
            (one("query", "exists", "true"), "rules[0].conditions[0].key: is required with query"),
            (with(r#"{"field":"os","key":"a","operator":"in","value":["iOS"]}"#), "rules[0].conditions[0].key: works only with query"),
            (one("os", "in", "[]"), &format!("{value}: must be 1 to 100 values")),
            (one("os", "in", "[\"iOS\",5]"), &format!("{value}[1]: must be a string")),
            (one("os", "in", "[\"iOS\",\"BeOS\"]"), &format!("{value}[1]: must be one of: ")),
            (one("country", "equals", "\"Germany\""), &format!("{value}: must be the two letters of ISO 3166-1")),
            (one("continent", "equals", "\"Europe\""), &format!("{value}: must be AF, AN")),
            (one("language", "equals", "\"de_DE\""), &format!("{value}: must be the tag of a language, such as")),
            (one("language", "in", "[\"de\",\"German\"]"), &format!("{value}[1]: must be the tag of a language, such as")),
            (one("language", "equals", "\"-de\""), &format!("{value}: must be the tag of a language, such as")),
            (one("language", "equals", "\"x\""), &format!("{value}: must be the tag of a language, such as")),
            (
                r#"[{"variants":[{"url":"https://e.test/a","weight":70},{"url":"https://e.test/b"}]}]"#.to_owned(),
                "rules[0].variants[1].weight: is missing, and other variants have one: give all variants a weight, or none",
            ),
            (one("trigger", "equals", "\"nfc\""), &format!("{value}: must be link or qr")),
            (one("referrer", "in", "[\"https://a.test/\"]"), &format!("{value}[0]: must be a host such as")),
            (one("ip", "in", "[\"10.0.0.0/99\"]"), &format!("{value}: \"10.0.0.0/99\"")),
            (one("utmSource", "equals", "\"\""), &format!("{value}: must not be empty")),
            (one("date", "before", "5"), &format!("{value}: must be a string")),
            (one("date", "before", "\"soon\""), &format!("{value}: must be a date such as")),
            (one("date", "within", "{}"), &format!("{value}: must have from or to")),
            (one("date", "within", r#"{"from":"2027-01-02","to":"2027-01-01"}"#), &format!("{value}: can never hold")),
            (one("visits", "before", "0"), &format!("{value}: can never hold")),
            (one("visits", "after", "-1"), &format!("{value}: must be a whole number")),
            (one("time", "within", r#"{"days":[]}"#), &format!("{value}.days: can never hold")),
            (one("time", "within", r#"{"days":["Monday"]}"#), &format!("{value}.days[0]: must be one of: mon")),
            (one("time", "within", r#"{"from":"8:00"}"#), &format!("{value}.from: must be a time of day")),
            (one("time", "within", r#"{"from":"24:00"}"#), &format!("{value}.from: must be a time of day")),
            (one("time", "within", r#"{"from":"08:00","to":"08:00"}"#), &format!("{value}: from and to must differ")),
            (one("time", "within", r#"{"zone":"Berlin"}"#), &format!("{value}.zone: must be a time zone")),
            (one("time", "within", r#"{"timezone":"UTC"}"#), &format!("{value}.timezone: is no field of a time of day; did you mean zone?")),
            (
                two(condition("os", "in", "[\"iOS\"]"), condition("os", "equals", "\"Android\"")),
                "rules[0].conditions[1]: can never hold together with conditions[0]",
            ),
            (
                two(condition("os", "notIn", "[\"iOS\",\"Android\"]"), condition("os", "equals", "\"Android\"")),
                "rules[0].conditions[1]: can never hold together with conditions[0]",
            ),
            (
                two(condition("country", "exists", "false"), condition("country", "in", "[\"DE\"]")),
                "rules[0].conditions[1]: can never hold together with conditions[0]",
            ),
            (
                two(condition("visits", "before", "5"), condition("visits", "after", "5")),
                "rules[0].conditions[1]: can never hold together with conditions[0]",
            ),
        ];
        for (text, want) in rows {
            let error = renewed(None, &text).err().unwrap_or_default();
            assert!(error.starts_with(want), "{text}: {error}");
        }
        let many = |count: usize| {
            let rule = |at| {
                format!(
                    r#"{{"conditions":[{{"field":"city","operator":"equals","value":"{at}"}}],"status":404}}"#
                )
            };
            format!("[{}]", (0..count).map(rule).collect::<Vec<_>>().join(","))
        };
        assert!(renewed(None, &many(20)).is_ok());
        assert_eq!(renewed(None, &many(21)), Err("rules: must be at most 20 rules".into()));
        let conditions = vec![condition("city", "notIn", "[\"a\"]"); 11].join(",");
        assert_eq!(
            renewed(None, &with(&conditions)),
            Err("rules[0].conditions: must be at most 10 conditions".into())
        );
        let values = |count: usize| format!("[{}]", vec!["\"a\""; count].join(","));
        assert!(renewed(None, &one("city", "in", &values(100))).is_ok());
        assert!(
            renewed(None, &one("city", "in", &values(101)))
                .is_err_and(|error| error.contains("1 to 100 values"))
        );
        let long =
            format!("[{}]", (0..100).map(|at| format!("\"{at:0>200}\"")).collect::<Vec<_>>().join(","));
        let error = renewed(None, &one("city", "in", &long)).err().unwrap_or_default();
        assert!(error.starts_with("rules: must be at most 16384 bytes in all, and are 2"), "{error}");
    }

    #[test]
    fn rules_that_can_never_be_reached() {
        let os = |values: &str| format!(r#"{{"field":"os","operator":"in","value":[{values}]}}"#);
        let rule =
            |conditions: &str, more: &str| format!(r#"{{"conditions":[{conditions}],"status":404{more}}}"#);
        let (ios, both) = (os("\"iOS\""), os("\"iOS\",\"Android\""));
        let device = r#"{"field":"device","operator":"equals","value":"mobile"}"#;
        let until = r#","until":"2027-01-01""#;
        let winner = |more: &str| {
            format!(
                r#"{{"variants":[{{"name":"a","url":"https://e.test/a"}},{{"url":"https://e.test/b"}}],"winner":"a"{more}}}"#
            )
        };
        let rows = [
            (
                rule("", ""),
                rule(&ios, ""),
                Some("rules[1]: can never be reached: rules[0] has no conditions"),
            ),
            (rule("", until), rule(&ios, ""), None),
            (rule("", r#","enabled":false"#), rule(&ios, ""), None),
            (rule("", ""), rule(&ios, r#","enabled":false"#), None),
            (
                rule(&both, ""),
                rule(&ios, ""),
                Some("rules[1]: can never be reached: rules[0] takes every visitor for whom"),
            ),
            (rule(&ios, ""), rule(&both, ""), None),
            (rule(&ios, ""), rule("", ""), None),
            (rule(&both, ""), rule(&format!("{device},{ios}"), ""), Some("rules[1]")),
            (rule(&format!("{device},{ios}"), ""), rule(&ios, ""), None),
            (rule(&format!("{device},{ios}"), r#","match":"any""#), rule(device, ""), Some("rules[1]")),
            (rule(device, ""), rule(&format!("{device},{ios}"), r#","match":"any""#), None),
            (rule(&ios, until), rule(&ios, until), Some("rules[1]")),
            (rule(&ios, until), rule(&ios, ""), None),
            // A winner stays after the end of its test.
            (rule("", until), winner(until), None),
            (rule("", until), winner(until).replace(r#","winner":"a""#, ""), Some("rules[1]")),
            (winner(until), rule(&ios, ""), Some("rules[1]")),
            (winner("").replace(r#","winner":"a""#, until), rule(&ios, ""), None),
        ];
        for (earlier, later, want) in rows {
            let error = renewed(None, &format!("[{earlier},{later}]")).err();
            match (&error, want) {
                (None, None) => {}
                (Some(error), Some(want)) if error.starts_with(want) => {}
                _ => panic!("{earlier} {later}: {error:?}"),
            }
        }
    }
}
