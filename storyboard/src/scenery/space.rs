//! Stars, a planet, the ground of a moon.

use super::noise::{layered, line};
use super::{near_ground, sky};
use crate::canvas::{Canvas, HEIGHT, Ink};
use crate::picture::Picture;

/// The dark, its stars and a planet.
pub(super) fn heavens(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("heavens");
    canvas.flood(&Ink::Down(vec![
        (0.0, palette.zenith, 1.0),
        (picture.horizon * 0.7, palette.sky, 1.0),
        (picture.horizon + 60.0, palette.horizon, 1.0),
    ]));
    for _ in 0..3 {
        let spot = (
            dice.share() * picture.width,
            dice.between(60.0, picture.horizon),
        );
        canvas.glow(spot, dice.between(260.0, 520.0), palette.horizon, 0.5);
    }
    for _ in 0..2 {
        sky::stars(picture, canvas, picture.horizon + 200.0, 1.0);
    }
    planet(picture, canvas);
}

fn planet(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("planet");
    let (x, y) = (picture.light.0, dice.between(250.0, 340.0));
    let radius = dice.between(120.0, 190.0);
    canvas.glow((x, y), radius * 2.6, palette.lamp, 0.3);
    let ring = |canvas: &mut Canvas<'_>, front: bool| {
        for (out, faint) in [(1.55, 0.5), (1.75, 0.3), (1.9, 0.18)] {
            let turns = if front { 0..=30 } else { 30..=60 };
            let spots: Vec<_> = turns
                .map(|step| (step as f32 * 6.0).to_radians())
                .map(|turn| {
                    let (dx, dy) = (radius * out * turn.cos(), radius * out * 0.22 * turn.sin());
                    (x + dx - dy * 0.3, y + dy + dx * 0.22)
                })
                .collect();
            canvas.line(&spots, radius * 0.075, &Ink::Flat(palette.light, faint));
        }
    };
    let ringed = dice.chance(0.6);
    if ringed {
        ring(canvas, false);
    }
    let body = palette.horizon.to(palette.lamp, 0.35);
    canvas.disc((x, y), radius, &body.into());
    for _ in 0..5 {
        let (dy, thick) = (
            dice.between(-0.75, 0.75) * radius,
            dice.between(0.03, 0.09) * radius,
        );
        let half = (radius * radius - dy * dy).sqrt() * 0.985;
        sky::bar_with_round_ends(
            canvas,
            x - half,
            y + dy,
            half * 2.0,
            thick,
            &Ink::Flat(palette.light, 0.13),
        );
    }
    let side = if x < picture.width / 2.0 { -1.0 } else { 1.0 };
    let lit = (x + side * radius * 0.5, y - radius * 0.4);
    canvas.disc(
        (x, y),
        radius + 0.5,
        &Ink::Around(
            lit,
            radius * 1.75,
            vec![
                (0.0, palette.light, 0.35),
                (0.35, palette.light, 0.0),
                (0.5, palette.zenith, 0.25),
                (1.0, palette.zenith, 0.96),
            ],
        ),
    );
    if ringed {
        ring(canvas, true);
    }
}

/// Ridges of a world without air: hard edges, craters.
pub(super) fn ground(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("moon ground");
    for layer in 0..2_u64 {
        let depth = 0.25 + 0.3 * layer as f32;
        let base = picture.horizon + 40.0 + 80.0 * layer as f32;
        let shift = dice.between(0.0, 60.0);
        let ridge = line(picture.width, 7.0, |x| {
            base - 60.0 * layered(picture.seed ^ (layer + 91), x * 0.004 + shift, 5, 0.5)
        });
        canvas.ground(
            &ridge,
            &Ink::Down(vec![
                (base - 60.0, palette.at(depth).to(palette.light, 0.1), 1.0),
                (base + 200.0, palette.at(depth + 0.25), 1.0),
            ]),
        );
    }
    for _ in 0..9 {
        let y = dice.between(picture.horizon + 130.0, 820.0);
        let size = 12.0 + 46.0 * (y - picture.horizon) / 300.0;
        let spot = (dice.share() * picture.width, y);
        canvas.oval(spot, size, size * 0.24, &Ink::Flat(palette.deep, 0.55));
        canvas.oval(
            (spot.0, spot.1 + size * 0.05),
            size * 0.9,
            size * 0.17,
            &Ink::Flat(palette.haze, 0.5),
        );
    }
}

/// The ground at our feet.
pub(super) fn foreground(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let ridge = line(picture.width, 6.0, |x| near_ground(picture, x));
    canvas.ground(
        &ridge,
        &Ink::Down(vec![
            (810.0, palette.at(0.8), 1.0),
            (HEIGHT, palette.deep, 1.0),
        ]),
    );
    canvas.line(&ridge, 2.4, &Ink::Flat(palette.light, 0.35));
}
