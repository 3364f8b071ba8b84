//! Figures: quiet silhouettes with a rim of light, and one coloured scarf.

use tiny_skia::{Path, PathBuilder};

use super::near_ground;
use crate::canvas::{Canvas, Ink, Spot};
use crate::colour::Colour;
use crate::dice::Dice;
use crate::picture::Picture;
use crate::reading::{Place, Shot};

/// Paints the people of a scene where the eye rests.
pub(super) fn paint(picture: &Picture, canvas: &mut Canvas<'_>) {
    let people = picture.reading.people;
    if people == 0 {
        return;
    }
    let mut dice = picture.dice("people");
    if picture.reading.shot == Shot::Close {
        close(picture, canvas, people, &mut dice);
        return;
    }
    let tall = match (picture.reading.shot, picture.reading.place) {
        (_, Place::Room) => 420.0,
        (Shot::Wide, _) => dice.between(125.0, 170.0),
        _ => dice.between(270.0, 340.0),
    };
    let gap = tall * dice.between(0.42, 0.56);
    let start = picture.focus - gap * (people as f32 - 1.0) / 2.0;
    for index in 0..people {
        let x = start + gap * index as f32;
        let small = picture.reading.child && index + 1 == people;
        let tall = if small {
            tall * 0.66
        } else {
            tall * dice.between(0.94, 1.04)
        };
        let foot = near_ground(picture, x) + 7.0;
        figure(picture, canvas, (x, foot), tall, index, &mut dice);
    }
}

/// One whole figure on its feet.
fn figure(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    (x, foot): Spot,
    tall: f32,
    index: usize,
    dice: &mut Dice,
) {
    let palette = &picture.palette;
    let towards = if picture.light.0 < x { -1.0 } else { 1.0 };
    // A long shadow on the ground, away from the light.
    let shadow = (x - towards * tall * 0.42, foot + 4.0);
    canvas.oval(
        shadow,
        tall * 0.5,
        tall * 0.03,
        &Ink::Flat(palette.deep, 0.5),
    );
    let coat = Coat::throw(dice);
    let body = coat.outline((x, foot), tall);
    let rim = palette.deep.to(palette.light, 0.62);
    let shift = tiny_skia::Transform::from_translate(towards * (0.8 + tall * 0.008), -tall * 0.004);
    let edge = body.clone().and_then(|path| path.transform(shift));
    canvas.fill(edge.as_ref(), &Ink::Flat(rim, 0.9));
    let cloth = palette.deep.to(palette.haze, 0.06 + 0.07 * index as f32);
    canvas.fill(
        body.as_ref(),
        &Ink::Down(vec![
            (foot - tall, cloth.to(palette.haze, 0.1), 1.0),
            (foot, palette.deep, 1.0),
        ]),
    );
    scarf(
        canvas,
        (x, foot - tall * 0.835),
        tall,
        -towards,
        palette.lamp.to(palette.deep, 0.18),
        dice,
    );
    if coat.lantern && picture.lamps_are_lit() && index == 0 {
        let hand = (x + towards * tall * 0.2, foot - tall * 0.4);
        canvas.glow(hand, tall * 0.8, palette.lamp, 0.6);
        canvas.line(
            &[(hand.0, hand.1 - tall * 0.05), hand],
            tall * 0.008,
            &palette.deep.into(),
        );
        canvas.oval(
            (hand.0, hand.1 + tall * 0.03),
            tall * 0.024,
            tall * 0.034,
            &palette.lamp.to(Colour::WHITE, 0.4).into(),
        );
        let arm = [
            (x + towards * tall * 0.07, foot - tall * 0.77),
            (x + towards * tall * 0.16, foot - tall * 0.6),
            (hand.0, hand.1 - tall * 0.05),
        ];
        canvas.line(
            &arm,
            tall * 0.04,
            &palette.deep.to(palette.haze, 0.06).into(),
        );
    }
}

/// How someone is dressed.
#[derive(Debug, Clone, Copy)]
struct Coat {
    /// Where the hem is, as a share of the height.
    hem: f32,
    flare: f32,
    hat: usize,
    lantern: bool,
    stride: f32,
}

impl Coat {
    fn throw(dice: &mut Dice) -> Self {
        Self {
            hem: [0.3, 0.36, 0.14][dice.below(3)],
            flare: dice.between(0.105, 0.15),
            hat: dice.below(5),
            lantern: dice.chance(0.45),
            stride: dice.between(0.025, 0.06),
        }
    }

