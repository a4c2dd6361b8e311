//! QR codes: the symbol of a short URL, and its picture as SVG or PNG, with colors and a logo.
//!
//! Pure: no I/O, and nothing of the core. A picture that exists can be scanned: its colors have enough contrast, and a
//! logo covers no more than the symbol can lose. Short URLs in codes end in `?qr=1`, so that a visit by a code is known.

pub mod address;
pub mod logo;
pub mod picture;
mod png;
mod svg;
mod svg_logo;
pub mod symbol;
