//! Draws the picture that a client asks for.

use super::address::QrAddress;
use super::logo::{LOGO_MAX, QrLogo};
use super::symbol::{ErrorLevel, QrSymbol};
use super::{png, svg};
use crate::model::Invalid;
use crate::model::color::{Inks, Rgb};

/// Least and largest width of a picture in pixels. An uncompressed PNG of the largest has 514 KB. Print takes SVG.
const SIZES: [u32; 2] = [32, 2_048];

/// The width of a picture in pixels by default.
pub const SIZE_DEFAULT: u32 = 512;

/// The margin by default in modules, as ISO/IEC 18004 requires it. Scanners miss codes with less on a busy background.
pub const MARGIN_DEFAULT: u32 = 4;

/// Largest margin in modules. A wider one is a matter of the page around the picture.
const MARGIN_MAX: u32 = 40;

/// The `Content-Security-Policy` of pictures: an SVG that is opened as a page runs and loads nothing, whatever its logo is.
pub const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox";

/// Most bytes of an SVG while it is drawn: a buffer of twice the length of 177 rows with 89 modules of 20 bytes, and a logo,
/// which the picture contains twice in base 64.
const SVG_MAX: usize = 2 * (177 * 89 * 20 + 3 * LOGO_MAX);

/// The formats of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The names of the formats.
pub enum QrFormat {
    #[default]
    Svg,
    Png,
}

impl QrFormat {
    /// Returns the `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            QrFormat::Svg => "image/svg+xml",
            QrFormat::Png => "image/png",
        }
    }

    /// Parses the name of a format, which is also the extension of its files.
    pub fn parse(text: &str) -> Option<QrFormat> {
        // Lower case alone, as the names of all options.
        match text {
            "svg" => Some(QrFormat::Svg),
            "png" => Some(QrFormat::Png),
            _ => None,
        }
    }
}

/// The properties of a picture that its client gives. `None` is that of domain and workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrRequest {
    /// SVG or PNG.
    pub format: QrFormat,
    /// The width in pixels, with the margin.
    pub size: u64,
    /// The margin in modules.
    pub margin: u64,
    /// `None` chooses it.
    pub level: Option<ErrorLevel>,
    /// The color of the modules.
    pub foreground: Option<Rgb>,
    /// The color between and around them.
    pub background: Option<Rgb>,
    /// Whether the picture has the logo. `None` is yes where there is one and the format can have it.
    pub logo: Option<bool>,
}

impl Default for QrRequest {
    fn default() -> QrRequest {
        QrRequest {
            format: QrFormat::Svg,
            size: SIZE_DEFAULT.into(),
            margin: MARGIN_DEFAULT.into(),
            level: None,
            foreground: None,
            background: None,
            logo: None,
        }
    }
}

impl QrRequest {
    /// Returns whether the picture has a logo if there is one. Fails if it cannot have the logo that the client asks for.
    pub fn wants_logo(&self) -> Result<bool, Invalid> {
        if self.format == QrFormat::Png && self.logo == Some(true) {
            let why = "cannot be true with format png: ask for format svg, which has the logo, and convert the SVG, or leave \
                       it out";
            return Err(Invalid::new("logo", why));
        }
        // A PNG without a word about the logo is drawn without it, since a logo is only an ornament.
        Ok(self.format == QrFormat::Svg && self.logo != Some(false))
    }

    /// Returns the most bytes that drawing a picture of this format takes.
    pub fn largest_bytes(&self) -> usize {
        match self.format {
            // The pixels, and their copy in the file.
            QrFormat::Png => 2 * (SIZES[1] * SIZES[1] / 8) as usize + 16 * 1024,
            // An SVG grows with the logo and not with the size.
            QrFormat::Svg => SVG_MAX,
        }
    }

    fn inks(&self, inks: Inks) -> Result<Inks, Invalid> {
        let inks = Inks {
            foreground: self.foreground.unwrap_or(inks.foreground),
            background: self.background.unwrap_or(inks.background),
        };
        // Also without colors of the client: the record may be of an earlier version with other rules.
        inks.check(["fg", "bg"])?;
        Ok(inks)
    }
}

/// A picture, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct QrPicture {
    pub format: QrFormat,
    pub bytes: Vec<u8>,
}

/// Draws the code of an address, with the colors and the logo of its domain and workspace.
pub fn draw(
    address: &QrAddress,
    request: &QrRequest,
    inks: Inks,
    logo: Option<&QrLogo>,
) -> Result<QrPicture, Invalid> {
    let logo = if request.wants_logo()? { logo } else { None };
    if request.logo == Some(true) && logo.is_none() {
        let why = "is true, but neither the domain nor the workspace has a logo: upload one, or leave it out";
        return Err(Invalid::new("logo", why));
    }
    let inks = request.inks(inks)?;
    let margin = bounded("margin", request.margin, 0, MARGIN_MAX)?;
    let size = bounded("size", request.size, SIZES[0], SIZES[1])?;
    let least = if logo.is_some() { ErrorLevel::Q } else { ErrorLevel::M };
    if logo.is_some() && request.level.is_some_and(|level| level < least) {
        return Err(Invalid::new(
            "level",
            "must be auto, Q or H with a logo, which covers a part of the code",
        ));
    }
    let mut symbol = QrSymbol::new(address, request.level.unwrap_or(least), request.level.is_some())?;
    let side = symbol.side() + 2 * margin;
    if size < side {
        let why = format!("must be at least {side}, one pixel for each module of this code and its margin");
        return Err(Invalid::new("size", why));
    }
    // The middle is cleared in an SVG only: nothing would fill it in a PNG.
    let bytes = match request.format {
        QrFormat::Svg => {
            let logo = logo.map(|logo| (logo, symbol.clear_middle()));
            svg::svg(&symbol, margin, size, inks, logo)
        }
        QrFormat::Png => pixels(&symbol, margin, size, inks),
    };
    Ok(QrPicture { format: request.format, bytes })
}

