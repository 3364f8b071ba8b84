//! What a person types about a film, as the request that the coordinator takes.

use std::path::{Path, PathBuf};

use clap::Args;
use shared::film::{FilmRequest, Mistake, Profiles, Quality, Size, Until};
use shared::ids::ProfileName;

/// What the film is to be. `film` and `submit` share these.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilmArgs {
    /// What the film is about, in a sentence or a page
    #[arg(conflicts_with = "script")]
    pub(crate) premise: Option<String>,

    /// A finished script instead of a premise: a TOML or JSON file of scenes, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,

    /// How many scenes to write, 3 to 24 [default: 6]
    #[arg(long, value_name = "N", conflicts_with = "script")]
    pub(crate) scenes: Option<u32>,

    /// Length of each scene in seconds, 0.5 to 60 [default: 4]
    #[arg(long, value_name = "S")]
    pub(crate) seconds: Option<f64>,

    /// Width and height in pixels, both even [default: 854x480]
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<Size>,

    /// Frames per second, 1 to 60 [default: 24]
    #[arg(long, value_name = "F")]
    pub(crate) fps: Option<u32>,

    /// How well keyframes and clips are made, where their profile knows a difference [default: final]
    #[arg(long, value_name = "QUALITY")]
    pub(crate) quality: Option<Quality>,

    /// The same seed and premise give the same film with the built-in backends [default: drawn]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Title of the film [default: the story's own]
    #[arg(long, value_name = "T")]
    pub(crate) title: Option<String>,

    /// Profile that writes the story
    #[arg(long, value_name = "NAME", help_heading = "Profiles")]
    pub(crate) story_profile: Option<ProfileName>,

    /// Profile that makes the still images
    #[arg(long, value_name = "NAME", help_heading = "Profiles")]
    pub(crate) keyframe_profile: Option<ProfileName>,

    /// Profile that makes the clips
    #[arg(long, value_name = "NAME", help_heading = "Profiles")]
    pub(crate) scene_profile: Option<ProfileName>,

    /// Profile that puts the film together
    #[arg(long, value_name = "NAME", help_heading = "Profiles")]
    pub(crate) assembly_profile: Option<ProfileName>,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The script cannot be read.
    #[error("cannot read the script {}: {source}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was typed cannot be so.
    #[error("this film cannot be made:{}", .0.iter().map(|mistake| format!("\n  {mistake}")).collect::<String>())]
    Mistakes(Vec<Mistake>),
}

impl FilmArgs {
    /// The request, checked as the coordinator will check it: every mistake at once, before anything is started.
    ///
    /// # Errors
    /// If the script cannot be read, or with every mistake.
    pub(crate) fn request(&self) -> Result<FilmRequest, RequestError> {
        let text = self.script.as_deref().map(read_script).transpose()?;
        let request = self.request_with(text.as_deref())?;
        match request.mistakes() {
            mistakes if mistakes.is_empty() => Ok(request),
            mistakes => Err(RequestError::Mistakes(mistakes)),
        }
    }

    fn request_with(&self, script: Option<&str>) -> Result<FilmRequest, RequestError> {
        let script = script
            .map(shared::script::parse)
            .transpose()
            .map_err(|mistake| {
                RequestError::Mistakes(vec![Mistake {
                    field: "script".to_owned(),
                    ..mistake
                }])
            })?;
        Ok(FilmRequest {
            premise: self.premise.clone(),
            script,
            title: self.title.clone(),
            scenes: self.scenes,
            seconds: self.seconds,
            size: self.size,
            fps: self.fps,
            seed: self.seed,
            quality: self.quality.unwrap_or_default(),
            profiles: Profiles {
                story: self.story_profile.clone(),
                keyframe: self.keyframe_profile.clone(),
                scene: self.scene_profile.clone(),
                assembly: self.assembly_profile.clone(),
            },
            until: Until::Film,
        })
    }
}

fn read_script(path: &Path) -> Result<String, RequestError> {
    let text = match path == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    text.map_err(|source| RequestError::Script {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        film: FilmArgs,
    }

    fn typed(words: &[&str]) -> FilmArgs {
        let words = ["callsheet"].iter().chain(words);
        Typed::try_parse_from(words).unwrap().film
    }

    #[test]
    fn every_flag_reaches_the_request() {
        let args = typed(&[
            "A \"storm\": 100%",
            "--scenes",
            "3",
            "--seconds",
            "2.5",
            "--size",
            "640x360",
            "--fps",
            "12",
            "--quality",
            "draft",
            "--seed",
            "7",
            "--title",
            "T",
            "--story-profile",
            "mistral-7b",
            "--scene-profile",
            "wan2.2",
        ]);
        let expected = r#"{"premise": "A \"storm\": 100%", "scenes": 3, "seconds": 2.5, "size": "640x360", "fps": 12, "quality": "draft", "seed": 7,
            "title": "T", "profiles": {"story": "mistral-7b", "scene": "wan2.2"}}"#;
        assert_eq!(
            args.request().unwrap(),
            FilmRequest::parse(expected.as_bytes()).unwrap()
        );
    }

    #[test]
    fn a_premise_alone_leaves_the_rest_to_the_coordinator() {
        let request = typed(&["Storm"]).request().unwrap();
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"premise":"Storm"}"#
        );
    }

    #[test]
    fn every_mistake_is_listed_by_field() {
        let error = typed(&[" ", "--scenes", "0", "--fps", "1000"])
            .request()
            .unwrap_err()
            .to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        for (line, field) in lines[1..]
            .iter()
            .zip(["  premise: ", "  scenes: ", "  fps: "])
        {
            assert!(line.starts_with(field), "{error}");
        }
        let nothing = typed(&[]);
        assert!(
            nothing
                .request()
                .unwrap_err()
                .to_string()
                .contains("premise")
        );
    }

    #[test]
    fn a_script_is_read_and_its_mistakes_name_script() {
        let args = FilmArgs::default();
        let request = args
            .request_with(Some("title = \"t\"\n[[scenes]]\naction = \"Waves.\"\n"))
            .unwrap();
        assert_eq!(request.scene_count(), 1);
        let error = args
            .request_with(Some("titel = 1"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("script: ") && error.contains("line 1"),
            "{error}"
        );
        let missing = typed(&["--script", "no/such/file.toml"])
            .request()
            .unwrap_err()
            .to_string();
        assert!(missing.contains("no/such/file.toml"), "{missing}");
    }

    #[test]
    fn the_example_in_the_guide_can_be_filmed() {
        let example = include_str!("../../examples/last-ferry.toml");
        let request = FilmArgs::default().request_with(Some(example)).unwrap();
        assert_eq!(request.mistakes(), []);
        assert_eq!(request.scene_count(), 5);
    }

    #[test]
    fn a_size_that_is_none_is_a_usage_error() {
        let error = Typed::try_parse_from(["callsheet", "x", "--size", "big"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("854x480"), "{error}");
        assert!(Typed::try_parse_from(["callsheet", "x", "--script", "f"]).is_err());
    }
}
