//! Colours that mix as the eye expects (OKLab).

/// An opaque colour in sRGB, each part from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Colour {
    pub(crate) red: f32,
    pub(crate) green: f32,
    pub(crate) blue: f32,
}

/// Lightness and the two colour axes.
#[derive(Debug, Clone, Copy)]
struct Lab {
    l: f32,
    a: f32,
    b: f32,
}

impl Colour {
    pub(crate) const BLACK: Self = Self::hex(0);
    pub(crate) const WHITE: Self = Self::hex(0x00ff_ffff);

    /// From `0xRRGGBB`.
    pub(crate) const fn hex(rgb: u32) -> Self {
        Self {
            red: ((rgb >> 16) & 0xff) as f32 / 255.0,
            green: ((rgb >> 8) & 0xff) as f32 / 255.0,
            blue: (rgb & 0xff) as f32 / 255.0,
        }
    }

    /// The colour `share` of the way to another.
    pub(crate) fn to(self, other: Self, share: f32) -> Self {
        let (from, to) = (self.lab(), other.lab());
        let mix = |from: f32, to: f32| from + (to - from) * share.clamp(0.0, 1.0);
        Self::from_lab(Lab {
            l: mix(from.l, to.l),
            a: mix(from.a, to.a),
            b: mix(from.b, to.b),
        })
    }

    /// The same colour turned around the colour circle and made more or less vivid.
    pub(crate) fn graded(self, degrees: f32, vividness: f32) -> Self {
        let Lab { l, a, b } = self.lab();
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self::from_lab(Lab {
            l,
            a: (a * cos - b * sin) * vividness,
            b: (a * sin + b * cos) * vividness,
        })
    }

    fn lab(self) -> Lab {
        let [r, g, b] = [self.red, self.green, self.blue].map(linear);
        let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
        let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
        let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
        Lab {
            l: 0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
            a: 1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
            b: 0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
        }
    }

    fn from_lab(Lab { l, a, b }: Lab) -> Self {
        let cube = |x: f32| x * x * x;
        let long = cube(l + 0.396_337_78 * a + 0.215_803_76 * b);
        let medium = cube(l - 0.105_561_346 * a - 0.063_854_17 * b);
        let short = cube(l - 0.089_484_18 * a - 1.291_485_5 * b);
        let [red, green, blue] = [
            4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short,
            -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_4 * short,
            -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
        ]
        .map(encoded);
        Self { red, green, blue }
    }
}

fn linear(part: f32) -> f32 {
    if part <= 0.040_45 {
        part / 12.92
    } else {
        ((part + 0.055) / 1.055).powf(2.4)
    }
}

fn encoded(part: f32) -> f32 {
    let part = part.clamp(0.0, 1.0);
    if part <= 0.003_130_8 {
        part * 12.92
    } else {
        1.055 * part.powf(1.0 / 2.4) - 0.055
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(colour: Colour) -> [u8; 3] {
        [colour.red, colour.green, colour.blue].map(|part| (part * 255.0).round() as u8)
    }

    #[test]
    fn a_mix_begins_and_ends_with_its_parts() {
        let (orange, blue) = (Colour::hex(0xe0_80_20), Colour::hex(0x10_30_a0));
        assert_eq!(bytes(orange.to(blue, 0.0)), [0xe0, 0x80, 0x20]);
        assert_eq!(bytes(orange.to(blue, 1.0)), [0x10, 0x30, 0xa0]);
    }

    #[test]
    fn without_vividness_all_colours_are_grey() {
        let [r, g, b] = bytes(Colour::hex(0xe0_80_20).graded(40.0, 0.0));
        assert!(r.abs_diff(g) <= 1 && g.abs_diff(b) <= 1, "{r} {g} {b}");
    }
}
