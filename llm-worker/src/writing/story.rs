//! From the bible and the scenes to the story that is filmed.

use shared::story::{Character, Scene, Story};

use super::bible::Bible;
use super::order::Order;
use super::scenes::Shot;
use crate::prompts::{NEGATIVE_PROMPT, camera_phrase};

/// The story. Descriptions of characters go word for word into every prompt that shows them: an image model knows no names,
/// and a description that changes makes another person.
pub(super) fn story(order: &Order, bible: &Bible, shots: &[Shot]) -> Story {
    let scenes = (1..)
        .zip(shots)
        .map(|(number, shot)| scene(order, bible, number, shot));
    Story {
        title: order.title.clone().unwrap_or_else(|| bible.title.clone()),
        logline: bible.logline.clone(),
        look: bible.look.clone(),
        characters: bible
            .characters
            .iter()
            .map(|one| Character {
                name: one.name.clone(),
                description: one.description.clone(),
            })
            .collect(),
        scenes: scenes.collect(),
    }
}

fn scene(order: &Order, bible: &Bible, number: u32, shot: &Shot) -> Scene {
    let seen: String = shot
        .characters
        .iter()
        .filter_map(|name| bible.character(name))
        .map(|one| format!(" {}: {}", one.name, sentence(&one.description)))
        .collect();
    let place = bible
        .place(&shot.place)
        .map(|one| format!(" {}: {}", one.name, sentence(&one.description)))
        .unwrap_or_default();
    Scene {
        number,
        title: shot.title.clone(),
        action: shot.action.clone(),
        beat: String::new(),
        image_prompt: format!(
            "{}{seen}{place} {}",
            sentence(&shot.image),
            sentence(&bible.look)
        ),
        motion_prompt: format!(
            "{}; {}{seen}",
            camera_phrase(shot.camera),
            sentence(&shot.motion)
        ),
        negative_prompt: NEGATIVE_PROMPT.to_owned(),
        camera: shot.camera,
        seconds: order.seconds,
        characters: shot.characters.clone(),
    }
}

/// The text with a stop at its end.
fn sentence(text: &str) -> String {
    match text.ends_with(['.', '!', '?', '…', '。', '！', '？']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}
