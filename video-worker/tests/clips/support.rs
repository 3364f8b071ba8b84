//! Clips to try things on, made by ffmpeg when a test needs them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use shared::film::Size;

/// A size, as in `size(854, 480)`.
pub(crate) const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// Where the pictures of a clip come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// The brightness (0 to 255) at a point of the picture and a time in seconds. Points are in 854ths of the width, counted
    /// from the middle, so that a picture is the same at any size.
    Drawn(fn(f32, f32, f32) -> f32),
    /// A source and filters of libavfilter; `SIZE` and `RATE` stand for the clip's own.
    Filters(&'static str),
    /// The output of a file's own command line: arguments before the output's name.
    Command(&'static [&'static str]),
}

/// A clip to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clip {
    pub(crate) source: Source,
    pub(crate) size: Size,
    pub(crate) fps: u32,
    pub(crate) frames: u32,
    /// How to encode it.
    pub(crate) encoder: &'static [&'static str],
}

/// Quick and good enough.
pub(crate) const ULTRAFAST: &[&str] = &["-preset", "ultrafast", "-crf", "23"];

/// Four seconds of it, small, at 16 frames a second.
pub(crate) const fn clip(source: Source) -> Clip {
    Clip {
        source,
        size: size(426, 240),
        fps: 16,
        frames: 64,
        encoder: ULTRAFAST,
    }
}

impl Clip {
    pub(crate) const fn size(mut self, width: u32, height: u32) -> Self {
        self.size = size(width, height);
        self
    }

    pub(crate) const fn fps(mut self, fps: u32) -> Self {
        self.frames = self.frames * fps / self.fps;
        self.fps = fps;
        self
    }

    pub(crate) const fn frames(mut self, frames: u32) -> Self {
        self.frames = frames;
        self
    }

    pub(crate) const fn encoder(mut self, encoder: &'static [&'static str]) -> Self {
        self.encoder = encoder;
        self
    }

    /// Makes the clip.
    pub(crate) fn write(&self, path: &Path) {
        let size = self.size.to_string();
        let rate = self.fps.to_string();
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y"]);
        match self.source {
            Source::Drawn(_) => {
                command.args(["-f", "rawvideo", "-pix_fmt", "gray", "-s", &size]);
                command
                    .args(["-r", &rate, "-i", "pipe:0"])
                    .args(["-pix_fmt", "yuv420p"]);
                command.args(["-c:v", "libx264"]).args(self.encoder);
            }
            Source::Filters(filters) => {
                let filters = filters.replace("SIZE", &size).replace("RATE", &rate);
                command.args(["-f", "lavfi", "-i", &filters, "-pix_fmt", "yuv420p"]);
                command.args(["-c:v", "libx264"]).args(self.encoder);
                command.args(["-frames:v", &self.frames.to_string()]);
            }
            Source::Command(args) => {
                command.args(args);
            }
        }
        command.arg(path).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if let Source::Drawn(level) = self.source {
            for frame in 0..self.frames {
                stdin.write_all(&self.draw(frame, level)).unwrap();
            }
        }
        drop(stdin);
        let status = child.wait().unwrap();
        assert!(status.success(), "{command:?}: {status}");
    }

    fn draw(&self, frame: u32, level: fn(f32, f32, f32) -> f32) -> Vec<u8> {
        let (width, height) = (self.size.width, self.size.height);
        let time = frame as f32 / self.fps as f32;
        let unit = 854.0 / width as f32;
        let mut pixels = Vec::with_capacity((width * height) as usize);
        for row in 0..height {
            let y = (row as f32 - height as f32 / 2.0) * unit;
            for column in 0..width {
                let x = (column as f32 - width as f32 / 2.0) * unit;
                pixels.push(level(x, y, time) as u8);
            }
        }
        pixels
    }
}

/// Re-encodes a file as a poor encoder does.
pub(crate) fn degrade(path: &Path, bitrate: &str) {
    let poor = path.with_extension("avi");
    let run = |from: &Path, to: &Path, args: &[&str]| {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error", "-y", "-i"])
            .arg(from)
            .args(args)
            .arg(to);
        assert!(command.status().unwrap().success(), "{command:?}");
    };
    run(path, &poor, &["-c:v", "mpeg4", "-b:v", bitrate, "-g", "24"]);
    run(
        &poor,
        path,
        &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            "28",
            "-g",
            "36",
        ],
    );
}

/// Pictures to film.
pub(crate) mod picture {
    /// How much of a pixel lies inside, for the distance from an edge.
    fn inside(distance: f32) -> f32 {
        (0.5 - distance / 2.0).clamp(0.0, 1.0)
    }

    fn over(below: f32, level: f32, cover: f32) -> f32 {
        below + (level - below) * cover
    }

    /// Flat art: a sky, a sun, two hills and a tower with a lit window.
    pub(crate) fn art(x: f32, y: f32) -> f32 {
        let hills = |height: f32, swing: f32, length: f32| {
            let phase = (x / length).rem_euclid(4.0) - 2.0;
            height + swing * (phase.abs() - 1.0)
        };
        let level = over(
            205.0,
            240.0,
            inside(((x - 180.0).powi(2) + (y + 90.0).powi(2)).sqrt() - 60.0),
        );
        let level = over(level, 110.0, inside(hills(60.0, 40.0, 180.0) - y));
        let level = over(level, 65.0, inside(hills(140.0, 20.0, 90.0) - y));
        let level = over(
            level,
            75.0,
            inside(((x + 120.0).abs() - 25.0).max((y - 20.0).abs() - 110.0)),
        );
        over(
            level,
            215.0,
            inside(((x + 120.0).abs() - 18.0).max((y + 70.0).abs() - 12.0)),
        )
    }

    /// A title card: a row of letter-like strokes on a dark ground.
    pub(crate) fn card(x: f32, y: f32) -> f32 {
        let letter = ((x + 252.0) / 36.0).floor();
        if !(0.0..14.0).contains(&letter) {
            return 24.0;
        }
        let x = x + 252.0 - letter * 36.0 - 12.0;
        let bar = (letter * 13.0).rem_euclid(37.0) - 18.0;
        let stroke = inside((x.abs() - 5.0).max(y.abs() - 22.0));
        let across = inside(((x - 7.0).abs() - 9.0).max((y - bar).abs() - 3.0));
        over(24.0, 230.0, stroke.max(across))
    }

    /// A room at night: nothing brighter than 30 of 255.
    pub(crate) fn night(x: f32, y: f32) -> f32 {
        let hill = 40.0 * ((x / 240.0).rem_euclid(4.0) - 2.0).abs() - 40.0;
        let level = 2.0 + 10.0 * inside(hill - y);
        level + 16.0 * inside(((x - 60.0).powi(2) + (y + 20.0).powi(2)).sqrt() - 90.0)
    }

    /// The same in the snow at noon: nothing darker than 220.
    pub(crate) fn noon(x: f32, y: f32) -> f32 {
        248.0 - night(x, y)
    }

    /// The same at every point but one, for a view through the camera.
    pub(crate) fn zoom(view: fn(f32, f32) -> f32, by: f32, x: f32, y: f32) -> f32 {
        view(x / by, y / by)
    }

    /// A number between -1 and 1 that looks random, from an integer.
    pub(crate) fn noise(of: i32) -> f32 {
        let mut bits = (of as u32).wrapping_mul(0x9e37_79b9);
        bits = (bits ^ (bits >> 15)).wrapping_mul(0x85eb_ca6b);
        bits ^= bits >> 13;
        (bits & 0xffff) as f32 / 32_767.5 - 1.0
    }
}
