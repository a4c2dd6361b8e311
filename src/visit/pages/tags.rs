//! The tags of a link's pixels and its own elements (`headTags`, `bodyTags`), and the policy that allows what they
//! load.
//!
//! The policy allows each vendor the hosts that the vendor documents, and only for the pixels of this link.
//! Not allowed: Google's image on the domain of each country, which a policy can only list one by one, and
//! tags of third parties in a Tag Manager container.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::display;
use crate::model::link::{Markup, Options};

/// The script that fires the pixels, on the page of its own and beside a frame.
pub(super) const SCRIPT: &str = include_str!("pixels.js");

/// Random bytes of a nonce: the specification of the policy requires at least 16; 18 need no padding in
/// base64.
const NONCE_BYTES: usize = 18;

/// The hosts that a vendor's tag loads from, as the vendor documents them.
struct Vendor {
    scripts: &'static [&'static str],
    images: &'static [&'static str],
    connections: &'static [&'static str],
    frames: &'static [&'static str],
}

const META: Vendor = Vendor {
    scripts: &["https://connect.facebook.net"],
    images: &["https://www.facebook.com"],
    connections: &["https://www.facebook.com", "https://connect.facebook.net"],
    frames: &[],
};

/// The hosts of every Google tag: the loader, and its images and reports.
const TAG: Vendor = Vendor {
    scripts: &["https://www.googletagmanager.com"],
    images: &["https://www.googletagmanager.com"],
    connections: &["https://www.googletagmanager.com", "https://www.google.com"],
    frames: &[],
};

const ANALYTICS: Vendor = Vendor {
    scripts: &["https://*.googletagmanager.com", "https://*.google-analytics.com"],
    images: &["https://*.google-analytics.com", "https://*.googletagmanager.com"],
    connections: &[
        "https://*.google-analytics.com",
        "https://*.analytics.google.com",
        "https://*.googletagmanager.com",
    ],
    frames: &[],
};

const ADS: Vendor = Vendor {
    scripts: &[
        "https://www.googleadservices.com",
        "https://googleads.g.doubleclick.net",
        "https://pagead2.googlesyndication.com",
        "https://www.google.com",
    ],
    images: &[
        "https://www.googleadservices.com",
        "https://googleads.g.doubleclick.net",
        "https://pagead2.googlesyndication.com",
        "https://www.google.com",
        "https://google.com",
    ],
    connections: &[
        "https://www.googleadservices.com",
        "https://googleads.g.doubleclick.net",
        "https://pagead2.googlesyndication.com",
        "https://google.com",
    ],
    frames: &["https://www.googletagmanager.com", "https://td.doubleclick.net"],
};

const FLOODLIGHT: Vendor = Vendor {
    // The script of `TAG` loads it.
    scripts: &[],
    images: &[
        "https://*.fls.doubleclick.net",
        "https://ad.doubleclick.net",
        "https://ade.googlesyndication.com",
    ],
    connections: &["https://ad.doubleclick.net", "https://pagead2.googlesyndication.com"],
    frames: &["https://*.fls.doubleclick.net", "https://td.doubleclick.net"],
};

/// A link's pixels, for the script in the template.
pub(super) struct PixelTags<'a> {
    pub(super) nonce: String,
    pub(super) meta_pixel_id: Option<&'a str>,
    pub(super) google_tag_id: Option<&'a str>,
    pub(super) gtm_container_id: Option<&'a str>,
}

/// The elements that a link adds to its pages. Both texts are checked markup.
pub(super) struct OwnTags<'a> {
    pub(super) head: &'a str,
    pub(super) body: &'a str,
    /// The origins of their images, in the form of a policy.
    images: String,
}

