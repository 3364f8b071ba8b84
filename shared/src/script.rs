//! A finished script: the scenes of a film as a person wrote them, in TOML or JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::film::{Mistake, TITLE_MAX, check_seconds, check_text};
use crate::story::{Camera, Character};

/// Most scenes a script may have.
pub const SCENES_MAX: usize = 200;
/// Longest action or prompt, in characters.
pub const TEXT_MAX: usize = 4_000;
/// Most characters a script may name.
pub const CHARACTERS_MAX: usize = 50;
/// Largest script in bytes, as JSON: the story that is made of it adds two prompts to each scene and must fit a message.
pub const SCRIPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most mistakes that are told at once.
const MISTAKES_MAX: usize = 100;

/// A script. `docs/script.md` describes it with an example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Title of the film.
    pub title: String,
    /// The story in one or two sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logline: Option<String>,
    /// How the film looks: medium, light, palette.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<String>,
    /// Who appears in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub characters: Vec<Character>,
    /// The scenes, in order.
    pub scenes: Vec<ScriptScene>,
}

/// One scene of a script. Only `action` is needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptScene {
    /// Its number. If any scene has one, all must, counting 1, 2, 3 … in order: a missing or doubled scene is then seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// A few words; made from the action if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is seen.
    pub action: String,
    /// Prompt for the still image; made from action and look if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_prompt: Option<String>,
    /// Prompt for the movement; made from action and camera if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion_prompt: Option<String>,
    /// What must not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// How the camera moves; `static` if absent.
    #[serde(default)]
    pub camera: Camera,
    /// Length in seconds, 0.5 to 60; the film's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Names of the characters in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub characters: Vec<String>,
}

/// Reads a script as TOML, or as JSON if it begins with a brace. Checks nothing that [`mistakes`] checks.
///
/// # Errors
/// One mistake that names the line.
pub fn parse(text: &str) -> Result<Script, Mistake> {
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| Mistake::new("", error.to_string()))
    } else {
        toml::from_str(text)
            .map_err(|error| Mistake::new("", error.to_string().trim_end().to_owned()))
    }
}

/// Everything in a script that cannot be so.
pub fn mistakes(script: &Script) -> Vec<Mistake> {
    let mut found = Vec::new();
    check_text("title", &script.title, TITLE_MAX, &mut found);
    check_optional("logline", script.logline.as_ref(), &mut found);
    check_optional("look", script.look.as_ref(), &mut found);
    check_characters(script, &mut found);
    match script.scenes.len() {
        0 => found.push(Mistake::new(
            "scenes",
            "the script has no scenes; add at least one",
        )),
        1..=SCENES_MAX => check_numbers(&script.scenes, &mut found),
        many => found.push(Mistake::new(
            "scenes",
            format!("{many} scenes; at most {SCENES_MAX} fit"),
        )),
    }
    for (index, scene) in script.scenes.iter().enumerate().take(SCENES_MAX) {
        check_scene(&format!("scenes[{index}]"), scene, script, &mut found);
    }
    check_size(script, &mut found);
    let more = found.len().saturating_sub(MISTAKES_MAX);
    if more > 0 {
        found.truncate(MISTAKES_MAX);
        found.push(Mistake::new("scenes", format!("and {more} more mistakes")));
    }
    found
}

fn check_size(script: &Script, found: &mut Vec<Mistake>) {
    let bytes = serde_json::to_vec(script).map_or(usize::MAX, |json| json.len());
    if bytes > SCRIPT_BYTES_MAX {
        let problem = format!(
            "the script has {bytes} bytes; at most {SCRIPT_BYTES_MAX} fit, shorten its texts"
        );
        found.push(Mistake::new("scenes", problem));
    }
}

fn check_optional(field: &str, text: Option<&String>, found: &mut Vec<Mistake>) {
    if let Some(text) = text {
        check_text(field, text, TEXT_MAX, found);
    }
}

fn check_characters(script: &Script, found: &mut Vec<Mistake>) {
    if script.characters.len() > CHARACTERS_MAX {
        let problem = format!(
            "{} characters; at most {CHARACTERS_MAX} fit",
            script.characters.len()
        );
        found.push(Mistake::new("characters", problem));
        return;
    }
    for (index, character) in script.characters.iter().enumerate() {
        let field = format!("characters[{index}]");
        check_text(&format!("{field}.name"), &character.name, TITLE_MAX, found);
        check_text(
            &format!("{field}.description"),
            &character.description,
            TEXT_MAX,
            found,
        );
        if script.characters[..index]
            .iter()
            .any(|other| other.name == character.name)
        {
            let problem = format!("`{}` is described twice; keep one", character.name);
            found.push(Mistake::new(format!("{field}.name"), problem));
        }
    }
}

fn check_numbers(scenes: &[ScriptScene], found: &mut Vec<Mistake>) {
    if scenes.iter().all(|scene| scene.number.is_none()) {
        return;
    }
    for (index, scene) in scenes.iter().enumerate() {
        let field = format!("scenes[{index}].number");
        let expected = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        match scene.number {
            Some(number) if number == expected => {}
            Some(number)
                if scenes[..index]
                    .iter()
                    .any(|other| other.number == Some(number)) =>
            {
                found.push(Mistake::new(
                    field,
                    format!("scene {number} is there twice; keep one or renumber"),
                ));
                return;
            }
            Some(number) => {
                let problem = format!("scene {expected} is missing: {number} stands in its place");
                found.push(Mistake::new(field, problem));
                return;
            }
            None => found.push(Mistake::new(field, "number all scenes or none")),
        }
    }
}

