//! Whales, birds, dogs and trees, and a fire to sit by.

use tiny_skia::PathBuilder;

use super::near_ground;
use super::things::beside;
use super::woods::conifer;
use crate::canvas::{Canvas, Ink, Spot};
use crate::colour::Colour;
use crate::picture::Picture;
use crate::reading::{Place, Shot};

pub(super) fn whale(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let (x, y, size) = (picture.focus, picture.horizon + 120.0, 190.0);
    let at = |dx: f32, dy: f32| (x + size * dx, y + size * dy);
    let mut path = PathBuilder::new();
    let move_to = |path: &mut PathBuilder, spot: Spot| path.move_to(spot.0, spot.1);
    let curve = |path: &mut PathBuilder, a: Spot, b: Spot| path.quad_to(a.0, a.1, b.0, b.1);
    move_to(&mut path, at(-0.16, 0.0));
    curve(&mut path, at(-0.06, -0.5), at(-0.05, -0.72));
    curve(&mut path, at(-0.3, -0.98), at(-0.72, -0.9));
    curve(&mut path, at(-0.5, -1.22), at(0.0, -0.93));
    curve(&mut path, at(0.5, -1.22), at(0.72, -0.9));
    curve(&mut path, at(0.3, -0.98), at(0.05, -0.72));
    curve(&mut path, at(0.07, -0.5), at(0.2, 0.0));
    path.close();
    canvas.fill(
        path.finish().as_ref(),
        &Ink::Down(vec![
            (y - size, palette.at(0.75), 1.0),
            (y, palette.at(0.95), 1.0),
        ]),
    );
    canvas.oval(
        (x, y),
        size * 0.5,
        size * 0.05,
        &Ink::Flat(palette.light, 0.4),
    );
    canvas.oval(
        (x, y + 4.0),
        size * 0.32,
        size * 0.03,
        &Ink::Flat(palette.deep, 0.5),
    );
}

pub(super) fn birds(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("birds");
    let (x, y) = (
        picture.light.0 + dice.between(-160.0, 160.0),
        dice.between(140.0, 320.0),
    );
    for _ in 0..9 {
        let (bx, by) = (
            x + dice.between(-240.0, 240.0),
            y + dice.between(-90.0, 110.0),
        );
        let size = dice.between(10.0, 26.0);
        let lift = size * dice.between(0.3, 0.6);
        let wing: Vec<Spot> = [
            (-1.0, 0.0),
            (-0.55, -1.0),
            (0.0, 0.1),
            (0.55, -1.0),
            (1.0, 0.0),
        ]
        .iter()
        .map(|(dx, dy)| (bx + dx * size, by + dy * lift))
        .collect();
        canvas.line(&wing, 2.4, &Ink::Flat(picture.palette.deep, 0.85));
    }
}

pub(super) fn tree(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("one tree");
    let x = beside(
        picture,
        if picture.reading.people > 0 {
            230.0
        } else {
            0.0
        },
    );
    let foot = near_ground(picture, x) + 6.0;
    let dark = palette.at(0.93);
    if picture.reading.place == Place::Mountains {
        let mut path = PathBuilder::new();
        conifer(&mut path, (x, foot), 430.0, &mut dice);
        canvas.fill(path.finish().as_ref(), &dark.into());
        return;
    }
    let mut path = PathBuilder::new();
    path.move_to(x - 24.0, foot);
    path.quad_to(x - 10.0, foot - 110.0, x - 16.0, foot - 250.0);
    path.line_to(x + 16.0, foot - 250.0);
    path.quad_to(x + 8.0, foot - 110.0, x + 30.0, foot);
    path.close();
    canvas.fill(path.finish().as_ref(), &dark.into());
    for (dx, dy) in [
        (-90.0, -330.0),
        (80.0, -345.0),
        (-30.0, -400.0),
        (40.0, -300.0),
    ] {
        canvas.line(
            &[
                (x, foot - 190.0),
                (x + dx * 0.6, foot + dy * 0.85),
                (x + dx, foot + dy),
            ],
            9.0,
            &dark.into(),
        );
    }
    let mut crown = PathBuilder::new();
    let mut shine = PathBuilder::new();
    for _ in 0..34 {
        let (turn, out) = (dice.between(0.0, 6.3), dice.share().sqrt());
        let spot = (
            x + turn.cos() * out * 165.0,
            foot - 350.0 + turn.sin() * out * 105.0,
        );
        let size = dice.between(28.0, 52.0);
        crown.push_circle(spot.0, spot.1, size);
        if (spot.0 - x) * picture.light_side() > -20.0 && dice.chance(0.5) {
            shine.push_circle(
                spot.0 + picture.light_side() * 6.0,
                spot.1 - 10.0,
                size * 0.55,
            );
        }
    }
    canvas.fill(crown.finish().as_ref(), &palette.at(0.8).into());
    canvas.fill(
        shine.finish().as_ref(),
        &Ink::Flat(palette.haze.to(palette.light, 0.3), 0.2),
    );
}

