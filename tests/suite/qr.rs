//! QR codes are read back by a decoder that shares nothing with their encoder.

use waypost::qr::picture::{QrFormat, QrRequest};
use waypost::qr::symbol::ErrorLevel;

use crate::support::qr_pictures::{Pixels, QrCase, matrix, pixels};

/// Returns the text of the code in a picture.
fn read(pixels: &Pixels) -> Result<String, String> {
    let Pixels { side, gray } = pixels;
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(*side, *side, |x, y| gray[y * side + x]);
    let found = picture.detect_grids();
    let [grid] = found.as_slice() else { return Err(format!("{} codes", found.len())) };
    grid.decode().map(|(_, text)| text).map_err(|error| error.to_string())
}

/// A part of the matrix of 4,800 pictures, which `tests/soak/run` reads whole with another decoder.
#[test]
fn pictures_are_read_back() {
    let mut failures = Vec::new();
    // A step without a common factor with the periods of the properties.
    for case in matrix(4_800).step_by(37) {
        let picture = case.draw();
        // A logo may be dark or light.
        for logo in if case.has_logo { &[0, 255][..] } else { &[0] } {
            match read(&pixels(&picture, *logo)) {
                Ok(text) if text == case.text() => {}
                other => failures.push(format!("{case:?}: {other:?}")),
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// The mean of the square around each pixel.
fn blurred(pixels: &Pixels, radius: usize) -> Pixels {
    let side = pixels.side;
    let mean = |at: usize| {
        let (y, x) = (at / side, at % side);
        let range = |at: usize| at.saturating_sub(radius)..(at + radius + 1).min(side);
        let (mut sum, mut count) = (0_u64, 0);
        for row in range(y) {
            for column in range(x) {
                sum += u64::from(pixels.gray[row * side + column]);
                count += 1;
            }
        }
        u8::try_from(sum / count).expect("a mean of bytes")
    };
    Pixels { side, gray: (0..side * side).map(mean).collect() }
}

/// 25 mm at 300 dots an inch are 295 pixels.
#[test]
fn a_printed_code_that_is_blurred_by_a_module_is_read() {
    for (format, url) in [
        (QrFormat::Png, "https://go.example.com/spring-sale"),
        (QrFormat::Svg, "https://go.example.com/spring-sale"),
        (QrFormat::Png, "https://w.test/a"),
    ] {
        let request = QrRequest { format, size: 295, ..QrRequest::default() };
        let case = QrCase { url: url.to_owned(), ignores_case: false, request, has_logo: false };
        let sharp = pixels(&case.draw(), 0);
        let module = sharp.side / (29 + 8);
        // A square of one module around each pixel.
        let blurred = blurred(&sharp, module / 2);
        assert_eq!(read(&blurred), Ok(case.text()), "{format:?} {url}");
    }
}

/// The picture of each size has it exactly, and its modules are in the middle.
#[test]
fn a_png_has_whole_pixels_for_each_module() {
    for size in [33, 37, 64, 100, 295, 512, 2_048] {
        let request =
            QrRequest { format: QrFormat::Png, size, level: Some(ErrorLevel::M), ..QrRequest::default() };
        let case =
            QrCase { url: "https://e.test/a".to_owned(), ignores_case: false, request, has_logo: false };
        let Pixels { side, gray } = pixels(&case.draw(), 0);
        assert_eq!(side as u64, size);
        let scale = side / 33;
        let (first, row) = (gray.iter().position(|pixel| *pixel == 0).expect("a dark pixel"), |y: usize| {
            &gray[y * side..][..side]
        });
        let start = first / side;
        assert_eq!(first % side, start, "{size}: as far from the left as from the top");
        assert_eq!(start, (side - 25 * scale) / 2, "{size}");
        for (y, x) in (0..25).flat_map(|y| (0..25).map(move |x| (y, x))) {
            let module = |dy: usize, dx: usize| row(start + y * scale + dy)[start + x * scale + dx];
            let corner = module(0, 0);
            assert!(
                (0..scale).all(|at| module(at, scale - 1) == corner && module(scale - 1, at) == corner),
                "{size}: {y} {x}"
            );
        }
    }
}
