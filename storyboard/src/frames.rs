//! The frames of a clip: each plane of the picture is sampled where the camera sees it, and laid over the planes behind.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use shared::film::Size;
use tiny_skia::Pixmap;

use crate::camera::{Move, View};
use crate::canvas::Canvas;
use crate::card;
use crate::keyframe::{ImageError, Keyframe, blank};
use crate::picture::{Picture, Plane};
use crate::scenery;

/// Planes are drawn larger than the frame, so that a near view stays sharp, but with no more pixels than this.
const PLANE_PIXELS_MAX: f64 = 6_000_000.0;

/// Why frames could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// There is no room for their pixels.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The keyframe cannot be sampled where the camera looks.
    #[error("cannot sample the keyframe")]
    Sample(#[from] ResizeError),
}

/// Makes the frames of one clip, in any order. It owns all buffers that it needs.
pub struct Frames {
    planes: Vec<(Plane, Pixmap)>,
    /// What stays in its place while the picture moves: the lettering, the dark of the edges.
    still: Option<Pixmap>,
    camera: Move,
    count: u32,
    frame: Pixmap,
    layer: Pixmap,
    resizer: Resizer,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the pixels.
        f.debug_struct("Frames")
            .field("camera", &self.camera)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Frames {
    /// Prepares a clip of `count` frames from its keyframe.
    pub fn new(
        keyframe: Keyframe,
        camera: Move,
        size: Size,
        count: u32,
    ) -> Result<Self, ImageError> {
        let (planes, still) = match keyframe {
            Keyframe::Image(image) => (vec![(Plane::Near, image)], None),
            Keyframe::Storyboard(payload) => {
                let picture = Picture::plan(&payload);
                let larger = enlarged(size, camera);
                let mut planes = Vec::new();
                for plane in Plane::ALL {
                    let mut pixmap = blank(larger)?;
                    scenery::paint(&picture, plane, &mut Canvas::new(&mut pixmap));
                    planes.push((plane, pixmap));
                }
                let mut still = blank(size)?;
                card::paint(&payload, &picture.palette, &mut still);
                (planes, Some(still))
            }
        };
        Ok(Self {
            planes,
            still,
            camera,
            count,
            frame: blank(size)?,
            layer: blank(size)?,
            resizer: Resizer::new(),
        })
    }

    /// Makes one frame, counted from 0: RGBA, row by row.
    pub fn frame(&mut self, index: u32) -> Result<&[u8], FramesError> {
        let moment = match self.count {
            0 | 1 => 0.0,
            count => f64::from(index) / f64::from(count - 1),
        };
        if index > 0 && self.camera.is_still() {
            return Ok(self.frame.data());
        }
        for (place, (plane, picture)) in self.planes.iter().enumerate() {
            let view = self.camera.view(*plane, moment);
            if place == 0 {
                sample(
                    &mut self.resizer,
                    picture,
                    view,
                    &mut self.frame,
                    FilterType::CatmullRom,
                )?;
            } else {
                // No sharper: what overshoots its own opacity cannot be laid over anything.
                sample(
                    &mut self.resizer,
                    picture,
                    view,
                    &mut self.layer,
                    FilterType::Bilinear,
                )?;
                lay_over(&mut self.frame, &self.layer);
            }
        }
        if let Some(still) = &self.still {
            lay_over(&mut self.frame, still);
        }
        Ok(self.frame.data())
    }
}

/// The size at which planes are drawn.
fn enlarged(Size { width, height }: Size, camera: Move) -> Size {
    let wanted = if camera.is_still() {
        1.0
    } else {
        camera.nearest() * 1.2
    };
    let bearable = (PLANE_PIXELS_MAX / (f64::from(width) * f64::from(height))).sqrt();
    let factor = wanted.min(bearable).max(1.0);
    // Rounded, a side of at most 4096 times 1.68 fits well.
    let side = |side: u32| (f64::from(side) * factor).round() as u32;
    Size {
        width: side(width),
        height: side(height),
    }
}

fn sample(
    resizer: &mut Resizer,
    picture: &Pixmap,
    view: View,
    to: &mut Pixmap,
    filter: FilterType,
) -> Result<(), FramesError> {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let (to_width, to_height) = (to.width(), to.height());
    // An image of another shape than the frame is seen through the largest window of the frame's shape.
    let shape = f64::from(to_width) / f64::from(to_height);
    let window = (width.min(height * shape), height.min(width / shape));
    let part = (window.0 * view.share, window.1 * view.share);
    let left = (width - window.0) / 2.0 + window.0 * view.left;
    let top = (height - window.1) / 2.0 + window.1 * view.top;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false)
        .crop(
            left.clamp(0.0, width - part.0),
            top.clamp(0.0, height - part.1),
            part.0,
            part.1,
        );
    let from = ImageRef::new(
        picture.width(),
        picture.height(),
        picture.data(),
        PixelType::U8x4,
    );
    let to = Image::from_slice_u8(to_width, to_height, to.data_mut(), PixelType::U8x4);
    let (from, mut to) = (
        from.expect("a pixmap has four bytes a pixel"),
        to.expect("a pixmap has four bytes a pixel"),
    );
    resizer.resize(&from, &mut to, &options)?;
    Ok(())
}

/// Lays a layer with holes over a frame without. Both are premultiplied, as all pixmaps are.
fn lay_over(frame: &mut Pixmap, layer: &Pixmap) {
    let below = frame.data_mut().chunks_exact_mut(4);
    for (below, above) in below.zip(layer.data().chunks_exact(4)) {
        match above[3] {
            0 => {}
            255 => below.copy_from_slice(above),
            opacity => {
                let mixed = over(word(above), word(below), 255 - u32::from(opacity));
                below.copy_from_slice(&mixed.to_le_bytes());
            }
        }
    }
}

fn word(pixel: &[u8]) -> u32 {
    u32::from_le_bytes([pixel[0], pixel[1], pixel[2], pixel[3]])
}

/// One pixel over another, of which `left` of 255 stays to be seen. Works on two parts at once, each in 16 bits of its own.
fn over(above: u32, below: u32, left: u32) -> u32 {
    const PARTS: u32 = 0x00ff_00ff;
    let dimmed = |parts: u32| {
        let scaled = parts * left + 0x0080_0080;
        ((scaled + ((scaled >> 8) & PARTS)) >> 8) & PARTS
    };
    let (even, odd) = (dimmed(below & PARTS), dimmed((below >> 8) & PARTS));
    above.wrapping_add(even | (odd << 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_mixed_as_its_opacity_says() {
        let pixel = |parts: [u8; 4]| u32::from_le_bytes(parts);
        // Half white over black, nothing over a colour, half a colour over another.
        let half = pixel([128, 128, 128, 128]);
        assert_eq!(
            over(half, pixel([0, 0, 0, 255]), 127),
            pixel([128, 128, 128, 255])
        );
        assert_eq!(
            over(0, pixel([10, 20, 30, 255]), 255),
            pixel([10, 20, 30, 255])
        );
        assert_eq!(
            over(pixel([100, 0, 50, 128]), pixel([200, 100, 0, 255]), 127),
            pixel([200, 50, 50, 255])
        );
    }
}
