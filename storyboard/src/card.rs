//! The lettering of a storyboard card: which scene it is, what happens, how the camera moves.

use shared::job::KeyframePayload;
use shared::story::Camera;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Shader, Stroke, Transform,
};

use crate::canvas::{Canvas, HEIGHT, Ink};
use crate::colour::Colour;
use crate::palette::Palette;
use crate::typeface::{Style, length, outline, settable, wrapped};

/// Smallest em at which the title and the text below it can be read, in pixels.
const SMALLEST_TITLE: f32 = 10.0;
const SMALLEST_TEXT: f32 = 8.0;

/// Darkens the edges, and lays the lettering over the lower third.
pub(crate) fn paint(payload: &KeyframePayload, palette: &Palette, pixmap: &mut Pixmap) {
    vignette(palette, pixmap);
    let card = Card::plan(
        payload,
        palette,
        pixmap.width() as f32,
        pixmap.height() as f32,
    );
    if let Some(card) = card {
        card.paint(pixmap);
    }
}

fn vignette(palette: &Palette, pixmap: &mut Pixmap) {
    let mut canvas = Canvas::new(pixmap);
    let centre = (canvas.width() / 2.0, HEIGHT * 0.46);
    let radius = (centre.0.powi(2) + centre.1.powi(2)).sqrt() * 1.12;
    let dark = palette.deep.to(Colour::BLACK, 0.4);
    canvas.flood(&Ink::Around(
        centre,
        radius,
        vec![(0.0, dark, 0.0), (0.55, dark, 0.0), (1.0, dark, 0.5)],
    ));
}

/// The layout, in pixels.
struct Card<'a> {
    payload: &'a KeyframePayload,
    palette: &'a Palette,
    width: f32,
    height: f32,
    /// What sizes are measured by: the height, less where the picture is narrow.
    unit: f32,
    margin: f32,
    title: Vec<String>,
    text: Vec<String>,
}

impl<'a> Card<'a> {
    /// The layout; none where the picture is too small to be read.
    fn plan(
        payload: &'a KeyframePayload,
        palette: &'a Palette,
        width: f32,
        height: f32,
    ) -> Option<Self> {
        let unit = height.min(width / 1.15);
        let margin = unit * 0.06;
        let title_size = unit * Self::TITLE;
        if title_size < SMALLEST_TITLE {
            return None;
        }
        let room = width - 2.0 * margin;
        let shown = settable(&payload.scene.title);
        let shown = if shown.is_empty() {
            format!("Scene {}", payload.scene.number)
        } else {
            shown
        };
        let title = wrapped(&shown, Style::Semibold, title_size, room - unit * 0.2, 1);
        let text_size = unit * Self::TEXT;
        let text = if text_size < SMALLEST_TEXT {
            Vec::new()
        } else {
            // Lines of some sixty letters read best.
            let measure = (room - unit * 0.24).min(text_size * 30.0);
            wrapped(
                &settable(&payload.scene.action),
                Style::Regular,
                text_size,
                measure,
                2,
            )
        };
        Some(Self {
            payload,
            palette,
            width,
            height,
            unit,
            margin,
            title,
            text,
        })
    }

    const TITLE: f32 = 0.066;
    const TEXT: f32 = 0.0315;
    const SMALL: f32 = 0.0225;

    fn paint(&self, pixmap: &mut Pixmap) {
        let unit = self.unit;
        let bright = self.palette.light.to(Colour::WHITE, 0.55);
        let accent = self.palette.lamp.to(Colour::WHITE, 0.12);
        let line = unit * Self::TEXT * 1.3;
        let text_top = self.height - self.margin - line * (self.text.len() as f32 - 1.0).max(0.0);
        let title_foot = if self.text.is_empty() {
            self.height - self.margin
        } else {
            text_top - unit * 0.056
        };
        let slug_foot = title_foot - unit * Self::TITLE * 0.98;
        self.scrim(pixmap, slug_foot);
        let mut title = PathBuilder::new();
        for text in &self.title {
            outline(
                &mut title,
                text,
                Style::Semibold,
                unit * Self::TITLE,
                0.0,
                (self.margin, title_foot),
            );
        }
        fill(pixmap, title, bright, 1.0);
        let mut body = PathBuilder::new();
        for (index, text) in self.text.iter().enumerate() {
            let foot = text_top + line * index as f32;
            outline(
                &mut body,
                text,
                Style::Regular,
                unit * Self::TEXT,
                0.004,
                (self.margin, foot),
            );
        }
        fill(pixmap, body, bright, 0.86);
        if unit * Self::SMALL < SMALLEST_TEXT * 0.85 {
            return;
        }
        let mut slug = PathBuilder::new();
        outline(
            &mut slug,
            &self.slug(),
            Style::Semibold,
            unit * Self::SMALL,
            0.13,
            (self.margin, slug_foot),
        );
        fill(pixmap, slug, accent, 1.0);
        self.head(pixmap, bright);
        self.camera(pixmap, bright, accent);
    }

