//! Woods: rows of trees, light between them, trunks before us.

use tiny_skia::PathBuilder;

use super::foreground::foreground;
use super::land::{far_hills, misty};
use super::noise::{layered, line};
use crate::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::dice::Dice;
use crate::picture::Picture;
use crate::reading::{Hour, Weather};

/// A spruce: tiers that hang out over each other.
pub(super) fn conifer(path: &mut PathBuilder, (x, y): Spot, tall: f32, dice: &mut Dice) {
    let (tiers, half) = (5, tall * dice.between(0.17, 0.22));
    let mut right = Vec::new();
    for tier in 0..tiers {
        let through = (tier + 1) as f32 / tiers as f32;
        let low = y - tall * (1.0 - through * 0.92);
        let out = half * through * dice.between(0.88, 1.1);
        right.push((out, low));
        right.push((out * 0.52, low - tall * 0.03));
    }
    right.pop();
    path.move_to(x, y - tall);
    for (out, low) in &right {
        path.line_to(x + out, *low);
    }
    path.line_to(x + tall * 0.02, y - tall * 0.07);
    path.line_to(x + tall * 0.02, y + 4.0);
    path.line_to(x - tall * 0.02, y + 4.0);
    path.line_to(x - tall * 0.02, y - tall * 0.07);
    for (out, low) in right.iter().rev() {
        path.line_to(x - out, *low);
    }
    path.close();
}

/// The back of a forest.
pub(super) fn far_trees(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("far trees");
    far_hills(picture, canvas);
    for row in 0..2 {
        tree_row(
            picture,
            canvas,
            picture.horizon + 14.0 + 34.0 * row as f32,
            150.0 + 70.0 * row as f32,
            0.16 + 0.17 * row as f32,
            &mut dice,
        );
    }
}

/// The trees among which the scene plays, with shafts of light.
pub(super) fn trees(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("trees");
    let base = picture.horizon;
    tree_row(picture, canvas, base + 95.0, 300.0, 0.5, &mut dice);
    let dull = matches!(picture.reading.weather, Weather::Storm | Weather::Rain)
        || picture.reading.hour == Hour::Night;
    if !dull {
        shafts(picture, canvas, &mut dice);
    }
    let ridge = line(picture.width, 10.0, |x| {
        base + 120.0 - 16.0 * layered(picture.seed ^ 41, x * 0.003, 3, 0.5)
    });
    canvas.ground(&ridge, &misty(picture, base + 100.0, 0.66, 240.0));
}

fn tree_row(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    foot: f32,
    tall: f32,
    depth: f32,
    dice: &mut Dice,
) {
    let mut path = PathBuilder::new();
    let mut x = -40.0;
    while x < picture.width + 40.0 {
        // A clearing, so that the eye finds the subject.
        let open = 1.0 - 0.55 * (-((x - picture.focus) / 190.0).powi(2)).exp();
        let size = tall * dice.between(0.55, 1.12) * open;
        conifer(&mut path, (x, foot + dice.between(0.0, 10.0)), size, dice);
        x += tall * dice.between(0.12, 0.26);
    }
    canvas.fill(
        path.finish().as_ref(),
        &misty(picture, foot - tall, depth, tall),
    );
    let mist = picture.palette.haze.to(picture.palette.horizon, 0.5);
    canvas.block(
        -10.0,
        foot - tall * 0.4,
        picture.width + 10.0,
        foot + 80.0,
        &Ink::Down(vec![
            (foot - tall * 0.4, mist, 0.0),
            (foot + 20.0, mist, 0.3),
        ]),
    );
}

fn shafts(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice) {
    let (x, y) = picture.light;
    for _ in 0..5 {
        let lean = dice.between(-620.0, 620.0);
        let (thin, wide) = (dice.between(4.0, 16.0), dice.between(50.0, 110.0));
        let low = HEIGHT * 0.95;
        let corners = [
            (x - thin, y),
            (x + thin, y),
            (x + lean + wide, low),
            (x + lean - wide, low),
        ];
        let light = picture.palette.light;
        canvas.shape(
            &corners,
            &Ink::Down(vec![(y, light, 0.17), (low, light, 0.0)]),
        );
    }
}

/// Dark trunks that frame the picture, and the forest floor.
pub(super) fn trunks(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("trunks");
    let dark = picture.palette.deep;
    foreground(picture, canvas);
    let places = [(0.02, 1.0), (0.12, 0.55), (0.9, 0.6), (0.985, 1.05)];
    for (place, size) in places {
        let x = picture.width * (place + dice.between(-0.02, 0.02));
        if (x - picture.focus).abs() < 210.0 {
            continue;
        }
        let half = 34.0 * size * dice.between(0.8, 1.2);
        let lean = dice.between(-24.0, 24.0);
        let edge = dark.to(picture.palette.haze, 0.22);
        canvas.shape(
            &[
                (x - half * 0.7 + lean, -10.0),
                (x + half * 0.7 + lean, -10.0),
                (x + half, 850.0),
                (x + half * 1.7, 905.0),
                (x - half * 1.7, 905.0),
                (x - half, 850.0),
            ],
            &Ink::Across(vec![
                (x - half, if picture.light.0 < x { edge } else { dark }, 1.0),
                (x + half, if picture.light.0 < x { dark } else { edge }, 1.0),
            ]),
        );
        for _ in 0..3 {
            let (y, side) = (dice.between(80.0, 520.0), dice.side());
            let reach = dice.between(60.0, 170.0) * side;
            let root = x + lean * (1.0 - y / 850.0);
            canvas.shape(
                &[
                    (root, y),
                    (root + reach, y - 60.0),
                    (root + reach * 1.2, y - 64.0),
                    (root, y + 17.0 * size),
                ],
                &dark.into(),
            );
        }
    }
}
