//! Drawings: lists of shapes in pixels, rendered to SVG and PNG by plotters.
//!
//! Charts only push shapes, which cannot fail; the one generic, fallible function is the one that
//! renders them.

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{BitMapBackend, DrawingArea, DrawingBackend, IntoDrawingArea, IntoFont, SVGBackend, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, ShapeStyle, TextStyle, register_font};
use std::sync::Once;

pub use plotters::style::RGBColor;

/// Text colour: dark, but not black.
pub const INK: RGBColor = RGBColor(0x26, 0x2b, 0x33);
/// Colour of axis labels and of everything else that is not data.
pub const QUIET: RGBColor = RGBColor(0x5f, 0x67, 0x73);
/// Colour of grid lines.
pub const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
/// Colour-blind safe palette of M. Okabe and K. Ito.
pub const PALETTE: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
];

/// Fonts that the SVG asks for; in a PNG the embedded Ubuntu Light replaces them.
const FONTS: &str = "Helvetica, Arial, sans-serif";
/// Resolution of coordinates: plotters has integer ones, so shapes are placed on a grid this much
/// finer than a pixel.
const SUBPIXELS: f64 = 4.0;
/// Dots per pixel in a PNG, each the mean of `SUBPIXELS / DOTS` squared.
const DOTS: u32 = 2;
/// Ratio of the font size to the em in plotters, which divides by it.
const SIZE_OF_EM: f64 = 1.24;
/// Vertical offset of texts in a PNG, as a fraction of the font size: Ubuntu Light sits too high
/// there, compared with the same text in a browser.
const BITMAP_DROP: f64 = 0.22;

/// Error of drawing a figure.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {figure}")]
pub struct DrawError {
    /// Name of the figure.
    pub figure: String,
    /// Cause of the failure.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Colour with opacity.
#[derive(Debug, Clone, Copy)]
pub struct Paint(
    /// The colour.
    pub RGBColor,
    /// Opacity from 0 (invisible) to 1.
    pub f64,
);

/// Anchor of a text: the end that its position gives.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// The left end.
    Start,
    /// The middle.
    Middle,
    /// The right end.
    End,
}

#[derive(Debug, Clone)]
enum Shape {
    Rectangle { from: (f64, f64), to: (f64, f64), fill: Paint },
    Line { points: Vec<(f64, f64)>, width: f64, paint: Paint },
    Polygon { points: Vec<(f64, f64)>, fill: Paint },
    Circle { center: (f64, f64), radius: f64, fill: Paint },
    Text { at: (f64, f64), text: String, size: f64, color: RGBColor, anchor: Anchor },
}

/// Drawing: shapes on a white page, later ones above earlier ones. Lengths are pixels, the origin
/// is the upper left corner.
#[derive(Debug, Clone)]
pub struct Drawing {
    name: String,
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
}

impl Drawing {
    /// Creates an empty page; `name` is the accessible title.
    pub fn new(name: &str, width: f64, height: f64) -> Self {
        Self { name: name.to_owned(), width, height, shapes: Vec::new() }
    }

