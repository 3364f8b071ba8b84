//! Hills: layers that fade into the haze, with trees on them.

use tiny_skia::PathBuilder;

use super::noise::{layered, line};
use super::woods::conifer;
use crate::canvas::{Canvas, Ink, Spot};
use crate::colour::Colour;
use crate::dice::Dice;
use crate::picture::Picture;
use crate::reading::{Place, Weather};

/// A layer whose foot lies in mist.
pub(super) fn misty(picture: &Picture, top: f32, depth: f32, reach: f32) -> Ink {
    let colour = picture.palette.at(depth);
    let mist = colour.to(
        picture.palette.haze.to(picture.palette.horizon, 0.45),
        0.55 * (1.0 - depth) + 0.08,
    );
    Ink::Down(vec![(top, colour, 1.0), (top + reach, mist, 1.0)])
}

/// Soft ridges on the horizon.
pub(super) fn far_hills(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("far hills");
    for layer in 0..3_u64 {
        let depth = 0.06 + 0.13 * layer as f32;
        let foot = picture.horizon - 46.0 + 34.0 * layer as f32;
        let (tall, shift) = (dice.between(46.0, 96.0), dice.between(0.0, 50.0));
        let ridge = line(picture.width, 8.0, |x| {
            foot - tall * layered(picture.seed ^ (layer * 77 + 5), x * 0.0024 + shift, 4, 0.42)
        });
        canvas.ground(&ridge, &misty(picture, foot - tall, depth, 190.0));
    }
}

/// Rolling ground between the horizon and us, with trees along its ridges.
pub(super) fn hills(picture: &Picture, canvas: &mut Canvas<'_>) {
    if picture.reading.place == Place::Hills {
        ground_with_trees(picture, canvas, 3, 0.42, 0.24);
    } else {
        ground_with_trees(picture, canvas, 2, 0.6, 0.26);
    }
}

pub(super) fn ground_with_trees(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    layers: u64,
    depth: f32,
    step: f32,
) {
    let mut dice = picture.dice("hills");
    let room = 800.0 - picture.horizon;
    for layer in 0..layers {
        let through = (layer as f32 + 0.35) / layers as f32;
        let depth = depth + step * layer as f32 / 2.0;
        let base = picture.horizon + room * through;
        let (tall, shift) = (dice.between(26.0, 58.0), dice.between(0.0, 50.0));
        let slope = dice.between(-30.0, 30.0);
        let ridge = line(picture.width, 6.0, |x| {
            let lean = slope * (x / picture.width - 0.5);
            base + lean
                - tall
                    * layered(
                        picture.seed ^ (layer * 131 + 9),
                        x * 0.0017 + shift,
                        3,
                        0.35,
                    )
        });
        let size = 26.0 + 40.0 * through;
        copses(
            picture,
            canvas,
            &ridge,
            size,
            picture.palette.at(depth + 0.1),
            &mut dice,
        );
        canvas.ground(&ridge, &misty(picture, base - tall, depth, 210.0));
        if picture.reading.weather == Weather::Snow {
            let snow = Ink::Down(vec![
                (base - tall, picture.palette.horizon, 0.75),
                (base + 120.0, picture.palette.sky, 0.35),
            ]);
            canvas.ground(&ridge, &snow);
        }
    }
}

fn copses(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    ridge: &[Spot],
    size: f32,
    colour: Colour,
    dice: &mut Dice,
) {
    let conifers = picture.reading.place == Place::Mountains || dice.chance(0.35);
    let mut path = PathBuilder::new();
    let mut index = 0;
    while index < ridge.len() {
        if dice.chance(0.3) {
            for _ in 0..2 + dice.below(7) {
                let Some((x, y)) = ridge.get(index).copied() else {
                    break;
                };
                let size = size * dice.between(0.6, 1.15);
                if conifers {
                    conifer(&mut path, (x, y + 4.0), size * 1.5, dice);
                } else {
                    round_tree(&mut path, (x, y + 3.0), size, dice);
                }
                index += 1 + dice.below(3);
            }
        }
        index += 6 + dice.below(30);
    }
    canvas.fill(path.finish().as_ref(), &colour.into());
}

fn round_tree(path: &mut PathBuilder, (x, y): Spot, size: f32, dice: &mut Dice) {
    if let Some(trunk) =
        tiny_skia::Rect::from_ltrb(x - size * 0.05, y - size * 0.5, x + size * 0.05, y)
    {
        path.push_rect(trunk);
    }
    for _ in 0..4 {
        let (dx, dy) = (dice.between(-0.2, 0.2), dice.between(-0.9, -0.52));
        path.push_circle(
            x + dx * size,
            y + dy * size,
            size * dice.between(0.18, 0.28),
        );
    }
}
