//! The clips that the content check is tried on: those that are fine and those that are not.

use std::path::Path;

use video_worker::content_check::{Expected, Rejection};

use crate::support::picture::{art, card, night, noise, noon, zoom};
use crate::support::{Clip, Source, clip, degrade};
use Source::{Drawn, Filters};

/// As bad as an encoder may be on a clip that someone would still show.
const POOR: &[&str] = &["-preset", "veryfast", "-crf", "30", "-g", "24"];

/// A clip to check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) clip: Clip,
    pub(crate) expected: Expected,
    /// What happens to the file before it is checked.
    pub(crate) spoil: fn(&Path),
}

impl Case {
    /// A clip that is checked as it was made.
    pub(crate) fn new(name: &'static str, clip: Clip) -> Self {
        Self {
            name,
            clip,
            expected: Expected {
                frames: clip.frames,
                fps: clip.fps,
                size: clip.size,
                still_is_fine: false,
            },
            spoil: |_| {},
        }
    }

    pub(crate) fn still_is_fine(mut self) -> Self {
        self.expected.still_is_fine = true;
        self
    }
}

pub(crate) fn good_clips() -> Vec<Case> {
    let fades = |x: f32, y: f32, t: f32| zoom(art, 1.0 + 0.01 * t, x, y) * t.min(4.0 - t).min(1.0);
    vec![
        Case::new(
            "dark scene, slow pan",
            clip(Drawn(|x, y, t| night(x + 5.0 * t, y))).fps(24),
        ),
        Case::new(
            "dark scene, poor encoder",
            clip(Drawn(|x, y, t| night(x + 5.0 * t, y))).encoder(POOR),
        ),
        Case::new(
            "dark scene between fades",
            clip(Drawn(|x, y, t| {
                night(x + 8.0 * t, y) * t.min(4.0 - t).min(1.0)
            })),
        ),
        Case::new("fades from and to black", clip(Drawn(fades))),
        Case::new(
            "fades of a test picture",
            clip(Filters(
                "testsrc2=s=SIZE:r=RATE,fade=t=in:d=1,fade=t=out:st=3:d=1",
            ))
            .size(854, 480)
            .fps(24),
        ),
        Case::new(
            "crossfade",
            clip(Drawn(|x, y, t| {
                let second = (t - 1.5).clamp(0.0, 1.0);
                zoom(art, 1.0 + 0.008 * t, x, y) * (1.0 - second)
                    + zoom(card, 1.0 + 0.008 * t, x, y) * second
            })),
        ),
        Case::new(
            "slow push-in on flat art",
            clip(Drawn(|x, y, t| zoom(art, 1.0 + 0.0125 * t, x, y))),
        ),
        Case::new(
            "slower push-in, full size",
            clip(Drawn(|x, y, t| zoom(art, 1.0 + 0.006 * t, x, y)))
                .size(854, 480)
                .fps(24),
        ),
        Case::new(
            "slower push-in, poor encoder",
            clip(Drawn(|x, y, t| zoom(art, 1.0 + 0.006 * t, x, y))).encoder(POOR),
        ),
        Case::new(
            "pull-out, upright",
            clip(Drawn(|x, y, t| zoom(art, 1.1 - 0.0125 * t, x, y))).size(240, 416),
        ),
        Case::new(
            "slow pan over flat art",
            clip(Drawn(|x, y, t| art(x + 8.0 * t, y))).fps(30),
        ),
        Case::new(
            "slow tilt over flat art",
            clip(Drawn(|x, y, t| art(x, y - 6.0 * t))),
        ),
        Case::new(
            "very slow drift",
            clip(Drawn(|x, y, t| art(x + 1.5 * t, y))),
        ),
        Case::new(
            "title card with a slow zoom",
            clip(Drawn(|x, y, t| zoom(card, 1.0 + 0.006 * t, x, y))),
        ),
        Case::new(
            "title card, large, fades",
            clip(Drawn(|x, y, t| {
                zoom(card, 1.0 + 0.01 * t, x, y) * (t * 2.0).min(4.0 - 2.0 * t).min(1.0)
            }))
            .size(1280, 720)
            .fps(24)
            .frames(48),
        ),
        Case::new(
            "bright scene, slow pan",
            clip(Drawn(|x, y, t| noon(x + 8.0 * t, y))),
        ),
        Case::new(
            "fog",
            clip(Drawn(|x, y, t| {
                let x = x + 6.0 * t;
                150.0
                    + 6.0 * (x / 140.0 + 0.12 * t).sin() * (y / 110.0).cos()
                    + 3.0 * ((x + y) / 70.0).sin()
            })),
        ),
        Case::new(
            "candle in the dark",
            clip(Drawn(|x, y, t| {
                let flicker = 1.0 + 0.3 * (t * 21.0).sin() + 0.2 * (t * 53.0).sin();
                12.0 + 30.0 * flicker * (-((x - 50.0).hypot(y)) / 60.0).exp()
            })),
        ),
        Case::new(
            "handheld",
            clip(Drawn(|x, y, t| {
                let step = (t * 8.0) as i32;
                art(x + 2.0 * noise(2 * step), y + 2.0 * noise(2 * step + 1))
            })),
        ),
        Case::new(
            "small thing that moves",
            clip(Drawn(|x, y, t| {
                let hit = (x - 40.0 * t + 300.0).abs() < 6.0 && (y - 30.0).abs() < 6.0;
                if hit { 60.0 } else { 185.0 }
            }))
            .size(854, 480),
        ),
        Case::new(
            "shapes that drift apart in the dark",
            clip(Drawn(|x, y, t| {
                let blob = |cx: f32, cy: f32, r: f32| {
                    ((r - (x - cx).hypot(y - cy)) / 12.0 + 0.5).clamp(0.0, 1.0)
                };
                2.0 + 20.0 * blob(9.0 * t - 200.0, 3.0 * t + 50.0, 60.0)
                    + 16.0 * blob(120.0 - 6.0 * t, 2.0 * t - 80.0, 90.0)
            })),
        ),
        Case::new(
            "grain over a slow pan",
            clip(Filters("testsrc=s=SIZE:r=RATE,noise=alls=20:allf=t")),
        ),
        Case::new(
            "snow",
            clip(Drawn(|x, y, t| {
                let (column, row) = ((x / 30.0).floor(), y - 45.0 * t);
                let shift = 40.0 * noise(column as i32);
                let flake =
                    (row + shift).rem_euclid(80.0) < 4.0 && (x.rem_euclid(30.0) - 15.0).abs() < 2.0;
                night(x, y) + if flake { 150.0 } else { 20.0 }
            }))
            .size(854, 480),
        ),
        Case::new(
            "noise on a screen",
            clip(Filters("color=gray:s=SIZE:r=RATE,noise=alls=60:allf=t")),
        ),
        Case::new(
            "fractal",
            clip(Filters("mandelbrot=s=SIZE:r=RATE"))
                .size(480, 832)
                .frames(24),
        ),
        Case::new(
            "test picture",
            clip(Filters("testsrc2=s=SIZE:r=RATE"))
                .size(854, 480)
                .fps(24),
        ),
        Case::new(
            "move that rests for a third",
            clip(Drawn(|x, y, t| art(x + 12.0 * t.min(2.7), y))),
        ),
        Case::new(
            "half a second",
            clip(Drawn(|x, y, t| zoom(art, 1.0 + 0.06 * t, x, y)))
                .fps(24)
                .frames(12),
        ),
        Case::new(
            "swing in the rhythm of a second",
            clip(Drawn(|x, y, t| {
                art(x + 4.0 * (t * std::f32::consts::TAU).sin(), y)
            })),
        ),
        Case::new("static animatic", clip(Drawn(|x, y, _| art(x, y)))).still_is_fine(),
        Case::new(
            "static title card",
            clip(Drawn(|x, y, _| card(x, y))).size(854, 480).fps(24),
        )
        .still_is_fine(),
        Case::new("static night", clip(Drawn(|x, y, _| night(x, y)))).still_is_fine(),
    ]
}

