//! Lists from the index of a workspace: each shows what a list from the table shows, after any changes.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::clock::Timestamp;

use crate::support::app::{START, TestApp};
use crate::support::http::{Client, text};
use crate::support::native::{LINKS, new_key, path_of};
use crate::support::process::{Dice, poll};

/// Rounds of changes. Each compares three times: with an index that has followed them, without one, and with one that was
/// built from them.
const ROUNDS: usize = 4;

/// Changes of a round in each workspace.
const CHANGES: u64 = 60;

const TITLES: [&str; 10] = [
    "Größe XL",
    "gro\u{308}ße",
    "ÅRSBERETNING",
    "Summer sale",
    "summer SALE 2",
    "ΟΔΟΣ οδός",
    "♥\u{fe0f} shop",
    "b",
    "a",
    "İstanbul",
];

const URLS: [&str; 7] = [
    "https://e.test/a?x=1",
    "https://e.test/gr%C3%B6%C3%9Fe?q=t%C3%BCr&A=a%20b",
    "https://xn--bcher-kva.example/%61bc",
    "https://E.test/Deep/Path#part",
    "https://shop.test/?utm_source=own&b=2",
    "https://shop.test/",
    "https://o.test/100%25",
];

const SEARCHES: [&str; 22] = [
    "größe",
    "GRÖSSE",
    "sale",
    "summer sale 2",
    "xn--",
    "bücher",
    "abc",
    "utm_source=news letter",
    "utm_source",
    "news",
    "letter",
    "news%20letter",
    "test/c",
    "/c1",
    "go.test/c",
    "http://127.0.0.1/c2",
    "e.test",
    "tür",
    "100%",
    "İs",
    "ios",
    "no such text",
];

/// A workspace with a key of its own.
struct Owner {
    key: String,
    tags: Vec<String>,
    campaign: String,
    links: Vec<String>,
    deleted: Vec<String>,
}

impl Owner {
    fn new(app: &TestApp, number: usize) -> Owner {
        let mut admin = app.admin();
        let mut make = |path: &str, body: Value| admin.post(path, &body).expect(201, path);
        let company = make("/api/v1/companies", json!({"name": format!("company {number}")}));
        let body = json!({"name": format!("w {number}"), "companyId": company["company"]["id"]});
        let workspace = make("/api/v1/workspaces", body)["workspace"].clone();
        make(
            "/api/v1/domains",
            json!({"domain": format!("go{number}.test"), "workspaceId": workspace["id"]}),
        );
        let scopes = ["links.write", "snapshots.write", "admin"];
        let key = new_key(&mut app.admin(), &json!({"workspaceId": workspace["id"], "scopes": scopes}));
        let mut client = app.visitor().with_key(&key);
        let mut made = |path: &str, name: &str, kind: &str| {
            text(&client.post(path, &json!({"name": name})).expect(201, path)[kind], "id").to_owned()
        };
        let tags = ["one", "two"].map(|name| made("/api/v1/tags", name, "tag")).to_vec();
        let campaign = made("/api/v1/campaigns", "sale", "campaign");
        Owner { key, tags, campaign, links: Vec::new(), deleted: Vec::new() }
    }

    /// Makes one change at random.
    fn change(&mut self, app: &TestApp, dice: &mut Dice, number: usize, domain: &str) {
        let mut client = app.visitor().with_key(&self.key);
        let at = usize::try_from(dice.below(self.links.len() as u64)).expect("few links");
        match dice.below(12) {
            0..5 => {
                let made = client.create(&self.draft(app, dice, number, domain));
                self.links.push(text(&made, "id").to_owned());
            }
            5 if !self.deleted.is_empty() => {
                let id = self.deleted.swap_remove(0);
                let answer = client.post(&format!("{LINKS}/{id}/restore"), &json!({}));
                if answer.status == 200 {
                    self.links.push(id);
                }
            }
            5..7 if !self.links.is_empty() => {
                let id = self.links.swap_remove(at);
                client.delete(&format!("{LINKS}/{id}")).expect(200, &id);
                self.deleted.push(id);
            }
            7 if !self.links.is_empty() => {
                let code = json!({"customSlug": format!("C{number}r"), "keepOldCode": dice.below(2) == 0});
                client.patch(&format!("{LINKS}/{}", self.links[at]), &code).expect(200, "renamed");
            }
            _ if !self.links.is_empty() => {
                let mut draft = self.draft(app, dice, number, domain);
                draft
                    .as_object_mut()
                    .expect("an object")
                    .retain(|name, _| !["customSlug", "domain"].contains(&&**name));
                client.patch(&format!("{LINKS}/{}", self.links[at]), &draft).expect(200, &draft.to_string());
            }
            _ => {}
        }
    }

