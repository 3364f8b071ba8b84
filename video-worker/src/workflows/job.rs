//! From a job to a graph, and to what its file should be.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::job::Payload;

use super::fill::{FillError, Filled};
use super::manifest::WorkflowKind;
use super::parameters::Parameters;
use super::workflow::Workflow;
use crate::content_check::Expected;

impl Workflow {
    /// Puts what a job is given into the graph. `start_image` is what the server calls the keyframe of a scene.
    ///
    /// # Errors
    /// If the job is of another kind, or what is asked for cannot be made.
    pub fn fill_job(
        &self,
        payload: &Payload,
        start_image: Option<&str>,
        filename_prefix: String,
    ) -> Result<Filled, FillError> {
        let parameters = match (payload, start_image) {
            (Payload::Keyframe(payload), None) => Parameters::keyframe(payload, filename_prefix),
            (Payload::Scene(payload), Some(image)) => {
                Parameters::scene(payload, image.to_owned(), filename_prefix)
            }
            (Payload::Scene(_), None) => return Err(self.not_for("no image to begin with")),
            (Payload::Keyframe(_), Some(_)) => return Err(self.not_for("an image to begin with")),
            (Payload::Story(_), _) => return Err(self.not_for("a story to write")),
            (Payload::Assembly(_), _) => return Err(self.not_for("a film to assemble")),
        };
        self.fill(&parameters)
    }

    fn not_for(&self, given: &'static str) -> FillError {
        FillError::Kind {
            workflow: self.name().clone(),
            makes: match self.manifest().kind {
                WorkflowKind::Keyframe => "keyframes",
                WorkflowKind::Scene => "clips",
            },
            given,
        }
    }
}

impl Filled {
    /// What the content check is to expect of the clip; none for a keyframe.
    pub fn expected(&self) -> Option<Expected> {
        self.clip().map(|clip| Expected {
            frames: clip.frames,
            fps: clip.fps,
            size: self.size(),
            still_is_fine: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::film::Quality;

    use super::super::Library;
    use super::*;

    fn scene() -> serde_json::Value {
        json!({
            "number": 1, "title": "Harbour", "action": "A ship leaves.", "image_prompt": "a ship, oil on canvas",
            "motion_prompt": "the ship moves off", "negative_prompt": "people", "camera": "static", "seconds": 4.0
        })
    }

    fn keyframe() -> Payload {
        serde_json::from_value(json!({
            "kind": "keyframe", "title": "T", "look": "oil", "scene": scene(), "scenes": 3, "size": "854x480", "seed": 7
        }))
        .unwrap()
    }

    fn clip() -> Payload {
        let sha = "ab".repeat(32);
        serde_json::from_value(json!({
            "kind": "scene", "scene": scene(), "keyframe": {"sha256": sha, "size": 1, "media_type": "image/png"},
            "size": "854x480", "fps": 24, "frames": 96, "seed": 7
        }))
        .unwrap()
    }

    #[test]
    fn a_keyframe_shows_the_image_prompt_and_a_clip_the_motion_prompt() {
        let library = Library::shipped();
        let fill = |name: &str, payload: &Payload, image| {
            let workflow = library.get(name).unwrap();
            workflow.fill_job(payload, image, "j/t".to_owned())
        };
        let text = |filled: &Filled| filled.graph().input("positive", "text").cloned();
        let still = fill("sdxl-1.0", &keyframe(), None).unwrap();
        assert_eq!(text(&still), Some(json!("a ship, oil on canvas")));
        assert_eq!(still.expected(), None);
        let moving = fill("wan2.1-i2v-14b-480p", &clip(), Some("k.png")).unwrap();
        assert_eq!(text(&moving), Some(json!("the ship moves off")));
        let expected = moving.expected().unwrap();
        assert_eq!(
            (
                expected.frames,
                expected.fps,
                expected.size.to_string().as_str()
            ),
            (65, 16, "848x480")
        );
    }

    #[test]
    fn a_draft_takes_the_steps_and_the_time_of_a_draft() {
        let library = Library::shipped();
        let workflow = library.get("wan2.1-i2v-14b-480p").unwrap();
        let fill = |payload: &Payload| {
            let filled = workflow.fill_job(payload, Some("k.png"), "j/t".to_owned());
            let filled = filled.unwrap();
            let steps = filled.graph().input("sampler", "steps").cloned();
            (steps, filled.time_limit().as_secs())
        };
        let mut draft = clip();
        let Payload::Scene(scene) = &mut draft else {
            panic!("a clip is a scene")
        };
        scene.quality = Quality::Draft;
        assert_eq!(fill(&draft), (Some(json!(12)), 360));
        assert_eq!(fill(&clip()), (Some(json!(20)), 600));
    }

    #[test]
    fn a_job_of_another_kind_is_refused() {
        let library = Library::shipped();
        for (name, payload, image) in [
            ("smoke", keyframe(), None),
            ("smoke", clip(), None),
            ("sdxl-1.0", keyframe(), Some("k.png")),
            ("sdxl-1.0", clip(), Some("k.png")),
        ] {
            let workflow = library.get(name).unwrap();
            let filled = workflow.fill_job(&payload, image, "j/t".to_owned());
            let error = filled.unwrap_err();
            let is_told = matches!(error, FillError::Kind { .. });
            assert!(is_told, "{name}, {}: {error}", payload.kind());
        }
    }
}
