//! Pictures of QR codes.

use hyper::StatusCode;

use super::links;
use crate::http::api::dialect::{
    BadRequest, Body, Command, ErrorLevel, LinkAct, QrFormat, QrPicture, QrRequest, RequestParts,
    ScopedCommand, read,
};
use crate::http::api::query::Query;
use crate::json::Mistyped;
use crate::model::Invalid;
use crate::model::color::Rgb;

/// Parses `GET /links/{id}/qr`.
pub(super) fn by_id(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::LinkQr(links::id(request)?, picture_of(&request.query)?))
}

/// Parses `GET /links/by-code/{code}/qr?domain=`.
pub(super) fn by_code(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    links::by_code(request, LinkAct::Qr(picture_of(&request.query)?))
}

/// Parses the properties of a picture. Bounds are checked where it is drawn.
fn picture_of(query: &Query<'_>) -> Result<QrRequest, BadRequest> {
    let default = QrRequest::default();
    let rule = |field, why: &str| BadRequest::Rule(Invalid::new(field, why));
    let format = query
        .text("format")?
        .map(|text| QrFormat::parse(text).ok_or_else(|| rule("format", "must be svg or png")));
    let level = match query.text("level")? {
        None | Some("auto") => None,
        Some(text) => {
            Some(ErrorLevel::parse(text).ok_or_else(|| rule("level", "must be auto, L, M, Q or H"))?)
        }
    };
    let color = |name| query.text(name)?.map(|text| Ok(Rgb::parse(name, text)?)).transpose();
    let (foreground, background): (Result<_, BadRequest>, Result<_, BadRequest>) = (color("fg"), color("bg"));
    Ok(QrRequest {
        format: format.transpose()?.unwrap_or_default(),
        size: number(query, "size")?.unwrap_or(default.size),
        margin: number(query, "margin")?.unwrap_or(default.margin),
        level,
        foreground: foreground?,
        background: background?,
        logo: query.flag("logo")?,
    })
}

/// Reads a whole number of any size: its bounds are rules of the picture.
fn number(query: &Query<'_>, name: &'static str) -> Result<Option<u64>, Mistyped> {
    let Some(text) = query.text(name)? else { return Ok(None) };
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Mistyped(Invalid::new(name, "must be a whole number")));
    }
    // Digits alone fail only because they are too many.
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

/// Returns the response with a picture.
pub(super) fn picture(picture: &QrPicture) -> Body {
    let QrPicture { format, bytes } = picture;
    Body { status: StatusCode::OK, kind: format.media_type(), bytes: bytes.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_picture() {
        let rows = [
            ("", Ok(QrRequest::default())),
            ("format=svg&level=auto&size=512&margin=4", Ok(QrRequest::default())),
            (
                "format=png&level=q&size=99999999999999999999&logo=false&fg=%23abc&bg=fff",
                Ok(QrRequest {
                    format: QrFormat::Png,
                    size: u64::MAX,
                    margin: 4,
                    level: Some(ErrorLevel::Q),
                    foreground: Some(Rgb([0xaa, 0xbb, 0xcc])),
                    background: Some(Rgb::WHITE),
                    logo: Some(false),
                }),
            ),
            ("format=gif", Err("422 format: must be svg or png")),
            ("format=SVG", Err("422 format: must be svg or png")),
            ("level=X", Err("422 level: must be auto, L, M, Q or H")),
            ("fg=red", Err("422 fg: must be a color such as 1a2b3c or #1a2b3c, without transparency")),
            (
                "bg=transparent",
                Err("422 bg: must be a color such as 1a2b3c or #1a2b3c, without transparency"),
            ),
            ("size=-1", Err("400 size: must be a whole number")),
            ("size=1e3", Err("400 size: must be a whole number")),
            ("margin=4.5", Err("400 margin: must be a whole number")),
            ("margin=4&margin=5", Err("400 margin: must be given once")),
            ("logo=1", Err("400 logo: must be true or false")),
        ];
        for (query, want) in rows {
            let got = picture_of(&Query::parse(Some(query))).map_err(|error| match error {
                BadRequest::Mistyped(invalid) => format!("400 {invalid}"),
                BadRequest::Rule(invalid) => format!("422 {invalid}"),
                other => format!("{other:?}"),
            });
            assert_eq!(got, want.map_err(str::to_owned), "{query}");
        }
    }
}
