//! What the scenery is painted on: a thin cover over a pixmap, measured in thousandths of the picture's height.

use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point,
    RadialGradient, Shader, SpreadMode, Stroke, Transform,
};

use crate::colour::Colour;

/// Height of every picture in the painter's units.
pub(crate) const HEIGHT: f32 = 1_000.0;

/// A point in the painter's units.
pub(crate) type Spot = (f32, f32);

/// What a shape is filled with.
#[derive(Debug, Clone)]
pub(crate) enum Ink {
    /// One colour, at an opacity.
    Flat(Colour, f32),
    /// From top to bottom: height, colour and opacity of each stop.
    Down(Vec<(f32, Colour, f32)>),
    /// From left to right: place, colour and opacity of each stop.
    Across(Vec<(f32, Colour, f32)>),
    /// Around a spot, out to a radius: share of the radius, colour and opacity of each stop.
    Around(Spot, f32, Vec<(f32, Colour, f32)>),
}

impl From<Colour> for Ink {
    fn from(colour: Colour) -> Self {
        Self::Flat(colour, 1.0)
    }
}

/// A pixmap with the painter's units.
#[derive(Debug)]
pub(crate) struct Canvas<'p> {
    pixmap: &'p mut Pixmap,
    scale: f32,
}

impl<'p> Canvas<'p> {
    /// Over a whole pixmap.
    pub(crate) fn new(pixmap: &'p mut Pixmap) -> Self {
        let scale = pixmap.height() as f32 / HEIGHT;
        Self { pixmap, scale }
    }

    /// Width in the painter's units; the height is always [`HEIGHT`].
    pub(crate) fn width(&self) -> f32 {
        self.pixmap.width() as f32 / self.scale
    }

    /// Fills a path; nothing happens for one without an area.
    pub(crate) fn fill(&mut self, path: Option<&Path>, ink: &Ink) {
        let Some(path) = path else { return };
        let paint = Paint {
            shader: shader(ink),
            anti_alias: true,
            ..Paint::default()
        };
        let scale = Transform::from_scale(self.scale, self.scale);
        self.pixmap
            .fill_path(path, &paint, FillRule::Winding, scale, None);
    }

    /// Draws a line through spots. Lines never get thinner than half a pixel, so that rain is seen in small pictures.
    pub(crate) fn line(&mut self, spots: &[Spot], width: f32, ink: &Ink) {
        let Some(path) = through(spots, false) else {
            return;
        };
        let paint = Paint {
            shader: shader(ink),
            anti_alias: true,
            ..Paint::default()
        };
        let stroke = Stroke {
            width: width.max(0.5 / self.scale),
            line_cap: tiny_skia::LineCap::Round,
            line_join: tiny_skia::LineJoin::Round,
            ..Stroke::default()
        };
        let scale = Transform::from_scale(self.scale, self.scale);
        self.pixmap.stroke_path(&path, &paint, &stroke, scale, None);
    }

    /// Fills the whole canvas.
    pub(crate) fn flood(&mut self, ink: &Ink) {
        self.block(0.0, 0.0, self.width(), HEIGHT, ink);
    }

    /// Fills a rectangle.
    pub(crate) fn block(&mut self, left: f32, top: f32, right: f32, bottom: f32, ink: &Ink) {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.shape(&corners, ink);
    }

    /// Fills a polygon.
    pub(crate) fn shape(&mut self, corners: &[Spot], ink: &Ink) {
        self.fill(through(corners, true).as_ref(), ink);
    }

    /// Fills a circle.
    pub(crate) fn disc(&mut self, (x, y): Spot, radius: f32, ink: &Ink) {
        self.fill(PathBuilder::from_circle(x, y, radius).as_ref(), ink);
    }

    /// Fills an ellipse.
    pub(crate) fn oval(&mut self, (x, y): Spot, across: f32, down: f32, ink: &Ink) {
        let frame = tiny_skia::Rect::from_ltrb(x - across, y - down, x + across, y + down);
        self.fill(frame.and_then(PathBuilder::from_oval).as_ref(), ink);
    }

    /// Fills everything below a line that runs from left to right.
    pub(crate) fn ground(&mut self, ridge: &[Spot], ink: &Ink) {
        let (Some(first), Some(last)) = (ridge.first(), ridge.last()) else {
            return;
        };
        let mut corners = ridge.to_vec();
        corners.extend([(last.0, HEIGHT + 10.0), (first.0, HEIGHT + 10.0)]);
        self.shape(&corners, ink);
    }

    /// A soft light: strongest at its spot, nothing at its radius.
    pub(crate) fn glow(&mut self, spot: Spot, radius: f32, colour: Colour, strength: f32) {
        let fall = [
            (0.0, 1.0),
            (0.15, 0.72),
            (0.35, 0.36),
            (0.6, 0.13),
            (1.0, 0.0),
        ];
        let stops = fall.map(|(place, share)| (place, colour, strength * share));
        let ink = Ink::Around(spot, radius, stops.to_vec());
        self.disc(spot, radius, &ink);
    }
}

/// A path through spots; none if they make no line.
pub(crate) fn through(spots: &[Spot], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::with_capacity(spots.len() + 2, spots.len() + 2);
    let (first, rest) = spots.split_first()?;
    path.move_to(first.0, first.1);
    for (x, y) in rest {
        path.line_to(*x, *y);
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn shader(ink: &Ink) -> Shader<'static> {
    let between = |stops: &[(f32, Colour, f32)], start: Point, end: Point, low: f32, high: f32| {
        let span = high - low;
        let stops = stops
            .iter()
            .map(|(at, colour, alpha)| GradientStop::new((at - low) / span, rgba(*colour, *alpha)));
        let stops = stops.collect();
        LinearGradient::new(start, end, stops, SpreadMode::Pad, Transform::identity())
    };
    let ends = |stops: &[(f32, Colour, f32)]| {
        let low = stops.first().map_or(0.0, |stop| stop.0);
        (low, stops.last().map_or(1.0, |stop| stop.0).max(low + 0.01))
    };
    let made = match ink {
        Ink::Flat(colour, alpha) => return Shader::SolidColor(rgba(*colour, *alpha)),
        Ink::Down(stops) => {
            let (low, high) = ends(stops);
            let (start, end) = (Point::from_xy(0.0, low), Point::from_xy(0.0, high));
            between(stops, start, end, low, high)
        }
        Ink::Across(stops) => {
            let (low, high) = ends(stops);
            let (start, end) = (Point::from_xy(low, 0.0), Point::from_xy(high, 0.0));
            between(stops, start, end, low, high)
        }
        Ink::Around((x, y), radius, stops) => {
            let centre = Point::from_xy(*x, *y);
            let stops = stops
                .iter()
                .map(|(at, colour, alpha)| GradientStop::new(*at, rgba(*colour, *alpha)));
            RadialGradient::new(
                centre,
                0.0,
                centre,
                *radius,
                stops.collect(),
                SpreadMode::Pad,
                Transform::identity(),
            )
        }
    };
    // A gradient without an extent shows nothing.
    made.unwrap_or(Shader::SolidColor(Color::TRANSPARENT))
}

fn rgba(colour: Colour, alpha: f32) -> Color {
    let part = |part: f32| part.clamp(0.0, 1.0);
    Color::from_rgba(
        part(colour.red),
        part(colour.green),
        part(colour.blue),
        part(alpha),
    )
    .expect("all parts are clamped")
}
