//! The drawings as a worker asks for them.

use shared::film::{Quality, Size};
use shared::job::KeyframePayload;
use shared::story::{Camera, Scene};
use tiny_skia::Pixmap;

use crate::picture::Picture;
use crate::{Frames, Keyframe, Move, draw, keyframe, read};

const SMALL: Size = Size {
    width: 320,
    height: 180,
};

fn scene(title: &str, action: &str, camera: Camera) -> Scene {
    Scene {
        number: 2,
        title: title.to_owned(),
        action: action.to_owned(),
        beat: "Catalyst".to_owned(),
        image_prompt: action.to_owned(),
        motion_prompt: String::new(),
        negative_prompt: String::new(),
        camera,
        seconds: 1.0,
        characters: Vec::new(),
    }
}

fn words(title: &str, action: &str, size: Size, seed: u64) -> KeyframePayload {
    KeyframePayload {
        title: "The Keeper and the Storm".to_owned(),
        look: "storybook".to_owned(),
        scene: scene(title, action, Camera::PushIn),
        scenes: 6,
        size,
        quality: Quality::Final,
        seed,
    }
}

fn keeper(size: Size, seed: u64) -> KeyframePayload {
    let action = "The keeper climbs the lighthouse at dusk while a ship crosses the calm sea.";
    words("The Last Lamp", action, size, seed)
}

/// The pixels of a PNG file, without what else it carries.
fn pixels_of(png: &[u8]) -> Vec<u8> {
    let decoder = png::Decoder::new(std::io::Cursor::new(png));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

/// The share of values that differ by more than an eye overlooks.
fn share_apart(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let apart = one.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > 16);
    apart.count() as f64 / one.len() as f64
}

#[test]
fn the_same_words_and_seed_give_the_same_bytes() {
    let once = draw(&keeper(SMALL, 7)).unwrap();
    assert!(once == draw(&keeper(SMALL, 7)).unwrap());
}

#[test]
fn another_seed_gives_another_composition() {
    let composed = |seed| {
        let picture = Picture::plan(&keeper(SMALL, seed));
        keyframe::compose(&picture, SMALL).unwrap()
    };
    // Neither lettering nor grain, and no words in the file: this is the picture itself.
    let seven = composed(7);
    for seed in [8, 9, 10, 7_000] {
        let share = share_apart(seven.data(), composed(seed).data());
        assert!(share > 0.15, "seed {seed}: {share}");
    }
    assert_eq!(share_apart(seven.data(), composed(7).data()), 0.0);
}

#[test]
fn every_size_from_stamp_to_poster_is_drawn() {
    for text in [
        "64x64",
        "64x4096",
        "4096x64",
        "98x54",
        "480x854",
        "1600x1600",
    ] {
        let size: Size = text.parse().unwrap();
        let png = draw(&keeper(size, 3)).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&png))
            .read_info()
            .unwrap();
        assert_eq!(
            (reader.info().width, reader.info().height),
            (size.width, size.height)
        );
    }
}

#[test]
fn odd_words_are_drawn_and_never_stop_the_drawing() {
    let odd = [
        "",
        "\"Quoted\" 'twice' 100% \\ {x}: $(rm) `id`",
        "line\nbreak\ttab\0nul",
        "🎬🌊 only emoji 👩‍🚀",
        "שלום עולם",
        "東京の夜",
        "e\u{301}\u{202e}reversed",
        &"Wordwithoutanyspace".repeat(10),
    ];
    let plain = draw(&words("Plain", "Plain", SMALL, 1)).unwrap();
    for text in odd {
        let drawn = draw(&words(text, text, SMALL, 1)).unwrap();
        assert!(pixels_of(&drawn) != pixels_of(&plain), "{text:?}");
        let Keyframe::Storyboard(read) = read(&drawn).unwrap() else {
            panic!("{text:?} was not read back");
        };
        assert_eq!(read.scene.title, text);
    }
}

