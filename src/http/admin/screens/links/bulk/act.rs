//! [`BulkAct`]: what is done to many links, in words and as requests.

use hyper::Method;
use serde_json::{Value, json};

use crate::http::admin::form::Form;
use crate::http::admin::page_error::PageError;

/// What is done to each link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BulkAct {
    AddTag,
    RemoveTag,
    SwitchOn,
    SwitchOff,
    Move,
    Delete,
    Download,
}

/// The changes by their names in forms, in the order of the menu.
pub(super) const ACTS: [(&str, &str, BulkAct); 7] = [
    ("tag", "Add a tag", BulkAct::AddTag),
    ("untag", "Remove a tag", BulkAct::RemoveTag),
    ("on", "Switch on", BulkAct::SwitchOn),
    ("off", "Switch off", BulkAct::SwitchOff),
    ("campaign", "Move to a campaign", BulkAct::Move),
    ("csv", "Download as CSV", BulkAct::Download),
    ("delete", "Delete", BulkAct::Delete),
];

impl BulkAct {
    pub(super) fn read(form: &Form) -> Result<(&'static str, BulkAct), PageError> {
        let name = form.text("act").unwrap_or("");
        let found = ACTS.iter().find(|(known, ..)| *known == name);
        found.map(|(name, _, act)| (*name, *act)).ok_or_else(|| PageError::rule("act", "choose what to do"))
    }

    /// Returns what a page says before and after: `Switch off`, `switched off`.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            BulkAct::AddTag => ("Add a tag to", "got the tag"),
            BulkAct::RemoveTag => ("Remove a tag from", "lost the tag"),
            BulkAct::SwitchOn => ("Switch on", "switched on"),
            BulkAct::SwitchOff => ("Switch off", "switched off"),
            BulkAct::Move => ("Move to a campaign:", "moved"),
            BulkAct::Delete => ("Delete", "deleted"),
            BulkAct::Download => ("Download", "downloaded"),
        }
    }

    /// Returns what will happen, in a sentence.
    pub(super) fn consequence(self) -> &'static str {
        match self {
            BulkAct::AddTag => "Each link keeps its other tags. A tag of a new name is created.",
            BulkAct::RemoveTag => "Each link keeps its other tags.",
            BulkAct::SwitchOn => {
                "The links lead to their destinations from now on, unless they have expired."
            }
            BulkAct::SwitchOff => "Visitors of the links get 404 until they are switched on again.",
            BulkAct::Move => "Each link leaves the campaign that it is in.",
            BulkAct::Delete => {
                "Visitors get 404 from now on. The links can be restored for a while, with their clicks, among the \
                 deleted links."
            }
            BulkAct::Download => "",
        }
    }

    /// Returns the request that changes a link. `target` is the id of the tag or campaign.
    pub(super) fn change(self, target: &str) -> (Method, Value) {
        let body = match self {
            BulkAct::AddTag => json!({"addTagIds": [target]}),
            BulkAct::RemoveTag => json!({"removeTagIds": [target]}),
            BulkAct::SwitchOn => json!({"isActive": true}),
            BulkAct::SwitchOff => json!({"isActive": false}),
            BulkAct::Move if target.is_empty() => json!({"campaignId": null}),
            BulkAct::Move => json!({"campaignId": target}),
            BulkAct::Delete | BulkAct::Download => return (Method::DELETE, Value::Null),
        };
        (Method::PATCH, body)
    }
}
