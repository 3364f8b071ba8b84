//! Even clips become one file, with chapters.

use std::path::PathBuf;

use shared::job::AssemblyPayload;

use super::error::AssemblyError;
use super::metadata::{self, Chapter};
use super::{LocalClip, Workshop};
use crate::content_check::probe::{self, Probe};

const LIST: &str = "clips.txt";
const MARKS: &str = "chapters.txt";
const FILM: &str = "film.mp4";
/// MP4 files keep the times of chapters in milliseconds.
const CHAPTER_TOLERANCE: f64 = 0.001;

impl Workshop<'_> {
    /// Joins clips that are encoded alike. Returns the film and its running time in seconds.
    pub(super) async fn join(
        &self,
        clips: &[LocalClip],
        payload: &AssemblyPayload,
    ) -> Result<(PathBuf, f64), AssemblyError> {
        let list = self.write(LIST, &list(clips, payload.fps)).await?;
        let chapters = chapters(clips, payload);
        let marks = metadata::file(payload.fps, &chapters);
        let marks = self.write(MARKS, &marks).await?;
        let texts = metadata::arguments(&payload.title, &payload.logline, &chapters);
        let film = self.path(FILM);
        self.programs
            .ffmpeg("join the clips")
            .args(["-f", "concat"])
            .input(&list)
            .args(["-f", "ffmetadata"])
            .input(&marks)
            .args(["-map", "0:v:0", "-map_metadata", "1", "-map_chapters", "1"])
            .args(texts)
            // Of the two sorts of chapter marks, `chpl` cuts titles after 255 bytes and hides the other sort from readers.
            .args(["-c", "copy", "-movflags", "+faststart+disable_chpl"])
            .output(&film)
            .run(&self.context.cancelled)
            .await?;
        let what = "probe the film";
        let cancelled = &self.context.cancelled;
        let probe = probe::probe(self.programs, what, &film, cancelled).await?;
        let seconds = check(&probe, &chapters, payload)?;
        Ok((film, seconds))
    }

    async fn write(&self, name: &'static str, text: &str) -> Result<PathBuf, AssemblyError> {
        let path = self.path(name);
        match tokio::fs::write(&path, text).await {
            Ok(()) => Ok(path),
            Err(source) => Err(AssemblyError::Write { name, source }),
        }
    }
}

/// The list for ffmpeg's concat demuxer. The durations come from the frames that were counted: those that it would read in
/// the files are rounded, and the error would grow from clip to clip.
fn list(clips: &[LocalClip], fps: u32) -> String {
    let mut list = String::from("ffconcat version 1.0\n");
    for clip in clips {
        let seconds = f64::from(clip.frames) / f64::from(fps);
        list.push_str(&format!("file {}\nduration {seconds:.6}\n", clip.name));
    }
    list
}

/// One chapter for each clip, back to back.
fn chapters(clips: &[LocalClip], payload: &AssemblyPayload) -> Vec<Chapter> {
    let mut start = 0;
    let mut chapters = Vec::with_capacity(clips.len());
    for (clip, asked) in clips.iter().zip(&payload.clips) {
        let frames = start..start + clip.frames;
        start = frames.end;
        let title = match asked.title.trim() {
            "" => format!("Scene {}", asked.number),
            _ => asked.title.clone(),
        };
        chapters.push(Chapter { title, frames });
    }
    chapters
}

/// Checks the film. Its clips have been looked at frame by frame, so that counting packets is enough.
fn check(
    probe: &Probe,
    chapters: &[Chapter],
    payload: &AssemblyPayload,
) -> Result<f64, AssemblyError> {
    let fps = payload.fps;
    let seconds = |frame: u32| f64::from(frame) / f64::from(fps);
    let frames = chapters.last().map_or(0, |chapter| chapter.frames.end);
    let video = probe.video()?;
    video.check_encoding()?;
    video.check_size(payload.size)?;
    video.check_rate(fps)?;
    video.check_frames(frames)?;
    video.check_duration(seconds(frames), fps)?;

    let expected: Vec<_> = chapters
        .iter()
        .map(|chapter| seconds(chapter.frames.start))
        .collect();
    let found: Vec<_> = probe.chapters.iter().map(probe::Chapter::start).collect();
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= CHAPTER_TOLERANCE;
    if expected.len() == found.len() && expected.iter().zip(&found).all(near) {
        return Ok(video.seconds());
    }
    Err(AssemblyError::Chapters { expected, found })
}