#[test]
fn what_the_words_name_is_in_the_picture() {
    use crate::reading::{self, Hour, Place, Thing, Weather};
    let read = |action: &str| reading::read(&words("x", action, SMALL, 1));
    let storm = read("A ship runs before the storm at night, off the lighthouse.");
    assert_eq!(
        (storm.place, storm.weather, storm.hour),
        (Place::Sea, Weather::Storm, Hour::Night)
    );
    assert!(storm.things.contains(&Thing::Ship) && storm.things.contains(&Thing::Lighthouse));
    let desert = read("A caravan crosses the dunes under a burning sun.");
    assert_eq!((desert.place, desert.hour), (Place::Desert, Hour::Day));
    let room = read("She writes at the kitchen table by lamplight.");
    assert_eq!((room.place, room.people), (Place::Room, 1));
}

/// Centre and size of a white square, as the frames of a move show it first and last.
fn seen(camera: Camera) -> [(f64, f64, f64); 2] {
    let mut image = Pixmap::new(640, 360).unwrap();
    image.fill(tiny_skia::Color::BLACK);
    let square = tiny_skia::Rect::from_xywh(280.0, 140.0, 80.0, 80.0).unwrap();
    let mut white = tiny_skia::Paint::default();
    white.set_color(tiny_skia::Color::WHITE);
    image.fill_rect(square, &white, tiny_skia::Transform::identity(), None);
    let keyframe = Keyframe::Image(image);
    let mut frames = Frames::new(keyframe, Move::new(camera, 4.0), SMALL, 96).unwrap();
    [0, 95].map(|index| {
        let pixels = frames.frame(index).unwrap();
        let (mut x, mut y, mut sum) = (0.0, 0.0, 0.0);
        for (place, pixel) in pixels.chunks_exact(4).enumerate() {
            let bright = f64::from(pixel[0]);
            x += bright * (place % 320) as f64;
            y += bright * (place / 320) as f64;
            sum += bright;
        }
        (x / sum, y / sum, sum)
    })
}

#[test]
fn every_camera_move_carries_the_picture_the_other_way() {
    let [from, to] = seen(Camera::PanRight);
    assert!(
        to.0 < from.0 - 20.0 && (to.1 - from.1).abs() < 0.5,
        "{from:?} {to:?}"
    );
    let [from, to] = seen(Camera::PanLeft);
    assert!(to.0 > from.0 + 20.0, "{from:?} {to:?}");
    let [from, to] = seen(Camera::TiltUp);
    assert!(
        to.1 > from.1 + 10.0 && (to.0 - from.0).abs() < 0.5,
        "{from:?} {to:?}"
    );
    let [from, to] = seen(Camera::TiltDown);
    assert!(to.1 < from.1 - 10.0, "{from:?} {to:?}");
    let [from, to] = seen(Camera::PushIn);
    assert!(to.2 > from.2 * 1.2, "{from:?} {to:?}");
    let [from, to] = seen(Camera::PullOut);
    assert!(to.2 < from.2 / 1.2, "{from:?} {to:?}");
    let [from, to] = seen(Camera::Static);
    assert_eq!(from, to);
}

#[test]
fn a_clip_begins_as_its_storyboard_frame_looks() {
    let payload = keeper(SMALL, 7);
    let png = draw(&payload).unwrap();
    let drawn = pixels_of(&png);
    let keyframe = read(&png).unwrap();
    let still = Move::new(Camera::Static, 1.0);
    let mut frames = Frames::new(keyframe, still, SMALL, 24).unwrap();
    let filmed = frames.frame(0).unwrap();
    let pairs = drawn.chunks_exact(3).zip(filmed.chunks_exact(4));
    let apart = pairs.map(|(a, b)| u64::from(a[0].abs_diff(b[0])) + u64::from(a[2].abs_diff(b[2])));
    let apart = apart.sum::<u64>() as f64 / (320.0 * 180.0 * 2.0);
    // The grain of the frame is about one step; the film has none.
    assert!(apart < 2.0, "{apart}");
}
