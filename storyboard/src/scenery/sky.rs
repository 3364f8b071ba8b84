//! Sky, sun or moon, stars and clouds.

use tiny_skia::PathBuilder;

use crate::canvas::{Canvas, Ink, Spot};
use crate::colour::Colour;
use crate::dice::Dice;
use crate::picture::Picture;
use crate::reading::{Hour, Weather};

/// The whole sky.
pub(super) fn paint(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let low = picture.horizon + 20.0;
    canvas.flood(&Ink::Down(vec![
        (0.0, palette.zenith, 1.0),
        (low * 0.56, palette.sky, 1.0),
        (low, palette.horizon, 1.0),
    ]));
    let overcast = matches!(picture.reading.weather, Weather::Storm | Weather::Rain);
    if picture.reading.hour == Hour::Night && !overcast {
        stars(picture, canvas, picture.horizon, 0.9);
    }
    if !overcast {
        light(picture, canvas);
    }
    match picture.reading.weather {
        Weather::Storm | Weather::Rain => storm(picture, canvas),
        Weather::Clear => wisps(picture, canvas, 2),
        Weather::Fog => wisps(picture, canvas, 3),
        Weather::Snow | Weather::Clouds if picture.reading.hour == Hour::Day => {
            heaps(picture, canvas);
        }
        Weather::Snow | Weather::Clouds => wisps(picture, canvas, 6),
    }
}

/// Stars down to a height, at an opacity.
pub(super) fn stars(picture: &Picture, canvas: &mut Canvas<'_>, low: f32, opacity: f32) {
    let mut dice = picture.dice("stars");
    let count = (picture.width * 0.13).min(2_000.0) as usize;
    for _ in 0..count {
        let y = low * dice.share().powf(1.4);
        let spot = (dice.between(0.0, picture.width), y);
        let size = 0.7 + 2.0 * dice.share().powi(6);
        let faint = opacity * dice.between(0.25, 0.95) * (1.0 - y / low * 0.8);
        canvas.disc(spot, size, &Ink::Flat(picture.palette.light, faint));
    }
}

fn light(picture: &Picture, canvas: &mut Canvas<'_>) {
    let (spot, radius) = (picture.light, picture.light_radius);
    let colour = picture.palette.light;
    let night = picture.reading.hour == Hour::Night;
    canvas.glow(spot, radius * 9.0, colour, if night { 0.32 } else { 0.6 });
    canvas.disc(spot, radius * 2.6, &Ink::Flat(colour, 0.07));
    canvas.disc(spot, radius * 1.7, &Ink::Flat(colour, 0.1));
    let mut dice = picture.dice("moon");
    if night && dice.chance(0.35) {
        crescent(canvas, spot, radius * 0.9, colour);
        return;
    }
    canvas.disc(spot, radius, &colour.into());
    if night {
        for _ in 0..6 {
            let (turn, out) = (dice.between(0.0, 6.3), radius * dice.between(0.1, 0.65));
            let crater = (spot.0 + out * turn.cos(), spot.1 + out * turn.sin());
            let size = radius * dice.between(0.08, 0.22);
            canvas.disc(crater, size, &Ink::Flat(picture.palette.haze, 0.22));
        }
    }
}

fn crescent(canvas: &mut Canvas<'_>, (x, y): Spot, radius: f32, colour: Colour) {
    let arc = |bulge: f32, from: i32, to: i32| {
        let steps: Vec<i32> = if from < to {
            (from..=to).collect()
        } else {
            (to..=from).rev().collect()
        };
        steps.into_iter().map(move |step| {
            let turn = (step as f32 * 6.0).to_radians();
            (turn.cos() * radius * bulge, turn.sin() * radius)
        })
    };
    let tilt = (-25_f32).to_radians();
    let edge = arc(1.0, -15, 15).chain(arc(0.45, 15, -15));
    let corners: Vec<Spot> = edge
        .map(|(dx, dy)| {
            (
                x + dx * tilt.cos() - dy * tilt.sin(),
                y + dx * tilt.sin() + dy * tilt.cos(),
            )
        })
        .collect();
    canvas.shape(&corners, &colour.into());
}

/// Long thin clouds, as at dawn and dusk: bars with round ends in small heaps.
fn wisps(picture: &Picture, canvas: &mut Canvas<'_>, heaps: usize) {
    let mut dice = picture.dice("wisps");
    let heaps = heaps * (picture.width / 1_800.0).clamp(1.0, 6.0) as usize;
    for _ in 0..heaps {
        let (x, y) = (
            dice.between(-0.05, 1.05) * picture.width,
            picture.horizon * dice.between(0.12, 0.88),
        );
        let low = y / picture.horizon;
        let colour = picture
            .palette
            .sky
            .to(picture.palette.light, 0.25 + 0.45 * low);
        for bar in 0..2 + dice.below(3) {
            let length = dice.between(110.0, 380.0) * (1.15 - 0.5 * low);
            let thick = dice.between(7.0, 15.0) * (1.2 - 0.55 * low);
            let left = x + dice.between(-110.0, 110.0) - length / 2.0;
            let top = y + bar as f32 * thick * 1.25;
            bar_with_round_ends(canvas, left, top, length, thick, &Ink::Flat(colour, 0.3));
        }
    }
}

