//! The continents of countries, as `GeoNames` assigns them.

use crate::analytics::country::CountryCode;

/// Continent, and the ISO 3166-1 codes of its countries. `XK` is Kosovo, which databases use.
// A table, since the operator's file of countries need not have continents.
const CONTINENTS: [(&str, &str); 7] = [
    (
        "AF",
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU \
         MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    ),
    ("AN", "AQ BV GS HM TF"),
    (
        "AS",
        "AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV \
         MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    ),
    (
        "EU",
        "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV \
         MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        "NA",
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR \
         SV SX TC TT US VC VG VI",
    ),
    ("OC", "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
    ("SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// Returns the code of the continent of a country.
pub fn continent_of(country: &str) -> Option<&'static str> {
    // Once for each country of a question, so a search is fast enough.
    let is_in = |(_, countries): &&(&str, &str)| countries.split(' ').any(|code| code == country);
    CONTINENTS.iter().find(is_in).map(|(continent, _)| *continent)
}

/// Returns the countries of a continent, none for an unknown one.
pub fn countries_of(continent: &str) -> impl Iterator<Item = CountryCode> {
    let found = CONTINENTS.iter().find(|(code, _)| *code == continent);
    let countries = found.map_or("", |(_, countries)| *countries).split(' ');
    countries.filter_map(|country| country.as_bytes().try_into().ok())
}

/// Returns the code of a continent in any case.
pub fn continent(code: &str) -> Option<&'static str> {
    CONTINENTS.iter().map(|(continent, _)| *continent).find(|continent| continent.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_is_on_one_continent() {
        let all: Vec<_> = CONTINENTS.iter().flat_map(|(_, countries)| countries.split(' ')).collect();
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), different.len());
        // The 249 codes of ISO 3166-1, and Kosovo.
        assert_eq!(all.len(), 250);
        assert!(all.iter().all(|code| code.len() == 2));
        assert_eq!(continent_of("DE"), Some("EU"));
        assert_eq!(continent_of("ZZ"), None);
        assert_eq!(continent("eu"), Some("EU"));
    }
}
