//! Pages of lists that the API returns whole.

use super::page_request::{PageRequest, query_of};

/// Where the pages before and behind this one are.
#[derive(Debug)]
pub(super) struct ListPlace {
    pub(super) before: Option<String>,
    pub(super) behind: Option<String>,
}

/// Returns the items of the page that the address names, from 1. `kept` are the other parameters of the address.
pub(super) fn of_page<T>(
    request: &PageRequest<'_>,
    all: Vec<T>,
    limit: usize,
    path: &str,
    kept: &[(&str, &str)],
) -> (Vec<T>, ListPlace) {
    // What is no number is the first page: the address may be typed by hand.
    let given = request.param("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let (number, first) = clamped(given, all.len(), limit);
    // Also of an empty list, so that it has no next page.
    let last = first.saturating_add(limit) >= all.len();
    let path_of = |number: usize| {
        let number = number.to_string();
        format!("{path}?{}", query_of(&[kept, &[("page", number.as_str())]].concat()))
    };
    let place = ListPlace {
        before: (number > 1).then(|| path_of(number - 1)),
        behind: (!last).then(|| path_of(number + 1)),
    };
    (all.into_iter().skip(first).take(limit).collect(), place)
}

/// Returns the number of a page and its first item. A page behind the last one is the last one: the list may have
/// become shorter.
fn clamped(given: usize, length: usize, limit: usize) -> (usize, usize) {
    // An empty list has one page.
    let last = length.div_ceil(limit).max(1);
    let number = given.clamp(1, last);
    (number, (number - 1) * limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_within_the_list() {
        for (given, length, want) in [
            (1, 0, (1, 0)),
            (9, 0, (1, 0)),
            (0, 60, (1, 0)),
            (2, 60, (2, 25)),
            (3, 60, (3, 50)),
            (4, 60, (3, 50)),
            (2, 50, (2, 25)),
            (3, 50, (2, 25)),
            (usize::MAX, 50, (2, 25)),
        ] {
            assert_eq!(clamped(given, length, 25), want, "{given} of {length}");
        }
    }
}
