//! Rules about the place of visitors need a source of places. A rule that can never hold is rejected when a client
//! writes it. Imports and snapshots keep such rules: the server that they are for may get a source later.

use jiff::tz::TimeZone;

use crate::core::handle::Links;
use crate::core::shared::Shared;
use crate::model::Invalid;
use crate::model::link::Options;
use crate::model::link::branch::{Condition, ConditionField};
use crate::model::workspace::WorkspaceNumber;

impl Links {
    /// Returns the zone of dates without a time in a workspace.
    pub fn zone_of(&self, workspace: WorkspaceNumber) -> TimeZone {
        self.shared.zone_of(workspace)
    }

    /// Returns the conditions about a place that this server can never know with its present configuration.
    pub fn lacking_sources(&self, options: &Options) -> Vec<Invalid> {
        self.shared.lacking_sources(options, |_| false)
    }
}

impl Shared {
    /// Rejects a new condition about a place that this server can never know with its present configuration. Conditions
    /// that the link had `before` pass: a client may send back what it was shown.
    pub(in crate::core) fn check_sources(
        &self,
        options: &Options,
        before: Option<&Options>,
    ) -> Result<(), Invalid> {
        let had = |condition: &Condition| {
            before.is_some_and(|before| {
                before.branches().iter().any(|branch| branch.conditions.contains(condition))
            })
        };
        self.lacking_sources(options, had).into_iter().next().map_or(Ok(()), Err)
    }

    fn lacking_sources(&self, options: &Options, passes: impl Fn(&Condition) -> bool) -> Vec<Invalid> {
        let mut lacking = Vec::new();
        for (rule, branch) in options.branches().iter().enumerate().filter(|(_, branch)| branch.enabled) {
            let conditions = branch.conditions.iter().enumerate();
            for (at, condition) in conditions.filter(|(_, condition)| condition.field.is_geographic()) {
                if let Some(why) = self.lacks(condition.field).filter(|_| !passes(condition)) {
                    let place = format!("[{rule}].conditions[{at}].field");
                    lacking.push(Invalid::new("rules", why).below(&place));
                }
            }
        }
        lacking
    }

    /// Returns why no visitor will have a value of a field about places.
    fn lacks(&self, field: ConditionField) -> Option<String> {
        let name = field.name();
        let Some(analytics) = &self.analytics else {
            return Some(format!(
                "{name} needs `clicks.details = true`: this server reads no countries without it"
            ));
        };
        let countries = analytics.countries.load();
        let has_header = analytics.capture.settings().country_header.is_some();
        let needs_places = matches!(field, ConditionField::Region | ConditionField::City);
        match &*countries {
            Some(countries) if needs_places && !countries.source().has_places => Some(format!(
                "{name} needs a file with cities and `clicks.places = true`: this server knows countries only"
            )),
            None if analytics.countries.is_absent() && (needs_places || !has_header) => Some(format!(
                "{name} needs a source of countries, and this server has none: its operator installs the package \
                 tor-geoipdb, puts country.mmdb into the data folder, or sets `clicks.country_file` or `clicks.country_header`"
            )),
            _ => None,
        }
    }
}
