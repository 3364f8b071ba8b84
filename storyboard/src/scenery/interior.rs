//! A room: its wall, a window with the world outside, a lamp, a table.

use crate::canvas::{Canvas, HEIGHT, Ink};
use crate::colour::Colour;
use crate::picture::Picture;
use crate::reading::{Hour, Weather};

/// Where the wall meets the floor.
const FLOOR: f32 = 742.0;

/// The wall, the floor, and the window.
pub(super) fn wall(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    canvas.flood(&Ink::Down(vec![
        (0.0, palette.zenith, 1.0),
        (FLOOR * 0.75, palette.sky, 1.0),
        (FLOOR, palette.sky.to(palette.haze, 0.6), 1.0),
    ]));
    canvas.glow((picture.focus, 330.0), 900.0, palette.lamp, 0.26);
    // Panels along the wall.
    let mut x = picture.focus.rem_euclid(150.0) - 150.0;
    while x < picture.width + 150.0 {
        canvas.line(&[(x, 0.0), (x, FLOOR)], 1.4, &Ink::Flat(palette.deep, 0.16));
        x += 150.0;
    }
    canvas.block(
        -10.0,
        FLOOR,
        picture.width + 10.0,
        HEIGHT,
        &Ink::Down(vec![
            (FLOOR, palette.at(0.45), 1.0),
            (HEIGHT, palette.at(0.92), 1.0),
        ]),
    );
    canvas.block(
        -10.0,
        FLOOR - 26.0,
        picture.width + 10.0,
        FLOOR,
        &palette.at(0.6).into(),
    );
    canvas.line(
        &[(-10.0, FLOOR - 26.0), (picture.width + 10.0, FLOOR - 26.0)],
        2.0,
        &Ink::Flat(palette.light, 0.18),
    );
    window(picture, canvas);
    pictures(picture, canvas);
}

fn window(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("window");
    let half = dice.between(120.0, 160.0);
    let (x, top, low) = (picture.light.0, 150.0, 530.0);
    let night = matches!(picture.reading.hour, Hour::Night | Hour::Dusk);
    let (high, deep) = if night {
        (
            palette.zenith.to(Colour::hex(0x0c_1a_38), 0.7),
            palette.sky.to(Colour::hex(0x3a_5f_86), 0.75),
        )
    } else {
        (palette.light.to(palette.sky, 0.3), palette.light)
    };
    canvas.block(
        x - half - 14.0,
        top - 14.0,
        x + half + 14.0,
        low + 14.0,
        &palette.at(0.7).into(),
    );
    canvas.block(
        x - half,
        top,
        x + half,
        low,
        &Ink::Down(vec![(top, high, 1.0), (low, deep, 1.0)]),
    );
    if night {
        canvas.disc(
            (x + half * 0.35, top + 95.0),
            34.0,
            &Ink::Flat(palette.light, 0.95),
        );
        canvas.disc(
            (x + half * 0.35, top + 95.0),
            62.0,
            &Ink::Flat(palette.light, 0.12),
        );
        for _ in 0..16 {
            canvas.disc(
                (
                    x + dice.between(-0.95, 0.95) * half,
                    top + dice.between(8.0, 260.0),
                ),
                1.6,
                &Ink::Flat(palette.light, 0.7),
            );
        }
    }
    let hill: Vec<_> = (0..=30)
        .map(|step| step as f32 / 30.0)
        .map(|t| {
            (
                x - half + 2.0 * half * t,
                low - 56.0 - 30.0 * (t * 4.0 + half).sin(),
            )
        })
        .collect();
    let mut outline = hill;
    outline.extend([(x + half, low), (x - half, low)]);
    canvas.shape(&outline, &Ink::Flat(high.to(palette.deep, 0.5), 0.9));
    if matches!(picture.reading.weather, Weather::Rain | Weather::Storm) {
        for _ in 0..60 {
            let (dx, y) = (
                dice.between(-1.0, 0.98) * half,
                dice.between(top, low - 30.0),
            );
            canvas.line(
                &[(x + dx, y), (x + dx - 4.0, y + 26.0)],
                1.2,
                &Ink::Flat(palette.light, 0.4),
            );
        }
    }
    let frame = palette.at(0.7);
    canvas.block(x - 4.0, top, x + 4.0, low, &frame.into());
    canvas.block(x - half, top + 150.0, x + half, top + 157.0, &frame.into());
    canvas.block(
        x - half - 26.0,
        low + 8.0,
        x + half + 26.0,
        low + 24.0,
        &palette.at(0.6).into(),
    );
    // Curtains.
    for side in [-1.0, 1.0] {
        let edge = x + side * (half + 12.0);
        let cloth = [
            (edge + side * 46.0, top - 40.0),
            (edge - side * 40.0, top - 40.0),
            (edge - side * 22.0, 380.0),
            (edge + side * 8.0, low + 90.0),
            (edge + side * 58.0, low + 90.0),
        ];
        canvas.shape(
            &cloth,
            &Ink::Down(vec![
                (top, palette.at(0.5).to(palette.lamp, 0.12), 1.0),
                (low, palette.at(0.72), 1.0),
            ]),
        );
    }
    canvas.line(
        &[(x - half - 80.0, top - 40.0), (x + half + 80.0, top - 40.0)],
        6.0,
        &palette.deep.into(),
    );
    // Its light on the floor.
    let pool = [
        (x - half, FLOOR + 8.0),
        (x + half, FLOOR + 8.0),
        (x + half * 1.2 - 70.0, 930.0),
        (x - half * 1.6 - 70.0, 930.0),
    ];
    canvas.shape(
        &pool,
        &Ink::Down(vec![
            (FLOOR, palette.light, if night { 0.14 } else { 0.3 }),
            (930.0, palette.light, 0.0),
        ]),
    );
}

