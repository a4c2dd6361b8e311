//! Rules about the place of visitors need a source of places. A rule that can never hold is rejected when a client
//! writes it. Imports and snapshots keep such rules: the server that they are for may get a source later.

use crate::core::shared::Shared;
use crate::model::Invalid;
use crate::model::link::Options;
use crate::model::link::branch::{Condition, ConditionField};

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
        for (rule, branch) in options.branches().iter().enumerate().filter(|(_, branch)| branch.enabled) {
            let conditions = branch.conditions.iter().enumerate();
            for (at, condition) in conditions.filter(|(_, condition)| condition.field.is_geographic()) {
                if let Some(why) = self.lacks(condition.field).filter(|_| !had(condition)) {
                    let place = format!("[{rule}].conditions[{at}].field");
                    return Err(Invalid::new("rules", why).below(&place));
                }
            }
        }
        Ok(())
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