/// A lying bar with round ends.
pub(super) fn bar_with_round_ends(
    canvas: &mut Canvas<'_>,
    left: f32,
    top: f32,
    length: f32,
    thick: f32,
    ink: &Ink,
) {
    let radius = thick / 2.0;
    let round = |middle: f32, from: f32| {
        (0..=8).map(move |step| {
            let turn = (from + step as f32 * 22.5).to_radians();
            (
                middle + radius * turn.cos(),
                top + radius + radius * turn.sin(),
            )
        })
    };
    let length = length.max(thick);
    let ends = round(left + length - radius, -90.0).chain(round(left + radius, 90.0));
    canvas.shape(&ends.collect::<Vec<_>>(), ink);
}

/// Heaped clouds with flat feet, lit from above.
fn heaps(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("heaps");
    let count = (3.0 + picture.width / 700.0).min(14.0) as usize;
    for index in 0..count {
        let foot = picture.horizon * (0.3 + 0.55 * index as f32 / count as f32);
        let size = 0.55 + 0.5 * (1.0 - foot / picture.horizon);
        let centre = (dice.between(-0.05, 1.05) * picture.width, foot);
        heap(picture, canvas, centre, 210.0 * size, &mut dice);
    }
}

fn heap(picture: &Picture, canvas: &mut Canvas<'_>, (x, foot): Spot, half: f32, dice: &mut Dice) {
    let mut path = PathBuilder::new();
    let puffs = 7;
    for puff in 0..puffs {
        let along = (puff as f32 + 0.5) / puffs as f32 * 2.0 - 1.0;
        let radius = half * (0.16 + 0.24 * (1.0 - along * along)) * dice.between(0.75, 1.2);
        path.push_circle(x + along * half * 0.85, foot - radius * 0.62, radius);
    }
    let top = foot - half * 0.75;
    let palette = &picture.palette;
    let ink = Ink::Down(vec![
        (top, palette.light, 0.92),
        (
            foot - half * 0.12,
            palette.horizon.to(palette.sky, 0.25),
            0.75,
        ),
        (foot, palette.sky, 0.0),
    ]);
    canvas.fill(path.finish().as_ref(), &ink);
}

/// A ceiling of dark clouds whose bellies hang down, layer over layer.
fn storm(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("storm");
    let palette = &picture.palette;
    let gap = (picture.light.0, picture.horizon - 60.0);
    canvas.glow(gap, 760.0, palette.light, 0.5);
    for layer in 0..4 {
        let depth = layer as f32 / 3.0;
        let reach = picture.horizon * (0.78 - 0.56 * depth);
        let mut path = PathBuilder::new();
        let mut x = -120.0;
        while x < picture.width + 120.0 {
            let radius = dice.between(60.0, 140.0) * (0.7 + 0.5 * depth);
            path.push_circle(x, reach - radius * dice.between(0.75, 1.35), radius);
            x += radius * dice.between(0.7, 1.15);
        }
        if let Some(ceiling) = tiny_skia::Rect::from_ltrb(
            -200.0,
            -200.0,
            picture.width + 200.0,
            (reach - 100.0).max(-100.0),
        ) {
            path.push_rect(ceiling);
        }
        let colour = palette.haze.to(palette.zenith, 0.2 + 0.8 * depth);
        let ink = Ink::Down(vec![
            (0.0, colour.to(palette.deep, 0.35), 0.95),
            (
                reach,
                colour.to(palette.horizon, 0.22 * (1.0 - depth)),
                0.85,
            ),
        ]);
        canvas.fill(path.finish().as_ref(), &ink);
    }
    if picture.reading.weather == Weather::Storm {
        bolt(picture, canvas, &mut dice);
    }
}

fn bolt(picture: &Picture, canvas: &mut Canvas<'_>, dice: &mut Dice) {
    let palette = &picture.palette;
    let (mut x, mut y) = (
        picture.light.0 + dice.between(-60.0, 60.0),
        picture.horizon * 0.22,
    );
    let start = (x, y);
    let mut spots = vec![start];
    while y < picture.horizon - 4.0 {
        x += dice.between(-34.0, 34.0);
        y += dice.between(18.0, 44.0);
        spots.push((x, y.min(picture.horizon)));
    }
    canvas.glow(
        (start.0, picture.horizon * 0.35),
        380.0,
        palette.light,
        0.55,
    );
    canvas.line(&spots, 13.0, &Ink::Flat(palette.light, 0.16));
    canvas.line(&spots, 5.0, &Ink::Flat(palette.light, 0.5));
    canvas.line(&spots, 2.4, &Ink::Flat(Colour::WHITE, 0.95));
    let fork = spots.len() / 2;
    let (mut x, mut y) = spots[fork];
    let mut branch = vec![(x, y)];
    for _ in 0..5 {
        x += dice.between(8.0, 36.0) * if dice.chance(0.8) { 1.0 } else { -1.0 };
        y += dice.between(10.0, 28.0);
        branch.push((x, y));
    }
    canvas.line(&branch, 1.6, &Ink::Flat(palette.light, 0.75));
}
