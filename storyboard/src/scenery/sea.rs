//! Water: light on it, waves, rocks.

use super::near_ground;
use super::noise::{layered, line};
use super::sky::bar_with_round_ends;
use crate::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::dice::Dice;
use crate::picture::Picture;
use crate::reading::{Hour, Thing, Weather};

/// Whether the sea is rough.
fn is_rough(picture: &Picture) -> bool {
    picture.reading.weather == Weather::Storm
}

/// Headlands on the horizon.
pub(super) fn far_coast(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("coast");
    let palette = &picture.palette;
    for layer in 0..2_u64 {
        let (tall, reach) = (
            dice.between(30.0, 90.0),
            dice.between(0.25, 0.5) * picture.width,
        );
        let from_left = (picture.focus < picture.width / 2.0) == (layer == 0);
        let edge = if from_left { 0.0 } else { picture.width };
        let ridge = line(picture.width, 6.0, |x| {
            let away = ((x - edge).abs() / reach).min(1.0);
            let rise = tall * (1.0 - away * away)
                + 16.0 * layered(picture.seed ^ (layer + 21), x * 0.009, 4, 0.5) * (1.0 - away);
            picture.horizon + 6.0 - rise.max(0.0)
        });
        let depth = 0.12 + 0.16 * layer as f32;
        let top = palette.at(depth);
        canvas.ground(
            &ridge,
            &Ink::Down(vec![
                (picture.horizon - tall, top, 1.0),
                (picture.horizon + 5.0, top.to(palette.horizon, 0.35), 1.0),
            ]),
        );
    }
}

/// The sea from the horizon to us.
pub(super) fn water(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let far = palette.horizon.to(palette.haze, 0.55);
    let near = palette.at(0.82);
    let top = picture.horizon;
    let surface = [(-10.0, top), (picture.width + 10.0, top)];
    canvas.ground(
        &surface,
        &Ink::Down(vec![
            (top, far, 1.0),
            (top + 70.0, far.to(near, 0.45), 1.0),
            (HEIGHT, near, 1.0),
        ]),
    );
    if is_rough(picture) {
        waves(picture, canvas, 7, 40.0);
    } else {
        glitter(picture, canvas);
        waves(picture, canvas, 5, 9.0);
    }
}

/// The path of light under sun or moon.
fn glitter(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("glitter");
    let overcast = picture.reading.weather == Weather::Rain;
    let strength = if overcast { 0.25 } else { 0.75 };
    let mut y = picture.horizon + 5.0;
    while y < 900.0 {
        let through = (y - picture.horizon) / (900.0 - picture.horizon);
        let spread = picture.light_radius * (1.1 + 1.9 * through);
        for _ in 0..3 {
            let length = dice.between(14.0, 90.0) * (0.5 + through);
            let x = picture.light.0 + dice.between(-1.0, 1.0) * spread - length / 2.0;
            let thick = 2.2 + 5.5 * through;
            let faint = strength * (1.0 - 0.8 * through) * dice.between(0.4, 1.0);
            bar_with_round_ends(
                canvas,
                x,
                y,
                length,
                thick,
                &Ink::Flat(picture.palette.light, faint),
            );
        }
        y += 7.0 + 18.0 * through;
    }
}

/// Rows of waves, higher and darker towards us.
fn waves(picture: &Picture, canvas: &mut Canvas<'_>, rows: u64, tall: f32) {
    let mut dice = picture.dice("waves");
    let palette = &picture.palette;
    let rough = is_rough(picture);
    for row in 0..rows {
        let through = (row as f32 + 1.0) / rows as f32;
        let base = picture.horizon + (860.0 - picture.horizon) * through.powf(1.5) + 8.0;
        let (tall, wide) = (tall * (0.2 + through), 60.0 + 300.0 * through);
        let shift = dice.between(0.0, 9.0);
        let ridge = line(picture.width, 4.0, |x| {
            let swell = layered(picture.seed ^ (row + 61), x / wide / 1.7 + shift, 2, 0.5);
            // Sharp crests and round troughs, leaning with the wind.
            let phase = x / wide + shift + 0.35 * swell;
            let crest = 1.0 - (phase * std::f32::consts::PI).sin().abs();
            base - tall * (crest * crest * 1.1 + 0.45 * swell)
        });
        let colour = palette
            .at(0.3 + 0.55 * through)
            .to(palette.horizon, 0.22 * (1.0 - through));
        canvas.ground(
            &ridge,
            &Ink::Down(vec![
                (
                    base - tall * 1.2,
                    colour.to(palette.horizon, if rough { 0.32 } else { 0.16 }),
                    if rough { 0.95 } else { 0.6 },
                ),
                (
                    base + tall * 1.5 + 30.0,
                    colour,
                    if rough { 1.0 } else { 0.55 },
                ),
            ]),
        );
        let shine = if rough { 0.5 } else { 0.22 };
        canvas.line(
            &ridge,
            1.0 + 1.6 * through,
            &Ink::Flat(palette.light, shine * (0.4 + 0.4 * through)),
        );
        if rough {
            foam(
                picture,
                canvas,
                &ridge,
                base - tall * 0.75,
                through,
                &mut dice,
            );
        }
    }
}

/// White water where the crests break.
fn foam(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    ridge: &[Spot],
    high: f32,
    through: f32,
    dice: &mut Dice,
) {
    for (x, y) in ridge.iter().filter(|spot| spot.1 < high) {
        for _ in 0..2 {
            let spray = (
                x + dice.between(-14.0, 14.0),
                y + dice.between(-16.0, 10.0) * through,
            );
            let size = dice.between(0.6, 2.8) * (0.35 + through);
            canvas.disc(
                spray,
                size,
                &Ink::Flat(picture.palette.light, dice.between(0.12, 0.5)),
            );
        }
    }
}

/// The rocks or the beach at our feet; a cliff where a lighthouse needs one.
pub(super) fn foreground(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let ridge = line(picture.width, 5.0, |x| near_ground(picture, x));
    let top = palette.at(0.88);
    canvas.ground(
        &ridge,
        &Ink::Down(vec![(800.0, top, 1.0), (HEIGHT, palette.deep, 1.0)]),
    );
    canvas.line(
        &ridge,
        2.2,
        &Ink::Flat(
            palette.light,
            if picture.reading.hour == Hour::Night {
                0.16
            } else {
                0.26
            },
        ),
    );
    if is_rough(picture) && !picture.reading.things.contains(&Thing::Ship) {
        let mut dice = picture.dice("spray");
        for _ in 0..70 {
            let x = picture.focus + dice.between(-0.5, 0.5) * picture.width;
            let y = near_ground(picture, x) - 70.0 * dice.share().powi(2);
            canvas.disc(
                (x, y),
                dice.between(1.0, 5.0),
                &Ink::Flat(palette.light, dice.between(0.08, 0.4)),
            );
        }
    }
}
