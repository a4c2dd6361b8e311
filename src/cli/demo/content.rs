//! The links of the demo: those of a shop that does not exist.

use serde_json::{Value, json};

/// Names and colors of the tags.
pub(super) const TAGS: [(&str, &str); 4] =
    [("Newsletter", "#0f766e"), ("Print", "#b45309"), ("Social", "#7c3aed"), ("Help", "#0369a1")];

/// A link.
pub(super) struct DemoLink {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) url: &'static str,
    /// Places in [`TAGS`].
    pub(super) tags: &'static [usize],
    /// Its share of the visits.
    pub(super) weight: u64,
    pub(super) option: DemoOption,
}

/// What is special about a link.
#[derive(Clone, Copy)]
pub(super) enum DemoOption {
    Plain,
    /// Leads phones to their shops of apps.
    Apps,
    /// Divides its visitors between two pages.
    Split,
    Password,
    Off,
}

const fn link(
    code: &'static str,
    title: &'static str,
    url: &'static str,
    tags: &'static [usize],
    weight: u64,
    option: DemoOption,
) -> DemoLink {
    DemoLink { code, title, url, tags, weight, option }
}

/// The links, the one that is visited most first.
#[rustfmt::skip]
pub(super) const LINKS: &[DemoLink] = &[
    link("spring", "Spring collection", "https://example.com/collections/spring", &[0, 2], 90, DemoOption::Split),
    link("app", "The app", "https://example.com/app", &[1, 2], 70, DemoOption::Apps),
    link("menu", "Menu of the day", "https://example.com/cafe/menu", &[1], 64, DemoOption::Plain),
    link("jobs", "Open positions", "https://example.com/jobs", &[2], 41, DemoOption::Plain),
    link("wifi", "Guest network", "https://example.com/help/guest-network", &[1, 3], 33, DemoOption::Plain),
    link("returns", "Returns and refunds", "https://example.com/help/returns", &[3], 30, DemoOption::Plain),
    link("gift", "Gift cards", "https://example.com/gift-cards", &[0], 27, DemoOption::Plain),
    link("map", "How to find us", "https://example.com/contact", &[1], 22, DemoOption::Plain),
    link("podcast", "Episode 12: where wool comes from", "https://example.com/podcast/12", &[2], 18, DemoOption::Plain),
    link("size", "Sizes", "https://example.com/help/sizes", &[3], 15, DemoOption::Plain),
    link("press", "Press kit", "https://example.com/press", &[], 9, DemoOption::Password),
    link("survey", "Two minutes for us?", "https://example.com/survey", &[0], 8, DemoOption::Plain),
    link("winter", "Winter sale", "https://example.com/collections/winter", &[0, 2], 3, DemoOption::Off),
];

impl DemoLink {
    /// Returns the body that creates the link. `tags` are the ids of [`TAGS`].
    pub(super) fn body(&self, tags: &[Value]) -> Value {
        let ids: Vec<_> = self.tags.iter().map(|at| tags[*at].clone()).collect();
        let mut body = json!({"url": self.url, "alias": self.code, "title": self.title, "tagIds": ids});
        match self.option {
            DemoOption::Plain => {}
            DemoOption::Apps => {
                body["rules"] = json!([
                    {
                        "name": "iPhone",
                        "conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}],
                        "url": "https://apps.example.com/ios",
                    },
                    {
                        "name": "Android",
                        "conditions": [{"field": "os", "operator": "in", "value": ["Android"]}],
                        "url": "https://apps.example.com/android",
                    },
                ]);
            }
            DemoOption::Split => {
                body["rules"] = json!([{
                    "name": "Pictures",
                    "variants": [
                        {"name": "people", "url": "https://example.com/collections/spring?v=people"},
                        {"name": "cloth", "url": "https://example.com/collections/spring?v=cloth"},
                    ],
                }]);
            }
            DemoOption::Password => body["password"] = json!("wool"),
            DemoOption::Off => body["isActive"] = json!(false),
        }
        body
    }
}
