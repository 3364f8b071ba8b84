//! Towers, ships, trains and whatever else a scene names.

use super::land::conifer;
use super::near_ground;
use crate::animatic::canvas::{Canvas, Ink, Spot};
use crate::animatic::colour::Colour;
use crate::animatic::picture::Picture;
use crate::animatic::reading::{Place, Shot, Thing, Weather};
use tiny_skia::PathBuilder;

fn has(picture: &Picture, thing: Thing) -> bool {
    picture.reading.things.contains(&thing) && picture.reading.place != Place::Room
}

/// Things in the sky.
pub(super) fn far(picture: &Picture, canvas: &mut Canvas<'_>) {
    if has(picture, Thing::Castle) {
        castle(picture, canvas);
    }
    if has(picture, Thing::Balloon) {
        balloon(picture, canvas);
    }
}

/// Things on the ground or the water of the scene.
pub(super) fn middle(picture: &Picture, canvas: &mut Canvas<'_>) {
    if has(picture, Thing::Train) {
        train(picture, canvas);
    }
    if has(picture, Thing::Ship) && picture.reading.place == Place::Sea {
        ship(picture, canvas);
    }
    if has(picture, Thing::Whale) && picture.reading.place == Place::Sea {
        whale(picture, canvas);
    }
    if has(picture, Thing::House) && !matches!(picture.reading.place, Place::City | Place::Space) {
        house(picture, canvas);
    }
    if has(picture, Thing::Rocket) {
        rocket(picture, canvas);
    }
    if has(picture, Thing::Birds) {
        birds(picture, canvas);
    }
}

/// Things beside us.
pub(super) fn near(picture: &Picture, canvas: &mut Canvas<'_>) {
    if has(picture, Thing::Lighthouse) {
        lighthouse(picture, canvas);
    }
    if has(picture, Thing::Tree)
        && !matches!(
            picture.reading.place,
            Place::City | Place::Sea | Place::Space
        )
    {
        tree(picture, canvas);
    }
    if has(picture, Thing::Fire) {
        fire(picture, canvas);
    }
    if has(picture, Thing::Dog) {
        dog(picture, canvas);
    }
}

/// Where a thing stands that shares the picture with people: beside them, on the side away from the light.
fn beside(picture: &Picture, distance: f32) -> f32 {
    picture.focus - picture.light_side() * distance
}

