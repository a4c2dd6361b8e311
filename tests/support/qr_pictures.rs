//! Pictures of QR codes: a matrix of them, drawn by the program, and their pixels for a decoder. The parser of SVG reads what a
//! browser would draw: the background, the path of the modules, and the square of a logo.

use waypost::model::color::{Inks, Rgb};
use waypost::qr::address::QrAddress;
use waypost::qr::logo::QrLogo;
use waypost::qr::picture::{QrFormat, QrPicture, QrRequest, draw};
use waypost::qr::symbol::ErrorLevel;

/// A gray picture.
#[derive(Clone, Debug)]
pub(crate) struct Pixels {
    pub(crate) side: usize,
    /// Row by row, 0 is black.
    pub(crate) gray: Vec<u8>,
}

/// One picture of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct QrCase {
    pub(crate) url: String,
    pub(crate) ignores_case: bool,
    pub(crate) request: QrRequest,
    pub(crate) has_logo: bool,
}

const LOGO: &[u8] = br##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9H0z" fill="#0f766e"/></svg>"##;

/// Pairs of dark and light: black, a brand on white, and the least contrast that is allowed.
const COLORS: [(&str, &str); 4] =
    [("000", "fff"), ("0f766e", "fff"), ("1a237e", "ffe082"), ("7a7a7a", "fff")];

impl QrCase {
    /// Returns the picture as its client receives it.
    pub(crate) fn draw(&self) -> QrPicture {
        let logo = self.has_logo.then(|| QrLogo::parse(LOGO).expect("a drawing"));
        let drawn = draw(&self.address(), &self.request, Inks::default(), logo.as_ref());
        drawn.unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// Returns the text in the code.
    pub(crate) fn text(&self) -> String {
        self.address().text()
    }

    fn address(&self) -> QrAddress {
        QrAddress::new(&self.url, self.ignores_case)
    }
}

/// Returns this number of pictures: of all levels, formats, colors and margins, with and without a logo, of short URLs up to
/// the longest of each level.
pub(crate) fn matrix(count: usize) -> impl Iterator<Item = QrCase> {
    (0..count).map(|at| {
        let level =
            [None, Some(ErrorLevel::L), Some(ErrorLevel::M), Some(ErrorLevel::Q), Some(ErrorLevel::H)]
                [at % 5];
        let format = [QrFormat::Svg, QrFormat::Png][at / 5 % 2];
        let (dark, light) = COLORS[at / 10 % 4];
        let color = |text| Some(Rgb::parse("color", text).expect("a color"));
        let may_have_logo = format == QrFormat::Svg && !matches!(level, Some(ErrorLevel::L | ErrorLevel::M));
        let ignores_case = at % 3 == 1;
        // A module of SVG has no whole number of pixels, so that decoders need five or more of them.
        let sizes = if format == QrFormat::Svg { [400, 512, 777, 1_024] } else { [256, 512, 777, 1_024] };
        // Lengths without a common factor with the other properties.
        let longest = if level == Some(ErrorLevel::H) { 50 } else { 240 };
        let code: String = (0..=at * 7 % (longest - 25))
            .map(|letter| {
                char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[(at * 31 + letter * (at % 13 + 1)) % 32])
            })
            .collect();
        QrCase {
            url: format!("https://go.example.com/{code}"),
            ignores_case,
            request: QrRequest {
                format,
                size: sizes[at / 3 % 4],
                margin: [4, 2, 4, 8][at / 7 % 4],
                level,
                foreground: color(dark),
                background: color(light),
                logo: None,
            },
            has_logo: may_have_logo && at / 2 % 3 != 0,
        }
    })
}

/// Returns the pixels of a picture. The square of a logo has the color that it is given.
pub(crate) fn pixels(picture: &QrPicture, logo: u8) -> Pixels {
    match picture.format {
        QrFormat::Svg => of_svg(std::str::from_utf8(&picture.bytes).expect("a text"), logo),
        QrFormat::Png => of_png(&picture.bytes),
    }
}

