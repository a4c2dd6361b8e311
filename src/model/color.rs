//! [`Rgb`]: a color of a QR code, and the contrast that scanners need.

use std::fmt;

use crate::model::Invalid;
use crate::model::text::trim_invisible;

/// Least contrast between the modules and their background, as WCAG 2 measures it. Scanners read the luminance alone, in
/// bad light and from paper: print loses about half of the contrast of a screen.
pub const CONTRAST_MIN: f64 = 4.0;

/// A color without transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub [u8; 3]);

impl Rgb {
    /// The modules of a QR code by default.
    pub const BLACK: Rgb = Rgb([0; 3]);
    /// The background of a QR code by default.
    pub const WHITE: Rgb = Rgb([255; 3]);

    /// Parses `#1a2b3c`, `1a2b3c`, `#abc` or `abc`.
    pub fn parse(field: &'static str, text: &str) -> Result<Rgb, Invalid> {
        let error = || Invalid::new(field, "must be a color such as 1a2b3c or #1a2b3c, without transparency");
        // What cannot be seen comes with a pasted text.
        let text = trim_invisible(text);
        let digits = text.strip_prefix('#').unwrap_or(text);
        let nibbles: Option<Vec<u8>> = digits
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        match nibbles.as_deref() {
            Some([r, g, b]) => Ok(Rgb([r * 17, g * 17, b * 17])),
            Some([r, r2, g, g2, b, b2]) => Ok(Rgb([r * 16 + r2, g * 16 + g2, b * 16 + b2])),
            _ => Err(error()),
        }
    }

    /// Returns the relative luminance by WCAG 2, from 0 to 1.
    fn luminance(self) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [r, g, b] = self.0.map(linear);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

/// The two colors of a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct Inks {
    pub foreground: Rgb,
    pub background: Rgb,
}

impl Default for Inks {
    fn default() -> Inks {
        Inks { foreground: Rgb::BLACK, background: Rgb::WHITE }
    }
}

impl Inks {
    /// Fails if scanners would not read a code in these colors. `fields` are the names of the two in the request.
    pub fn check(self, fields: [&'static str; 2]) -> Result<(), Invalid> {
        let [name, other] = fields;
        let (dark, light) = (self.foreground.luminance(), self.background.luminance());
        // By the definition of WCAG: 1 for equal colors, 21 for black and white.
        let ratio = (dark.max(light) + 0.05) / (dark.min(light) + 0.05);
        let colors = format!("{} on {}", self.foreground, self.background);
        // Rounded down, so that a ratio just below the bound is not shown as the bound.
        let shown = (ratio * 100.0).floor() / 100.0;
        if dark > light {
            let why = format!(
                "must be darker than {other}: many scanners do not read inverted codes ({colors}, contrast {shown}:1)"
            );
            return Err(Invalid::new(name, why));
        }
        if ratio < CONTRAST_MIN {
            let why = format!(
                "has too little contrast to {other} for scanners: {colors} is {shown}:1, and {CONTRAST_MIN}:1 is needed"
            );
            return Err(Invalid::new(name, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_in_their_spellings() {
        let rows = [
            ("#1a2B3c", Some("#1a2b3c")),
            ("1a2b3c", Some("#1a2b3c")),
            ("#abc", Some("#aabbcc")),
            // As pasted.
            ("\u{200b}#abc\u{feff}", Some("#aabbcc")),
            ("000", Some("#000000")),
            ("", None),
            ("#", None),
            ("##abc", None),
            ("#abcd", None),
            ("#1a2b3c80", None),
            ("12345", None),
            ("red", None),
            ("transparent", None),
            ("+12", None),
            // Full-width digits are no digits of a color.
            ("\u{ff11}23", None),
        ];
        for (text, want) in rows {
            let got = Rgb::parse("fg", text).ok().map(|color| color.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn scanners_need_contrast() {
        let rows = [
            ("000", "fff", ""),
            ("1a2b3c", "fff", ""),
            ("767676", "fff", ""),
            ("000080", "ffd700", ""),
            (
                "888",
                "fff",
                "fg: has too little contrast to bg for scanners: #888888 on #ffffff is 3.54:1, and 4:1 is needed",
            ),
            (
                "ff0000",
                "fff",
                "fg: has too little contrast to bg for scanners: #ff0000 on #ffffff is 3.99:1, and 4:1 is needed",
            ),
            (
                "000",
                "000",
                "fg: has too little contrast to bg for scanners: #000000 on #000000 is 1:1, and 4:1 is needed",
            ),
            (
                "fff",
                "000",
                "fg: must be darker than bg: many scanners do not read inverted codes (#ffffff on #000000, contrast 21:1)",
            ),
        ];
        for (foreground, background, want) in rows {
            let color = |text| Rgb::parse("color", text).expect("a color");
            let inks = Inks { foreground: color(foreground), background: color(background) };
            let got = inks.check(["fg", "bg"]).map_err(|error| error.to_string());
            assert_eq!(got.err().unwrap_or_default(), want, "{foreground} on {background}");
        }
    }
}