    fn draft(&self, app: &TestApp, dice: &mut Dice, number: usize, domain: &str) -> Value {
        let one = |dice: &mut Dice, of: &[&str]| {
            of[usize::try_from(dice.below(of.len() as u64)).expect("few")].to_owned()
        };
        let mut draft = json!({
            "url": one(dice, &URLS),
            "customSlug": format!("c{number}"),
            "isActive": dice.below(3) > 0,
            "tagIds": self.tags.iter().filter(|_| dice.below(3) == 0).collect::<Vec<_>>(),
            "title": if dice.below(4) == 0 { Value::Null } else { json!(one(dice, &TITLES)) },
        });
        if dice.below(3) == 0 {
            draft["domain"] = json!(domain);
        }
        if dice.below(3) == 0 {
            draft["campaignId"] = json!(self.campaign);
        }
        if dice.below(3) == 0 {
            let later = i64::try_from(dice.below(20)).expect("few hours") + 1;
            draft["expiresAt"] = json!(app.clock().now().plus_millis(later * 3_600_000).to_string());
        }
        if dice.below(4) == 0 {
            draft["utmSource"] = json!("News letter");
        }
        if dice.below(5) == 0 {
            let condition = json!({"field": "os", "operator": "in", "value": ["ios"]});
            draft["rules"] = json!([{"conditions": [condition], "url": "https://apps.test/IOS/x"}]);
        }
        draft
    }
}

/// Returns a date: the day of the first changes, or one behind it.
fn day(behind: i64) -> String {
    Timestamp::from_millis(START + behind * 86_400_000).to_string()[..10].to_owned()
}

/// Returns the queries that are compared.
fn queries(owner: &Owner, domain: &str) -> Vec<String> {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let mut filters: Vec<String> = SEARCHES.iter().map(|text| format!("search={}", encode(text))).collect();
    filters.extend(["", "isActive=true", "isActive=false", "campaign=sale"].map(str::to_owned));
    let states = ["hasRules=true&search=e", "hasRules=false", "expired=true", "expired=false&search=e"];
    filters.extend(states.map(str::to_owned));
    filters.push(format!("createdFrom={}&createdTo={}&expired=true", day(0), day(1)));
    filters.push(format!("createdTo={}", day(1)));
    filters.push(format!("domain={domain}"));
    filters.push(format!("tagId={}&isActive=true", owner.tags[0]));
    filters.push(format!("tagId={}&campaignId={}", owner.tags[0], owner.campaign));
    filters.push("search=e&tag=one&isActive=true".to_owned());
    let mut all = Vec::new();
    for filter in filters {
        for sort in ["newest", "oldest", "title", "clicks", "clicks30d", "lastClick"] {
            all.push(format!("{filter}&sort={sort}&limit=7"));
        }
        all.push(format!("{filter}&page=2&limit=5"));
    }
    all.push("page=300&limit=4".to_owned());
    all
}

/// Returns what all queries show: the ids of all pages by cursor, and the total.
fn shown(app: &TestApp, owner: &Owner, domain: &str) -> Vec<(String, Vec<String>, Value)> {
    let mut client = app.visitor().with_key(&owner.key);
    let list = |client: &mut Client, query: &str| {
        let page = client.get(&format!("{LINKS}?{query}")).expect(200, query);
        assert_eq!(page.get("incomplete"), None, "{query}");
        let ids: Vec<String> =
            page["links"].as_array().expect("links").iter().map(|link| text(link, "id").to_owned()).collect();
        (ids, page["total"].clone(), page["nextCursor"].as_str().map(str::to_owned))
    };
    let mut all = Vec::new();
    for query in queries(owner, domain) {
        let (mut ids, total, mut next) = list(&mut client, &query);
        while let Some(cursor) = next {
            let (more, _, behind) =
                list(&mut client, &format!("{query}&cursor={cursor}").replace("page=", "x="));
            assert!(!more.is_empty() || behind.is_none(), "{query}");
            ids.extend(more);
            next = behind;
        }
        all.push((query, ids, total));
    }
    all
}

