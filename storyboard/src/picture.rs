//! The plan of a picture: everything that its painters must agree on.

use shared::job::KeyframePayload;

use crate::canvas::Spot;
use crate::dice::Dice;
use crate::palette::Palette;
use crate::reading::{Hour, Place, Reading, Shot, Weather, read};

/// How far away something is painted. Planes move by different amounts when the camera moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Plane {
    /// Sky, sun, what stands on the horizon.
    Far,
    /// The ground that the scene plays on.
    Middle,
    /// What the scene is about, and what frames it.
    Near,
}

impl Plane {
    /// Every plane, in the order of painting.
    pub(crate) const ALL: [Self; 3] = [Self::Far, Self::Middle, Self::Near];
}

/// The plan of a picture.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) reading: Reading,
    pub(crate) palette: Palette,
    pub(crate) seed: u64,
    /// Width in the painter's units; the height is 1000.
    pub(crate) width: f32,
    /// Height at which land or sea meet the sky, from the top.
    pub(crate) horizon: f32,
    /// Where the sun or moon is.
    pub(crate) light: Spot,
    /// Its radius.
    pub(crate) light_radius: f32,
    /// Where the eye should rest: the figure, the tower, the end of the road.
    pub(crate) focus: f32,
}

impl Picture {
    /// Plans the picture of a scene.
    pub(crate) fn plan(payload: &KeyframePayload) -> Self {
        let reading = read(payload);
        let palette = Palette::of(&reading, &payload.title, &payload.look, payload.seed);
        let mut dice = Dice::new(payload.seed, "composition");
        let width = 1_000.0 * payload.size.width as f32 / payload.size.height as f32;
        // Weight on one third, light on the other.
        let left = dice.chance(0.5);
        let third = |left: bool, jitter: f32| {
            let place = if left { 0.32 } else { 0.68 };
            width * (place + jitter)
        };
        let focus = third(left, dice.between(-0.05, 0.05));
        let horizon = match (reading.place, reading.shot) {
            (Place::Room, _) => 700.0,
            (Place::City, _) => dice.between(610.0, 680.0),
            (_, Shot::Wide) => dice.between(560.0, 640.0),
            (_, Shot::Medium) => dice.between(590.0, 660.0),
            (_, Shot::Close) => dice.between(600.0, 670.0),
        };
        let low = matches!(reading.hour, Hour::Dawn | Hour::Dusk);
        let height = if low {
            horizon - dice.between(40.0, 130.0)
        } else {
            dice.between(170.0, 300.0)
        };
        let light = (third(!left, dice.between(-0.1, 0.08)), height);
        let light_radius = if low {
            dice.between(62.0, 92.0)
        } else {
            dice.between(40.0, 62.0)
        };
        Self {
            reading,
            palette,
            seed: payload.seed,
            width,
            horizon,
            light,
            light_radius,
            focus,
        }
    }

    /// Dice for one purpose in this picture.
    pub(crate) fn dice(&self, purpose: &str) -> Dice {
        Dice::new(self.seed, purpose)
    }

    /// Whether lamps are lit.
    pub(crate) fn lamps_are_lit(&self) -> bool {
        !matches!(self.reading.hour, Hour::Day | Hour::Dawn)
            || self.reading.weather == Weather::Storm
    }

    /// Minus one if the light comes from the left of the focus, one if from the right.
    pub(crate) fn light_side(&self) -> f32 {
        if self.light.0 < self.focus { -1.0 } else { 1.0 }
    }
}
