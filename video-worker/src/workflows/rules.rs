//! Sizes and lengths that a model can make.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::film::Size;

use super::manifest::{ClipRule, SizeRule};
use super::parameters::ClipLength;

impl SizeRule {
    /// The size that is made where that one is asked for: itself if it can be, or else one of nearly the same shape whose
    /// sides are multiples and whose pixels lie within the bounds.
    pub fn fit(&self, asked: Size) -> Size {
        let pixels = f64::from(asked.width) * f64::from(asked.height);
        let wanted = pixels.clamp(
            f64::from(self.min_pixels),
            f64::from(self.max_pixels).max(f64::from(self.min_pixels)),
        );
        let scale = (wanted / pixels.max(1.0)).sqrt();
        let side = |length: u32| self.nearest(f64::from(length) * scale);
        let mut size = Size {
            width: side(asked.width),
            height: side(asked.height),
        };
        // Rounding up both sides can go past the bound: the side that was rounded up most gives way.
        while area(size) > u64::from(self.max_pixels) {
            let over = |side: u32, length: u32| f64::from(side) - f64::from(length) * scale;
            let width_gives = over(size.width, asked.width) >= over(size.height, asked.height);
            let side =
                match width_gives && size.width > self.multiple || size.height <= self.multiple {
                    true => &mut size.width,
                    false => &mut size.height,
                };
            if *side <= self.multiple {
                break;
            }
            *side -= self.multiple;
        }
        size
    }

    /// The multiple nearest to that length; at least one.
    fn nearest(&self, length: f64) -> u32 {
        let count = (length / f64::from(self.multiple)).round().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 1, and a cast of what is too large gives the largest number"
        )]
        let count = count as u32;
        count.saturating_mul(self.multiple)
    }
}

fn area(size: Size) -> u64 {
    u64::from(size.width) * u64::from(size.height)
}

impl ClipRule {
    /// The length that is made where that one is asked for: never shorter. None if it would need too many frames.
    pub fn fit(&self, asked: ClipLength) -> Option<ClipLength> {
        let fps = self.fps.unwrap_or(asked.fps);
        let frames =
            (u64::from(asked.frames) * u64::from(fps)).div_ceil(u64::from(asked.fps.max(1)));
        let step = u64::from(self.frame_step);
        let frames = frames.max(1).saturating_sub(1).div_ceil(step) * step + 1;
        let frames = u32::try_from(frames).ok()?;
        (frames <= self.max_frames).then_some(ClipLength { frames, fps })
    }

    /// The longest clip in seconds at that rate.
    pub fn longest_seconds(&self, asked_fps: u32) -> f64 {
        let frames = (self.max_frames.max(1) - 1) / self.frame_step * self.frame_step + 1;
        f64::from(frames) / f64::from(self.fps.unwrap_or(asked_fps).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAN: SizeRule = SizeRule {
        multiple: 16,
        min_pixels: 0,
        max_pixels: 410_000,
    };

    fn size(text: &str) -> Size {
        text.parse().unwrap()
    }

    #[test]
    fn a_size_becomes_the_nearest_that_can_be_made() {
        for (asked, made) in [
            ("832x480", "832x480"),
            ("854x480", "848x480"),
            ("480x854", "480x848"),
            ("640x640", "640x640"),
            ("1920x1080", "848x480"),
            ("64x64", "64x64"),
            ("66x4096", "64x4096"),
            ("4096x64", "4096x64"),
            ("4096x4096", "640x640"),
        ] {
            assert_eq!(WAN.fit(size(asked)), size(made), "{asked}");
        }
        let five_b = SizeRule {
            multiple: 32,
            min_pixels: 600_000,
            max_pixels: 910_000,
        };
        assert_eq!(five_b.fit(size("1280x720")), size("1280x704"));
        assert_eq!(five_b.fit(size("854x480")), size("1024x576"));
    }

    #[test]
    fn every_size_that_can_be_asked_for_keeps_the_rule_and_nearly_its_shape() {
        let sides = [
            64, 66, 100, 128, 426, 480, 720, 854, 1000, 1280, 1918, 2160, 4096,
        ];
        let rules = [
            WAN,
            SizeRule {
                multiple: 32,
                min_pixels: 600_000,
                max_pixels: 910_000,
            },
            SizeRule {
                multiple: 8,
                min_pixels: 800_000,
                max_pixels: 1_050_000,
            },
        ];
        for rule in rules {
            for (width, height) in sides.iter().flat_map(|w| sides.map(|h| (*w, h))) {
                let asked = Size { width, height };
                let made = rule.fit(asked);
                assert!(
                    made.width % rule.multiple == 0 && made.height % rule.multiple == 0,
                    "{asked}: {made}"
                );
                assert!(made.width > 0 && made.height > 0, "{asked}: {made}");
                assert!(area(made) <= u64::from(rule.max_pixels), "{asked}: {made}");
                // Each side is off by less than one and a half multiples from the exact shape.
                let scale = (area(made) as f64 / area(asked) as f64).sqrt();
                let off =
                    |made: u32, asked: u32| (f64::from(made) - f64::from(asked) * scale).abs();
                let most = off(made.width, width).min(off(made.height, height));
                assert!(most <= 1.5 * f64::from(rule.multiple), "{asked}: {made}");
            }
        }
    }

    #[test]
    fn a_clip_is_never_shorter_than_asked_for() {
        let wan = ClipRule {
            fps: Some(16),
            frame_step: 4,
            max_frames: 81,
        };
        let asked = |frames, fps| wan.fit(ClipLength { frames, fps }).map(|made| made.frames);
        // Four seconds at 24 frames a second are 64 frames at 16.
        assert_eq!(asked(96, 24), Some(65));
        assert_eq!(asked(81, 16), Some(81));
        assert_eq!(asked(82, 16), None);
        assert_eq!(asked(1, 60), Some(1));
        assert_eq!(asked(2, 16), Some(5));
        assert_eq!(asked(u32::MAX, 1), None);
        let any = ClipRule {
            fps: None,
            frame_step: 1,
            max_frames: 128,
        };
        assert_eq!(
            any.fit(ClipLength {
                frames: 96,
                fps: 30
            }),
            Some(ClipLength {
                frames: 96,
                fps: 30
            })
        );
    }

    #[test]
    fn every_length_keeps_the_rule() {
        for frame_step in [1, 2, 4, 8] {
            for fps in [None, Some(16), Some(24)] {
                let rule = ClipRule {
                    fps,
                    frame_step,
                    max_frames: 121,
                };
                for (frames, asked_fps) in
                    (1..400).flat_map(|frames| [1, 12, 16, 24, 60].map(|fps| (frames, fps)))
                {
                    let asked = ClipLength {
                        frames,
                        fps: asked_fps,
                    };
                    let seconds = |clip: ClipLength| f64::from(clip.frames) / f64::from(clip.fps);
                    match rule.fit(asked) {
                        Some(made) => {
                            assert_eq!((made.frames - 1) % frame_step, 0);
                            assert!(
                                seconds(made) >= seconds(asked) - 1e-9,
                                "{asked:?}: {made:?}"
                            );
                            let spare = f64::from(frame_step) / f64::from(made.fps);
                            assert!(
                                seconds(made) < seconds(asked) + spare + 1e-9,
                                "{asked:?}: {made:?}"
                            );
                        }
                        // Nothing that would have fitted is refused.
                        None => assert!(
                            seconds(asked) > rule.longest_seconds(asked_fps) - 1e-9,
                            "{asked:?}"
                        ),
                    }
                }
            }
        }
    }
}
