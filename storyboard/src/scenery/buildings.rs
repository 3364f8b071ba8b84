//! Lighthouses, houses and castles.

use super::near_ground;
use super::things::{beside, has};
use crate::canvas::{Canvas, Ink, Spot};
use crate::colour::Colour;
use crate::picture::Picture;
use crate::reading::{Place, Shot, Thing};

pub(super) fn lighthouse(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let tall = match picture.reading.shot {
        Shot::Wide => 400.0,
        Shot::Medium => 520.0,
        Shot::Close => 420.0,
    };
    let away = if picture.reading.people == 0 {
        0.0
    } else if picture.reading.shot == Shot::Close {
        360.0
    } else {
        170.0
    };
    let x = beside(picture, away);
    let foot = near_ground(picture, x) - 66.0;
    rock(picture, canvas, (x, foot), tall);
    let (base, top) = (tall * 0.115, tall * 0.07);
    let body = foot - tall * 0.82;
    let lit_left = picture.light.0 < x;
    let (bright, dim) = (
        palette.light.to(palette.haze, 0.28),
        palette.haze.to(palette.deep, 0.55),
    );
    let across = |left: f32, right: f32, bright: Colour, dim: Colour| {
        let (a, b) = if lit_left {
            (bright, dim)
        } else {
            (dim, bright)
        };
        Ink::Across(vec![
            (left, a, 1.0),
            (left + (right - left) * 0.5, a.to(b, 0.45), 1.0),
            (right, b, 1.0),
        ])
    };
    let wall = [
        (x - base, foot),
        (x - top, body),
        (x + top, body),
        (x + base, foot),
    ];
    canvas.shape(&wall, &across(x - base, x + base, bright, dim));
    let stripe = palette.deep.to(palette.lamp, 0.35);
    for band in [1, 3] {
        let half = |t: f32| base + (top - base) * t;
        let (low, high) = (band as f32 * 0.2 + 0.02, band as f32 * 0.2 + 0.2);
        let y = |t: f32| foot + (body - foot) * t;
        let corners = [
            (x - half(low), y(low)),
            (x - half(high), y(high)),
            (x + half(high), y(high)),
            (x + half(low), y(low)),
        ];
        canvas.shape(
            &corners,
            &across(
                x - base,
                x + base,
                stripe.to(palette.light, 0.12),
                stripe.to(palette.deep, 0.65),
            ),
        );
    }
    for t in [0.12, 0.48, 0.87] {
        let y = foot + (body - foot) * t;
        canvas.block(
            x - tall * 0.011,
            y - tall * 0.035,
            x + tall * 0.011,
            y,
            &Ink::Flat(
                if picture.lamps_are_lit() {
                    palette.lamp
                } else {
                    palette.deep
                },
                0.9,
            ),
        );
    }
    let gallery = top * 1.45;
    canvas.block(
        x - gallery,
        body - tall * 0.022,
        x + gallery,
        body,
        &palette.deep.into(),
    );
    let (room, roof) = (body - tall * 0.022, body - tall * 0.105);
    let lamp = (x, (room + roof) / 2.0);
    if picture.lamps_are_lit() {
        beam(picture, canvas, lamp);
    }
    canvas.block(
        x - top * 0.72,
        roof,
        x + top * 0.72,
        room,
        &palette.lamp.to(Colour::WHITE, 0.35).into(),
    );
    for bar in [-0.72, -0.24, 0.24, 0.72] {
        canvas.line(
            &[(x + bar * top, roof), (x + bar * top, room)],
            2.2,
            &palette.deep.into(),
        );
    }
    let dome: Vec<Spot> = (0..=16)
        .map(|step| (step as f32 * 11.25).to_radians())
        .map(|turn| {
            (
                x - top * 0.95 * turn.cos(),
                roof - tall * 0.058 * turn.sin(),
            )
        })
        .collect();
    canvas.shape(&dome, &palette.deep.into());
    canvas.line(
        &[(x, roof - tall * 0.05), (x, roof - tall * 0.1)],
        2.4,
        &palette.deep.into(),
    );
    for rail in 0..7 {
        let place = x - gallery + gallery * 2.0 * rail as f32 / 6.0;
        canvas.line(
            &[(place, body - tall * 0.022), (place, body - tall * 0.052)],
            1.5,
            &palette.deep.into(),
        );
    }
    canvas.line(
        &[
            (x - gallery, body - tall * 0.052),
            (x + gallery, body - tall * 0.052),
        ],
        1.8,
        &palette.deep.into(),
    );
    if picture.lamps_are_lit() {
        canvas.glow(lamp, tall * 0.5, palette.lamp, 0.75);
    }
}

fn rock(picture: &Picture, canvas: &mut Canvas<'_>, (x, foot): Spot, tall: f32) {
    let mut dice = picture.dice("rock");
    let palette = &picture.palette;
    let wide = tall * 0.2;
    let mut left = vec![(x - wide, foot)];
    let mut right = vec![(x + wide, foot)];
    for step in 1..7 {
        let down = foot + 34.0 * step as f32;
        let out = wide + step as f32 * dice.between(16.0, 52.0);
        left.push((x - out, down - dice.between(0.0, 16.0)));
        right.push((
            x + out * dice.between(0.8, 1.2),
            down - dice.between(0.0, 16.0),
        ));
    }
    let outline: Vec<Spot> = left.iter().rev().chain(right.iter()).copied().collect();
    let top = palette.at(0.78);
    canvas.shape(
        &outline,
        &Ink::Down(vec![
            (foot, top, 1.0),
            (foot + 170.0, palette.at(0.95), 1.0),
        ]),
    );
    let shade: Vec<Spot> = if picture.light.0 < x { right } else { left };
    let mut facet = shade.clone();
    facet.extend([
        (x, foot + 200.0),
        (x + (shade[1].0 - x) * 0.25, foot + 70.0),
        (x, foot),
    ]);
    canvas.shape(&facet, &Ink::Flat(palette.deep, 0.4));
    canvas.line(
        &[(x - wide, foot), (x + wide, foot)],
        2.4,
        &Ink::Flat(palette.light, 0.3),
    );
}

