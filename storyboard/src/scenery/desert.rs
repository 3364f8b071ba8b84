//! Mesas and dunes.

use super::land::misty;
use super::noise::{layered, line};
use crate::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::picture::Picture;

/// Table mountains on the horizon.
pub(super) fn mesas(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("mesas");
    let palette = &picture.palette;
    for layer in 0..2 {
        let depth = 0.1 + 0.16 * layer as f32;
        let foot = picture.horizon + 12.0;
        for _ in 0..2 + layer {
            let (x, half) = (
                dice.between(-0.05, 1.05) * picture.width,
                dice.between(60.0, 210.0),
            );
            let tall = dice.between(50.0, 130.0) * (1.0 - 0.25 * layer as f32);
            let step = tall * dice.between(0.3, 0.5);
            let outline = [
                (x - half * 1.45, foot),
                (x - half * 1.05, foot - step),
                (x - half, foot - tall),
                (x - half * 0.2, foot - tall - 3.0),
                (x + half * 0.9, foot - tall + 2.0),
                (x + half, foot - step),
                (x + half * 1.5, foot),
            ];
            canvas.shape(&outline, &misty(picture, foot - tall, depth, tall + 30.0));
            let far_side = if picture.light.0 < x { 1.0 } else { -1.0 };
            let shade = [
                (x + far_side * half * 0.3, foot - tall),
                (x + far_side * half * 0.9, foot - tall),
                (x + far_side * half, foot - step),
                (x + far_side * half * 1.4, foot),
                (x + far_side * half * 0.45, foot),
            ];
            canvas.shape(&shade, &Ink::Flat(palette.deep, 0.16));
        }
    }
    let sand = palette.haze.to(palette.horizon, 0.35);
    canvas.block(
        -10.0,
        picture.horizon,
        picture.width + 10.0,
        HEIGHT,
        &sand.into(),
    );
}

/// Dunes: each with a lit face and a face in the shade.
pub(super) fn dunes(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("dunes");
    let palette = &picture.palette;
    let side = if picture.light.0 < picture.width / 2.0 {
        1.0
    } else {
        -1.0
    };
    for layer in 0..4_u64 {
        let through = layer as f32 / 3.0;
        let base = picture.horizon + 26.0 + (790.0 - picture.horizon) * through * 0.9;
        let (crest, tall, wide) = (
            dice.between(0.05, 0.95) * picture.width,
            46.0 + 62.0 * through,
            420.0 + 260.0 * through,
        );
        let height = |x: f32| {
            let off = (x - crest) / wide;
            let hump = (-off * off * 2.2).exp();
            base - tall * hump - 12.0 * layered(picture.seed ^ (layer + 3), x * 0.002, 2, 0.4)
        };
        let lit = palette
            .haze
            .to(palette.horizon, 0.62 - 0.3 * through)
            .to(palette.deep, 0.04 + 0.16 * through);
        let low = lit.to(palette.deep, 0.25);
        let ridge = line(picture.width, 8.0, height);
        canvas.ground(
            &ridge,
            &Ink::Down(vec![(base - tall, lit, 1.0), (base + 170.0, low, 1.0)]),
        );
        let mut shade: Vec<Spot> = (0..=40)
            .map(|step| {
                let x = crest + side * wide * 1.5 * step as f32 / 40.0;
                (x, height(x))
            })
            .collect();
        shade.extend((0..=40).rev().map(|step| {
            let along = step as f32 / 40.0;
            let bend = (along * 3.4).sin() * 34.0 * (1.0 - along * 0.4);
            let x = crest + side * (wide * 1.35 * along * along + bend * 0.8);
            (
                x,
                height(crest) + (tall * 1.25 + 60.0) * along.powf(0.8) + 6.0,
            )
        }));
        canvas.shape(
            &shade,
            &Ink::Down(vec![
                (base - tall, palette.deep.to(lit, 0.3), 0.62),
                (base + tall, palette.deep.to(lit, 0.45), 0.1),
            ]),
        );
    }
}
