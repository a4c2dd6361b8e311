//! The fields of the form of a link: names, labels and hints, in sections. Names are those of the API, so that its errors
//! name the field of the form.

/// How a field is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputKind {
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
pub(super) enum FieldPresence {
    Always,
    /// Only for a link that does not exist yet.
    New,
    /// Only for a link that exists.
    Change,
}

/// A field of the form.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) kind: InputKind,
    pub(super) when: FieldPresence,
}

/// A part of the form under a heading.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormSection {
    pub(super) heading: &'static str,
    pub(super) fields: &'static [FormField],
}

const fn field(name: &'static str, label: &'static str, kind: InputKind, hint: &'static str) -> FormField {
    FormField { name, label, hint, kind, when: FieldPresence::Always }
}

const fn only(when: FieldPresence, field: FormField) -> FormField {
    FormField { when, ..field }
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
pub(super) const FIRST: &[FormField] = &[
    field("url", "Destination", InputKind::Text, "Where the short link leads."),
    only(FieldPresence::New, field("linkType", "Kind", InputKind::Choice(TYPES), "")),
    field("domain", "Domain", InputKind::Domain, ""),
    field(
        "customSlug",
        "Code",
        InputKind::Text,
        "Letters, digits, emoji and - _ . ~. Empty: a short code is generated.",
    ),
    only(
        FieldPresence::Change,
        field(
            "keepOldCode",
            "Keep the former address",
            InputKind::Flag(false),
            "It leads to the link as well.",
        ),
    ),
    field("title", "Title", InputKind::Text, "For lists and previews."),
    field("tags", "Tags", InputKind::Tags, "Names with commas between them. New ones are created."),
    field("isActive", "On", InputKind::Flag(true), "A link that is off answers 404."),
];

/// The sections below, all closed in a new link.
pub(super) const SECTIONS: &[FormSection] = &[
    FormSection {
        heading: "Limits and password",
        fields: &[
            field("validSince", "Valid from", InputKind::Time, "UTC. Before, the link answers 404."),
            field("expiresAt", "Expires", InputKind::Time, "UTC. From then on, the link answers 410."),
            field("maxClicks", "Most clicks", InputKind::Number, "Afterwards the link answers 410."),
            field(
                "expiredUrl",
                "Destination afterwards",
                InputKind::Text,
                "Instead of 410, for a link that has expired or is used up.",
            ),
            field("password", "Password", InputKind::Password, "Visitors must enter it. Stored as a hash."),
            only(
                FieldPresence::Change,
                field("removePassword", "Remove the password", InputKind::Flag(false), ""),
            ),
        ],
    },
    FormSection {
        heading: "Campaign and UTM",
        fields: &[
            field("campaignId", "Campaign", InputKind::Campaign, ""),
            field("utmSource", "Source", InputKind::Text, "utm_source, such as newsletter"),
            field("utmMedium", "Medium", InputKind::Text, "utm_medium, such as email"),
            field("utmCampaign", "Campaign name", InputKind::Text, "utm_campaign"),
            field("utmTerm", "Term", InputKind::Text, "utm_term"),
            field("utmContent", "Content", InputKind::Text, "utm_content"),
        ],
    },
    FormSection {
        heading: "Redirect",
        fields: &[
            field("redirectType", "Status", InputKind::Choice(REDIRECTS), ""),
            field(
                "forwardParameters",
                "Pass on the query",
                InputKind::Flag(false),
                "Adds the visitor's parameters to the destination.",
            ),
            field(
                "forwardPath",
                "Pass on the path",
                InputKind::Flag(false),
                "Adds what follows the code to the destination.",
            ),
            field("hideReferrer", "Hide the referrer", InputKind::Flag(false), "From the destination."),
            field("cloaked", "Show in a frame", InputKind::Flag(false), "Under the short address."),
            field(
                "confirm",
                "Ask first",
                InputKind::Flag(false),
                "Shows a page with a button. The button is the click.",
            ),
        ],
    },
    FormSection {
        heading: "Preview card",
        fields: &[
            field("description", "Description", InputKind::Lines, "For previews in chats and networks."),
            field("image", "Image", InputKind::Text, "The address of a picture."),
        ],
    },
    FormSection {
        heading: "Counting and bots",
        fields: &[
            field(
                "statistics",
                "Keep details of clicks",
                InputKind::Flag(true),
                "Otherwise clicks are only counted.",
            ),
            field("blockBots", "Refuse known bots", InputKind::Flag(false), "They get 403."),
            field("countBots", "Count known bots", InputKind::Flag(false), ""),
            field(
                "skipSocialCrawlerTracking",
                "Never count previews",
                InputKind::Flag(false),
                "Also if bots are counted.",
            ),
            field(
                "countPixel",
                "Count the image",
                InputKind::Flag(false),
                "Requests of ADDRESS+pixel.gif are clicks, for mails.",
            ),
        ],
    },
    FormSection {
        heading: "Pixels and tags of pages",
        fields: &[
            field("metaPixelId", "Meta pixel", InputKind::Text, "Digits"),
            field("googleTagId", "Google tag", InputKind::Text, "Such as G-ABCDEF1234"),
            field("gtmContainerId", "Google Tag Manager", InputKind::Text, "Such as GTM-ABC123"),
            field("headTags", "Elements of the head", InputKind::Lines, "meta and link elements."),
            field("bodyTags", "Elements of the body", InputKind::Lines, "Text, lists, links and images."),
        ],
    },
    FormSection {
        heading: "Webhooks and notes",
        fields: &[
            field(
                "webhookUrls",
                "Webhooks",
                InputKind::List,
                "Up to 5 addresses, one in a line. Each gets every counted click.",
            ),
            field("notes", "Notes", InputKind::Lines, "For yourself."),
        ],
    },
];

/// Returns all fields.
pub(super) fn all() -> impl Iterator<Item = &'static FormField> {
    FIRST.iter().chain(SECTIONS.iter().flat_map(|section| section.fields))
}