/// Two fingers of light.
fn beam(picture: &Picture, canvas: &mut Canvas<'_>, (x, y): Spot) {
    let mut dice = picture.dice("beam");
    let lamp = picture.palette.lamp.to(Colour::WHITE, 0.3);
    let reach = picture.width.min(2_200.0);
    let towards = picture.light_side();
    for (side, strength) in [(towards, 0.62), (-towards, 0.34)] {
        let tilt = dice.between(-0.1, 0.04) * reach;
        let spread = reach * dice.between(0.07, 0.1);
        let end = x + side * reach;
        let corners = [
            (x, y - 7.0),
            (end, y + tilt - spread),
            (end, y + tilt + spread),
            (x, y + 7.0),
        ];
        let (near, far) = ((x, lamp, strength), (x + side * reach * 0.85, lamp, 0.0));
        let stops = if side > 0.0 {
            vec![near, far]
        } else {
            vec![far, near]
        };
        canvas.shape(&corners, &Ink::Across(stops));
    }
}

pub(super) fn house(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("house");
    let size = if picture.reading.shot == Shot::Wide {
        130.0
    } else {
        190.0
    };
    let x = if has(picture, Thing::Lighthouse) {
        beside(picture, -250.0)
    } else {
        beside(
            picture,
            if picture.reading.people > 0 {
                -300.0
            } else {
                0.0
            },
        )
    };
    let foot = if picture.reading.place == Place::Sea {
        850.0
    } else {
        812.0
    };
    let wall = palette.at(0.72);
    canvas.block(
        x - size * 0.55,
        foot - size * 0.5,
        x + size * 0.55,
        foot + 30.0,
        &wall.into(),
    );
    let shade = if picture.light.0 < x {
        (x + size * 0.1, x + size * 0.55)
    } else {
        (x - size * 0.55, x - size * 0.1)
    };
    canvas.block(
        shade.0,
        foot - size * 0.5,
        shade.1,
        foot + 30.0,
        &Ink::Flat(palette.deep, 0.25),
    );
    canvas.shape(
        &[
            (x - size * 0.68, foot - size * 0.47),
            (x - size * 0.36, foot - size * 0.95),
            (x + size * 0.36, foot - size * 0.95),
            (x + size * 0.68, foot - size * 0.47),
        ],
        &palette.at(0.9).into(),
    );
    canvas.block(
        x + size * 0.16,
        foot - size * 1.12,
        x + size * 0.28,
        foot - size * 0.9,
        &palette.at(0.9).into(),
    );
    let glow = if picture.lamps_are_lit() { 1.0 } else { 0.35 };
    for place in [-0.34, 0.0, 0.34] {
        let left = x + place * size - size * 0.07;
        canvas.block(
            left,
            foot - size * 0.34,
            left + size * 0.14,
            foot - size * 0.14,
            &Ink::Flat(palette.lamp, glow),
        );
    }
    if picture.lamps_are_lit() {
        canvas.glow((x, foot - size * 0.24), size * 1.1, palette.lamp, 0.4);
    }
    for puff in 0..7 {
        let t = puff as f32;
        canvas.disc(
            (
                x + size * 0.22 + t * t * 2.4 + dice.between(-4.0, 4.0),
                foot - size * 1.16 - t * 17.0,
            ),
            8.0 + t * 3.4,
            &Ink::Flat(palette.light, 0.16 - t * 0.018),
        );
    }
}

pub(super) fn castle(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let x = beside(picture, 190.0);
    let foot = picture.horizon + 30.0;
    let colour = palette.at(0.42);
    canvas.shape(
        &[
            (x - 330.0, foot),
            (x - 170.0, foot - 90.0),
            (x - 60.0, foot - 130.0),
            (x + 90.0, foot - 126.0),
            (x + 190.0, foot - 70.0),
            (x + 320.0, foot),
        ],
        &palette.at(0.34).into(),
    );
    for (dx, wide, tall) in [
        (-120.0, 30.0, 190.0),
        (-60.0, 62.0, 240.0),
        (10.0, 34.0, 330.0),
        (62.0, 50.0, 220.0),
        (122.0, 26.0, 170.0),
    ] {
        canvas.block(
            x + dx - wide / 2.0,
            foot - tall,
            x + dx + wide / 2.0,
            foot - 60.0,
            &colour.into(),
        );
        canvas.shape(
            &[
                (x + dx - wide * 0.62, foot - tall),
                (x + dx, foot - tall - wide * 1.7),
                (x + dx + wide * 0.62, foot - tall),
            ],
            &palette.at(0.55).into(),
        );
        canvas.block(
            x + dx - 3.0,
            foot - tall + 20.0,
            x + dx + 3.0,
            foot - tall + 34.0,
            &Ink::Flat(
                palette.lamp,
                if picture.lamps_are_lit() { 0.95 } else { 0.3 },
            ),
        );
    }
}
