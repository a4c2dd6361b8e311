//! The fields of the form of a link: names, labels and hints, in sections. Names are those of the API, so that its errors
//! name the field of the form.

/// How a field is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One line.
    Text,
    /// One line that is not shown.
    Password,
    /// Several lines.
    Lines,
    /// A list of texts, one in a line.
    List,
    /// A whole number.
    Number,
    /// A moment of UTC.
    Time,
    /// A box, with its state in a new link.
    Flag(bool),
    /// One of these values and names. The first is that of a new link.
    Choice(&'static [(&'static str, &'static str)]),
    /// One of the domains of the workspace.
    Domain,
    /// One of the campaigns of the workspace, or none.
    Campaign,
    /// Names of tags, with commas between them.
    Tags,
}

/// When a field is in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// Only for a link that does not exist yet.
    New,
    /// Only for a link that exists.
    Change,
}

/// A field of the form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) kind: Kind,
    pub(super) when: When,
}

/// A part of the form under a heading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) fields: &'static [Field],
}

const fn field(name: &'static str, label: &'static str, kind: Kind, hint: &'static str) -> Field {
    Field { name, label, hint, kind, when: When::Always }
}

const fn only(when: When, field: Field) -> Field {
    Field { when, ..field }
}

const TYPES: &[(&str, &str)] =
    &[("URL", "Web address"), ("MAILTO", "Mail"), ("TEL", "Telephone"), ("SMS", "Text message")];

const REDIRECTS: &[(&str, &str)] = &[
    ("302", "302, temporary: browsers ask again"),
    ("301", "301, permanent: browsers remember it"),
    ("307", "307, temporary, keeps the method"),
    ("308", "308, permanent, keeps the method"),
];

/// The fields at the top, without a heading.
pub(super) const FIRST: &[Field] = &[
    field("url", "Destination", Kind::Text, "Where the short link leads."),
    only(When::New, field("linkType", "Kind", Kind::Choice(TYPES), "")),
    field("domain", "Domain", Kind::Domain, ""),
    field(
        "customSlug",
        "Code",
        Kind::Text,
        "Letters, digits, emoji and - _ . ~. Empty: a short code is generated.",
    ),
    only(
        When::Change,
        field("keepOldCode", "Keep the former address", Kind::Flag(false), "It leads to the link as well."),
    ),
    field("title", "Title", Kind::Text, "For lists and previews."),
    field("tags", "Tags", Kind::Tags, "Names with commas between them. New ones are created."),
    field("isActive", "On", Kind::Flag(true), "A link that is off answers 404."),
];

/// The sections below, all closed in a new link.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        heading: "Limits and password",
        fields: &[
            field("validSince", "Valid from", Kind::Time, "UTC. Before, the link answers 404."),
            field("expiresAt", "Expires", Kind::Time, "UTC. From then on, the link answers 410."),
            field("maxClicks", "Most clicks", Kind::Number, "Afterwards the link answers 410."),
            field(
                "expiredUrl",
                "Destination afterwards",
                Kind::Text,
                "Instead of 410, for a link that has expired or is used up.",
            ),
            field("password", "Password", Kind::Password, "Visitors must enter it. Stored as a hash."),
            only(When::Change, field("removePassword", "Remove the password", Kind::Flag(false), "")),
        ],
    },
    Section {
        heading: "Campaign and UTM",
        fields: &[
            field("campaignId", "Campaign", Kind::Campaign, ""),
            field("utmSource", "Source", Kind::Text, "utm_source, such as newsletter"),
            field("utmMedium", "Medium", Kind::Text, "utm_medium, such as email"),
            field("utmCampaign", "Campaign name", Kind::Text, "utm_campaign"),
            field("utmTerm", "Term", Kind::Text, "utm_term"),
            field("utmContent", "Content", Kind::Text, "utm_content"),
        ],
    },
    Section {
        heading: "Redirect",
        fields: &[
            field("redirectType", "Status", Kind::Choice(REDIRECTS), ""),
            field(
                "forwardParameters",
                "Pass on the query",
                Kind::Flag(false),
                "Adds the visitor's parameters to the destination.",
            ),
            field(
                "forwardPath",
                "Pass on the path",
                Kind::Flag(false),
                "Adds what follows the code to the destination.",
            ),
            field("hideReferrer", "Hide the referrer", Kind::Flag(false), "From the destination."),
            field("cloaked", "Show in a frame", Kind::Flag(false), "Under the short address."),
            field(
                "confirm",
                "Ask first",
                Kind::Flag(false),
                "Shows a page with a button. The button is the click.",
            ),
        ],
    },
    Section {
        heading: "Preview card",
        fields: &[
            field("description", "Description", Kind::Lines, "For previews in chats and networks."),
            field("image", "Image", Kind::Text, "The address of a picture."),
        ],
    },
    Section {
        heading: "Counting and bots",
        fields: &[
            field(
                "statistics",
                "Keep details of clicks",
                Kind::Flag(true),
                "Otherwise clicks are only counted.",
            ),
            field("blockBots", "Refuse known bots", Kind::Flag(false), "They get 403."),
            field("countBots", "Count known bots", Kind::Flag(false), ""),
            field(
                "skipSocialCrawlerTracking",
                "Never count previews",
                Kind::Flag(false),
                "Also if bots are counted.",
            ),
            field(
                "countPixel",
                "Count the image",
                Kind::Flag(false),
                "Requests of ADDRESS+pixel.gif are clicks, for mails.",
            ),
        ],
    },
    Section {
        heading: "Pixels and tags of pages",
        fields: &[
            field("metaPixelId", "Meta pixel", Kind::Text, "Digits"),
            field("googleTagId", "Google tag", Kind::Text, "Such as G-ABCDEF1234"),
            field("gtmContainerId", "Google Tag Manager", Kind::Text, "Such as GTM-ABC123"),
            field("headTags", "Elements of the head", Kind::Lines, "meta and link elements."),
            field("bodyTags", "Elements of the body", Kind::Lines, "Text, lists, links and images."),
        ],
    },
    Section {
        heading: "Webhooks and notes",
        fields: &[
            field(
                "webhookUrls",
                "Webhooks",
                Kind::List,
                "Up to 5 addresses, one in a line. Each gets every counted click.",
            ),
            field("notes", "Notes", Kind::Lines, "For yourself."),
        ],
    },
];

/// Returns all fields.
pub(super) fn all() -> impl Iterator<Item = &'static Field> {
    FIRST.iter().chain(SECTIONS.iter().flat_map(|section| section.fields))
}