/// A bad clip, and whether a reason is the right one for it.
pub(crate) type BadClip = (Case, fn(&Rejection) -> bool);

pub(crate) fn bad_clips() -> Vec<BadClip> {
    use Rejection as R;
    let blank = |why: &Rejection| matches!(why, R::Blank { .. });
    let frozen = |why: &Rejection| matches!(why, R::Frozen { .. });
    let dead = |why: &Rejection| matches!(why, R::Blank { .. } | R::Frozen { .. });
    let unreadable = |why: &Rejection| matches!(why, R::Unreadable { .. });

    let moving = clip(Filters("testsrc2=s=SIZE:r=RATE"));
    let detail =
        "mandelbrot=s=SIZE:r=RATE:start_scale=0.2,trim=end_frame=1,loop=-1:1:0,setpts=N/RATE/TB";
    let as_is = |name, clip, why| -> BadClip { (Case::new(name, clip), why) };
    let still = |name, clip, why| -> BadClip { (Case::new(name, clip).still_is_fine(), why) };
    let wanted = |name, clip, wanted, why| -> BadClip {
        let expected = Case::new(name, wanted).expected;
        (
            Case {
                expected,
                ..Case::new(name, clip)
            },
            why,
        )
    };
    let spoilt = |name, clip, spoil, why| -> BadClip {
        (
            Case {
                spoil,
                ..Case::new(name, clip)
            },
            why,
        )
    };
    vec![
        as_is(
            "black",
            clip(Filters("color=black:s=SIZE:r=RATE"))
                .size(854, 480)
                .fps(24),
            blank,
        ),
        still(
            "black, though a still is fine",
            clip(Filters("color=black:s=SIZE:r=RATE")),
            blank,
        ),
        as_is(
            "black with noise",
            clip(Filters("color=black:s=SIZE:r=RATE,noise=alls=12:allf=t")).fps(24),
            blank,
        ),
        as_is("white", clip(Filters("color=white:s=SIZE:r=RATE")), blank),
        still(
            "one colour",
            clip(Filters("color=teal:s=SIZE:r=RATE")).fps(30),
            blank,
        ),
        as_is(
            "one colour after the other",
            clip(Filters("color=black:s=SIZE:r=RATE,fade=t=in:c=olive:d=4")),
            blank,
        ),
        as_is(
            "grey with noise",
            clip(Filters("color=gray:s=SIZE:r=RATE,noise=alls=10:allf=t")),
            blank,
        ),
        as_is(
            "black for more than half",
            clip(Filters("testsrc2=s=SIZE:r=RATE,fade=t=out:st=1.6:d=0.2")),
            blank,
        ),
        as_is(
            "black until more than half",
            clip(Filters("testsrc2=s=SIZE:r=RATE,fade=t=in:st=2.2:d=0.2")).size(480, 832),
            blank,
        ),
        as_is(
            "partly black and partly frozen",
            clip(Drawn(|x, y, t| match t {
                ..1.3 => 0.0,
                ..2.6 => art(x, y),
                _ => art(x + 20.0 * t, y),
            })),
            dead,
        ),
        as_is("frozen", clip(Drawn(|x, y, _| art(x, y))), frozen),
        as_is(
            "frozen, full size",
            clip(Drawn(|x, y, _| art(x, y))).size(854, 480).fps(24),
            frozen,
        ),
        as_is(
            "frozen in the dark, poor encoder",
            clip(Drawn(|x, y, _| night(x, y))).encoder(POOR),
            frozen,
        ),
        as_is(
            "frozen title card between fades of half a second",
            clip(Drawn(|x, y, t| {
                card(x, y) * (2.0 * t).min(8.0 - 2.0 * t).min(1.0)
            })),
            frozen,
        ),
        as_is(
            "frozen with detail",
            clip(Filters(detail)).size(854, 480),
            frozen,
        ),
        as_is(
            "frozen with detail, poor encoder",
            clip(Filters(detail)).size(854, 480).fps(24).encoder(POOR),
            frozen,
        ),
        spoilt(
            "frozen with detail, encoded again and again",
            clip(Filters(detail)).size(854, 480).fps(24),
            |path| degrade(path, "900k"),
            frozen,
        ),
        as_is(
            "frozen with sensor noise",
            clip(Filters(
                "testsrc=s=SIZE:r=RATE,trim=end_frame=1,loop=-1:1:0,setpts=N/RATE/TB,noise=alls=6:allf=t",
            )),
            frozen,
        ),
        as_is(
            "frozen first half",
            clip(Filters(
                "testsrc2=s=SIZE:r=RATE,tpad=start_mode=clone:start_duration=2",
            )),
            frozen,
        ),
        as_is(
            "frozen second half",
            clip(Filters(
                "testsrc2=s=SIZE:r=RATE,trim=duration=2,tpad=stop_mode=clone:stop_duration=2",
            ))
            .size(854, 480)
            .fps(24),
            frozen,
        ),
        as_is(
            "frozen second half, poor encoder",
            clip(Drawn(|x, y, t| art(x + 10.0 * t.min(2.0), y)))
                .fps(30)
                .encoder(POOR),
            frozen,
        ),
        as_is(
            "frozen after a slow start",
            clip(Drawn(|x, y, t| zoom(art, 1.0 + 0.02 * t.min(1.5), x, y))),
            frozen,
        ),
        as_is(
            "frozen half a second",
            clip(Drawn(|x, y, _| art(x, y))).fps(24).frames(12),
            frozen,
        ),
        wanted("short", moving.frames(32), moving, |why| {
            matches!(why, R::Duration { .. })
        }),
        wanted("two frames short", moving.frames(62), moving, |why| {
            matches!(why, R::Duration { .. })
        }),
        wanted("long", moving.frames(80), moving, |why| {
            matches!(why, R::Duration { .. })
        }),
        wanted("two frames long", moving.frames(66), moving, |why| {
            matches!(why, R::Duration { .. })
        }),
        wanted("wrong size", moving.size(640, 360), moving, |why| {
            matches!(why, R::Size { .. })
        }),
        wanted("on its side", moving.size(240, 426), moving, |why| {
            matches!(why, R::Size { .. })
        }),
        wanted("wrong rate, right length", moving.fps(24), moving, |why| {
            matches!(why, R::Rate { .. })
        }),
        wanted(
            "wrong rate, right number of frames",
            moving.fps(24).frames(64),
            moving,
            |why| matches!(why, R::Rate { .. }),
        ),
        spoilt(
            "a rate that is almost right",
            moving.fps(24),
            |path| {
                Clip {
                    source: Source::Command(&[
                        "-f",
                        "lavfi",
                        "-i",
                        "testsrc2=s=426x240:r=24000/1001",
                        "-frames:v",
                        "96",
                        "-c:v",
                        "libx264",
                        "-preset",
                        "ultrafast",
                        "-pix_fmt",
                        "yuv420p",
                    ]),
                    ..clip(Filters(""))
                }
                .write(path);
            },
            |why| matches!(why, R::Rate { .. }),
        ),
        spoilt(
            "no video stream",
            moving,
            |path| {
                Clip {
                    source: Source::Command(&["-f", "lavfi", "-i", "sine", "-t", "4"]),
                    ..clip(Filters(""))
                }
                .write(path);
            },
            |why| matches!(why, R::Streams { found: 0 }),
        ),
        spoilt(
            "two video streams",
            moving,
            |path| {
                Clip {
                    source: Source::Command(&[
                        "-f",
                        "lavfi",
                        "-i",
                        "testsrc2=s=426x240:r=16",
                        "-t",
                        "4",
                        "-map",
                        "0",
                        "-map",
                        "0",
                        "-pix_fmt",
                        "yuv420p",
                        "-preset",
                        "ultrafast",
                    ]),
                    ..clip(Filters(""))
                }
                .write(path);
            },
            |why| matches!(why, R::Streams { found: 2 }),
        ),
        spoilt(
            "a codec that browsers do not show",
            moving,
            |path| {
                Clip {
                    source: Source::Command(&[
                        "-f",
                        "lavfi",
                        "-i",
                        "testsrc2=s=426x240:r=16",
                        "-t",
                        "4",
                        "-c:v",
                        "mpeg4",
                    ]),
                    ..clip(Filters(""))
                }
                .write(path);
            },
            |why| matches!(why, R::Encoding { .. }),
        ),
        spoilt(
            "truncated before its index",
            moving,
            |path| truncate(path, 0.7),
            unreadable,
        ),
        spoilt(
            "truncated behind its index",
            moving.encoder(FAST_START),
            |path| truncate(path, 0.7),
            unreadable,
        ),
        spoilt(
            "truncated by a hundred bytes",
            moving.encoder(FAST_START),
            |path| truncate(path, 0.999),
            unreadable,
        ),
        spoilt(
            "damaged in the middle",
            moving,
            |path| {
                let mut bytes = std::fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle..middle + 2_000].fill(0xff);
                std::fs::write(path, bytes).unwrap();
            },
            unreadable,
        ),
        spoilt(
            "empty file",
            moving,
            |path| std::fs::write(path, "").unwrap(),
            unreadable,
        ),
        spoilt(
            "a text",
            moving,
            |path| std::fs::write(path, "a clip\n".repeat(500)).unwrap(),
            unreadable,
        ),
        spoilt(
            "a list of files",
            moving,
            |path| {
                std::fs::copy(path, path.with_extension("other.mp4")).unwrap();
                let name = path.with_extension("other.mp4");
                let name = name.file_name().unwrap().to_str().unwrap().to_owned();
                std::fs::write(path, format!("ffconcat version 1.0\nfile {name}\n")).unwrap();
            },
            unreadable,
        ),
        spoilt(
            "no file",
            moving,
            |path| std::fs::remove_file(path).unwrap(),
            unreadable,
        ),
    ]
}

const FAST_START: &[&str] = &["-preset", "ultrafast", "-movflags", "+faststart"];

fn truncate(path: &Path, keep: f64) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
}