/// Random links, changes, renames, deletes and restores of two tenants.
#[test]
fn a_list_from_the_index_is_that_of_the_table() {
    let (seed, mut dice) = Dice::seeded();
    let mut app = TestApp::start_with(|config| {
        config.links.index_from = 0;
        config.clicks.flush_interval = Duration::from_millis(50);
    });
    let mut owners: Vec<Owner> = (0..2).map(|number| Owner::new(&app, number)).collect();
    let mut number = 0;
    for round in 0..ROUNDS {
        // Builds the indexes, which follow the changes below.
        owners.iter().enumerate().for_each(|(at, owner)| drop(shown(&app, owner, &format!("go{at}.test"))));
        for _ in 0..CHANGES {
            for (at, owner) in owners.iter_mut().enumerate() {
                number += 1;
                owner.change(&app, &mut dice, number, &format!("go{at}.test"));
                app.advance(Duration::from_mins(7));
            }
        }
        let all = |app: &TestApp| -> Vec<_> {
            let each = owners.iter().enumerate();
            each.flat_map(|(at, owner)| shown(app, owner, &format!("go{at}.test"))).collect()
        };
        let followed = all(&app);
        app = app.restart_with(|config| config.links.index_from = u64::MAX);
        let walked = all(&app);
        app = app.restart_with(|config| config.links.index_from = 0);
        let built = all(&app);
        for ((followed, walked), built) in followed.iter().zip(&walked).zip(&built) {
            assert_eq!(followed, walked, "seed {seed}, round {round}");
            assert_eq!(built, walked, "seed {seed}, round {round}, built");
        }
        assert!(
            walked.iter().any(|(query, ids, _)| query.contains("search") && ids.len() > 3),
            "seed {seed}"
        );
    }
}

/// A list that is sent behind the answer of a change shows the change.
#[test]
fn a_change_is_in_the_next_list() {
    let app = TestApp::start_with(|config| config.links.index_from = 0);
    let mut admin = app.admin();
    let found = |query: &str| {
        let page = app.admin().get(&format!("{LINKS}?{query}")).expect(200, query);
        page["links"]
            .as_array()
            .expect("links")
            .iter()
            .map(|link| text(link, "shortCode").to_owned())
            .collect::<Vec<_>>()
    };
    assert!(found("search=first").is_empty(), "the index is built");
    for number in 0..200 {
        let link = admin.create(
            &json!({"url": format!("https://e.test/first{number}"), "customSlug": format!("n{number}")}),
        );
        assert_eq!(found(&format!("search=first{number}")), [format!("n{number}")]);
        let patch = json!({"title": format!("second {number}"), "isActive": false});
        admin.patch(&path_of(&link), &patch).expect(200, "changed");
        assert_eq!(found(&format!("search=second+{number}&isActive=false")), [format!("n{number}")]);
        admin.delete(&path_of(&link)).expect(200, "deleted");
        assert!(found(&format!("search=first{number}")).is_empty());
    }
}

/// The links of an import appear together when it completes, and those of one that fails never do.
#[test]
fn an_import_is_in_a_list_whole_or_not_at_all() {
    let app = TestApp::start_with(|config| config.links.index_from = 0);
    let owner = Owner::new(&app, 0);
    let mut client = app.visitor().with_key(&owner.key);
    for number in 0..50 {
        client
            .create(&json!({"url": format!("https://e.test/x{number}"), "customSlug": format!("x{number}")}));
    }
    let snapshot = client.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "a snapshot");
    let total = |client: &mut Client| {
        client.get(&format!("{LINKS}?search=e.test&limit=1")).expect(200, "a list")["total"].as_u64()
    };
    assert_eq!(total(&mut client), Some(50));
    let share = format!("/api/v1/snapshots/{}/shares", text(&snapshot["snapshot"], "id"));
    let share = client.post(&share, &json!({"type": "permanent_link"})).expect(201, "a share");
    let share = share["share"]["shareLink"].clone();
    let import = |client: &mut Client, conflict: &str| {
        client.post("/api/v1/snapshots/import", &json!({"shareLink": share, "onConflict": conflict})).status
    };
    for copies in 2..5 {
        // A code is in use: what was staged before it is removed.
        assert_eq!((import(&mut client, "fail"), total(&mut client)), (409, Some(50 * (copies - 1))));
        let status = import(&mut client, "rename");
        assert!([201, 202].contains(&status), "{status}");
        poll("the links of the import", Duration::from_secs(20), || {
            let total = total(&mut client);
            // Never a part of them.
            assert!([Some(50 * (copies - 1)), Some(50 * copies)].contains(&total), "{total:?}");
            (total == Some(50 * copies)).then_some(())
        });
    }
}

