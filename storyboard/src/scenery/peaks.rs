//! Mountains.

use super::land::misty;
use super::noise::{line, ridged};
use crate::canvas::{Canvas, HEIGHT, Ink, Spot};
use crate::picture::Picture;

/// Three chains of peaks with a lit and a dark side.
pub(super) fn mountains(picture: &Picture, canvas: &mut Canvas<'_>) {
    let mut dice = picture.dice("mountains");
    for layer in 0..3 {
        let depth = 0.1 + 0.2 * layer as f32;
        let seed = picture.seed ^ ((layer + 1) * 0x9e37);
        let (pitch, tall) = (
            dice.between(0.0022, 0.0031) * (1.0 + 0.35 * layer as f32),
            330.0 - 70.0 * layer as f32,
        );
        let foot = picture.horizon + 40.0 * layer as f32;
        let shift = dice.between(0.0, 100.0);
        let ridge = line(picture.width, 5.0, |x| {
            let peak = ridged(seed, x * pitch + shift, 5, 0.46);
            foot - tall * (peak - 0.32).max(0.0) * 1.45
        });
        let top = ridge.iter().map(|spot| spot.1).fold(HEIGHT, f32::min);
        canvas.ground(&ridge, &misty(picture, top, depth, foot - top + 60.0));
        facets(picture, canvas, &ridge, foot, layer);
    }
}

/// The sides of the peaks that look away from the light, and snow on those that look towards it.
fn facets(picture: &Picture, canvas: &mut Canvas<'_>, ridge: &[Spot], foot: f32, layer: u64) {
    let side = if picture.light.0 < picture.width / 2.0 {
        1
    } else {
        -1_isize
    };
    let window = 9;
    for middle in window..ridge.len().saturating_sub(window) {
        let peak = ridge[middle];
        let around = &ridge[middle - window..=middle + window];
        let tall = foot - peak.1;
        if tall < 40.0 || around.iter().any(|spot| spot.1 < peak.1) {
            continue;
        }
        let slope = |direction: isize| {
            let mut spots = vec![peak];
            let mut index = middle as isize + direction;
            while let Some(spot) = usize::try_from(index)
                .ok()
                .and_then(|index| ridge.get(index))
            {
                let last = spots[spots.len() - 1];
                if spot.1 < last.1 - 2.0 || spot.1 - peak.1 > tall * 0.75 {
                    break;
                }
                spots.push(*spot);
                index += direction;
            }
            spots
        };
        let mut shade = slope(side);
        let end = shade[shade.len() - 1];
        let (across, down) = (end.0 - peak.0, end.1 - peak.1);
        shade.extend([
            (end.0 - across * 0.35, end.1 + down * 0.12),
            (peak.0 + across * 0.28, peak.1 + down * 0.86),
            (peak.0 + across * 0.34, peak.1 + down * 0.52),
            (peak.0 - across * 0.06, peak.1 + down * 0.3),
        ]);
        let dark = picture.palette.deep;
        canvas.shape(
            &shade,
            &Ink::Down(vec![(peak.1, dark, 0.3), (end.1 + down * 0.1, dark, 0.04)]),
        );
        if layer < 2 && tall > 110.0 {
            let mut snow: Vec<Spot> = slope(-side);
            let keep = snow.len() * 2 / 5;
            snow.truncate(keep.max(2));
            let end = snow[snow.len() - 1];
            let (across, down) = (end.0 - peak.0, end.1 - peak.1);
            snow.extend([
                (end.0 - across * 0.3, end.1 - down * 0.12),
                (peak.0 + across * 0.45, end.1 + down * 0.16),
                (peak.0 + across * 0.22, peak.1 + down * 0.62),
                (peak.0 - across * 0.1, peak.1 + down * 0.4),
            ]);
            canvas.shape(
                &snow,
                &Ink::Flat(picture.palette.light, 0.62 - 0.2 * layer as f32),
            );
        }
    }
}
