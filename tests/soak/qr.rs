//! 4,800 pictures of QR codes, read back by two decoders that share nothing with the encoder and little with each other:
//! rqrr, and zbar of the distribution. Acceptance of the QR codes.

use std::fs;
use std::path::Path;
use std::process::Command;

use waypost::qr::picture::QrFormat;

use crate::Report;
use crate::support::qr_pictures::{Pixels, QrCase, matrix, pixels};

const PICTURES: usize = 4_800;

/// Pictures of a short run.
const SHORT: usize = 400;

/// A step without a common factor with the periods of the properties.
const STEP: usize = 37;

pub(crate) fn pictures_are_read_by_two_decoders(report: &mut Report) {
    let count = if report.is_short() { SHORT } else { PICTURES };
    let cases: Vec<QrCase> = matrix(PICTURES * STEP).step_by(STEP).take(count).collect();
    let bar = "0 not read";
    let failed = cases.iter().filter(|case| !is_read_by_rqrr(case)).count();
    report.row("QR", "pictures read by rqrr", bar, &format!("{failed} of {count}"), failed == 0);
    let what = "pictures read by zbar";
    if Command::new("zbarimg").arg("--version").output().is_err() {
        return report.skipped("QR", what, "apt-get install zbar-tools");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let failed: Vec<&QrCase> = cases.iter().filter(|case| !is_read_by_zbar(case, folder.path())).collect();
    report.row("QR", what, bar, &format!("{} of {count}", failed.len()), failed.is_empty());
    for case in failed.iter().take(5) {
        report.row("QR", &format!("{case:?}"), "read", "not read", false);
    }
}

fn is_read_by_rqrr(case: &QrCase) -> bool {
    let Pixels { side, gray } = pixels(&case.draw(), 0);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| gray[y * side + x]);
    let found = picture.detect_grids();
    found.len() == 1 && found[0].decode().is_ok_and(|(_, text)| text == case.text())
}

/// A PNG is read as it is. An SVG is read as pixels, since zbar draws none.
fn is_read_by_zbar(case: &QrCase, folder: &Path) -> bool {
    let picture = case.draw();
    let file = match picture.format {
        QrFormat::Png => {
            let file = folder.join("code.png");
            fs::write(&file, &picture.bytes).expect("a file");
            file
        }
        QrFormat::Svg => {
            let Pixels { side, gray } = pixels(&picture, 255);
            let file = folder.join("code.pgm");
            fs::write(&file, [format!("P5 {side} {side} 255\n").as_bytes(), &gray].concat()).expect("a file");
            file
        }
    };
    let read = Command::new("zbarimg")
        .args(["--quiet", "--raw", "--nodbus", "-Sdisable", "-Sqrcode.enable"])
        .arg(&file)
        .output()
        .expect("zbarimg runs");
    String::from_utf8_lossy(&read.stdout).trim_end() == case.text()
}
