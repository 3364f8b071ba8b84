//! Rain, snow and mist between us and the scene.

use crate::canvas::{Canvas, HEIGHT, Ink};
use crate::picture::Picture;
use crate::reading::{Place, Weather};

/// Bands of mist over the ground.
pub(super) fn veil(picture: &Picture, canvas: &mut Canvas<'_>) {
    if picture.reading.place == Place::Room {
        return;
    }
    let strength = match picture.reading.weather {
        Weather::Fog => 0.6,
        Weather::Rain | Weather::Storm | Weather::Snow => 0.22,
        Weather::Clear | Weather::Clouds => 0.12,
    };
    let mist = picture.palette.haze.to(picture.palette.horizon, 0.55);
    let middle = picture.horizon + 40.0;
    canvas.block(
        -10.0,
        middle - 150.0,
        picture.width + 10.0,
        middle + 190.0,
        &Ink::Down(vec![
            (middle - 150.0, mist, 0.0),
            (middle, mist, strength),
            (middle + 190.0, mist, 0.0),
        ]),
    );
}

/// What falls from the sky.
pub(super) fn fall(picture: &Picture, canvas: &mut Canvas<'_>) {
    if picture.reading.place == Place::Room {
        return;
    }
    let mut dice = picture.dice("fall");
    let count = |share: f32| (picture.width * share).min(6_000.0) as usize;
    let light = picture.palette.light;
    match picture.reading.weather {
        Weather::Rain | Weather::Storm => {
            let lean = if picture.reading.weather == Weather::Storm {
                dice.between(0.32, 0.5)
            } else {
                dice.between(0.08, 0.2)
            };
            for _ in 0..count(0.26) {
                let (x, y) = (
                    dice.between(-60.0, picture.width + 200.0),
                    dice.between(-60.0, HEIGHT),
                );
                let near = dice.share();
                let length = 22.0 + 48.0 * near;
                canvas.line(
                    &[(x, y), (x - length * lean, y + length)],
                    0.8 + 1.1 * near,
                    &Ink::Flat(light, 0.1 + 0.2 * near),
                );
            }
        }
        Weather::Snow => {
            for _ in 0..count(0.2) {
                let spot = (dice.share() * picture.width, dice.share() * HEIGHT);
                let near = dice.share().powi(3);
                canvas.disc(
                    spot,
                    1.3 + 5.0 * near,
                    &Ink::Flat(light, 0.85 - 0.45 * near),
                );
            }
        }
        Weather::Fog => {
            let mist = picture.palette.horizon;
            canvas.block(
                -10.0,
                640.0,
                picture.width + 10.0,
                900.0,
                &Ink::Down(vec![
                    (640.0, mist, 0.0),
                    (790.0, mist, 0.25),
                    (900.0, mist, 0.0),
                ]),
            );
        }
        Weather::Clear | Weather::Clouds => {}
    }
}
