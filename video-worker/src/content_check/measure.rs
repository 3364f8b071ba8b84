//! What the frames of a clip show, in figures. Pure.
//!
//! Frames come in as small grey pictures (the raster: 160 pixels along the long side). Each is compared with the frame
//! about a second earlier, because slow moves add up over a second and the noise of an encoder does not. Two figures tell
//! whether something has moved, and it takes both:
//!
//! - *camera*: the pan and zoom that best explain the difference (least squares over the brightness gradient). Noise has
//!   no direction, so that thousands of pixels average it out, and a move of a tenth of a pixel stands out of it.
//! - *local*: the strongest change of mean brightness in any tile, in relation to the detail in that tile, as encoders
//!   err in proportion to detail. It finds what moves in front of a camera that does not.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::VecDeque;

use super::Expected;

/// Long side of the raster, in pixels.
const LONG_SIDE: u32 = 160;
/// Short side of the raster at least, in pixels: one tile.
const SHORT_SIDE_MIN: u32 = 8;
/// Side of the tiles whose brightness is compared within a frame: small enough for a star, large enough to average noise.
const CONTRAST_TILE: usize = 4;
/// Side of the tiles whose brightness is compared between frames.
const CHANGE_TILE: usize = 8;
/// What an encoder may do to the mean brightness of a tile of a still: a part of a level, and a part of the tile's detail.
const NOISE_FLOOR: f32 = 0.5;
const NOISE_PER_DETAIL: f32 = 0.1;
/// Holds the camera at rest where there is hardly a gradient to see it by; in squared levels per pixel.
const GRADIENT_FLOOR: f32 = 0.02;
/// Longest lag in seconds: slow enough for the slowest move, and few frames to keep.
const LAG_SECONDS_MAX: u32 = 4;

/// What one decoded frame shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameStats {
    /// Brightest minus darkest tile, in levels of 255.
    pub contrast: f32,
    /// What has moved since about a second earlier; absent for the first frames.
    pub motion: Option<Motion>,
}

/// What has moved between two frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// The farthest that the camera's move carries any point, in pixels of the raster.
    pub camera: f32,
    /// The strongest change in any tile, in units of what an encoder may do to a still.
    pub local: f32,
}

impl Motion {
    fn or(self, other: Self) -> Self {
        Self {
            camera: self.camera.max(other.camera),
            local: self.local.max(other.local),
        }
    }
}

/// Over how many frames moves are looked for: a second, a quarter of a clip longer than four, at most 40 % of a short one,
/// so that a frozen stretch which is too long always spans it.
pub(super) fn longest_lag(expected: &Expected) -> usize {
    let Expected { frames, fps, .. } = *expected;
    let lag = (frames / 4).clamp(fps, fps * LAG_SECONDS_MAX);
    lag.min(frames * 2 / 5).max(1) as usize
}

/// Takes in a clip's decoded frames, in pieces of any length, and keeps their figures.
#[derive(Debug)]
pub struct Meter {
    width: usize,
    height: usize,
    /// Frames are compared over two lags that have no common divisor (or only 2), or else something that comes and goes
    /// in the rhythm of the lag would look still.
    lags: [usize; 2],
    earlier: VecDeque<Vec<u8>>,
    begun: Vec<u8>,
    stats: Vec<FrameStats>,
}

impl Meter {
    /// A meter for a clip that should be so.
    pub fn new(expected: &Expected) -> Self {
        let size = expected.size;
        let long = size.width.max(size.height).max(1);
        let side = |side: u32| {
            let scaled = (side * LONG_SIDE + long / 2) / long;
            scaled.max(SHORT_SIDE_MIN) as usize
        };
        let (width, height) = (side(size.width), side(size.height));
        let longest = longest_lag(expected);
        Self {
            width,
            height,
            lags: [longest, longest / 2 + 1],
            earlier: VecDeque::with_capacity(longest),
            begun: Vec::with_capacity(width * height),
            stats: Vec::with_capacity(expected.frames as usize),
        }
    }

    /// Width and height at which it wants the frames, in pixels of one grey byte.
    pub fn raster(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        let frame_len = self.width * self.height;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(frame_len - self.begun.len()));
            self.begun.extend_from_slice(now);
            bytes = later;
            if self.begun.len() == frame_len {
                self.take_frame();
            }
        }
    }

    /// The figures of all whole frames.
    pub fn finish(self) -> Vec<FrameStats> {
        self.stats
    }

    fn take_frame(&mut self) {
        let frame = std::mem::take(&mut self.begun);
        let motion = |lag: &usize| {
            let at = self.earlier.len().checked_sub(*lag)?;
            Some(self.motion(&self.earlier[at], &frame))
        };
        let motion = self.lags.iter().filter_map(motion).reduce(Motion::or);
        self.stats.push(FrameStats {
            contrast: self.contrast(&frame),
            motion,
        });
        // The oldest frame is of no more use, and its memory is.
        if self.earlier.len() == self.lags[0].max(self.lags[1]) {
            self.begun = self.earlier.pop_front().unwrap_or_default();
            self.begun.clear();
        }
        self.earlier.push_back(frame);
    }

    fn contrast(&self, frame: &[u8]) -> f32 {
        let tile_mean = |rows: Tile| {
            let sum: u32 = rows
                .rows(self.width)
                .flat_map(|row| &frame[row])
                .map(|level| u32::from(*level))
                .sum();
            sum as f32 / (CONTRAST_TILE * CONTRAST_TILE) as f32
        };
        let (darkest, brightest) = self
            .tiles(CONTRAST_TILE)
            .map(tile_mean)
            .fold((f32::MAX, f32::MIN), |(low, high), mean| {
                (low.min(mean), high.max(mean))
            });
        (brightest - darkest).max(0.0)
    }

    fn motion(&self, a: &[u8], b: &[u8]) -> Motion {
        Motion {
            camera: camera_move(a, b, self.width, self.height),
            local: self
                .tiles(CHANGE_TILE)
                .map(|tile| tile_change(a, b, self.width, tile))
                .fold(0.0, f32::max),
        }
    }

    /// All whole tiles; what remains at the right and at the bottom is too narrow to matter.
    fn tiles(&self, side: usize) -> impl Iterator<Item = Tile> {
        let (columns, rows) = (self.width / side, self.height / side);
        (0..columns * rows).map(move |index| Tile {
            x: index % columns * side,
            y: index / columns * side,
            side,
        })
    }
}