    /// `SCENE 3 OF 6 · CATALYST`.
    fn slug(&self) -> String {
        let scene = &self.payload.scene;
        let number = format!(
            "SCENE {} OF {}",
            scene.number,
            self.payload.scenes.max(scene.number)
        );
        let beat = settable(&scene.beat).to_uppercase();
        let room = (self.width - 2.0 * self.margin) * 0.5;
        let beat = wrapped(
            &beat,
            Style::Semibold,
            self.unit * Self::SMALL * 1.15,
            room,
            1,
        );
        beat.into_iter()
            .fold(number, |number, beat| format!("{number}  ·  {beat}"))
    }

    /// The lower third grows dark, so that letters are read on any picture.
    fn scrim(&self, pixmap: &mut Pixmap, slug_foot: f32) {
        let mut canvas = Canvas::new(pixmap);
        let to_units = HEIGHT / self.height;
        let top = (slug_foot - self.unit * 0.17) * to_units;
        let dark = self.palette.deep.to(Colour::BLACK, 0.35);
        let width = canvas.width();
        canvas.block(
            0.0,
            top,
            width,
            HEIGHT,
            &Ink::Down(vec![
                (top, dark, 0.0),
                (top + (HEIGHT - top) * 0.35, dark, 0.42),
                (HEIGHT, dark, 0.86),
            ]),
        );
    }

    /// The film's title and the scene's length, small, along the top.
    fn head(&self, pixmap: &mut Pixmap, colour: Colour) {
        let size = self.unit * Self::SMALL * 1.12;
        let foot = self.margin + size * 0.5;
        let seconds = format!("{} s", (self.payload.scene.seconds * 10.0).round() / 10.0);
        let right = self.width - self.margin - length(&seconds, Style::Italic, size, 0.01);
        let title = wrapped(
            &settable(&self.payload.title),
            Style::Italic,
            size,
            right - 3.0 * self.margin,
            1,
        );
        let mut path = PathBuilder::new();
        for text in &title {
            outline(
                &mut path,
                text,
                Style::Italic,
                size,
                0.01,
                (self.margin, foot),
            );
        }
        outline(
            &mut path,
            &seconds,
            Style::Italic,
            size,
            0.01,
            (right, foot),
        );
        let shade = path.clone().finish();
        let shift = Transform::from_translate(size * 0.04, size * 0.06);
        if let Some(shade) = shade.and_then(|path| path.transform(shift)) {
            fill_path(pixmap, &shade, self.palette.deep, 0.45);
        }
        fill(pixmap, path, colour, 0.85);
    }