/// HighLevel's search finds the same links, skips and limits them.
#[test]
fn a_highlevel_search_reads_the_index() {
    let app = TestApp::start_with(|config| {
        config.links.index_from = 100;
        config.links.scan_max = 1_000;
    });
    let mut admin = app.admin();
    let rows: Vec<Value> =
        (0..1_500).map(|n| json!({"url": "https://e.test/", "title": format!("title {n}")})).collect();
    for rows in rows.chunks(500) {
        admin.post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "a bulk");
    }
    let here = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let here = text(&here["workspaces"][0], "id").to_owned();
    let rows: [(&str, Vec<String>); 4] = [
        ("query=title+0", vec!["title 0".to_owned()]),
        ("query=title&limit=3", [1_499, 1_498, 1_497].map(|n| format!("title {n}")).to_vec()),
        ("query=title+1&skip=610&limit=9", vec!["title 1".to_owned()]),
        ("query=nothing", Vec::new()),
    ];
    for (query, want) in rows {
        let list = admin.get(&format!("/links/search?locationId={here}&{query}")).expect(200, query);
        let links = list["links"].as_array().expect("links");
        let got: Vec<&str> = links.iter().map(|link| text(link, "name")).collect();
        assert_eq!(
            (got, list.get("incomplete")),
            (want.iter().map(|name| &**name).collect(), None),
            "{query}"
        );
    }
}

/// Orders by details of clicks and the filter of links without clicks read the columns of the index.
#[test]
fn recent_clicks_of_the_index_are_those_of_the_details() {
    let mut app = TestApp::start_with(|config| {
        config.links.index_from = 0;
        config.clicks.flush_interval = Duration::from_millis(50);
    });
    let mut admin = app.admin();
    for code in ["a", "b", "c", "d"] {
        admin.create(&json!({"url": "https://e.test/", "customSlug": code, "isActive": code != "d"}));
    }
    let click = |app: &TestApp, code: &str, count: usize| {
        (0..count).for_each(|_| drop(app.visitor().send("GET", &format!("/{code}"), &[], None)));
    };
    let codes = |app: &TestApp, query: &str| {
        let page = app.admin().get(&format!("{LINKS}?{query}")).expect(200, query);
        let links = page["links"].as_array().expect("links");
        links.iter().map(|link| text(link, "shortCode").to_owned()).collect::<Vec<_>>()
    };
    let wait = |app: &TestApp, query: &str, want: &[&str]| {
        poll(query, Duration::from_secs(20), || Some(codes(app, query)).filter(|found| found == want));
    };
    click(&app, "a", 2);
    click(&app, "b", 1);
    wait(&app, "sort=clicks30d", &["a", "b", "d", "c"]);
    wait(&app, "sort=clicks30d&isActive=true", &["a", "b", "c"]);
    wait(&app, "noClicksDays=30", &["d", "c"]);
    wait(&app, "noClicksDays=1&isActive=true&sort=title", &["c"]);
    // An hour later, so that the latest clicks differ.
    app.advance(Duration::from_hours(1));
    click(&app, "b", 2);
    wait(&app, "sort=lastClick&isActive=true", &["b", "a", "c"]);
    wait(&app, "sort=clicks30d&isActive=true", &["b", "a", "c"]);
    wait(&app, "sort=clicks&isActive=true", &["b", "a", "c"]);
    // What a stop has written to files, and what is in memory behind it.
    app = app.restart();
    click(&app, "c", 4);
    wait(&app, "sort=clicks30d&isActive=true", &["c", "b", "a"]);
    wait(&app, "noClicksDays=1", &["d"]);
    // 40 days later nothing is recent.
    app.advance(Duration::from_hours(40 * 24));
    click(&app, "a", 1);
    wait(&app, "sort=clicks30d&isActive=true", &["a", "c", "b"]);
    wait(&app, "noClicksDays=30&sort=oldest", &["b", "c", "d"]);
    app = app.restart_with(|config| config.links.index_from = u64::MAX);
    wait(&app, "sort=clicks30d&isActive=true", &["a", "c", "b"]);
    wait(&app, "noClicksDays=30&sort=oldest", &["b", "c", "d"]);
}