fn bounded(field: &'static str, value: u64, min: u32, max: u32) -> Result<u32, Invalid> {
    let fitting = u32::try_from(value).ok().filter(|value| (min..=max).contains(value));
    fitting.ok_or_else(|| Invalid::new(field, format!("must be from {min} to {max}")))
}

/// Returns a PNG of exactly this size. Each module has the same whole number of pixels, so that all edges are sharp; the
/// rest is margin.
fn pixels(symbol: &QrSymbol, margin: u32, size: u32, inks: Inks) -> Vec<u8> {
    // Rounded down, so that the margin is at least the one that was asked for.
    let scale = size / (symbol.side() + 2 * margin);
    let start = (size - symbol.side() * scale) / 2;
    png::square(size, inks, |y, row| {
        let Some(module) = y.checked_sub(start).map(|y| y / scale).filter(|y| *y < symbol.side()) else {
            return;
        };
        for (x, length) in symbol.runs(module) {
            for pixel in start + x * scale..start + (x + length) * scale {
                row[(pixel / 8) as usize] |= 0x80 >> (pixel % 8);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attachment::{Attachment, AttachmentFormat};

    fn logo() -> QrLogo {
        QrLogo::from_stored(Attachment { format: AttachmentFormat::Svg, bytes: (*b"<svg/>").into() })
    }

    fn draw_with(request: &QrRequest, logo: Option<&QrLogo>) -> Result<QrPicture, String> {
        let address = QrAddress::new("https://e.test/a", false);
        draw(&address, request, Inks::default(), logo).map_err(|error| error.to_string())
    }

    #[test]
    fn bounds_and_contradictions_are_named() {
        let given = |change: fn(&mut QrRequest)| {
            let mut request = QrRequest::default();
            change(&mut request);
            request
        };
        let png = |change: fn(&mut QrRequest)| QrRequest { format: QrFormat::Png, ..given(change) };
        let rows: [(QrRequest, bool, &str); 14] = [
            (given(|request| request.size = 31), false, "size: must be from 32 to 2048"),
            (given(|request| request.size = 2_049), false, "size: must be from 32 to 2048"),
            (given(|request| request.size = u64::MAX), false, "size: must be from 32 to 2048"),
            (
                png(|request| request.size = 32),
                false,
                "size: must be at least 33, one pixel for each module of this code and its margin",
            ),
            (png(|request| request.size = 33), false, ""),
            (given(|request| request.margin = 41), false, "margin: must be from 0 to 40"),
            (given(|request| request.margin = 0), false, ""),
            (png(|request| request.logo = Some(false)), true, ""),
            (png(|_| {}), true, ""),
            (
                png(|request| request.logo = Some(true)),
                true,
                "logo: cannot be true with format png: ask for format svg, which has the logo, and convert the SVG, or leave it out",
            ),
            (
                given(|request| request.logo = Some(true)),
                false,
                "logo: is true, but neither the domain nor the workspace has a logo: upload one, or leave it out",
            ),
            (
                given(|request| request.level = Some(ErrorLevel::M)),
                true,
                "level: must be auto, Q or H with a logo, which covers a part of the code",
            ),
            (given(|request| request.level = Some(ErrorLevel::L)), false, ""),
            (
                given(|request| request.foreground = Some(Rgb::WHITE)),
                false,
                "fg: has too little contrast to bg for scanners: #ffffff on #ffffff is 1:1, and 4:1 is needed",
            ),
        ];
        for (request, has_logo, want) in rows {
            let logo = has_logo.then(logo);
            let got = draw_with(&request, logo.as_ref()).map_or_else(|error| error, |_| String::new());
            assert_eq!(got, want, "{request:?}");
        }
    }

    #[test]
    fn a_logo_is_embedded_twice_in_the_middle() {
        let request = QrRequest::default();
        let svg =
            String::from_utf8(draw_with(&request, Some(&logo())).expect("drawn").bytes).expect("a text");
        assert!(svg.contains(
            "href=\"data:image/svg+xml;base64,PHN2Zy8+\" xlink:href=\"data:image/svg+xml;base64,PHN2Zy8+\""
        ));
        assert!(
            svg.contains("viewBox=\"0 0 37 37\"") && svg.contains("<image x=\"15.5\" y=\"15.5\" width=\"6\""),
            "{svg}"
        );
        let without = QrRequest { logo: Some(false), ..request };
        let svg =
            String::from_utf8(draw_with(&without, Some(&logo())).expect("drawn").bytes).expect("a text");
        assert!(!svg.contains("<image"));
    }
}