    /// The outline of the whole figure, in one colour.
    fn outline(&self, (x, foot): Spot, tall: f32) -> Option<Path> {
        let mut path = PathBuilder::new();
        let at = |dx: f32, up: f32| (x + dx * tall, foot - up * tall);
        self.head(&mut path, at, tall);
        // Neck, shoulders, coat: mirrored halves.
        let half = [
            (0.03, 0.875),
            (0.035, 0.845),
            (0.105, 0.815),
            (0.135, 0.76),
            (0.14, 0.6),
            (0.142, 0.44),
            (0.105, 0.435),
            (0.092, 0.56),
            (self.flare, self.hem),
            (0.0, self.hem - 0.008),
        ];
        let right = half.iter().map(|(dx, up)| at(*dx, *up));
        let left = half.iter().rev().map(|(dx, up)| at(-dx, *up));
        polygon(&mut path, right.chain(left));
        for (hip, step) in [(-0.045, -self.stride - 0.018), (0.045, self.stride + 0.018)] {
            let leg = [
                at(hip - 0.034, self.hem + 0.02),
                at(hip + 0.034, self.hem + 0.02),
                at(step + 0.02, 0.02),
                at(step + 0.04, 0.0),
                at(step - 0.026, 0.0),
                at(step - 0.022, 0.03),
            ];
            polygon(&mut path, leg.into_iter());
        }
        path.finish()
    }

    fn head(&self, path: &mut PathBuilder, at: impl Fn(f32, f32) -> Spot, tall: f32) {
        let (x, y) = at(0.0, 0.925);
        if let Some(frame) = tiny_skia::Rect::from_ltrb(
            x - 0.044 * tall,
            y - 0.058 * tall,
            x + 0.044 * tall,
            y + 0.058 * tall,
        ) {
            path.push_oval(frame);
        }
        match self.hat {
            // A wide brim.
            0 => {
                polygon(
                    path,
                    [
                        at(-0.085, 0.945),
                        at(0.085, 0.945),
                        at(0.08, 0.957),
                        at(-0.08, 0.957),
                    ]
                    .into_iter(),
                );
                polygon(
                    path,
                    [
                        at(-0.047, 0.95),
                        at(0.047, 0.95),
                        at(0.038, 1.01),
                        at(-0.036, 1.01),
                    ]
                    .into_iter(),
                );
            }
            // A flat cap.
            1 => polygon(
                path,
                [
                    at(-0.05, 0.945),
                    at(0.075, 0.945),
                    at(0.045, 0.985),
                    at(-0.04, 0.985),
                ]
                .into_iter(),
            ),
            // Hair to the shoulders.
            2 => polygon(
                path,
                [
                    at(-0.048, 0.95),
                    at(0.048, 0.95),
                    at(0.062, 0.85),
                    at(-0.062, 0.85),
                ]
                .into_iter(),
            ),
            // A hood.
            3 => polygon(
                path,
                [
                    at(-0.02, 1.0),
                    at(0.03, 0.995),
                    at(0.066, 0.92),
                    at(0.058, 0.84),
                    at(-0.058, 0.84),
                    at(-0.062, 0.93),
                ]
                .into_iter(),
            ),
            _ => {}
        }
    }
}

fn polygon(path: &mut PathBuilder, mut corners: impl Iterator<Item = Spot>) {
    if let Some((x, y)) = corners.next() {
        path.move_to(x, y);
        for (x, y) in corners {
            path.line_to(x, y);
        }
        path.close();
    }
}

/// A scarf in the wind: the one bright thing.
fn scarf(
    canvas: &mut Canvas<'_>,
    (x, y): Spot,
    tall: f32,
    wind: f32,
    colour: Colour,
    dice: &mut Dice,
) {
    let (reach, wave) = (tall * dice.between(0.16, 0.3), dice.between(0.0, 3.0));
    let edge = |low: f32| {
        (0..=12).map(move |step| step as f32 / 12.0).map(move |t| {
            let flutter = tall * 0.022 * (t * 5.0 + wave).sin() * t;
            (
                x + wind * reach * t,
                y + low * tall * (1.0 - 0.35 * t) + flutter + tall * 0.05 * t * t,
            )
        })
    };
    let mut ribbon: Vec<Spot> = edge(-0.014).collect();
    ribbon.extend(edge(0.024).collect::<Vec<_>>().into_iter().rev());
    canvas.shape(&ribbon, &colour.into());
    canvas.oval(
        (x, y + tall * 0.006),
        tall * 0.042,
        tall * 0.021,
        &colour.into(),
    );
}

