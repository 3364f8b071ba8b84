//! Paints a planned picture, plane by plane.

mod buildings;
mod city;
mod desert;
mod foreground;
mod interior;
mod land;
mod nature;
mod noise;
mod peaks;
mod people;
mod road;
mod sea;
mod sky;
mod space;
mod things;
mod vessels;
mod weather;
mod woods;

use super::canvas::Canvas;
use super::picture::{Picture, Plane};
use super::reading::Place;

/// Paints one plane of a picture onto a canvas that holds the planes behind it, or nothing.
pub(crate) fn paint(picture: &Picture, plane: Plane, canvas: &mut Canvas<'_>) {
    match plane {
        Plane::Far => far(picture, canvas),
        Plane::Middle => middle(picture, canvas),
        Plane::Near => near(picture, canvas),
    }
}

fn far(picture: &Picture, canvas: &mut Canvas<'_>) {
    match picture.reading.place {
        Place::Room => return interior::wall(picture, canvas),
        Place::Space => return space::heavens(picture, canvas),
        _ => sky::paint(picture, canvas),
    }
    match picture.reading.place {
        Place::Mountains => peaks::mountains(picture, canvas),
        Place::Hills | Place::Road => land::far_hills(picture, canvas),
        Place::Forest => woods::far_trees(picture, canvas),
        Place::City => city::skyline(picture, canvas),
        Place::Desert => desert::mesas(picture, canvas),
        Place::Sea => sea::far_coast(picture, canvas),
        Place::Room | Place::Space => {}
    }
    things::far(picture, canvas);
}

fn middle(picture: &Picture, canvas: &mut Canvas<'_>) {
    match picture.reading.place {
        Place::Room => interior::furniture(picture, canvas),
        Place::Space => space::ground(picture, canvas),
        Place::Sea => sea::water(picture, canvas),
        Place::Mountains | Place::Hills => land::hills(picture, canvas),
        Place::Road => road::road(picture, canvas),
        Place::Forest => woods::trees(picture, canvas),
        Place::City => city::blocks(picture, canvas),
        Place::Desert => desert::dunes(picture, canvas),
    }
    things::middle(picture, canvas);
    weather::veil(picture, canvas);
}

fn near(picture: &Picture, canvas: &mut Canvas<'_>) {
    match picture.reading.place {
        Place::Room => interior::foreground(picture, canvas),
        Place::Sea => sea::foreground(picture, canvas),
        Place::City => city::street(picture, canvas),
        Place::Forest => woods::trunks(picture, canvas),
        Place::Space => space::foreground(picture, canvas),
        Place::Mountains | Place::Hills | Place::Road | Place::Desert => {
            foreground::foreground(picture, canvas);
        }
    }
    things::near(picture, canvas);
    people::paint(picture, canvas);
    weather::fall(picture, canvas);
}

/// Height of the ground that people stand on, from the top.
fn near_ground(picture: &Picture, x: f32) -> f32 {
    match picture.reading.place {
        Place::Room => 846.0,
        Place::City => 842.0,
        _ => 832.0 - 17.0 * noise::layered(picture.seed ^ 0x6e61, x * 0.0042, 3, 0.45),
    }
}