fn pictures(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("pictures");
    let side = -picture.light_side();
    for index in 0..2 + dice.below(2) {
        let (wide, tall) = (dice.between(70.0, 120.0), dice.between(80.0, 130.0));
        let x = picture.focus + side * (130.0 + 165.0 * index as f32);
        let y = dice.between(200.0, 260.0);
        canvas.block(x, y, x + wide, y + tall, &palette.at(0.75).into());
        canvas.block(
            x + 8.0,
            y + 8.0,
            x + wide - 8.0,
            y + tall - 8.0,
            &palette.haze.to(palette.light, 0.2).into(),
        );
        canvas.shape(
            &[
                (x + 8.0, y + tall - 8.0),
                (x + wide * 0.4, y + tall * 0.5),
                (x + wide - 8.0, y + tall - 8.0),
            ],
            &palette.at(0.4).into(),
        );
    }
}

/// Table, chair and what stands on them.
pub(super) fn furniture(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let mut dice = picture.dice("furniture");
    let side = picture.light_side();
    let lamp = (picture.focus + side * 60.0, dice.between(250.0, 300.0));
    canvas.line(
        &[(lamp.0, -10.0), (lamp.0, lamp.1 - 40.0)],
        3.0,
        &palette.deep.into(),
    );
    let cone = [
        (lamp.0 - 40.0, lamp.1),
        (lamp.0 + 40.0, lamp.1),
        (lamp.0 + 330.0, 800.0),
        (lamp.0 - 330.0, 800.0),
    ];
    canvas.shape(
        &cone,
        &Ink::Down(vec![
            (lamp.1, palette.lamp, 0.34),
            (800.0, palette.lamp, 0.0),
        ]),
    );
    canvas.glow((lamp.0, lamp.1 + 10.0), 300.0, palette.lamp, 0.55);
    canvas.oval((lamp.0, lamp.1), 26.0, 12.0, &palette.light.into());
    canvas.shape(
        &[
            (lamp.0 - 58.0, lamp.1 + 3.0),
            (lamp.0 - 18.0, lamp.1 - 48.0),
            (lamp.0 + 18.0, lamp.1 - 48.0),
            (lamp.0 + 58.0, lamp.1 + 3.0),
        ],
        &palette.at(0.95).into(),
    );
    let (x, top, half) = (picture.focus + side * 210.0, 652.0, 190.0);
    let wood = palette.at(0.78);
    for leg in [-0.88, 0.88] {
        canvas.shape(
            &[
                (x + leg * half - 9.0, top),
                (x + leg * half + 9.0, top),
                (x + leg * half + 6.0, 845.0),
                (x + leg * half - 6.0, 845.0),
            ],
            &palette.at(0.9).into(),
        );
    }
    canvas.block(x - half, top, x + half, top + 20.0, &wood.into());
    canvas.line(
        &[(x - half, top), (x + half, top)],
        3.0,
        &Ink::Flat(palette.lamp, 0.55),
    );
    cup_and_books(picture, canvas, x, top);
}

fn cup_and_books(picture: &Picture, canvas: &mut Canvas<'_>, x: f32, top: f32) {
    let palette = &picture.palette;
    let mut dice = picture.dice("on the table");
    let mut y = top;
    for _ in 0..1 + dice.below(3) {
        let (left, wide) = (
            x - 110.0 + dice.between(-8.0, 8.0),
            dice.between(72.0, 96.0),
        );
        let colour = palette
            .at(dice.between(0.3, 0.7))
            .to(palette.lamp, dice.between(0.0, 0.3));
        canvas.block(left, y - 15.0, left + wide, y, &colour.into());
        y -= 15.0;
    }
    let cup = x + 60.0;
    canvas.shape(
        &[
            (cup, top - 34.0),
            (cup + 36.0, top - 34.0),
            (cup + 30.0, top),
            (cup + 6.0, top),
        ],
        &palette.haze.to(palette.light, 0.45).into(),
    );
    let steam: Vec<_> = (0..=12)
        .map(|step| step as f32)
        .map(|t| (cup + 18.0 + 7.0 * (t * 0.8).sin(), top - 42.0 - t * 6.0))
        .collect();
    canvas.line(&steam, 3.0, &Ink::Flat(palette.light, 0.25));
}

/// The dark edge of something near, so that the room has depth.
pub(super) fn foreground(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    canvas.block(
        -10.0,
        830.0,
        picture.width + 10.0,
        HEIGHT,
        &Ink::Down(vec![
            (830.0, palette.deep, 0.0),
            (HEIGHT, palette.deep, 0.92),
        ]),
    );
    // The back of an armchair in the corner away from the subject.
    let edge = if picture.focus < picture.width / 2.0 {
        picture.width
    } else {
        0.0
    };
    let side = if edge > 0.0 { -1.0 } else { 1.0 };
    let mut back: Vec<_> = (0..=20)
        .map(|step| (step as f32 * 9.0).to_radians())
        .map(|turn| {
            (
                edge + side * (120.0 - 110.0 * turn.cos()),
                800.0 - 130.0 * turn.sin().powf(0.6),
            )
        })
        .collect();
    back.extend([
        (edge + side * 245.0, HEIGHT + 10.0),
        (edge - side * 20.0, HEIGHT + 10.0),
    ]);
    canvas.shape(&back, &palette.deep.into());
    canvas.line(&back[..21], 3.0, &Ink::Flat(palette.lamp, 0.22));
}
