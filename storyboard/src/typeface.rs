//! The typefaces that the program brings with it, and their glyphs as outlines.

use std::sync::LazyLock;

use tiny_skia::PathBuilder;
use ttf_parser::gpos::{PairAdjustment, PositioningSubtable};
use ttf_parser::{Face, GlyphId, OutlineBuilder, Tag, name_id};

/// The styles of lettering on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Regular,
    Italic,
    Semibold,
}

/// The faces are part of the program: they are read once.
static FACES: LazyLock<Faces> = LazyLock::new(Faces::find);

struct Faces {
    regular: Face<'static>,
    italic: Face<'static>,
    semibold: Face<'static>,
    /// For characters that the others lack: symbols, and scripts that need no shaping.
    symbols: Face<'static>,
}

impl Faces {
    fn find() -> Self {
        let named = |name: &str| {
            let faces = typst_assets::fonts().filter_map(|bytes| Face::parse(bytes, 0).ok());
            let mut faces = faces.filter(|face| full_name(face).as_deref() == Some(name));
            faces
                .next()
                .expect("the pinned font crate brings this face")
        };
        Self {
            regular: named("Libertinus Serif Regular"),
            italic: named("Libertinus Serif Italic"),
            semibold: named("Libertinus Serif Semibold"),
            symbols: named("DejaVu Sans Mono"),
        }
    }

    fn of(&self, style: Style) -> &Face<'static> {
        match style {
            Style::Regular => &self.regular,
            Style::Italic => &self.italic,
            Style::Semibold => &self.semibold,
        }
    }
}

fn full_name(face: &Face<'_>) -> Option<String> {
    let mut names = face.names().into_iter();
    names
        .find(|name| name.name_id == name_id::FULL_NAME && name.is_unicode())?
        .to_string()
}

/// The glyph of a character, in the style's face or the one for symbols.
fn glyph(style: Style, character: char) -> Option<(&'static Face<'static>, GlyphId)> {
    // They would have to be joined and set from right to left: nothing is better than nonsense.
    let needs_shaping = matches!(character as u32, 0x0590..=0x08ff | 0x0900..=0x109f | 0xfb1d..=0xfdff | 0xfe70..=0xfeff);
    if needs_shaping {
        return None;
    }
    let faces = &*FACES;
    [faces.of(style), &faces.symbols]
        .into_iter()
        .find_map(|face| face.glyph_index(character).map(|glyph| (face, glyph)))
}