fn check_scene(field: &str, scene: &ScriptScene, script: &Script, found: &mut Vec<Mistake>) {
    check_text(&format!("{field}.action"), &scene.action, TEXT_MAX, found);
    if let Some(title) = &scene.title {
        check_text(&format!("{field}.title"), title, TITLE_MAX, found);
    }
    check_optional(
        &format!("{field}.image_prompt"),
        scene.image_prompt.as_ref(),
        found,
    );
    check_optional(
        &format!("{field}.motion_prompt"),
        scene.motion_prompt.as_ref(),
        found,
    );
    check_optional(
        &format!("{field}.negative_prompt"),
        scene.negative_prompt.as_ref(),
        found,
    );
    if let Some(seconds) = scene.seconds {
        check_seconds(&format!("{field}.seconds"), seconds, found);
    }
    let field = format!("{field}.characters");
    if scene.characters.len() > CHARACTERS_MAX {
        let problem = format!(
            "{} names; at most {CHARACTERS_MAX} fit",
            scene.characters.len()
        );
        found.push(Mistake::new(field, problem));
        return;
    }
    for (index, name) in scene.characters.iter().enumerate() {
        let shown: String = name.chars().take(80).collect();
        if scene.characters[..index].contains(name) {
            let problem = format!("`{shown}` is named twice; keep one");
            found.push(Mistake::new(&field, problem));
        } else if !script
            .characters
            .iter()
            .any(|character| character.name == *name)
        {
            let problem =
                format!("`{shown}` is not among the script's characters; describe it there");
            found.push(Mistake::new(&field, problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str =
        "title = \"Storm\"\n[[scenes]]\naction = \"Waves.\"\ncamera = \"push-in\"\n";

    fn problems(text: &str) -> Vec<String> {
        mistakes(&parse(text).unwrap())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = parse(SHORT).unwrap();
        let json = parse(&serde_json::to_string(&toml).unwrap()).unwrap();
        assert_eq!(toml, json);
        assert!(mistakes(&toml).is_empty());
    }

    #[test]
    fn a_doubled_and_a_missing_scene_are_seen() {
        let numbered = |numbers: [u32; 3]| {
            let scenes = numbers
                .map(|n| format!("[[scenes]]\nnumber = {n}\naction = \"x\"\n"))
                .concat();
            problems(&format!("title = \"t\"\n{scenes}"))
        };
        assert!(numbered([1, 2, 3]).is_empty());
        assert_eq!(
            numbered([1, 2, 2]),
            ["scenes[2].number: scene 2 is there twice; keep one or renumber"]
        );
        assert_eq!(
            numbered([1, 3, 4]),
            ["scenes[1].number: scene 2 is missing: 3 stands in its place"]
        );
    }

    #[test]
    fn a_mistake_in_the_file_names_its_line() {
        let mistake = parse("title = \"t\"\nscens = []\n")
            .unwrap_err()
            .to_string();
        assert!(
            mistake.contains("line 2") && mistake.contains("scens"),
            "{mistake}"
        );
    }

    #[test]
    fn a_scene_names_each_character_once_and_not_endlessly_many() {
        let named = |names: &[&str]| Script {
            title: "t".to_owned(),
            characters: vec![Character {
                name: "Ada".to_owned(),
                description: "an engineer".to_owned(),
            }],
            scenes: vec![ScriptScene {
                action: "x".to_owned(),
                characters: names.iter().map(|name| (*name).to_owned()).collect(),
                ..ScriptScene::default()
            }],
            ..Script::default()
        };
        let told = |script: &Script| -> Vec<String> {
            mistakes(script).iter().map(ToString::to_string).collect()
        };
        assert!(told(&named(&["Ada"])).is_empty());
        assert_eq!(
            told(&named(&["Ada", "Ada"])),
            ["scenes[0].characters: `Ada` is named twice; keep one"]
        );
        assert_eq!(
            told(&named(&["Ada"; 100_000])),
            ["scenes[0].characters: 100000 names; at most 50 fit"]
        );
    }

    #[test]
    fn mistakes_are_told_up_to_a_number_and_the_rest_counted() {
        let empty = ScriptScene::default();
        let script = Script {
            title: "t".to_owned(),
            scenes: vec![empty; SCENES_MAX],
            ..Script::default()
        };
        let told = mistakes(&script);
        assert_eq!(told.len(), MISTAKES_MAX + 1);
        let last = told.last().map(ToString::to_string);
        assert_eq!(last.as_deref(), Some("scenes: and 100 more mistakes"));
    }

    #[test]
    fn a_script_whose_story_would_fit_no_message_is_refused() {
        let long = Some("\u{1f3ac}".repeat(TEXT_MAX));
        let scene = ScriptScene {
            action: long.clone().unwrap_or_default(),
            image_prompt: long.clone(),
            motion_prompt: long,
            ..ScriptScene::default()
        };
        let mut script = Script {
            title: "t".to_owned(),
            scenes: vec![scene; SCENES_MAX],
            ..Script::default()
        };
        let told = mistakes(&script);
        assert!(
            told.len() == 1 && told[0].problem.contains("at most 4194304 fit"),
            "{told:?}"
        );
        script.scenes.truncate(80);
        assert_eq!(mistakes(&script), []);
    }

    #[test]
    fn unknown_characters_and_no_scenes_are_refused() {
        assert_eq!(
            problems("title = \"t\"\nscenes = []"),
            ["scenes: the script has no scenes; add at least one"]
        );
        let text = format!("{SHORT}characters = [\"Ada\"]\n");
        assert_eq!(
            problems(&text),
            ["scenes[0].characters: `Ada` is not among the script's characters; describe it there"]
        );
    }
}