impl<'a> OwnTags<'a> {
    pub(super) fn of(options: &'a Options) -> OwnTags<'a> {
        let text = |tags: &'a Option<Markup>| tags.as_ref().map_or("", Markup::as_str);
        let mut origins: Vec<String> = Vec::new();
        for url in [&options.head_tags, &options.body_tags].into_iter().flatten().flat_map(Markup::images) {
            // A host that a policy cannot contain is not loaded.
            let origin = display::origin(url.as_str()).filter(|origin| !origins.contains(origin));
            origins.extend(origin);
        }
        OwnTags { head: text(&options.head_tags), body: text(&options.body_tags), images: origins.join(" ") }
    }

    /// Returns `directives` with one that allows the images, for a page without pixels.
    pub(super) fn allow(&self, directives: String) -> String {
        if self.images.is_empty() { directives } else { format!("{directives}; img-src {}", self.images) }
    }
}

impl<'a> PixelTags<'a> {
    /// Returns the tags of `options`, and the directives that allow them on a page that also has a frame of
    /// the origin `frame`. Returns `None` if the link has no pixels.
    pub(super) fn of(
        options: &'a Options,
        own: &OwnTags<'_>,
        frame: Option<&str>,
    ) -> Option<(PixelTags<'a>, String)> {
        let vendors = vendors(options);
        if vendors.is_empty() {
            return None;
        }
        let mut bytes = [0; NONCE_BYTES];
        // Fresh for each response: a nonce that an attacker knows allows any script.
        getrandom::fill(&mut bytes).expect("the system's random generator works");
        let nonce = STANDARD.encode(bytes);
        let allowed = allowed(&vendors, &nonce, frame, &own.images);
        let tags = PixelTags {
            nonce,
            meta_pixel_id: options.meta_pixel_id.as_deref(),
            google_tag_id: options.google_tag_id.as_deref(),
            // The same container is loaded once.
            gtm_container_id: options
                .gtm_container_id
                .as_deref()
                .filter(|id| options.google_tag_id.as_deref() != Some(id)),
        };
        Some((tags, allowed))
    }
}

/// Returns the vendors of the link's pixels. A Google id has its kind before the first hyphen.
fn vendors(options: &Options) -> Vec<&'static Vendor> {
    let meta = options.meta_pixel_id.as_deref().map(|_| [&META].as_slice());
    let tags = [&options.google_tag_id, &options.gtm_container_id];
    let google = tags.into_iter().flatten().map(|id| match id.split_once('-') {
        Some(("G" | "UA", _)) => [&TAG, &ANALYTICS].as_slice(),
        Some(("AW", _)) => &[&TAG, &ADS],
        Some(("DC", _)) => &[&TAG, &FLOODLIGHT],
        // A Google tag (GT) and a container (GTM) may contain any of the others.
        _ => &[&TAG, &ANALYTICS, &ADS, &FLOODLIGHT],
    });
    meta.into_iter().chain(google).flatten().copied().collect()
}

/// Returns the directives that allow these vendors, and the page's own script.
fn allowed(vendors: &[&Vendor], nonce: &str, frame: Option<&str>, images: &str) -> String {
    let hosts = |of: fn(&Vendor) -> &'static [&'static str]| {
        let mut hosts: Vec<&str> = Vec::new();
        for host in vendors.iter().flat_map(|vendor| of(vendor)) {
            // Vendors share hosts, and the order of the first is kept.
            if !hosts.contains(host) {
                hosts.push(host);
            }
        }
        hosts.join(" ")
    };
    let directives = [
        (format!("script-src 'nonce-{nonce}'"), hosts(|vendor| vendor.scripts)),
        ("img-src".to_owned(), [&hosts(|vendor| vendor.images), images].join(" ")),
        ("connect-src".to_owned(), hosts(|vendor| vendor.connections)),
        ("frame-src".to_owned(), [frame.unwrap_or(""), &hosts(|vendor| vendor.frames)].join(" ")),
    ];
    let needed =
        directives.iter().map(|(name, hosts)| (name, hosts.trim())).filter(|(_, hosts)| !hosts.is_empty());
    let mut parts: Vec<String> = needed.map(|(name, hosts)| format!("{name} {hosts}")).collect();
    // `default-src` does not apply to forms.
    parts.push("form-action 'self'".to_owned());
    parts.join("; ")
}
