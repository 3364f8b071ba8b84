//! A road to the horizon.

use super::land::ground_with_trees;
use super::noise::line;
use crate::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::picture::Picture;

/// A road that runs to the horizon, with poles beside it.
pub(super) fn road(picture: &Picture, canvas: &mut Canvas<'_>) {
    ground_with_trees(picture, canvas, 2, 0.4, 0.2);
    let palette = &picture.palette;
    let mut dice = picture.dice("road");
    let (start, bend) = (picture.horizon + 22.0, dice.between(-150.0, 150.0));
    let field = palette.at(0.62);
    let ridge = line(picture.width, 20.0, |_| start);
    canvas.ground(
        &ridge,
        &Ink::Down(vec![
            (start, palette.at(0.5).to(palette.horizon, 0.3), 1.0),
            (HEIGHT, field, 1.0),
        ]),
    );
    let middle = |through: f32| {
        let far = picture.focus;
        let near = picture.width * 0.5 + (picture.width * 0.5 - picture.focus) * 0.3;
        far + (near - far) * through.powf(1.3)
            + bend * (through * std::f32::consts::PI).sin() * (1.0 - through)
    };
    let y = |through: f32| start + (HEIGHT + 10.0 - start) * through * through;
    let half = |through: f32| 3.0 + 330.0 * through * through;
    let edge = |side: f32| {
        (0..=40)
            .map(move |step| step as f32 / 40.0)
            .map(move |t| (middle(t) + side * half(t), y(t)))
    };
    let mut outline: Vec<Spot> = edge(-1.0).collect();
    outline.extend(edge(1.0).collect::<Vec<_>>().into_iter().rev());
    canvas.shape(
        &outline,
        &Ink::Down(vec![
            (start, palette.at(0.55).to(palette.light, 0.35), 1.0),
            (HEIGHT, palette.at(0.88), 1.0),
        ]),
    );
    for dash in 0..14 {
        let (from, to) = (dash as f32 / 14.0, (dash as f32 + 0.5) / 14.0);
        let thin = |t: f32| half(t) * 0.022;
        canvas.shape(
            &[
                (middle(from) - thin(from), y(from)),
                (middle(from) + thin(from), y(from)),
                (middle(to) + thin(to), y(to)),
                (middle(to) - thin(to), y(to)),
            ],
            &Ink::Flat(palette.light, 0.75),
        );
    }
    let side = picture.light_side();
    let mut wire = Vec::new();
    for pole in 1..9 {
        let t = (pole as f32 / 9.5).powf(1.25);
        let (x, foot) = (middle(t) + side * (half(t) + 10.0 + 120.0 * t), y(t));
        let tall = 26.0 + 640.0 * t * t;
        let thick = 1.2 + 9.0 * t * t;
        let colour = palette.at(0.6 + 0.4 * t);
        canvas.line(&[(x, foot), (x, foot - tall)], thick, &colour.into());
        canvas.line(
            &[
                (x - tall * 0.12, foot - tall * 0.92),
                (x + tall * 0.12, foot - tall * 0.92),
            ],
            thick * 0.8,
            &colour.into(),
        );
        wire.push((x, foot - tall * 0.92));
    }
    for pair in wire.windows(2) {
        let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
        let sag: Vec<Spot> = (0..=12)
            .map(|step| step as f32 / 12.0)
            .map(|t| {
                (
                    x0 + (x1 - x0) * t,
                    y0 + (y1 - y0) * t + 0.12 * (x1 - x0).abs().min(160.0) * (t * (1.0 - t)) * 4.0,
                )
            })
            .collect();
        canvas.line(&sag, 1.3, &Ink::Flat(palette.deep, 0.7));
    }
}
