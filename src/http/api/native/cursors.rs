//! The cursors of lists of links as texts. In the order of creation a cursor is the id of the last link. In another
//! order it is the name of the order, what the last link was sorted by, and its id, with dots between: `clicks.42.ID`.
//! A title is in base64, since it may have any characters; a link without a title has no such part.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::http::api::dialect::{BadRequest, Cursor, RankedPlace, Sort};
use crate::model::Invalid;

/// The values of `sort`.
const SORTS: [(&str, Sort); 6] = [
    ("newest", Sort::Newest),
    ("oldest", Sort::Oldest),
    ("clicks", Sort::Clicks),
    ("clicks30d", Sort::Recent),
    ("lastClick", Sort::LastClick),
    ("title", Sort::Title),
];

/// Returns the order of a name.
pub(super) fn sort_of(name: &str) -> Option<Sort> {
    SORTS.iter().find(|(known, _)| *known == name).map(|(_, sort)| *sort)
}

/// Returns a cursor of a list in this order as a text.
pub(super) fn text(cursor: &Cursor, sort: Sort) -> Option<String> {
    let name = SORTS.iter().find(|(_, known)| *known == sort).map_or("", |(name, _)| name);
    match cursor {
        // A page by its number is no cursor.
        Cursor::Page(_) => None,
        Cursor::After(id) => Some(id.to_string()),
        Cursor::Behind(RankedPlace { number, title, id }) => Some(match (sort, title) {
            (Sort::Title, Some(title)) => format!("{name}.{}.{id}", BASE64_URL_SAFE_NO_PAD.encode(title)),
            (Sort::Title, None) => format!("{name}.{id}"),
            _ => format!("{name}.{number}.{id}"),
        }),
    }
}

/// Parses the cursor of a list in this order.
pub(super) fn parse(text: &str, sort: Sort) -> Result<Cursor, BadRequest> {
    let parts: Vec<&str> = text.split('.').collect();
    // A rule, since each text fits the schema, and only together with the order it is wrong.
    let other = || Invalid::new("cursor", "must be the nextCursor of a page with the same sort");
    let id = |text: &str| {
        let why = "must be the nextCursor of an earlier response";
        text.parse().map_err(|_| BadRequest::Mistyped(Invalid::new("cursor", why)))
    };
    match parts[..] {
        [only] => {
            let id = id(only)?;
            if sort.is_of_creation() { Ok(Cursor::After(id)) } else { Err(other().into()) }
        }
        [name, .., last] => {
            let id = id(last)?;
            let place = place(&parts[1..parts.len() - 1], sort, id).filter(|_| sort_of(name) == Some(sort));
            Ok(Cursor::Behind(place.ok_or_else(other)?))
        }
        [] => Err(other().into()),
    }
}

/// Returns the place of a link with this id. `key` is what it was sorted by.
fn place(key: &[&str], sort: Sort, id: crate::model::id::Id) -> Option<RankedPlace> {
    let (number, title) = match (sort, key) {
        (Sort::Title, []) => (0, None),
        (Sort::Title, [title]) => {
            let title = BASE64_URL_SAFE_NO_PAD.decode(title).ok()?;
            (0, Some(String::from_utf8(title).ok()?))
        }
        (Sort::Clicks | Sort::Recent | Sort::LastClick, [number]) => {
            // `parse` alone accepts `+5`.
            (number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?, None)
        }
        _ => return None,
    };
    Some(RankedPlace { number, title, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Id;

    #[test]
    fn cursors_come_back_as_they_were() {
        let behind = |number, title: Option<&str>| {
            Cursor::Behind(RankedPlace { number, title: title.map(str::to_owned), id: Id::from_bits(7) })
        };
        let rows = [
            (Sort::Newest, Cursor::After(Id::from_bits(7)), "00000000000000000007"),
            (Sort::Oldest, Cursor::After(Id::from_bits(7)), "00000000000000000007"),
            (Sort::Clicks, behind(42, None), "clicks.42.00000000000000000007"),
            (Sort::Recent, behind(u64::MAX, None), "clicks30d.18446744073709551615.00000000000000000007"),
            (Sort::LastClick, behind(0, None), "lastClick.0.00000000000000000007"),
            (Sort::Title, behind(0, None), "title.00000000000000000007"),
            (Sort::Title, behind(0, Some("a.b")), "title.YS5i.00000000000000000007"),
            (Sort::Title, behind(0, Some("größe 🎉")), "title.Z3LDtsOfZSDwn46J.00000000000000000007"),
        ];
        for (sort, cursor, want) in rows {
            assert_eq!(text(&cursor, sort).as_deref(), Some(want));
            assert_eq!(parse(want, sort), Ok(cursor), "{want}");
        }
        assert_eq!(text(&Cursor::Page(2), Sort::Newest), None);
    }

    #[test]
    fn a_cursor_of_another_order_is_refused() {
        let id = "00000000000000000007";
        let rule = |text: &str, sort| matches!(parse(text, sort), Err(BadRequest::Rule(_)));
        let number = format!("clicks.4.{id}");
        for (text, sort) in [
            (id, Sort::Clicks),
            (&*number, Sort::Newest),
            (&*number, Sort::Recent),
            (&*format!("clicks.+4.{id}"), Sort::Clicks),
            (&*format!("clicks.99999999999999999999.{id}"), Sort::Clicks),
            (&*format!("clicks.{id}"), Sort::Clicks),
            (&*format!("clicks.4.4.{id}"), Sort::Clicks),
            (&*format!("title.~.{id}"), Sort::Title),
            // No UTF-8.
            (&*format!("title._w.{id}"), Sort::Title),
            (&*format!("newest.{id}"), Sort::Newest),
        ] {
            assert!(rule(text, sort), "{text}");
        }
        for text in ["", "garbage", "clicks.4.garbage", "clicks.", "."] {
            assert!(matches!(parse(text, Sort::Clicks), Err(BadRequest::Mistyped(_))), "{text}");
        }
    }
}