    /// Adds a filled rectangle between two corners.
    pub fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), fill: Paint) {
        self.shapes.push(Shape::Rectangle { from, to, fill });
    }

    /// Adds a line through points.
    pub fn line(&mut self, points: &[(f64, f64)], width: f64, paint: Paint) {
        self.shapes.push(Shape::Line { points: points.to_vec(), width, paint });
    }

    /// Adds a filled polygon.
    pub fn polygon(&mut self, points: &[(f64, f64)], fill: Paint) {
        self.shapes.push(Shape::Polygon { points: points.to_vec(), fill });
    }

    /// Adds a filled circle.
    pub fn circle(&mut self, center: (f64, f64), radius: f64, fill: Paint) {
        self.shapes.push(Shape::Circle { center, radius, fill });
    }

    /// Adds a text with its middle line at `at.1`.
    pub fn text(&mut self, at: (f64, f64), text: &str, size: f64, color: RGBColor, anchor: Anchor) {
        self.shapes.push(Shape::Text { at, text: text.to_owned(), size, color, anchor });
    }

    /// Adds the shapes of another drawing, with its upper left corner at `at`.
    pub fn place(&mut self, other: &Self, at: (f64, f64)) {
        let moved = |&(x, y): &(f64, f64)| (x + at.0, y + at.1);
        let all = |points: &[(f64, f64)]| points.iter().map(moved).collect();
        self.shapes.extend(other.shapes.iter().cloned().map(|shape| match shape {
            Shape::Rectangle { from, to, fill } => Shape::Rectangle { from: moved(&from), to: moved(&to), fill },
            Shape::Line { points, width, paint } => Shape::Line { points: all(&points), width, paint },
            Shape::Polygon { points, fill } => Shape::Polygon { points: all(&points), fill },
            Shape::Circle { center, radius, fill } => Shape::Circle { center: moved(&center), radius, fill },
            Shape::Text { at, text, size, color, anchor } => Shape::Text { at: moved(&at), text, size, color, anchor },
        }));
    }

    /// Renders the drawing as SVG; the browser sets its text in a sans-serif font of its own.
    ///
    /// # Errors
    /// If plotters cannot render the drawing.
    pub fn svg(&self) -> Result<String, DrawError> {
        let mut svg = String::new();
        self.render(SVGBackend::with_string(&mut svg, self.grid_size()), 0.0)?;
        // The canvas is SUBPIXELS too large, and joints of a jagged line should not become spikes.
        let (width, height) = self.grid_size();
        let shown = format!(
            "width=\"{}\" height=\"{}\" stroke-linejoin=\"round\" role=\"img\" aria-label=\"{}\"",
            self.width,
            self.height,
            escape(&self.name)
        );
        Ok(svg.replacen(&format!("width=\"{width}\" height=\"{height}\""), &shown, 1))
    }

    /// Renders the drawing as PNG, with two dots per pixel.
    ///
    /// # Errors
    /// If plotters cannot render the drawing, or the image cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>, DrawError> {
        let (width, height) = self.grid_size();
        let mut fine = image::RgbImage::new(width, height);
        self.render(BitMapBackend::with_buffer(&mut fine, (width, height)), BITMAP_DROP)?;
        let shrink = SUBPIXELS as u32 / DOTS;
        let picture = image::imageops::thumbnail(&fine, width / shrink, height / shrink);
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).map_err(|source| self.error(source))?;
        Ok(png.into_inner())
    }

    fn grid_size(&self) -> (u32, u32) {
        ((self.width * SUBPIXELS) as u32, (self.height * SUBPIXELS) as u32)
    }

    /// Renders all shapes, with texts lowered by `drop` times their size.
    fn render<B: DrawingBackend>(&self, backend: B, drop: f64) -> Result<(), DrawError>
    where
        B::ErrorType: 'static,
    {
        register_fonts();
        let area = backend.into_drawing_area();
        area.fill(&WHITE).map_err(|source| self.error(source))?;
        for shape in &self.shapes {
            draw(&area, shape, drop).map_err(|source| self.error(source))?;
        }
        area.present().map_err(|source| self.error(source))
    }

    fn error(&self, source: impl std::error::Error + Send + Sync + 'static) -> DrawError {
        DrawError { figure: self.name.clone(), source: Box::new(source) }
    }
}

/// Escapes a text for an attribute of a document.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Width of `text` in the PNG, pixels; browsers differ by a few percent.
pub fn text_width(text: &str, size: f64) -> f64 {
    register_fonts();
    let font = (FontFamily::Name(FONTS), size * SUBPIXELS * SIZE_OF_EM).into_font();
    // Without the embedded font rendering fails with an error of its own.
    font.box_size(text).map_or(0.0, |(width, _)| f64::from(width) / SUBPIXELS)
}

fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Rendering reports a font that cannot be parsed as missing.
        let _ = register_font(FONTS, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
}

fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    shape: &Shape,
    drop: f64,
) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
    let length = |pixels: f64| (pixels * SUBPIXELS).round() as i32;
    let place = |&(x, y): &(f64, f64)| (length(x), length(y));
    let places = |points: &[(f64, f64)]| points.iter().map(place).collect::<Vec<_>>();
    let filled = |Paint(color, opacity): Paint| ShapeStyle { color: color.mix(opacity), filled: true, stroke_width: 0 };
    match shape {
        Shape::Rectangle { from, to, fill } => area.draw(&Rectangle::new([place(from), place(to)], filled(*fill))),
        Shape::Polygon { points, fill } => area.draw(&Polygon::new(places(points), filled(*fill))),
        Shape::Circle { center, radius, fill } => {
            area.draw(&Circle::new(place(center), length(*radius), filled(*fill)))
        }
        Shape::Line { points, width, paint: Paint(color, opacity) } => {
            let style =
                ShapeStyle { color: color.mix(*opacity), filled: false, stroke_width: length(*width).max(1) as u32 };
            area.draw(&PathElement::new(places(points), style))
        }
        Shape::Text { at: (x, y), text, size, color, anchor } => {
            let horizontal = match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            let font = (FontFamily::Name(FONTS), size * SUBPIXELS * SIZE_OF_EM).into_font();
            let style = TextStyle::from(font).color(color).pos(Pos::new(horizontal, VPos::Center));
            area.draw(&Text::new(text.as_str(), place(&(*x, y + drop * size)), style))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn drawing() -> Drawing {
        let mut drawing = Drawing::new("a < b & \"c\"", 40.0, 30.0);
        drawing.text((20.0, 15.0), "<7 & 'x'", 10.0, INK, Anchor::Middle);
        drawing.rectangle((0.0, 0.0), (10.0, 10.0), Paint(PALETTE[0], 1.0));
        drawing.line(&[(0.0, 29.0), (39.0, 20.0)], 1.5, Paint(PALETTE[1], 0.5));
        drawing
    }

    #[test]
    fn an_svg_is_well_formed_and_scales() {
        let svg = drawing().svg().unwrap();
        assert!(svg.starts_with("<svg width=\"40\" height=\"30\""), "{svg}");
        assert!(svg.contains("viewBox=\"0 0 160 120\"") && svg.contains("&lt;7 &amp; &apos;x&apos;"), "{svg}");
        assert!(svg.contains("sans-serif"));
    }

    #[test]
    fn a_png_has_two_dots_per_pixel_and_shows_the_shapes_and_the_text() {
        let picture = image::load_from_memory(&drawing().png().unwrap()).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (80, 60));
        let RGBColor(r, g, b) = PALETTE[0];
        assert_eq!(picture.get_pixel(5, 5).0, [r, g, b]);
        assert_eq!(picture.get_pixel(79, 0).0, [255; 3]);
        assert!(
            picture.enumerate_pixels().any(|(x, _, pixel)| x > 40 && pixel.0.iter().all(|&value| value < 120)),
            "no text"
        );
    }

    #[test]
    fn a_placed_drawing_is_the_same_elsewhere() {
        let mut page = Drawing::new("page", 80.0, 60.0);
        page.place(&drawing(), (40.0, 30.0));
        let (page, alone) = (page.png().unwrap(), drawing().png().unwrap());
        let pixels = |png: &[u8]| image::load_from_memory(png).unwrap().into_rgb8();
        let part = image::imageops::crop_imm(&pixels(&page), 80, 60, 80, 60).to_image();
        assert!(part == pixels(&alone));
    }

    #[test]
    fn longer_texts_are_wider() {
        assert!(text_width("visual", 12.0) > 1.5 * text_width("vis", 12.0) && text_width("vis", 12.0) > 8.0);
    }
}
