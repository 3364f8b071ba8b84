//! What a scene names beside its place: which of it is seen, and in what plane.

use super::{buildings, nature, vessels};
use crate::canvas::Canvas;
use crate::picture::Picture;
use crate::reading::{Place, Thing};

pub(super) fn has(picture: &Picture, thing: Thing) -> bool {
    picture.reading.things.contains(&thing) && picture.reading.place != Place::Room
}

/// Things in the sky.
pub(super) fn far(picture: &Picture, canvas: &mut Canvas<'_>) {
    if has(picture, Thing::Castle) {
        buildings::castle(picture, canvas);
    }
    if has(picture, Thing::Balloon) {
        vessels::balloon(picture, canvas);
    }
}

/// Things on the ground or the water of the scene.
pub(super) fn middle(picture: &Picture, canvas: &mut Canvas<'_>) {
    if has(picture, Thing::Train) {
        vessels::train(picture, canvas);
    }
    if has(picture, Thing::Ship) && picture.reading.place == Place::Sea {
        vessels::ship(picture, canvas);
    }
    if has(picture, Thing::Whale) && picture.reading.place == Place::Sea {
        nature::whale(picture, canvas);
    }
    if has(picture, Thing::House) && !matches!(picture.reading.place, Place::City | Place::Space) {
        buildings::house(picture, canvas);
    }
    if has(picture, Thing::Rocket) {
        vessels::rocket(picture, canvas);
    }
    if has(picture, Thing::Birds) {
        nature::birds(picture, canvas);
    }
}

/// Things beside us.
pub(super) fn near(picture: &Picture, canvas: &mut Canvas<'_>) {
    if has(picture, Thing::Lighthouse) {
        buildings::lighthouse(picture, canvas);
    }
    if has(picture, Thing::Tree)
        && !matches!(
            picture.reading.place,
            Place::City | Place::Sea | Place::Space
        )
    {
        nature::tree(picture, canvas);
    }
    if has(picture, Thing::Fire) {
        nature::fire(picture, canvas);
    }
    if has(picture, Thing::Dog) {
        nature::dog(picture, canvas);
    }
}

/// Where a thing stands that shares the picture with people: beside them, on the side away from the light.
pub(super) fn beside(picture: &Picture, distance: f32) -> f32 {
    picture.focus - picture.light_side() * distance
}