/// Returns the value of an attribute of the first element of this name.
fn attribute<'a>(svg: &'a str, element: &str, name: &str) -> &'a str {
    let (_, behind) = svg.split_once(&format!("<{element} ")).unwrap_or_else(|| panic!("no <{element}>"));
    let tag = behind.split('>').next().expect("a tag");
    let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    value.split('"').next().expect("a value")
}

fn gray(color: &str) -> u8 {
    let channel = |at: usize| u32::from_str_radix(&color[at..at + 2], 16).expect("a color");
    // The weights of BT.601, as cameras and decoders have them.
    u8::try_from((channel(1) * 299 + channel(3) * 587 + channel(5) * 114) / 1_000).expect("a gray")
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Sizes of pictures are small and positive.
fn of_svg(svg: &str, logo: u8) -> Pixels {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?}"));
    let side = number(attribute(svg, "svg", "viewBox").split(' ').nth(2).expect("a width"));
    let size = number(attribute(svg, "svg", "width"));
    assert_eq!(attribute(svg, "svg", "height"), attribute(svg, "svg", "width"));
    assert_eq!(
        (number(attribute(svg, "rect", "width")), number(attribute(svg, "rect", "height"))),
        (side, side)
    );
    let side_pixels = size as usize;
    let mut pixels = Pixels {
        side: side_pixels,
        gray: vec![gray(attribute(svg, "rect", "fill")); side_pixels * side_pixels],
    };
    // A pixel has the color of its center, as with crisp edges.
    let mut fill = |x: f64, y: f64, width: f64, height: f64, color: u8| {
        let range = |from: f64, length: f64| {
            let edge = |at: f64| (at * size / side - 0.5).ceil() as usize;
            edge(from)..edge(from + length)
        };
        for row in range(y, height) {
            pixels.gray[row * side_pixels..][range(x, width)].fill(color);
        }
    };
    let color = gray(attribute(svg, "path", "fill"));
    for part in attribute(svg, "path", "d").split_terminator('z') {
        let (start, lengths) =
            part.strip_prefix('M').and_then(|part| part.split_once('h')).expect("M, then h");
        let (x, y) = start.split_once(' ').expect("two numbers");
        let (width, back) = lengths.split_once('v').expect("h, then v");
        assert_eq!(back, format!("1h-{width}"), "a rectangle");
        fill(number(x), number(y), number(width), 1.0, color);
    }
    if svg.contains("<image ") {
        let [x, y, width, height] =
            ["x", "y", "width", "height"].map(|name| number(attribute(svg, "image", name)));
        fill(x, y, width, height, logo);
    }
    pixels
}

/// Reads the chunks, and the stored blocks of the pixels.
fn of_png(png: &[u8]) -> Pixels {
    let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("a signature");
    let (mut head, mut palette, mut data) = (&rest[..0], &rest[..0], Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
        let content = &rest[8..8 + length];
        match &rest[4..8] {
            b"IHDR" => head = content,
            b"PLTE" => palette = content,
            b"IDAT" => data.extend_from_slice(content),
            other => assert_eq!(other, b"IEND"),
        }
        rest = &rest[12 + length..];
    }
    let side = u32::from_be_bytes(head[..4].try_into().expect("4 bytes")) as usize;
    assert_eq!((&head[4..8], &head[8..]), (&head[..4], &[1, 3, 0, 0, 0][..]), "a square of one bit a pixel");
    let (mut raw, mut blocks) = (Vec::new(), &data[2..data.len() - 4]);
    while !blocks.is_empty() {
        let length = usize::from(u16::from_le_bytes([blocks[1], blocks[2]]));
        raw.extend_from_slice(&blocks[5..5 + length]);
        blocks = &blocks[5 + length..];
    }
    let color = |at: usize| {
        let [r, g, b] = [0, 1, 2].map(|channel| palette[at * 3 + channel]);
        gray(&format!("#{r:02x}{g:02x}{b:02x}"))
    };
    let colors = [color(0), color(1)];
    let width = side.div_ceil(8) + 1;
    assert_eq!(raw.len(), width * side);
    let pixel = |at: usize| {
        let (y, x) = (at / side, at % side);
        colors[usize::from(raw[y * width + 1 + x / 8] >> (7 - x % 8) & 1)]
    };
    Pixels { side, gray: (0..side * side).map(pixel).collect() }
}
