//! Skylines, blocks with lit windows, a street.

use crate::canvas::{Canvas, HEIGHT, Ink};
use crate::dice::Dice;
use crate::picture::Picture;

/// Towers in the haze.
pub(super) fn skyline(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("skyline");
    for layer in 0..2 {
        let depth = 0.1 + 0.2 * layer as f32;
        row(
            picture,
            canvas,
            150.0 + 60.0 * layer as f32,
            330.0 - 60.0 * layer as f32,
            depth,
            &mut dice,
        );
    }
}

/// The blocks around us.
pub(super) fn blocks(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("blocks");
    row(picture, canvas, 190.0, 250.0, 0.62, &mut dice);
}

fn row(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    low: f32,
    spread: f32,
    depth: f32,
    dice: &mut Dice,
) {
    let palette = &picture.palette;
    let foot = picture.horizon + 190.0 * depth;
    let colour = palette.at(depth);
    let mist = colour.to(palette.haze.to(palette.horizon, 0.5), 0.6 * (1.0 - depth));
    let mut x = -60.0;
    while x < picture.width + 40.0 {
        let wide = dice.between(46.0, 118.0) * (0.7 + 0.7 * depth);
        // The row opens where the eye should go.
        let open = 1.0 - 0.72 * depth * (-((x + wide / 2.0 - picture.focus) / 230.0).powi(2)).exp();
        let tall = (low + spread * dice.share().powf(1.5)) * open;
        let top = foot - tall;
        canvas.block(
            x,
            top,
            x + wide,
            foot + 120.0,
            &Ink::Down(vec![(top, colour, 1.0), (foot, mist, 1.0)]),
        );
        let far_side = if picture.light.0 < x {
            x + wide * 0.66
        } else {
            x
        };
        canvas.block(
            far_side,
            top,
            far_side + wide * 0.34,
            foot + 120.0,
            &Ink::Flat(palette.deep, 0.16),
        );
        roof(canvas, x, top, wide, &colour.into(), dice);
        windows(picture, canvas, (x, top, wide, foot), depth, dice);
        x += wide + dice.between(-6.0, 14.0);
    }
}

fn roof(canvas: &mut Canvas<'_>, x: f32, top: f32, wide: f32, ink: &Ink, dice: &mut Dice) {
    let middle = x + wide * dice.between(0.3, 0.7);
    match dice.below(6) {
        0 => canvas.shape(
            &[
                (middle - 2.0, top),
                (middle, top - dice.between(40.0, 90.0)),
                (middle + 2.0, top),
            ],
            ink,
        ),
        1 => canvas.block(x + wide * 0.2, top - 22.0, x + wide * 0.8, top + 1.0, ink),
        2 => canvas.shape(
            &[
                (x, top + 1.0),
                (x + wide, top - wide * 0.35),
                (x + wide, top + 1.0),
            ],
            ink,
        ),
        3 => {
            // A water tank on legs.
            for leg in [-9.0, 9.0] {
                canvas.line(&[(middle + leg, top), (middle + leg, top - 14.0)], 2.0, ink);
            }
            canvas.block(middle - 13.0, top - 36.0, middle + 13.0, top - 12.0, ink);
            canvas.shape(
                &[
                    (middle - 15.0, top - 35.0),
                    (middle, top - 47.0),
                    (middle + 15.0, top - 35.0),
                ],
                ink,
            );
        }
        _ => {}
    }
}

fn windows(
    picture: &Picture,
    canvas: &mut Canvas<'_>,
    (x, top, wide, foot): (f32, f32, f32, f32),
    depth: f32,
    dice: &mut Dice,
) {
    let lit = picture.lamps_are_lit();
    let (step, size) = (15.0 + 8.0 * depth, 6.0 + 3.5 * depth);
    let columns = ((wide - 12.0) / step).floor().max(1.0);
    let margin = (wide - columns * step + step - size) / 2.0;
    let share = if lit { dice.between(0.12, 0.5) } else { 0.85 };
    let mut y = top + 14.0;
    while y < foot + 40.0 {
        for column in 0..columns as usize {
            if !dice.chance(share) {
                continue;
            }
            let left = x + margin + column as f32 * step;
            let (colour, faint) = if lit {
                (
                    picture.palette.lamp,
                    dice.between(0.3, 0.95) * (0.45 + 0.55 * depth),
                )
            } else {
                (picture.palette.light, 0.14)
            };
            canvas.block(
                left,
                y,
                left + size,
                y + size * 1.25,
                &Ink::Flat(colour, faint),
            );
        }
        y += step * 1.25;
    }
}

/// The pavement, its lamps, and their light on the ground.
pub(super) fn street(picture: &Picture, canvas: &mut Canvas<'_>) {
    let palette = &picture.palette;
    let top = 820.0;
    let ridge = [(-10.0, top), (picture.width + 10.0, top)];
    canvas.ground(
        &ridge,
        &Ink::Down(vec![
            (top, palette.at(0.84), 1.0),
            (HEIGHT, palette.deep, 1.0),
        ]),
    );
    canvas.line(&ridge, 2.0, &Ink::Flat(palette.light, 0.22));
    let mut dice = picture.dice("street");
    let gap = dice.between(420.0, 520.0);
    let mut x = picture.focus + 150.0 * picture.light_side();
    while x > gap {
        x -= gap;
    }
    while x < picture.width + 60.0 {
        let (foot, tall) = (850.0, 360.0);
        let dark = palette.deep;
        let head = (x + 44.0, foot - tall + 6.0);
        if picture.lamps_are_lit() {
            canvas.glow(head, 210.0, palette.lamp, 0.5);
            canvas.oval(
                (x + 44.0, 870.0),
                150.0,
                22.0,
                &Ink::Around(
                    (x + 44.0, 870.0),
                    150.0,
                    vec![(0.0, palette.lamp, 0.4), (1.0, palette.lamp, 0.0)],
                ),
            );
        }
        canvas.line(&[(x, foot), (x, foot - tall + 26.0)], 6.0, &dark.into());
        let arm: Vec<_> = (0..=8)
            .map(|step| (step as f32 * 11.25_f32).to_radians())
            .map(|turn| {
                (
                    x + 40.0 * (1.0 - turn.cos()),
                    foot - tall + 26.0 - 26.0 * turn.sin(),
                )
            })
            .collect();
        canvas.line(&arm, 5.0, &dark.into());
        canvas.shape(
            &[
                (head.0 - 15.0, head.1),
                (head.0 - 7.0, head.1 - 10.0),
                (head.0 + 7.0, head.1 - 10.0),
                (head.0 + 15.0, head.1),
            ],
            &dark.into(),
        );
        canvas.oval(
            (head.0, head.1 + 2.0),
            10.0,
            5.0,
            &Ink::Flat(
                palette.lamp,
                if picture.lamps_are_lit() { 1.0 } else { 0.3 },
            ),
        );
        canvas.block(x - 9.0, foot - 16.0, x + 9.0, foot + 2.0, &dark.into());
        x += gap;
    }
}
