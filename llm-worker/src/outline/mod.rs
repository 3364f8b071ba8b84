//! The built-in backend `outline`: a story by rule, with no model and no device. The same seed and premise always give
//! the same story. What it writes is an outline and no more; films made with it name the profile `outline` for it.

mod beats;
mod draws;
mod moods;
mod phrase;
mod premise;
mod script;
mod tell;
mod worlds;

use async_trait::async_trait;
use shared::failure::{Failure, FailureKind};
use shared::ids::ProfileName;
use shared::job::{JobKind, Outcome, Payload, Product, StoryPayload};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::RunAttempt;
use shared::story::Story;
use worker_runtime::backend::{AttemptContext, Backend, NotReady};

/// The name of the backend and of its one profile.
pub(crate) const NAME: &str = "outline";

/// Writes stories by rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outline;

#[async_trait]
impl Backend for Outline {
    fn name(&self) -> &'static str {
        NAME
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![Profile {
            name: ProfileName::outline(),
            kind: JobKind::Story,
            backend: NAME.to_owned(),
            needs: ResourceRequest::default(),
        }]
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        context.progress.tell("outlining", 0, 1);
        let Payload::Story(payload) = &attempt.payload else {
            let problem = format!(
                "`{NAME}` writes stories and was given a {} job",
                attempt.payload.kind()
            );
            return Err(Failure::new(FailureKind::Permanent, problem));
        };
        let story = story(payload)?;
        context.progress.tell("outlining", 1, 1);
        Ok(Outcome::from(Product::Story { story }))
    }
}

