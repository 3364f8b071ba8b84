//! Smooth chance along a line: the shape of ridges, dunes and waves.

use crate::canvas::Spot;
use crate::dice::scramble;

/// A number from -1 to 1 that changes smoothly with `x`.
fn smooth(seed: u64, x: f32) -> f32 {
    let cell = x.floor();
    let at = |offset: i64| {
        let bits = scramble(seed ^ scramble((cell as i64 + offset) as u64));
        (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let share = x - cell;
    let eased = share * share * (3.0 - 2.0 * share);
    at(0) + (at(1) - at(0)) * eased
}

/// Several layers of smooth chance, each half as wide and somewhat weaker; about -1 to 1.
pub(super) fn layered(seed: u64, x: f32, octaves: u32, roughness: f32) -> f32 {
    let (mut sum, mut reach, mut weight, mut step) = (0.0, 0.0, 1.0, x);
    for octave in 0..octaves {
        sum += weight * smooth(seed.wrapping_add(u64::from(octave) * 7_919), step);
        reach += weight;
        weight *= roughness;
        step = step * 2.03 + 17.3;
    }
    sum / reach
}

/// The same with sharp crests: about 0 to 1.
pub(super) fn ridged(seed: u64, x: f32, octaves: u32, roughness: f32) -> f32 {
    let (mut sum, mut reach, mut weight, mut step) = (0.0, 0.0, 1.0, x);
    for octave in 0..octaves {
        let value = 1.0 - smooth(seed.wrapping_add(u64::from(octave) * 6_151), step).abs();
        sum += weight * value;
        reach += weight;
        weight *= roughness;
        step = step * 2.1 + 9.7;
    }
    sum / reach
}

/// A line from left of the picture to right of it, at the heights that `height` gives.
pub(super) fn line(width: f32, step: f32, height: impl Fn(f32) -> f32) -> Vec<Spot> {
    let count = ((width + 80.0) / step).ceil() as usize;
    let place = |index: usize| -40.0 + index as f32 * step;
    (0..=count)
        .map(|index| (place(index), height(place(index))))
        .collect()
}