/// A text as it can be set: in one line, without characters that no face has.
pub(crate) fn settable(text: &str) -> String {
    let shown =
        |c: char| c.is_whitespace() || (!c.is_control() && glyph(Style::Regular, c).is_some());
    let kept: String = text.chars().filter(|c| shown(*c)).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Calls `each` for every glyph of a line with its place, counted in ems from the line's start. Returns the line's length.
fn walk(
    text: &str,
    style: Style,
    tracking: f32,
    mut each: impl FnMut(&'static Face<'static>, GlyphId, f32),
) -> f32 {
    let mut at = 0.0;
    let mut last: Option<(&'static Face<'static>, GlyphId)> = None;
    for (face, glyph) in text.chars().filter_map(|character| glyph(style, character)) {
        let units = f32::from(face.units_per_em());
        if let Some((before, left)) = last {
            at += tracking;
            if std::ptr::eq(before, face) {
                at += kerning(face, left, glyph)
                    .map_or(0.0, |units_closer| f32::from(units_closer) / units);
            }
        }
        each(face, glyph, at);
        at += f32::from(face.glyph_hor_advance(glyph).unwrap_or_default()) / units;
        last = Some((face, glyph));
    }
    at
}

/// How much nearer or further than usual two glyphs stand, in the face's units.
fn kerning(face: &Face<'_>, left: GlyphId, right: GlyphId) -> Option<i16> {
    let table = face.tables().gpos?;
    // Each script has a feature of its own; as their glyphs differ, all of them can be asked.
    let features = table.features.into_iter();
    let kern = features.filter(|feature| feature.tag == Tag::from_bytes(b"kern"));
    kern.flat_map(|feature| feature.lookup_indices)
        .filter_map(|index| table.lookups.get(index))
        .filter_map(|lookup| {
            let subtables = lookup.subtables.into_iter::<PositioningSubtable<'_>>();
            // The first one that knows the pair has the word.
            subtables
                .filter_map(|subtable| advance(subtable, left, right))
                .next()
        })
        .find(|units| *units != 0)
}

fn advance(subtable: PositioningSubtable<'_>, left: GlyphId, right: GlyphId) -> Option<i16> {
    let PositioningSubtable::Pair(pair) = subtable else {
        return None;
    };
    let covered = pair.coverage().get(left)?;
    let (value, _) = match pair {
        PairAdjustment::Format1 { sets, .. } => sets.get(covered)?.get(right)?,
        PairAdjustment::Format2 {
            classes, matrix, ..
        } => matrix.get((classes.0.get(left), classes.1.get(right)))?,
    };
    Some(value.x_advance)
}

/// Length of a line in pixels. `size` is the em in pixels, `tracking` the extra space between letters in ems.
pub(crate) fn length(text: &str, style: Style, size: f32, tracking: f32) -> f32 {
    walk(text, style, tracking, |_, _, _| {}) * size
}

/// Adds the outlines of a line to a path; `x` and `y` are the start of its baseline.
pub(crate) fn outline(
    path: &mut PathBuilder,
    text: &str,
    style: Style,
    size: f32,
    tracking: f32,
    (x, y): (f32, f32),
) {
    walk(text, style, tracking, |face, glyph, at| {
        let mut pen = Pen {
            path,
            scale: size / f32::from(face.units_per_em()),
            x: x + at * size,
            y,
        };
        face.outline_glyph(glyph, &mut pen);
    });
}

/// Text in lines no longer than `width` pixels, at most `lines` of them; what does not fit ends in an ellipsis.
pub(crate) fn wrapped(
    text: &str,
    style: Style,
    size: f32,
    width: f32,
    lines: usize,
) -> Vec<String> {
    let fits = |line: &str| length(line, style, size, 0.0) <= width;
    let mut set: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let joined = set.last().map(|line| format!("{line} {word}"));
        match joined {
            Some(joined) if fits(&joined) => {
                set.pop();
                set.push(joined);
            }
            _ if set.len() < lines => set.push(word.to_owned()),
            _ => {
                if let Some(last) = set.last_mut() {
                    last.push_str(" …");
                }
                break;
            }
        }
    }
    for line in &mut set {
        shorten(line, fits);
    }
    set
}

/// Takes letters from the end of a line until it fits with an ellipsis.
fn shorten(line: &mut String, fits: impl Fn(&str) -> bool) {
    if fits(line) {
        return;
    }
    let ending = |kept: &str| {
        format!(
            "{}…",
            kept.trim_end_matches([' ', '…', ',', '.', ';', ':', '-', '–', '—'])
        )
    };
    let mut kept = line.trim_end_matches('…').to_owned();
    while kept.pop().is_some() {
        if fits(&ending(&kept)) {
            break;
        }
    }
    *line = ending(&kept);
}

/// Draws a glyph into a path, right way up.
struct Pen<'p> {
    path: &'p mut PathBuilder,
    scale: f32,
    x: f32,
    y: f32,
}

impl Pen<'_> {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faces_are_there_and_kern() {
        let pair = length("AV", Style::Regular, 100.0, 0.0);
        let apart =
            length("A", Style::Regular, 100.0, 0.0) + length("V", Style::Regular, 100.0, 0.0);
        assert!(pair < apart - 2.0, "{pair} {apart}");
    }

    #[test]
    fn what_no_face_has_is_left_out() {
        assert_eq!(
            settable("A\n\"day\":\t100%\u{7} 🎬 of rain"),
            "A \"day\": 100% of rain"
        );
        assert_eq!(settable("שלום سلام 東京"), "");
        assert_eq!(settable("Žluťoučký Ωμέγα Привет"), "Žluťoučký Ωμέγα Привет");
    }

    #[test]
    fn lines_fit_and_the_last_one_shows_that_more_was_said() {
        let text = "The keeper climbs the stair while the storm, which has no name, waits at the door and listens";
        let lines = wrapped(text, Style::Regular, 20.0, 260.0, 2);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| length(line, Style::Regular, 20.0, 0.0) <= 260.0),
            "{lines:?}"
        );
        assert!(lines[1].ends_with('…'), "{lines:?}");
        let whole = wrapped("Two words", Style::Regular, 20.0, 260.0, 2);
        assert_eq!(whole, ["Two words"]);
        let endless = wrapped(&"x".repeat(500), Style::Regular, 20.0, 260.0, 2);
        assert!(
            endless[0].ends_with('…') && length(&endless[0], Style::Regular, 20.0, 0.0) <= 260.0
        );
    }
}