/// The story for a job: from its script if it has one, else from its premise.
///
/// # Errors
/// Permanent: there is neither, or the number of scenes is one that no story has.
pub fn story(payload: &StoryPayload) -> Result<Story, Failure> {
    let title = payload.title.as_deref();
    if let Some(given) = &payload.script {
        return Ok(script::story(given, title, payload.seconds, payload.seed));
    }
    let Some(premise) = payload
        .premise
        .as_deref()
        .filter(|premise| !premise.trim().is_empty())
    else {
        return Err(Failure::new(
            FailureKind::Permanent,
            "the job has neither a premise nor a script",
        ));
    };
    if !shared::film::SCENES.contains(&payload.scenes) {
        let problem = format!(
            "a story of {} scenes cannot be written; 3 to 24 can",
            payload.scenes
        );
        return Err(Failure::new(FailureKind::Permanent, problem));
    }
    Ok(tell::story(tell::Order {
        premise,
        title,
        scenes: payload.scenes,
        seconds: payload.seconds,
        seed: payload.seed,
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn order(premise: &str, scenes: u32, seed: u64) -> StoryPayload {
        StoryPayload {
            premise: Some(premise.to_owned()),
            script: None,
            title: None,
            scenes,
            seconds: 4.0,
            seed,
        }
    }

    fn check(story: &Story, scenes: u32, about: &str) {
        for text in [&story.title, &story.logline, &story.look] {
            assert!(
                !text.trim().is_empty() && !text.contains('\n'),
                "{about}: {text:?}"
            );
        }
        assert!(
            story.title.chars().count() <= shared::film::TITLE_MAX,
            "{about}: {}",
            story.title
        );
        let numbers: Vec<u32> = story.scenes.iter().map(|scene| scene.number).collect();
        assert_eq!(numbers, (1..=scenes).collect::<Vec<_>>(), "{about}");
        let titles: HashSet<_> = story.scenes.iter().map(|scene| &scene.title).collect();
        assert_eq!(titles.len(), story.scenes.len(), "{about}: {titles:?}");
        let names: HashSet<_> = story
            .characters
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names.len(), story.characters.len(), "{about}: {names:?}");
        for scene in &story.scenes {
            for text in [
                &scene.title,
                &scene.action,
                &scene.beat,
                &scene.image_prompt,
                &scene.motion_prompt,
                &scene.negative_prompt,
            ] {
                assert!(
                    !text.trim().is_empty() && !text.contains(['\n', '\r']),
                    "{about}: {scene:?}"
                );
                assert!(text.chars().count() <= 2_000, "{about}: {scene:?}");
            }
            assert!(
                !scene.action.contains("{who}") && !scene.image_prompt.contains("{at}"),
                "{about}: {scene:?}"
            );
            assert!(
                scene
                    .characters
                    .iter()
                    .all(|name| names.contains(name.as_str())),
                "{about}: {scene:?}"
            );
            assert_eq!(scene.seconds, 4.0);
        }
    }

    #[test]
    fn every_number_of_scenes_gives_a_whole_story() {
        for scenes in 3..=24 {
            for seed in 0..8 {
                let told = story(&order(
                    "A lighthouse keeper befriends a storm",
                    scenes,
                    seed,
                ))
                .unwrap();
                check(&told, scenes, &format!("{scenes} scenes, seed {seed}"));
            }
        }
    }

    #[test]
    fn odd_premises_give_valid_stories() {
        let long = "A lighthouse keeper befriends a storm, ".repeat(205);
        let unbroken = "x".repeat(8_000);
        for premise in [
            "Storm",
            &long[..7_995],
            &unbroken,
            "🌊🌊🌊",
            "\"quotes\" and 'more', `ticks` \\ back",
            "100% of: everything; $(rm -rf ~) && %{eif} [v]",
            "one\n\ntwo\r\nthree\tfour",
            "嵐と灯台守の物語。二人は友だちになる。",
            "حارس منارة يصادق عاصفة",
            "a",
            "the",
            "A of of of",
            "…",
            "-",
            "A {thing} {other} {",
            "the the the the the the the the",
            "A sailor befriends a sailor",
        ] {
            for seed in 0..10 {
                check(&story(&order(premise, 6, seed)).unwrap(), 6, premise);
            }
        }
    }

    #[test]
    fn the_premise_can_be_recognised_in_the_film() {
        let told = story(&order("A lighthouse keeper befriends a storm", 6, 1)).unwrap();
        assert!(
            told.logline
                .starts_with("A lighthouse keeper befriends a storm."),
            "{}",
            told.logline
        );
        for scene in &told.scenes {
            assert!(
                scene
                    .action
                    .to_lowercase()
                    .contains("the lighthouse keeper"),
                "{}",
                scene.action
            );
        }
        assert!(
            told.scenes
                .iter()
                .any(|scene| scene.action.to_lowercase().contains("the storm"))
        );
        let quoted = story(&order("Ein Wärter freundet sich mit einem Sturm an", 6, 1)).unwrap();
        for scene in &quoted.scenes {
            assert!(
                scene
                    .image_prompt
                    .contains("Ein Wärter freundet sich mit einem Sturm an"),
                "{}",
                scene.image_prompt
            );
        }
    }

    #[test]
    fn the_same_order_gives_the_same_story_and_another_seed_another_film() {
        let premise = "A lighthouse keeper befriends a storm";
        let films: Vec<Story> = (0..40)
            .map(|seed| story(&order(premise, 6, seed)).unwrap())
            .collect();
        assert_eq!(films[7], story(&order(premise, 6, 7)).unwrap());
        let distinct =
            |of: &dyn Fn(&Story) -> String| films.iter().map(of).collect::<HashSet<_>>().len();
        let titles = distinct(&|film| film.title.clone());
        assert!(titles >= 25, "{titles} titles for 40 seeds");
        assert!(distinct(&|film| film.look.clone()) >= 25);
        let actions = |film: &Story| {
            film.scenes
                .iter()
                .map(|scene| scene.action.clone())
                .collect::<String>()
        };
        assert_eq!(distinct(&actions), 40);
        let cameras = distinct(&|film| {
            format!(
                "{:?}",
                film.scenes
                    .iter()
                    .map(|scene| scene.camera)
                    .collect::<Vec<_>>()
            )
        });
        assert!(cameras >= 25, "{cameras} camera plans for 40 seeds");
    }

    #[test]
    fn the_story_of_a_known_seed_never_changes() {
        let told = story(&order("A lighthouse keeper befriends a storm", 3, 42)).unwrap();
        assert_eq!(
            (told.title.as_str(), told.scenes[1].action.as_str()),
            (
                "The Ship's Bell Remembers",
                "The ship's bell falls and rolls. Where it comes to rest, the storm, and the lighthouse keeper cannot \
                 look away. Gulls hang in the wind without moving."
            )
        );
    }

    #[test]
    fn no_gap_of_a_phrase_is_left_open() {
        for premise in [
            "A lighthouse keeper befriends a storm",
            "Two robots. Rust!",
            "?",
        ] {
            for seed in 0..40 {
                let told = story(&order(premise, 12, seed)).unwrap();
                let scenes = told.scenes.iter().flat_map(|scene| {
                    [
                        &scene.title,
                        &scene.action,
                        &scene.beat,
                        &scene.image_prompt,
                        &scene.motion_prompt,
                        &scene.negative_prompt,
                    ]
                });
                let all = [&told.title, &told.logline, &told.look];
                for text in all.into_iter().chain(scenes) {
                    assert!(!text.contains(['{', '}']), "seed {seed}: {text}");
                }
            }
        }
    }

    #[test]
    fn the_film_makers_title_wins_and_impossible_orders_are_permanent_failures() {
        let mut asked = order("A fox", 3, 1);
        asked.title = Some("Mine: 100%".to_owned());
        assert_eq!(story(&asked).unwrap().title, "Mine: 100%");
        for bad in [
            order("A fox", 2, 1),
            order("A fox", 25, 1),
            order(" ", 6, 1),
        ] {
            assert_eq!(story(&bad).unwrap_err().kind, FailureKind::Permanent);
        }
    }
}
