//! The colours of a picture: one of a few palettes mixed by hand, turned a little for each film and each scene.

use crate::colour::Colour;
use crate::dice::{Dice, hash};
use crate::reading::{Hour, Place, Reading, Weather};

/// The colours that a picture is painted with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    /// The sky overhead.
    pub(crate) zenith: Colour,
    /// The sky half way down.
    pub(crate) sky: Colour,
    /// The sky where it meets the land.
    pub(crate) horizon: Colour,
    /// Sun, moon and what they touch.
    pub(crate) light: Colour,
    /// What is far away fades into this.
    pub(crate) haze: Colour,
    /// What is near stands out in this.
    pub(crate) deep: Colour,
    /// Lamps, windows, fire; also the accent of the lettering.
    pub(crate) lamp: Colour,
}

const fn palette(colours: [u32; 7]) -> Palette {
    Palette {
        zenith: Colour::hex(colours[0]),
        sky: Colour::hex(colours[1]),
        horizon: Colour::hex(colours[2]),
        light: Colour::hex(colours[3]),
        haze: Colour::hex(colours[4]),
        deep: Colour::hex(colours[5]),
        lamp: Colour::hex(colours[6]),
    }
}

const DAWN: Palette = palette([
    0x3a4a72, 0xb27f92, 0xf8cda0, 0xffedcc, 0xb88a98, 0x241f38, 0xffd38c,
]);
const MORNING: Palette = palette([
    0x4a93b8, 0x9ccdd2, 0xf4e9c8, 0xfffae6, 0x8fb9b8, 0x15343c, 0xf6b25e,
]);
const DAY: Palette = palette([
    0x2f74ad, 0x7fb8d0, 0xe3efdc, 0xfffbe8, 0x8ab5bd, 0x12303a, 0xf4a85a,
]);
const GOLDEN: Palette = palette([
    0x456a86, 0xe0a477, 0xffdca0, 0xfff4d2, 0xc98a6c, 0x33182a, 0xfff0b8,
]);
const DUSK: Palette = palette([
    0x1c1f48, 0x7c3f74, 0xf68a68, 0xffe0b0, 0x7d466f, 0x150d26, 0xffc76e,
]);
const NIGHT: Palette = palette([
    0x060b1c, 0x11274a, 0x3a6180, 0xf6f1dc, 0x234766, 0x040811, 0xffcf7a,
]);
const STORM: Palette = palette([
    0x12181f, 0x33424b, 0x93a195, 0xe4ecd9, 0x53656a, 0x0a1015, 0xffd479,
]);
const STORM_NIGHT: Palette = palette([
    0x07090f, 0x17222f, 0x4d6470, 0xdce8e6, 0x2c3d4a, 0x04070b, 0xffd27a,
]);
const FOG: Palette = palette([
    0x8b9aa2, 0xb6c0bf, 0xdfe0d4, 0xfdf9ea, 0xb4bfbf, 0x26353d, 0xeda860,
]);
const SNOW: Palette = palette([
    0x5f83a8, 0xaec6d8, 0xf1f2ec, 0xfffbf2, 0xa9c0d3, 0x1c2d42, 0xffb865,
]);
const DESERT: Palette = palette([
    0x3f8796, 0xefc88f, 0xfde8bc, 0xfff8de, 0xdf9f6e, 0x4e2320, 0xfff0c0,
]);
const WOODS: Palette = palette([
    0x6f9d8c, 0xb4d0a6, 0xf5f1c6, 0xfffce0, 0x84ad8e, 0x0d241d, 0xffd57e,
]);
const NEON: Palette = palette([
    0x0b0922, 0x3a1b5e, 0xc9487f, 0xffe4f0, 0x4a2672, 0x06051a, 0x66f2e6,
]);
const ROOM_WARM: Palette = palette([
    0x2a1b19, 0x5c3a2a, 0xb0764a, 0xffe6b0, 0x6b4430, 0x120a0a, 0xffce74,
]);
const ROOM_COOL: Palette = palette([
    0x131b26, 0x26394d, 0x56788a, 0xe2f0ff, 0x30475b, 0x090e16, 0xffc877,
]);
const SPACE: Palette = palette([
    0x03030b, 0x120f2e, 0x3a2260, 0xf2ecff, 0x2e2556, 0x04040c, 0x7fd6ff,
]);

