//! Writes the picture of a symbol as SVG: a background, one path for all modules, and the logo.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::logo::QrLogo;
use super::symbol::QrSymbol;
use crate::model::color::Inks;

/// Returns the picture. Its unit is a module, and `size` the width in pixels of a program that shows it as it is.
pub(super) fn svg(
    symbol: &QrSymbol,
    margin: u32,
    size: u32,
    inks: Inks,
    logo: Option<(&QrLogo, u32)>,
) -> Vec<u8> {
    let side = symbol.side() + 2 * margin;
    // Crisp edges: otherwise a viewer smooths the edges between rows, and thin lines of the background appear.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"{size}\" \
         height=\"{size}\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"{}\"/><path fill=\"{}\" d=\"",
        inks.background, inks.foreground
    );
    for y in 0..symbol.side() {
        for (x, length) in symbol.runs(y) {
            let (x, y) = (x + margin, y + margin);
            // A rectangle of one row. Writing to a text cannot fail.
            let _ = write!(svg, "M{x} {y}h{length}v1h-{length}z");
        }
    }
    svg.push_str("\"/>");
    if let Some((logo, cleared)) = logo {
        push_logo(&mut svg, logo, f64::from(side), f64::from(cleared));
    }
    svg.push_str("</svg>\n");
    svg.into_bytes()
}

fn push_logo(svg: &mut String, logo: &QrLogo, side: f64, cleared: f64) {
    // Half a module of background around the logo, so that its edge is none of a module.
    let width = cleared - 1.0;
    let start = (side - width) / 2.0;
    let data = STANDARD.encode(&logo.file().bytes);
    let url = format!("data:{};base64,{data}", logo.file().format.media_type());
    // Both names of the attribute: Preview of macOS knows the old one alone.
    let _ = write!(
        svg,
        "<image x=\"{start}\" y=\"{start}\" width=\"{width}\" height=\"{width}\" href=\"{url}\" xlink:href=\"{url}\"/>"
    );
}
