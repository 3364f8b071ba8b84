//! Clips that differ are made alike.

use shared::film::Size;
use shared::job::AssemblyPayload;

use super::error::AssemblyError;
use super::{LocalClip, Workshop};
use crate::ffmpeg::colour;

/// How many clips a fallback speaks of by number.
const NAMED_MAX: usize = 4;

/// Tells in what the clips differ from what was asked for or from each other; none if they can be joined as they are.
pub(super) fn difference(clips: &[LocalClip], size: Size, fps: u32) -> Option<String> {
    let encoding = clips.first().map(|clip| &clip.video.encoding);
    let difference = |clip: &LocalClip| {
        let video = &clip.video;
        let as_asked = video
            .check_encoding()
            .and_then(|()| video.check_size(size))
            .and_then(|()| video.check_rate(fps));
        match as_asked {
            Err(why) => Some(format!("scene {}: {why}", clip.scene)),
            Ok(()) if Some(&video.encoding) != encoding => {
                let first = clips.first().map_or(0, |clip| clip.scene);
                let scene = clip.scene;
                Some(format!(
                    "scene {scene}: encoded otherwise than scene {first}"
                ))
            }
            Ok(()) => None,
        }
    };
    let mut differences: Vec<_> = clips.iter().filter_map(difference).collect();
    let more = differences.len().saturating_sub(NAMED_MAX);
    differences.truncate(NAMED_MAX);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    match differences.join("; ") {
        none if none.is_empty() => None,
        list => Some(list),
    }
}

impl Workshop<'_> {
    /// Encodes every clip anew, one after the other, in the film's size and rate: nothing is cut off, bars fill what
    /// another shape leaves.
    pub(super) async fn make_even(
        &self,
        clips: &[LocalClip],
        payload: &AssemblyPayload,
    ) -> Result<Vec<LocalClip>, AssemblyError> {
        let steps = u32::try_from(clips.len()).unwrap_or(u32::MAX);
        let mut even = Vec::with_capacity(clips.len());
        for (step, clip) in (0..).zip(clips) {
            self.context.progress.tell("encode again", step, steps);
            even.push(self.encode(clip, payload).await?);
        }
        // Joined as they are, they would play in the wrong colours or not at all behind the first one.
        match difference(&even, payload.size, payload.fps) {
            None => Ok(even),
            Some(still) => Err(AssemblyError::Uneven(still)),
        }
    }

    async fn encode(
        &self,
        clip: &LocalClip,
        payload: &AssemblyPayload,
    ) -> Result<LocalClip, AssemblyError> {
        let scene = clip.scene;
        let name = format!("even-{}", clip.name);
        let path = self.path(&name);
        let Size { width, height } = payload.size;
        let fps = payload.fps;
        self.programs
            .ffmpeg(format!("encode the clip of scene {scene} again"))
            .args(["-f", "mp4"])
            .input(&self.path(&clip.name))
            .args([
                "-map",
                "0:v:0",
                "-map_metadata",
                "-1",
                "-map_chapters",
                "-1",
                "-vf",
            ])
            .arg(format!(
                "scale=iw*sar:ih,scale={width}:{height}:force_original_aspect_ratio=decrease:{},\
                 pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1,fps={fps},format=yuv420p",
                colour::SCALE_OPTIONS
            ))
            .args(colour::TAGS)
            .args(["-c:v", "libx264", "-preset", "medium", "-crf", "18"])
            .args(["-r", &fps.to_string()])
            .output(&path)
            .run(&self.context.cancelled)
            .await?;
        self.inspect(scene, name, &path).await
    }
}
