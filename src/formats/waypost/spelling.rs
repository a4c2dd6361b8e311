//! The known name that an unknown one likely means: by its spelling, or by a word that other programs use.

/// Names with at least this similarity, from 0 to 1, count as misspellings: one letter in four may differ.
const ALIKE: f64 = 0.75;

/// Returns the known name that an unknown one likely means. `synonyms` are words in lower case and without `_`, each with
/// names: the first of them that is known is meant.
pub fn likely(
    name: &str,
    known: &[&[&'static str]],
    synonyms: &[(&str, &[&'static str])],
) -> Option<&'static str> {
    let bare = |text: &str| text.to_ascii_lowercase().replace('_', "");
    let wanted = bare(name);
    let fields = || known.iter().flat_map(|names| names.iter().copied());
    let spelt = fields().find(|field| bare(field) == wanted);
    let synonym = || {
        let (_, meant) = synonyms.iter().find(|(word, _)| *word == wanted)?;
        meant.iter().copied().find(|field| fields().any(|known| known == *field))
    };
    let nearest = || {
        let scored =
            fields().map(|field| (strsim::normalized_damerau_levenshtein(&wanted, &bare(field)), field));
        let (score, field) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (score >= ALIKE).then_some(field)
    };
    spelt.or_else(synonym).or_else(nearest)
}