/// A square part of a frame.
#[derive(Clone, Copy)]
struct Tile {
    x: usize,
    y: usize,
    side: usize,
}

impl Tile {
    /// Where its rows lie in a frame of that width.
    fn rows(self, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        (self.y..self.y + self.side).map(move |y| {
            let start = y * width + self.x;
            start..start + self.side
        })
    }
}

/// The change of mean brightness in a tile, in units of what an encoder may do to it.
fn tile_change(a: &[u8], b: &[u8], width: usize, tile: Tile) -> f32 {
    let (mut difference, mut sum, mut squares) = (0_i32, 0_i32, 0_i32);
    for row in tile.rows(width) {
        for (a, b) in a[row.clone()].iter().zip(&b[row]) {
            let (a, b) = (i32::from(*a), i32::from(*b));
            difference += b - a;
            sum += a + b;
            squares += (a + b) * (a + b);
        }
    }
    let pixels = (tile.side * tile.side) as f32;
    let mean = sum as f32 / pixels;
    // Of the two frames' average, hence the half.
    let detail = (squares as f32 / pixels - mean * mean).max(0.0).sqrt() / 2.0;
    (difference as f32 / pixels).abs() / (NOISE_FLOOR + NOISE_PER_DETAIL * detail)
}

/// How far the pan and zoom that best explain the difference of two frames carry the point that they carry farthest.
///
/// Solves `b - a = gx (px + zx) + gy (py + zy)` for the pan `p` and the zoom `z` by least squares, with the gradient `g`
/// of the two frames' average and `x`, `y` counted from the middle, 1 at the left and right edges. Every other pixel of
/// every other row is plenty.
fn camera_move(a: &[u8], b: &[u8], width: usize, height: usize) -> f32 {
    let half = width as f32 / 2.0;
    let level = |at: usize| f32::from(a[at]) + f32::from(b[at]);
    // The upper triangle of the normal equations' matrix, row by row, and their right side.
    let mut m = [0.0_f32; 6];
    let mut r = [0.0_f32; 3];
    for row in (1..height - 1).step_by(2) {
        let y = (row as f32 - height as f32 / 2.0) / half;
        for column in (1..width - 1).step_by(2) {
            let at = row * width + column;
            let x = column as f32 / half - 1.0;
            let difference = f32::from(b[at]) - f32::from(a[at]);
            let gx = (level(at + 1) - level(at - 1)) / 4.0;
            let gy = (level(at + width) - level(at - width)) / 4.0;
            let gz = gx * x + gy * y;
            m[0] += gx * gx + GRADIENT_FLOOR;
            m[1] += gx * gy;
            m[2] += gx * gz;
            m[3] += gy * gy + GRADIENT_FLOOR;
            m[4] += gy * gz;
            m[5] += gz * gz + GRADIENT_FLOOR;
            r[0] += gx * difference;
            r[1] += gy * difference;
            r[2] += gz * difference;
        }
    }
    let [pan_x, pan_y, zoom] = solve(m, r);
    let along = pan_x.abs() + zoom.abs();
    let across = pan_y.abs() + zoom.abs() * height as f32 / width as f32;
    along.hypot(across)
}

/// Solves a symmetric system of three equations by Cramer's rule. `m` is the upper triangle, row by row; it is positive
/// definite, as every diagonal element got its floor.
fn solve([a, b, c, d, e, f]: [f32; 6], r: [f32; 3]) -> [f32; 3] {
    let [a, b, c, d, e, f] = [a, b, c, d, e, f].map(f64::from);
    let r = r.map(f64::from);
    let (ca, cb, cc) = (d * f - e * e, c * e - b * f, b * e - c * d);
    let (cd, ce, cf) = (a * f - c * c, b * c - a * e, a * d - b * b);
    let determinant = a * ca + b * cb + c * cc;
    let dot = |x: f64, y: f64, z: f64| ((x * r[0] + y * r[1] + z * r[2]) / determinant) as f32;
    [dot(ca, cb, cc), dot(cb, cd, ce), dot(cc, ce, cf)]
}