pub(super) fn fire(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let x = picture.focus + picture.light_side() * 130.0;
    let foot = near_ground(picture, x) + 8.0;
    canvas.glow((x, foot - 40.0), 330.0, palette.lamp, 0.75);
    for (half, tall, colour) in [
        (34.0, 110.0, palette.lamp.to(palette.deep, 0.25)),
        (23.0, 78.0, palette.lamp),
        (12.0, 44.0, Colour::WHITE.to(palette.lamp, 0.35)),
    ] {
        let mut path = PathBuilder::new();
        path.move_to(x - half, foot);
        path.cubic_to(
            x - half * 1.3,
            foot - tall * 0.5,
            x - half * 0.1,
            foot - tall * 0.55,
            x + half * 0.1,
            foot - tall,
        );
        path.cubic_to(
            x + half * 0.4,
            foot - tall * 0.6,
            x + half * 1.4,
            foot - tall * 0.4,
            x + half,
            foot,
        );
        path.close();
        canvas.fill(path.finish().as_ref(), &colour.into());
    }
    canvas.line(
        &[(x - 46.0, foot + 4.0), (x + 40.0, foot - 8.0)],
        10.0,
        &palette.deep.into(),
    );
    canvas.line(
        &[(x - 40.0, foot - 8.0), (x + 46.0, foot + 4.0)],
        10.0,
        &palette.deep.into(),
    );
    let mut dice = picture.dice("sparks");
    for _ in 0..22 {
        canvas.disc(
            (
                x + dice.between(-70.0, 70.0),
                foot - dice.between(70.0, 260.0),
            ),
            dice.between(1.0, 2.6),
            &Ink::Flat(palette.lamp, dice.between(0.3, 0.9)),
        );
    }
}

pub(super) fn dog(picture: &Picture, canvas: &mut Canvas<'_>) {
    let x = picture.focus + picture.light_side() * 110.0;
    let foot = near_ground(picture, x) + 7.0;
    let size = if picture.reading.shot == Shot::Wide {
        62.0
    } else {
        120.0
    };
    let towards = picture.light_side();
    let at = |dx: f32, up: f32| (x + towards * dx * size, foot - up * size);
    let dark = picture.palette.deep;
    let sitting = [
        at(-0.34, 0.0),
        at(-0.4, 0.22),
        at(-0.26, 0.5),
        at(-0.02, 0.74),
        at(0.0, 0.92),
        at(0.07, 1.06),
        at(0.12, 0.96),
        at(0.22, 0.94),
        at(0.4, 0.82),
        at(0.38, 0.75),
        at(0.2, 0.72),
        at(0.18, 0.5),
        at(0.2, 0.06),
        at(0.28, 0.0),
    ];
    canvas.shape(&sitting, &dark.into());
    canvas.line(
        &[at(-0.32, 0.06), at(-0.52, 0.1), at(-0.62, 0.26)],
        size * 0.07,
        &dark.into(),
    );
    canvas.line(
        &[
            at(0.0, 0.94),
            at(0.07, 1.06),
            at(0.13, 0.96),
            at(0.38, 0.82),
        ],
        2.0,
        &Ink::Flat(picture.palette.light, 0.4),
    );
}