fn lighthouse(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn ship(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("ship");
    let size = match picture.reading.shot {
        Shot::Wide => 150.0,
        Shot::Medium => 250.0,
        Shot::Close => 190.0,
    };
    let crowded = has(picture, Thing::Lighthouse);
    let x = if crowded || picture.reading.people > 0 {
        picture.light.0
    } else {
        picture.focus
    };
    let y = picture.horizon + 40.0 + size * 0.22;
    let rough = picture.reading.weather == Weather::Storm;
    let tilt = if rough {
        dice.between(0.1, 0.2) * dice.side()
    } else {
        0.03
    };
    let at = |dx: f32, dy: f32| (x + size * (dx - dy * tilt), y + size * (dy + dx * tilt));
    let dark = palette.at(0.92);
    canvas.shape(
        &[
            at(-0.62, -0.16),
            at(-0.5, -0.1),
            at(0.45, -0.1),
            at(0.72, -0.2),
            at(0.5, 0.08),
            at(-0.46, 0.08),
        ],
        &dark.into(),
    );
    canvas.line(
        &[at(-0.6, -0.13), at(0.66, -0.16)],
        2.6,
        &Ink::Flat(palette.lamp, 0.6),
    );
    for (mast, tall) in [(-0.22, 0.95), (0.2, 1.12)] {
        canvas.line(&[at(mast, -0.1), at(mast, -tall - 0.1)], 3.2, &dark.into());
        let sail = palette.light.to(palette.haze, 0.35);
        let shade = sail.to(palette.deep, 0.35);
        for (low, high, wide) in [(0.16, 0.5, 0.34), (0.54, 0.8, 0.27), (0.83, 1.0, 0.18)] {
            let (low, high) = (-0.1 - low * tall, -0.1 - high * tall);
            let mut path = PathBuilder::new();
            let [a, b, c, d] = [
                at(mast - wide * 0.4, low),
                at(mast + wide * 0.6, low),
                at(mast + wide * 0.45, high),
                at(mast - wide * 0.35, high),
            ];
            let (bulge, belly) = (
                at(mast + wide * 0.85, (low + high) / 2.0),
                at(mast - wide * 0.12, (low + high) / 2.0),
            );
            path.move_to(a.0, a.1);
            path.line_to(b.0, b.1);
            path.quad_to(bulge.0, bulge.1, c.0, c.1);
            path.line_to(d.0, d.1);
            path.quad_to(belly.0, belly.1, a.0, a.1);
            path.close();
            canvas.fill(
                path.finish().as_ref(),
                &Ink::Across(vec![(a.0, shade, 1.0), (bulge.0, sail, 1.0)]),
            );
        }
    }
    canvas.line(&[at(0.2, -1.2), at(0.9, -0.22)], 1.2, &Ink::Flat(dark, 0.8));
    canvas.line(
        &[at(-0.22, -1.03), at(-0.6, -0.16)],
        1.2,
        &Ink::Flat(dark, 0.8),
    );
    if picture.lamps_are_lit() {
        canvas.glow(at(-0.5, -0.2), size * 0.35, palette.lamp, 0.7);
    }
    // Water before the hull.
    let swell: Vec<Spot> = (0..=30)
        .map(|step| step as f32 / 30.0)
        .map(|t| {
            (
                x + size * (t * 2.2 - 1.1),
                y + size * 0.05 - size * 0.025 * (t * 19.0).sin(),
            )
        })
        .collect();
    canvas.line(&swell, size * 0.035, &Ink::Flat(palette.light, 0.3));
}

fn whale(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn house(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn castle(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn train(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let (rail, tall) = (picture.horizon + 78.0, 56.0);
    let dark = palette.at(0.82);
    // A viaduct.
    let mut x = -40.0;
    canvas.block(
        -20.0,
        rail,
        picture.width + 20.0,
        rail + 22.0,
        &palette.at(0.5).into(),
    );
    while x < picture.width + 60.0 {
        canvas.block(x, rail, x + 24.0, rail + 190.0, &palette.at(0.5).into());
        let arch: Vec<Spot> = (0..=12)
            .map(|step| (step as f32 * 15.0).to_radians())
            .map(|turn| {
                (
                    x + 72.0 - 48.0 * turn.cos(),
                    rail + 70.0 - 48.0 * turn.sin(),
                )
            })
            .collect();
        let mut spandrel = vec![(x + 24.0, rail + 20.0)];
        spandrel.extend(arch);
        spandrel.push((x + 120.0, rail + 20.0));
        canvas.shape(&spandrel, &palette.at(0.5).into());
        x += 120.0;
    }
    let towards = picture.light_side();
    let front = picture.focus + towards * 120.0;
    for wagon in 0..6 {
        let left = front - towards * (wagon as f32 * 168.0) - 78.0;
        canvas.block(left, rail - tall, left + 156.0, rail - 6.0, &dark.into());
        for window in 0..6 {
            let place = left + 12.0 + window as f32 * 23.0;
            canvas.block(
                place,
                rail - tall + 12.0,
                place + 15.0,
                rail - tall + 28.0,
                &Ink::Flat(
                    palette.lamp,
                    if picture.lamps_are_lit() { 0.95 } else { 0.5 },
                ),
            );
        }
        for wheel in [26.0, 52.0, 104.0, 130.0] {
            canvas.disc((left + wheel, rail - 5.0), 7.0, &palette.deep.into());
        }
    }
    let engine = front + towards * 96.0;
    canvas.block(
        engine - 40.0,
        rail - tall + 8.0,
        engine + 40.0,
        rail - 6.0,
        &palette.deep.into(),
    );
    canvas.block(
        engine + towards * 22.0 - 7.0,
        rail - tall - 18.0,
        engine + towards * 22.0 + 7.0,
        rail - tall + 10.0,
        &palette.deep.into(),
    );
    for puff in 0..13 {
        let t = puff as f32;
        let spot = (
            engine + towards * 22.0 - towards * t * 36.0,
            rail - tall - 30.0 - t.sqrt() * 26.0,
        );
        canvas.disc(
            spot,
            12.0 + t * 3.6,
            &Ink::Flat(palette.light, 0.34 - t * 0.022),
        );
    }
    canvas.glow(
        (engine + towards * 42.0, rail - 30.0),
        170.0,
        palette.lamp,
        0.6,
    );
}

fn balloon(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("balloon");
    for index in 0..1 + dice.below(3) {
        let size = 92.0 / (1.0 + index as f32 * 0.9);
        let x =
            picture.focus + dice.between(-90.0, 90.0) + 260.0 * index as f32 * picture.light_side();
        let y = dice.between(170.0, 300.0);
        for (share, colour) in [
            (1.0, palette.lamp),
            (0.62, palette.light),
            (0.24, palette.lamp.to(palette.deep, 0.3)),
        ] {
            let mut path = PathBuilder::new();
            path.move_to(x - size * 0.16 * share, y + size * 1.2);
            path.cubic_to(
                x - size * 0.3 * share,
                y + size * 0.75,
                x - size * share,
                y + size * 0.5,
                x - size * share,
                y - size * 0.05,
            );
            path.cubic_to(
                x - size * share,
                y - size * 1.25,
                x + size * share,
                y - size * 1.25,
                x + size * share,
                y - size * 0.05,
            );
            path.cubic_to(
                x + size * share,
                y + size * 0.5,
                x + size * 0.3 * share,
                y + size * 0.75,
                x + size * 0.16 * share,
                y + size * 1.2,
            );
            path.close();
            canvas.fill(
                path.finish().as_ref(),
                &colour.to(palette.haze, 0.2 + 0.2 * index as f32).into(),
            );
        }
        canvas.block(
            x - size * 0.15,
            y + size * 1.42,
            x + size * 0.15,
            y + size * 1.62,
            &palette.deep.into(),
        );
        for side in [-0.13, 0.13] {
            canvas.line(
                &[
                    (x + side * size, y + size * 1.2),
                    (x + side * size, y + size * 1.42),
                ],
                1.2,
                &palette.deep.into(),
            );
        }
    }
}

fn rocket(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let (x, foot, tall) = (beside(picture, 210.0), 815.0, 420.0);
    let half = tall * 0.1;
    let mut path = PathBuilder::new();
    path.move_to(x, foot - tall);
    path.cubic_to(
        x + half * 1.5,
        foot - tall * 0.75,
        x + half * 1.3,
        foot - tall * 0.3,
        x + half * 0.7,
        foot - tall * 0.1,
    );
    path.line_to(x - half * 0.7, foot - tall * 0.1);
    path.cubic_to(
        x - half * 1.3,
        foot - tall * 0.3,
        x - half * 1.5,
        foot - tall * 0.75,
        x,
        foot - tall,
    );
    path.close();
    let (bright, dim) = (palette.light, palette.at(0.5));
    let (a, b) = if picture.light.0 < x {
        (bright, dim)
    } else {
        (dim, bright)
    };
    canvas.fill(
        path.finish().as_ref(),
        &Ink::Across(vec![(x - half, a, 1.0), (x + half, b, 1.0)]),
    );
    for side in [-1.0, 1.0] {
        canvas.shape(
            &[
                (x + side * half * 0.9, foot - tall * 0.34),
                (x + side * half * 2.1, foot),
                (x + side * half * 0.6, foot - tall * 0.1),
            ],
            &palette.lamp.to(palette.deep, 0.35).into(),
        );
    }
    canvas.disc((x, foot - tall * 0.62), half * 0.45, &palette.deep.into());
    canvas.disc((x, foot - tall * 0.62), half * 0.32, &palette.lamp.into());
}

fn birds(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn tree(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn fire(picture: &Picture, canvas: &mut Canvas<'_>) {
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

fn dog(picture: &Picture, canvas: &mut Canvas<'_>) {
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
