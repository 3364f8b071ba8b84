//! Takes a story from a script: what the script says stays word for word, and what it leaves out is made from the rest.

use std::collections::HashSet;

use shared::script::{Script, ScriptScene, TEXT_MAX};
use shared::story::{Scene, Story};

use super::draws::Draws;
use super::moods;
use super::phrase::capitalised;
use super::premise::{Premise, clip};
use crate::prompts::{NEGATIVE_PROMPT, camera_phrase};

/// Longest title that is made from an action, in characters.
const TITLE_MADE_MAX: usize = 40;
/// Longest logline that is made from the actions, in characters.
const LOGLINE_MADE_MAX: usize = 200;

/// The story of a script. `title` is the film-maker's own and goes first; `seconds` is for scenes that do not say.
pub(super) fn story(script: &Script, title: Option<&str>, seconds: f64, seed: u64) -> Story {
    let look = script
        .look
        .clone()
        .unwrap_or_else(|| drawn_look(script, seed));
    let mut titles = HashSet::new();
    let scenes = (1..)
        .zip(&script.scenes)
        .map(|(number, scene)| Scene {
            number,
            title: scene
                .title
                .clone()
                .unwrap_or_else(|| made_title(scene, &mut titles)),
            action: scene.action.clone(),
            beat: String::new(),
            image_prompt: scene
                .image_prompt
                .clone()
                .unwrap_or_else(|| image_prompt(script, scene, &look)),
            motion_prompt: scene.motion_prompt.clone().unwrap_or_else(|| {
                let prompt = format!(
                    "{}; {}",
                    camera_phrase(scene.camera),
                    one_line(&scene.action)
                );
                clip(&prompt, TEXT_MAX)
            }),
            negative_prompt: scene
                .negative_prompt
                .clone()
                .unwrap_or_else(|| NEGATIVE_PROMPT.to_owned()),
            camera: scene.camera,
            seconds: scene.seconds.unwrap_or(seconds),
            characters: scene.characters.clone(),
        })
        .collect();
    Story {
        title: title.unwrap_or(&script.title).to_owned(),
        logline: script
            .logline
            .clone()
            .unwrap_or_else(|| made_logline(script)),
        look,
        characters: script.characters.clone(),
        scenes,
    }
}

fn drawn_look(script: &Script, seed: u64) -> String {
    let text = script
        .scenes
        .iter()
        .fold(script.title.clone(), |text, scene| {
            format!("{text} {}", scene.action)
        });
    moods::look(&Premise::read(&text).words, &mut Draws::new(seed, &text))
}

/// The first words of the action; numbered if an earlier scene has the same.
fn made_title(scene: &ScriptScene, taken: &mut HashSet<String>) -> String {
    let gist = Premise::read(&scene.action).gist;
    let clause = gist.split([',', ';', ':']).next().unwrap_or(&gist);
    let clause = clause.trim().trim_end_matches(['.', '!', '?']);
    // An action such as "..." has no words to begin with.
    let words = if clause.is_empty() {
        scene.action.trim()
    } else {
        clause
    };
    let title = capitalised(&clip(words, TITLE_MADE_MAX));
    let free = (2..)
        .map(|count| format!("{title} ({count})"))
        .find(|numbered| !taken.contains(numbered))
        .filter(|_| taken.contains(&title))
        .unwrap_or(title);
    taken.insert(free.clone());
    free
}

fn made_logline(script: &Script) -> String {
    let first = script
        .scenes
        .first()
        .map_or("", |scene| scene.action.as_str());
    clip(&Premise::read(first).gist, LOGLINE_MADE_MAX)
}