    /// A little frame with arrows that says how the camera moves, and the same in words.
    fn camera(&self, pixmap: &mut Pixmap, colour: Colour, accent: Colour) {
        let unit = self.unit;
        let (wide, tall) = (unit * 0.105, unit * 0.059);
        let label = self
            .payload
            .scene
            .camera
            .name()
            .replace('-', " ")
            .to_uppercase();
        let size = unit * Self::SMALL * 0.84;
        let label_length = length(&label, Style::Regular, size, 0.1);
        let right = self.width - self.margin;
        let foot = self.height - self.margin;
        let mut path = PathBuilder::new();
        outline(
            &mut path,
            &label,
            Style::Regular,
            size,
            0.1,
            (right - label_length, foot),
        );
        fill(pixmap, path, colour, 0.8);
        let (left, top) = (right - wide, foot - size * 1.75 - tall);
        let thin = (unit * 0.0026).max(1.0);
        let frame = rectangle(left, top, wide, tall);
        stroke(pixmap, frame, colour, 0.8, thin);
        let at = |x: f32, y: f32| (left + x * wide, top + y * tall);
        let mut arrows = Vec::new();
        match self.payload.scene.camera {
            Camera::Static => {
                stroke(
                    pixmap,
                    cross(at(0.5, 0.5), tall * 0.16),
                    accent,
                    1.0,
                    thin * 1.3,
                );
            }
            Camera::PushIn | Camera::PullOut => {
                let inner = rectangle(left + wide * 0.3, top + tall * 0.3, wide * 0.4, tall * 0.4);
                stroke(pixmap, inner, accent, 0.75, thin);
                for (x, y) in [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)] {
                    let (outer, inner) = (
                        at(0.05 + 0.9 * x, 0.08 + 0.84 * y),
                        at(0.27 + 0.46 * x, 0.27 + 0.46 * y),
                    );
                    arrows.push(if self.payload.scene.camera == Camera::PushIn {
                        (outer, inner)
                    } else {
                        (inner, outer)
                    });
                }
            }
            Camera::PanLeft => arrows.push((at(0.82, 0.5), at(0.14, 0.5))),
            Camera::PanRight => arrows.push((at(0.18, 0.5), at(0.86, 0.5))),
            Camera::TiltUp => arrows.push((at(0.5, 0.84), at(0.5, 0.14))),
            Camera::TiltDown => arrows.push((at(0.5, 0.16), at(0.5, 0.86))),
        }
        for (from, to) in arrows {
            stroke(
                pixmap,
                arrow(from, to, tall * 0.17),
                accent,
                1.0,
                thin * 1.25,
            );
        }
    }
}

fn rectangle(left: f32, top: f32, wide: f32, tall: f32) -> PathBuilder {
    let mut path = PathBuilder::new();
    path.move_to(left, top);
    path.line_to(left + wide, top);
    path.line_to(left + wide, top + tall);
    path.line_to(left, top + tall);
    path.close();
    path
}

fn cross((x, y): (f32, f32), reach: f32) -> PathBuilder {
    let mut path = PathBuilder::new();
    path.move_to(x - reach, y);
    path.line_to(x + reach, y);
    path.move_to(x, y - reach);
    path.line_to(x, y + reach);
    path
}

fn arrow(from: (f32, f32), to: (f32, f32), head: f32) -> PathBuilder {
    let mut path = PathBuilder::new();
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
    let turn = (to.1 - from.1).atan2(to.0 - from.0);
    for side in [-0.62, 0.62] {
        let back = turn + std::f32::consts::PI + side;
        path.move_to(to.0 + head * back.cos(), to.1 + head * back.sin());
        path.line_to(to.0, to.1);
    }
    path
}

fn paint_of(colour: Colour, alpha: f32) -> Paint<'static> {
    let colour = Color::from_rgba(colour.red, colour.green, colour.blue, alpha);
    Paint {
        shader: Shader::SolidColor(colour.unwrap_or(Color::WHITE)),
        anti_alias: true,
        ..Paint::default()
    }
}

fn fill(pixmap: &mut Pixmap, path: PathBuilder, colour: Colour, alpha: f32) {
    if let Some(path) = path.finish() {
        fill_path(pixmap, &path, colour, alpha);
    }
}

fn fill_path(pixmap: &mut Pixmap, path: &tiny_skia::Path, colour: Colour, alpha: f32) {
    let paint = paint_of(colour, alpha);
    pixmap.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
}

fn stroke(pixmap: &mut Pixmap, path: PathBuilder, colour: Colour, alpha: f32, width: f32) {
    let stroke = Stroke {
        width,
        line_cap: LineCap::Round,
        line_join: LineJoin::Round,
        ..Stroke::default()
    };
    if let Some(path) = path.finish() {
        pixmap.stroke_path(
            &path,
            &paint_of(colour, alpha),
            &stroke,
            Transform::identity(),
            None,
        );
    }
}
