//! The scenes as a model writes them, a few at a time.

use serde::Deserialize;
use shared::story::Camera;

use super::bible::Bible;
use super::order::Order;
use crate::schema::Schema;

/// Most scenes that are asked for at once.
pub(super) const BATCH: u32 = 4;
/// Most characters in one scene: image models keep no more apart.
const CAST: usize = 3;

/// What a model is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Shots {
    pub(super) scenes: Vec<Shot>,
}

/// A scene as a model writes it. Its number and length are not the model's to choose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Shot {
    pub(super) title: String,
    pub(super) place: String,
    pub(super) characters: Vec<String>,
    pub(super) action: String,
    pub(super) image: String,
    pub(super) motion: String,
    pub(super) camera: Camera,
}

impl Shot {
    /// Each character once: models like to name them twice, and mean no more by it.
    pub(super) fn tidy(mut self) -> Self {
        let mut named = Vec::new();
        for name in self.characters {
            if !named.contains(&name) {
                named.push(name);
            }
        }
        self.characters = named;
        self
    }
}

pub(super) fn schema(bible: &Bible, count: u32) -> Schema {
    let names = |all: &[super::bible::Named]| {
        Schema::Choice(all.iter().map(|one| one.name.clone()).collect())
    };
    let cameras = Camera::ALL.map(|camera| camera.name().to_owned()).to_vec();
    let scene = Schema::Object(vec![
        ("title", Schema::text(60)),
        ("place", names(&bible.places)),
        (
            "characters",
            Schema::list(
                1,
                CAST.min(bible.characters.len()),
                names(&bible.characters),
            ),
        ),
        ("action", Schema::text(240)),
        ("image", Schema::text(240)),
        ("motion", Schema::text(160)),
        ("camera", Schema::Choice(cameras)),
    ]);
    Schema::Object(vec![(
        "scenes",
        Schema::list(count as usize, count as usize, scene),
    )])
}

/// Asks for `count` scenes after those that are there.
pub(super) fn prompt(order: &Order, bible: &Bible, shots: &[Shot], count: u32) -> String {
    let first = u32::try_from(shots.len()).unwrap_or(u32::MAX - BATCH) + 1;
    let last = first + count - 1;
    let which = match count {
        1 => format!("scene {first}"),
        _ => format!("scenes {first} to {last}"),
    };
    let so_far = match shots {
        [] => String::new(),
        _ => {
            let told: String = (1..)
                .zip(shots)
                .map(|(number, shot)| format!("{number}. {}: {}\n", shot.title, shot.action))
                .collect();
            format!("\nThe scenes so far:\n{told}")
        }
    };
    let cameras = Camera::ALL.map(Camera::name).join(", ");
    format!(
        "{bible}{so_far}\n\
         The film has {scenes} scenes of {seconds} seconds. Write {which}, which {part}. Each scene is one shot in one place, \
         shows something new, and follows from the one before.\n\n\
         Answer with one JSON object with the field scenes: a list of exactly {count}, each with\n\
         - title: up to 6 words\n\
         - place: one of the places, by its name\n\
         - characters: who is seen, 1 to {CAST} of the characters, by name\n\
         - action: what happens, for a reader, up to 30 words\n\
         - image: what the first picture shows: pose, framing, foreground, background; up to 30 words\n\
         - motion: what moves and how, up to 20 words\n\
         - camera: one of {cameras}",
        bible = bible.told(),
        scenes = order.scenes,
        seconds = order.seconds,
        part = part(first, last, order.scenes),
    )
}

/// Which part of the story those scenes tell.
fn part(first: u32, last: u32, of: u32) -> &'static str {
    let third = |number: u32| ((number - 1) * 3 / of.max(1)).min(2);
    match (third(first), third(last)) {
        (0, 0) => "tell the beginning",
        (0, 1) => "tell the beginning and lead into the middle",
        (0, _) => "tell the beginning, the middle and the end",
        (1, 1) => "tell the middle",
        (1, _) => "tell the rest of the middle and the end",
        (_, _) if last == of => "tell the end; the last one closes the film",
        (_, _) => "begin to tell the end",
    }
}
