//! The symbol of a QR code: its square of modules, by `qrcodegen`.

use std::fmt;

use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

use super::address::QrAddress;
use crate::model::Invalid;

/// How much of a symbol may be damaged: about 7, 15, 25 and 30 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // The letters of ISO/IEC 18004.
pub enum ErrorLevel {
    L,
    M,
    Q,
    H,
}

impl ErrorLevel {
    /// Parses the letter of a level, in any case.
    pub fn parse(text: &str) -> Option<ErrorLevel> {
        match text {
            "L" | "l" => Some(ErrorLevel::L),
            "M" | "m" => Some(ErrorLevel::M),
            "Q" | "q" => Some(ErrorLevel::Q),
            "H" | "h" => Some(ErrorLevel::H),
            _ => None,
        }
    }

    fn ecc(self) -> QrCodeEcc {
        match self {
            ErrorLevel::L => QrCodeEcc::Low,
            ErrorLevel::M => QrCodeEcc::Medium,
            ErrorLevel::Q => QrCodeEcc::Quartile,
            ErrorLevel::H => QrCodeEcc::High,
        }
    }
}

/// The modules of a code, without margin.
#[derive(Clone)]
pub struct QrSymbol {
    code: QrCode,
    /// The side of the square in the middle whose modules are left out, for a logo. 0 without one.
    cleared: u32,
}

impl fmt::Debug for QrSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrSymbol")
            .field("side", &self.side())
            .field("cleared", &self.cleared)
            .finish_non_exhaustive()
    }
}

impl QrSymbol {
    /// Encodes an address. `level` is the least level without `is_exact`: a higher one that makes the symbol no larger
    /// is used. Fails if the address is too long for any symbol.
    pub fn new(address: &QrAddress, level: ErrorLevel, is_exact: bool) -> Result<QrSymbol, Invalid> {
        let mut segments = vec![QrSegment::make_bytes(address.rest.as_bytes())];
        if !address.capitals.is_empty() {
            segments.insert(0, QrSegment::make_alphanumeric(&address.capitals));
        }
        let code = QrCode::encode_segments_advanced(
            &segments,
            level.ecc(),
            Version::MIN,
            Version::MAX,
            // The mask with the fewest penalty points.
            None,
            !is_exact,
        );
        // The one error of the encoder.
        let code = code.map_err(|_| {
            let length = address.text().len();
            Invalid::new(
                "level",
                format!("has no symbol for {length} characters; choose a lower level or a shorter code"),
            )
        })?;
        Ok(QrSymbol { code, cleared: 0 })
    }

    /// Returns the number of modules on a side.
    pub fn side(&self) -> u32 {
        // Between 21 and 177.
        self.code.size().unsigned_abs()
    }

    /// Leaves out a square in the middle for a logo, and returns its side in modules.
    pub(super) fn clear_middle(&mut self) -> u32 {
        // A module that is left out is wrong in half of all cases, and a codeword of eight modules nearly always, so the
        // share of damaged codewords is about that of the square and its rim. 9 % of the area leave at least half of what
        // Q and H restore (25 and 30 %) for dirt, and are below the 20 % that no logo may exceed.
        let side = self.side();
        let most = f64::from(side) * 0.3;
        // Odd like every side, so that the square is exactly in the middle.
        self.cleared = (1..=side).step_by(2).take_while(|odd| f64::from(*odd) <= most).last().unwrap_or(1);
        self.cleared
    }

    /// Returns whether a module is dark.
    pub fn is_dark(&self, x: u32, y: u32) -> bool {
        let start = (self.side() - self.cleared) / 2;
        let in_middle = |at: u32| (start..start + self.cleared).contains(&at);
        if in_middle(x) && in_middle(y) {
            return false;
        }
        // Modules outside of the symbol are light.
        let at = |at: u32| i32::try_from(at).unwrap_or(-1);
        self.code.get_module(at(x), at(y))
    }

    /// Returns the dark modules of a row as runs: their first column, and their number.
    pub(super) fn runs(&self, y: u32) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for x in (0..self.side()).filter(|x| self.is_dark(*x, y)) {
            match runs.last_mut() {
                Some((start, length)) if *start + *length == x => *length += 1,
                _ => runs.push((x, 1)),
            }
        }
        runs
    }

    /// Returns the level of the symbol.
    pub fn level(&self) -> ErrorLevel {
        match self.code.error_correction_level() {
            QrCodeEcc::Low => ErrorLevel::L,
            QrCodeEcc::Medium => ErrorLevel::M,
            QrCodeEcc::Quartile => ErrorLevel::Q,
            QrCodeEcc::High => ErrorLevel::H,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(url: &str, ignores_case: bool, level: ErrorLevel) -> QrSymbol {
        QrSymbol::new(&QrAddress::new(url, ignores_case), level, true).expect("short enough")
    }

    #[test]
    fn capitals_make_smaller_symbols() {
        let url = "https://go.example.com/spring-sale-2026";
        let sides = [false, true].map(|ignores_case| symbol(url, ignores_case, ErrorLevel::M).side());
        assert_eq!(sides, [33, 29]);
    }

    #[test]
    fn a_free_higher_level_is_used() {
        let address = QrAddress::new("https://e.test/a", false);
        let least = QrSymbol::new(&address, ErrorLevel::L, false).expect("short enough");
        let exact = QrSymbol::new(&address, ErrorLevel::L, true).expect("short enough");
        assert_eq!((least.side(), exact.level()), (exact.side(), ErrorLevel::L));
        assert!(least.level() > ErrorLevel::L);
    }

    #[test]
    fn an_address_that_is_too_long_is_an_error() {
        let address = QrAddress::new(&format!("https://e.test/{}", "a".repeat(1_300)), false);
        let error =
            QrSymbol::new(&address, ErrorLevel::H, true).map(|_| ()).map_err(|error| error.to_string());
        let want = "level: has no symbol for 1320 characters; choose a lower level or a shorter code";
        assert_eq!(error, Err(want.to_owned()));
    }

    #[test]
    fn a_logo_takes_less_than_a_tenth_of_the_area() {
        for length in [1, 60, 200, 1_000] {
            let mut symbol = symbol(&format!("https://e.test/{}", "a".repeat(length)), false, ErrorLevel::Q);
            let (side, cleared) = (symbol.side(), symbol.clear_middle());
            assert!(cleared * cleared * 10 < side * side && cleared % 2 == 1, "{cleared} of {side}");
            let first = (side - cleared) / 2;
            let last = first + cleared - 1;
            assert_eq!(side - 1 - last, first, "in the middle");
            assert!((first..=last).all(|at| !symbol.is_dark(at, first) && !symbol.is_dark(last, at)));
        }
    }
}