impl Palette {
    /// The palette of a scene. The film's title and look set the grading that all its scenes share.
    pub(crate) fn of(reading: &Reading, title: &str, look: &str, seed: u64) -> Self {
        let mut film = Dice::new(hash(title) ^ hash(look), "grading");
        let mut scene = Dice::new(seed, "grading");
        let turn = film.between(-12.0, 12.0) + scene.between(-5.0, 5.0);
        let vividness = film.between(0.92, 1.1) * vividness_of(look);
        let tint = tint_of(look);
        base(reading, &mut scene).map(|colour| {
            let colour = colour.graded(turn, vividness);
            tint.map_or(colour, |(tint, share)| {
                colour.to(toned(colour, tint), share)
            })
        })
    }

    fn map(self, grade: impl Fn(Colour) -> Colour) -> Self {
        Self {
            zenith: grade(self.zenith),
            sky: grade(self.sky),
            horizon: grade(self.horizon),
            light: grade(self.light),
            haze: grade(self.haze),
            deep: grade(self.deep),
            lamp: grade(self.lamp),
        }
    }

    /// The colour of something at a depth: 0 fades into the haze, 1 stands right before us.
    pub(crate) fn at(&self, depth: f32) -> Colour {
        self.haze.to(self.deep, depth)
    }
}

fn base(reading: &Reading, dice: &mut Dice) -> Palette {
    match (reading.place, reading.weather, reading.hour) {
        (Place::Space, ..) => SPACE,
        (Place::Room, _, Hour::Day | Hour::Dawn) => ROOM_COOL,
        (Place::Room, ..) if dice.chance(0.7) => ROOM_WARM,
        (Place::Room, ..) => ROOM_COOL,
        (_, Weather::Storm, Hour::Night) => STORM_NIGHT,
        (_, Weather::Storm, _) => STORM,
        (Place::City, _, Hour::Night) if dice.chance(0.6) => NEON,
        (_, _, Hour::Night) => NIGHT,
        (_, Weather::Rain, _) if dice.chance(0.7) => STORM,
        (_, Weather::Fog, _) => FOG,
        (_, Weather::Snow, Hour::Day) => SNOW,
        (_, _, Hour::Dawn) => DAWN,
        (_, _, Hour::Dusk) if dice.chance(0.5) => GOLDEN,
        (_, _, Hour::Dusk) => DUSK,
        (Place::Desert, ..) => DESERT,
        (Place::Forest, ..) => WOODS,
        (_, _, Hour::Day) if dice.chance(0.5) => MORNING,
        (_, _, Hour::Day) => DAY,
    }
}

/// How vivid a look wants its colours.
fn vividness_of(look: &str) -> f32 {
    let look = look.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| look.contains(word));
    if says(&[
        "black and white",
        "black-and-white",
        "monochrome",
        "noir",
        "greyscale",
        "grayscale",
    ]) {
        0.05
    } else if says(&[
        "pastel",
        "muted",
        "desaturated",
        "watercolour",
        "watercolor",
        "faded",
        "soft",
    ]) {
        0.78
    } else if says(&[
        "vivid",
        "neon",
        "saturated",
        "bold",
        "pop art",
        "technicolor",
    ]) {
        1.22
    } else {
        1.0
    }
}

/// A tint that a look asks for, and how much of it.
fn tint_of(look: &str) -> Option<(Colour, f32)> {
    let look = look.to_lowercase();
    let tints = [
        ("sepia", 0xc8_9a_62, 0.75),
        ("warm", 0xff_b0_60, 0.16),
        ("amber", 0xff_a8_40, 0.22),
        ("cold", 0x60_98_d0, 0.2),
        ("cool", 0x60_98_d0, 0.16),
        ("teal", 0x30_98_98, 0.2),
    ];
    tints
        .iter()
        .find(|(word, ..)| look.contains(word))
        .map(|(_, tint, share)| (Colour::hex(*tint), *share))
}

/// A tint as dark or as light as a colour.
fn toned(colour: Colour, tint: Colour) -> Colour {
    let lightness = 0.25 * colour.red + 0.6 * colour.green + 0.15 * colour.blue;
    if lightness < 0.55 {
        Colour::BLACK.to(tint, lightness / 0.55)
    } else {
        tint.to(Colour::WHITE, (lightness - 0.55) / 0.45)
    }
}
