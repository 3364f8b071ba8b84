//! Ships, trains, balloons and rockets.

use tiny_skia::PathBuilder;

use super::things::{beside, has};
use crate::canvas::{Canvas, Ink, Spot};
use crate::picture::Picture;
use crate::reading::{Shot, Thing, Weather};

pub(super) fn ship(picture: &Picture, canvas: &mut Canvas<'_>) {
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

pub(super) fn train(picture: &Picture, canvas: &mut Canvas<'_>) {
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

pub(super) fn balloon(picture: &Picture, canvas: &mut Canvas<'_>) {
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

pub(super) fn rocket(picture: &Picture, canvas: &mut Canvas<'_>) {
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
