//! What a story must be beyond its form.

use std::collections::HashSet;

use shared::story::Story;

use super::order::Order;
use super::scenes::Shot;

/// Scenes whose actions share that many of a hundred words are the same scene told twice.
const ALIKE_PERCENT: usize = 85;

/// What is wrong with new scenes, by their numbers in the film.
pub(super) fn of_shots(before: &[Shot], new: &[Shot]) -> Vec<String> {
    let all: Vec<&Shot> = before.iter().chain(new).collect();
    let mut found = Vec::new();
    for (index, shot) in all.iter().enumerate().skip(before.len()) {
        let number = index + 1;
        if let Some(earlier) = all[..index].iter().position(|other| alike(other, shot)) {
            let earlier = earlier + 1;
            found.push(format!("scene {number} shows the same as scene {earlier}"));
        }
    }
    found
}

fn alike(one: &Shot, other: &Shot) -> bool {
    same(&one.action, &other.action) || same(&one.image, &other.image)
}

fn same(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    let both = one.intersection(&other).count();
    let all = one.union(&other).count();
    both * 100 >= all * ALIKE_PERCENT
}

fn words(text: &str) -> HashSet<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// What is wrong with a whole story. Each step was checked by itself; this holds whatever the steps did.
pub(super) fn of_story(order: &Order, story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    if story.scenes.len() != order.scenes as usize {
        found.push(format!(
            "it has {} scenes; {} were asked for",
            story.scenes.len(),
            order.scenes
        ));
    }
    let length: f64 = story.scenes.iter().map(|scene| scene.seconds).sum();
    let wanted = f64::from(order.scenes) * order.seconds;
    if (length - wanted).abs() > 0.01 {
        found.push(format!("it lasts {length} s; {wanted} s were asked for"));
    }
    let names: HashSet<&str> = story
        .characters
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    for scene in &story.scenes {
        if let Some(stranger) = scene
            .characters
            .iter()
            .find(|name| !names.contains(name.as_str()))
        {
            let number = scene.number;
            found.push(format!(
                "scene {number} shows \"{stranger}\", whom the story does not know"
            ));
        }
    }
    found
}