/// Head and shoulders, seen from behind, before the scene.
fn close(picture: &Picture, canvas: &mut Canvas<'_>, people: usize, dice: &mut Dice) {
    let palette = &picture.palette;
    let side = if picture.focus < picture.width / 2.0 {
        1.0
    } else {
        -1.0
    };
    for index in (0..people.min(2)).rev() {
        let size = if index == 0 { 1.0 } else { 0.82 };
        let x = picture.focus + side * 330.0 * index as f32;
        let towards = if picture.light.0 < x { -1.0 } else { 1.0 };
        let bust = bust((x, 560.0 + 90.0 * index as f32), 122.0 * size, dice);
        let rim = palette.deep.to(palette.light, 0.7);
        let shift = tiny_skia::Transform::from_translate(towards * 5.0, -2.5);
        let edge = bust.clone().and_then(|path| path.transform(shift));
        canvas.fill(edge.as_ref(), &Ink::Flat(rim, 0.95));
        let back = palette.deep.to(palette.haze, 0.12);
        canvas.fill(
            bust.as_ref(),
            &Ink::Down(vec![(430.0, back, 1.0), (880.0, palette.deep, 1.0)]),
        );
        let collar = palette.lamp.to(palette.deep, 0.22);
        let (y, half) = (560.0 + 90.0 * index as f32 + 138.0 * size, 96.0 * size);
        let wrap = [
            (x - half, y),
            (x - half * 0.5, y - 13.0),
            (x + half * 0.5, y - 13.0),
            (x + half, y),
            (x + half * 1.05, y + 34.0),
            (x + half * 0.4, y + 46.0),
            (x - half * 0.4, y + 46.0),
            (x - half * 1.05, y + 34.0),
        ];
        canvas.shape(&wrap, &collar.into());
        canvas.shape(
            &[
                wrap[4],
                wrap[5],
                wrap[6],
                wrap[7],
                (x - half * 0.5, y + 24.0),
                (x + half * 0.5, y + 24.0),
            ],
            &Ink::Flat(palette.deep, 0.25),
        );
    }
}

fn bust((x, y): Spot, radius: f32, dice: &mut Dice) -> Option<Path> {
    let mut path = PathBuilder::new();
    let frame = tiny_skia::Rect::from_ltrb(
        x - radius * 0.8,
        y - radius,
        x + radius * 0.8,
        y + radius * 1.06,
    );
    path.push_oval(frame?);
    match dice.below(4) {
        // Hair that falls to the shoulders.
        0 => polygon(
            &mut path,
            [
                (x - radius * 0.8, y - radius * 0.1),
                (x + radius * 0.8, y - radius * 0.1),
                (x + radius * 0.98, y + radius * 1.3),
                (x - radius * 0.98, y + radius * 1.3),
            ]
            .into_iter(),
        ),
        // A bun.
        1 => path.push_circle(x, y - radius * 1.12, radius * 0.36),
        // A cap.
        2 => polygon(
            &mut path,
            [
                (x - radius * 0.86, y - radius * 0.35),
                (x - radius * 0.55, y - radius * 1.05),
                (x + radius * 0.55, y - radius * 1.05),
                (x + radius * 0.86, y - radius * 0.35),
            ]
            .into_iter(),
        ),
        _ => {}
    }
    path.move_to(x - radius * 0.42, y + radius * 0.6);
    path.line_to(x + radius * 0.42, y + radius * 0.6);
    path.line_to(x + radius * 0.45, y + radius * 1.25);
    path.cubic_to(
        x + radius * 1.2,
        y + radius * 1.45,
        x + radius * 1.9,
        y + radius * 1.6,
        x + radius * 2.1,
        y + radius * 2.5,
    );
    path.line_to(x + radius * 2.3, 1_020.0);
    path.line_to(x - radius * 2.3, 1_020.0);
    path.line_to(x - radius * 2.1, y + radius * 2.5);
    path.cubic_to(
        x - radius * 1.9,
        y + radius * 1.6,
        x - radius * 1.2,
        y + radius * 1.45,
        x - radius * 0.45,
        y + radius * 1.25,
    );
    path.close();
    path.finish()
}
