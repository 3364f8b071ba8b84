//! The ground right before us.

use tiny_skia::PathBuilder;

use super::near_ground;
use super::noise::{layered, line};
use crate::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::colour::Colour;
use crate::dice::Dice;
use crate::picture::Picture;
use crate::reading::{Hour, Place, Shot, Weather};

/// The dark ground right before us, with grass and stones along its edge.
pub(super) fn foreground(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("foreground");
    let top = palette.at(0.9);
    let ridge = line(picture.width, 6.0, |x| near_ground(picture, x));
    if !matches!(picture.reading.place, Place::Desert | Place::Space) {
        grass(picture, canvas, &mut dice, top);
    }
    canvas.ground(
        &ridge,
        &Ink::Down(vec![(820.0, top, 1.0), (HEIGHT, palette.deep, 1.0)]),
    );
    let lit = if picture.reading.weather == Weather::Snow {
        0.5
    } else {
        0.2
    };
    canvas.line(&ridge, 2.2, &Ink::Flat(palette.light, lit * 0.6));
    let framing = matches!(picture.reading.place, Place::Hills | Place::Road)
        && picture.reading.shot != Shot::Close;
    if framing && dice.chance(0.45) && picture.reading.hour != Hour::Night {
        branch(picture, canvas, &mut dice);
    }
}

fn grass(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice, colour: Colour) {
    let mut path = PathBuilder::new();
    let count = (picture.width * 0.22).min(4_000.0) as usize;
    for _ in 0..count {
        let x = dice.between(-10.0, picture.width + 10.0);
        let clump = layered(picture.seed ^ 4_711, x * 0.012, 2, 0.5).max(0.0);
        let foot = near_ground(picture, x) + 3.0;
        let (tall, lean) = (
            (6.0 + 46.0 * clump) * dice.between(0.5, 1.1),
            dice.between(-9.0, 14.0),
        );
        path.move_to(x - 1.8, foot);
        path.quad_to(
            x - 0.5 + lean * 0.2,
            foot - tall * 0.6,
            x + lean,
            foot - tall,
        );
        path.quad_to(x + 1.0 + lean * 0.3, foot - tall * 0.5, x + 1.8, foot);
        path.close();
    }
    canvas.fill(path.finish().as_ref(), &colour.into());
}

/// A branch with leaves that hangs into the picture from an upper corner.
fn branch(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice) {
    let from_left = picture.focus > picture.width / 2.0;
    let side = if from_left { 1.0 } else { -1.0 };
    let root = if from_left {
        -20.0
    } else {
        picture.width + 20.0
    };
    let dark = picture.palette.at(0.95);
    let mut leaves = PathBuilder::new();
    for twig in 0..3 {
        let (reach, top) = (
            dice.between(200.0, 380.0),
            dice.between(20.0, 120.0) + 40.0 * twig as f32,
        );
        let droop = dice.between(20.0, 110.0);
        let spots: Vec<Spot> = (0..=14)
            .map(|step| step as f32 / 14.0)
            .map(|t| {
                (
                    root + side * reach * t,
                    top + droop * t * t - 26.0 * (t * 6.0).sin() * t,
                )
            })
            .collect();
        canvas.line(&spots, 4.5, &dark.into());
        for (x, y) in &spots[3..] {
            for _ in 0..4 {
                let turn = dice.between(0.0, 6.3);
                let long = dice.between(13.0, 26.0);
                let (dx, dy) = (turn.cos() * long, turn.sin() * long * 0.8);
                leaves.move_to(*x, *y);
                leaves.quad_to(
                    x + dx * 0.5 - dy * 0.35,
                    y + dy * 0.5 + dx * 0.35,
                    x + dx,
                    y + dy,
                );
                leaves.quad_to(x + dx * 0.5 + dy * 0.35, y + dy * 0.5 - dx * 0.35, *x, *y);
                leaves.close();
            }
        }
    }
    canvas.fill(leaves.finish().as_ref(), &dark.into());
}