fn image_prompt(script: &Script, scene: &ScriptScene, look: &str) -> String {
    let mut prompt = one_line(&scene.action);
    for name in &scene.characters {
        if let Some(character) = script
            .characters
            .iter()
            .find(|character| character.name == *name)
        {
            prompt.push_str(&format!(
                " {name}: {}.",
                one_line(&character.description).trim_end_matches('.')
            ));
        }
    }
    clip(
        &format!("{prompt} {}", capitalised(&one_line(look))),
        TEXT_MAX,
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use shared::story::Camera;

    use super::*;

    const FULL: &str = r#"
        title = "The \"Quiet\" Hour: 100%"
        logline = "One hour, told twice."
        look = "ink on paper"
        [[characters]]
        name = "Ada"
        description = "an engineer in a green coat."
        [[scenes]]
        number = 1
        title = "Dawn"
        action = "Ada opens\nthe hatch."
        image_prompt = "a hatch"
        motion_prompt = "it opens"
        negative_prompt = "people"
        camera = "tilt-up"
        seconds = 2.5
        characters = ["Ada"]
        [[scenes]]
        number = 2
        action = "Ada waits, and nothing happens. Nothing at all."
        characters = ["Ada"]
    "#;

    #[test]
    fn what_the_script_says_stays_and_what_it_leaves_out_is_made() {
        let script = shared::script::parse(FULL).unwrap();
        assert_eq!(shared::script::mistakes(&script), []);
        let told = story(&script, None, 4.0, 1);
        assert_eq!(
            (
                told.title.as_str(),
                told.logline.as_str(),
                told.look.as_str()
            ),
            (
                "The \"Quiet\" Hour: 100%",
                "One hour, told twice.",
                "ink on paper"
            )
        );
        assert_eq!(told.characters, script.characters);
        assert_eq!(
            told.scenes[0],
            Scene {
                number: 1,
                title: "Dawn".to_owned(),
                action: "Ada opens\nthe hatch.".to_owned(),
                beat: String::new(),
                image_prompt: "a hatch".to_owned(),
                motion_prompt: "it opens".to_owned(),
                negative_prompt: "people".to_owned(),
                camera: Camera::TiltUp,
                seconds: 2.5,
                characters: vec!["Ada".to_owned()],
            }
        );
        let second = &told.scenes[1];
        assert_eq!(
            (second.number, second.title.as_str(), second.seconds),
            (2, "Ada waits", 4.0)
        );
        assert_eq!(second.camera, Camera::Static);
        assert_eq!(
            second.image_prompt,
            "Ada waits, and nothing happens. Nothing at all. Ada: an engineer in a green coat. Ink on paper"
        );
        assert!(
            second.motion_prompt.starts_with("locked camera; Ada waits"),
            "{}",
            second.motion_prompt
        );
        assert_eq!(second.negative_prompt, NEGATIVE_PROMPT);
    }

    #[test]
    fn the_story_of_the_largest_script_fits_a_message() {
        use shared::broker::topology::MAX_BODY_BYTES;
        use shared::script::{CHARACTERS_MAX, SCENES_MAX, SCRIPT_BYTES_MAX};
        use shared::story::Character;

        let wide = |count| "\u{1f3ac}".repeat(count);
        let script = Script {
            title: "t".to_owned(),
            look: Some(wide(TEXT_MAX)),
            characters: (0..CHARACTERS_MAX)
                .map(|number| Character {
                    name: number.to_string(),
                    description: wide(TEXT_MAX),
                })
                .collect(),
            scenes: vec![
                ScriptScene {
                    action: wide(TEXT_MAX),
                    characters: (0..CHARACTERS_MAX)
                        .map(|number| number.to_string())
                        .collect(),
                    ..ScriptScene::default()
                };
                2
            ],
            ..Script::default()
        };
        let told = story(&script, None, 4.0, 1);
        for scene in &told.scenes {
            for prompt in [&scene.image_prompt, &scene.motion_prompt] {
                assert!(prompt.chars().count() <= TEXT_MAX);
            }
        }
        let names = 500;
        let made = told.scenes.iter().map(|scene| {
            let prompts = [
                &scene.image_prompt,
                &scene.motion_prompt,
                &scene.negative_prompt,
            ];
            prompts.map(String::len).iter().sum::<usize>() + scene.title.len() + names
        });
        let largest = made.max().unwrap();
        assert!(SCRIPT_BYTES_MAX + SCENES_MAX * largest < MAX_BODY_BYTES);
    }

    #[test]
    fn a_bare_script_gets_titles_that_differ_a_logline_and_a_look_by_seed() {
        let text = format!(
            "title = \"t\"\n{}",
            "[[scenes]]\naction = \"Waves. Always waves.\"\n".repeat(3)
        );
        let script = shared::script::parse(&text).unwrap();
        let told = story(&script, Some("My title"), 4.0, 1);
        let titles: Vec<_> = told
            .scenes
            .iter()
            .map(|scene| scene.title.as_str())
            .collect();
        assert_eq!(
            titles,
            [
                "Waves. Always waves",
                "Waves. Always waves (2)",
                "Waves. Always waves (3)"
            ]
        );
        assert_eq!(told.title, "My title");
        assert_eq!(told.logline, "Waves. Always waves.");
        assert_eq!(told, story(&script, Some("My title"), 4.0, 1));
        let looks: HashSet<_> = (0..20)
            .map(|seed| story(&script, None, 4.0, seed).look)
            .collect();
        assert!(looks.len() > 10, "{looks:?}");
    }
}
